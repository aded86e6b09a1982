package server

import (
	"context"
	"maps"
	"net/http"
	"runtime"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

const (
	tagModels     = "Models"
	tagOperations = "Operations"
)

func (s *server) operationRoutes() {
	register(s, route{
		method: http.MethodGet, path: "/api/models", id: "listModels", tag: tagModels,
		summary: "List models", description: "What every configured provider offers, with what is known of its context and its prices. A provider that cannot be asked is named, and the others' models stand.",
		status: http.StatusOK, reply: api.ModelList{},
	}, s.listModels)
	register(s, route{
		method: http.MethodGet, path: "/livez", id: "live", tag: tagOperations,
		summary: "Is the process alive?", status: http.StatusOK, reply: api.Health{}, open: true,
	}, s.live)
	register(s, route{
		method: http.MethodGet, path: "/readyz", id: "ready", tag: tagOperations,
		summary: "Can it serve?", description: "Names each dependency and why it fails. A model's provider that is down does not make the server unready.",
		status: http.StatusOK, reply: api.Health{}, open: true, unready: true,
	}, s.ready)
	register(s, route{
		method: http.MethodGet, path: "/healthz", id: "health", tag: tagOperations,
		summary: "Can it serve?", description: "The same as /readyz.",
		status: http.StatusOK, reply: api.Health{}, open: true, unready: true,
	}, s.ready)
	register(s, route{
		method: http.MethodGet, path: "/version", id: "version", tag: tagOperations,
		summary: "Which version is this?", status: http.StatusOK, reply: api.Version{}, open: true,
	}, s.version)
	if s.Metrics != nil {
		s.mux.Handle("GET /metrics", s.Metrics.handler())
	}
	s.api.OpenAPI().AddOperation(&huma.Operation{
		Method: http.MethodGet, Path: "/metrics", OperationID: "metrics", Tags: []string{tagOperations},
		Summary: "Metrics", Description: "In the text format of Prometheus.",
		Responses: map[string]*huma.Response{
			"200": {Description: "OK", Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}},
			"401": s.problemDocs(http.StatusUnauthorized),
			"403": s.problemDocs(http.StatusForbidden),
		},
	})
}

type noInput struct {
	strict
}

func (s *server) listModels(ctx context.Context, _ *noInput) (*answer, error) {
	models, unavailable := s.Service.Models(ctx)
	o := appendList(chat.List[chat.Model]{Data: models}, func(m *chat.Model) string { return m.ID }, appendModel)
	o.key("unavailable")
	o = append(o, '[')
	for i, u := range unavailable {
		if i > 0 {
			o = append(o, ',')
		}
		o.open()
		o.str("provider", u.Provider)
		o.str("code", u.Code)
		o.close()
	}
	o = append(o, ']')
	o.close()
	return jsonAnswer(http.StatusOK, o), nil
}

const (
	healthOK          = "ok"
	healthUnavailable = "unavailable"
)

func (s *server) live(context.Context, *noInput) (*answer, error) {
	return jsonAnswer(http.StatusOK, []byte(`{"status":"`+healthOK+`"}`)), nil
}

func (s *server) ready(ctx context.Context, _ *noInput) (*answer, error) {
	reasons := s.Service.Ready(ctx)
	checks := map[string]string{"server": "", "store": ""}
	for name, err := range reasons {
		checks[name] = reasonOf(err)
	}
	status, word := http.StatusOK, healthOK
	if len(reasons) > 0 {
		status, word = http.StatusServiceUnavailable, healthUnavailable
	}
	var o object
	o.open()
	o.str("status", word)
	o.key("checks")
	o.open()
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		o.key(name)
		o.open()
		if checks[name] == "" {
			o.str("status", healthOK)
		} else {
			o.str("status", healthUnavailable)
			o.str("reason", checks[name])
		}
		o.close()
	}
	o.close()
	o.close()
	return jsonAnswer(status, o), nil
}

// reasonOf is why a dependency fails: of a classified error what clients may know, else what the core says.
func reasonOf(err error) string {
	if f := fault.Of(err); f.Code != "internal" {
		return f.Message
	}
	return err.Error()
}

func (s *server) version(context.Context, *noInput) (*answer, error) {
	var o object
	o.open()
	o.str("version", s.Version)
	o.str("go", runtime.Version())
	o.close()
	return jsonAnswer(http.StatusOK, o), nil
}
