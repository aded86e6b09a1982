package server_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/anthropic"
	"github.com/parley-llm/parley/internal/breaker"
	"github.com/parley-llm/parley/internal/catalog"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/llmtest"
	"github.com/parley-llm/parley/internal/mongotest"
	"github.com/parley-llm/parley/internal/openai"
	"github.com/parley-llm/parley/internal/opentest"
	"github.com/parley-llm/parley/internal/pii"
	"github.com/parley-llm/parley/internal/server"
	"github.com/parley-llm/parley/internal/tokens"
	"github.com/parley-llm/parley/internal/upstream"
)

// quiet is a catalogue that asks no upstream, for which a test would have to have an answer ready.
type quiet struct{ *catalog.Catalog }

func (quiet) Ask(llm.Endpoint, string, int64) {}

// counter is shared: its vocabulary takes a while to load.
var counter tokens.Counter

// settings are what a test may choose.
type settings struct {
	apiKey          string
	contextMessages int
	auditMaxChars   int
	upstreamTimeout time.Duration
	allowedHosts    []string
	// anthropic adds a provider of that name and protocol.
	anthropic bool
	// models are what an operator says of models.
	models []catalog.Override
	// fallback is the model that takes over from "small".
	fallback string
}

func (o *settings) read(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		var err error
		switch name {
		case "api_key":
			o.apiKey = value
		case "context_messages":
			o.contextMessages, err = strconv.Atoi(value)
		case "audit_max_chars":
			o.auditMaxChars, err = strconv.Atoi(value)
		case "upstream_timeout":
			o.upstreamTimeout, err = time.ParseDuration(value)
		case "anthropic":
			o.anthropic, err = strconv.ParseBool(value)
		case "context_window":
			model, window, _ := strings.Cut(value, ",")
			o.models = append(o.models, catalog.Override{Endpoint: "openai", Model: model})
			o.models[len(o.models)-1].ContextWindow, err = strconv.ParseInt(window, 10, 64)
		case "fallback":
			o.fallback = value
		case "allowed_hosts":
			o.allowedHosts = strings.Split(value, ",")
		default:
			t.Fatalf("unknown setting %q", name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// world is a server on a real store, with an upstream that does as it is told.
type world struct {
	t        *testing.T
	service  *chat.Service
	store    opentest.Store
	upstream *llmtest.Upstream
	// anthropic is nil unless there is such a provider.
	anthropic *llmtest.Upstream
	metrics   *server.Metrics
	handler   http.Handler
	url       string
	client    *http.Client
	logs      *logs
	spec      func() spec
}

func newWorld(t *testing.T, o settings) *world {
	t.Helper()
	now := time.Now
	newID := chat.NewID(now)
	w := &world{t: t, upstream: llmtest.NewUpstream(t), metrics: server.NewMetrics(), logs: &logs{}}
	log := slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.store = opentest.New(t, os.Getenv(mongotest.Env)).Open(opentest.Options{Now: now, NewID: newID})
	provider, err := openai.New(upstream.Config{BaseURL: w.upstream.URL + "/v1", Key: "sk-upstream-canary", FirstByteTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if o.auditMaxChars == 0 {
		o.auditMaxChars = 2000
	}
	if o.upstreamTimeout == 0 {
		o.upstreamTimeout = time.Minute
	}
	router := &llm.Router{Endpoints: []llm.Endpoint{{Name: "openai", Host: "llm.test", Provider: provider}}, Default: "openai"}
	if o.anthropic {
		w.anthropic = llmtest.NewUpstream(t)
		second, err := anthropic.New(anthropic.Config{Config: upstream.Config{BaseURL: w.anthropic.URL, Key: "sk-ant-canary", FirstByteTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		router.Endpoints = append(router.Endpoints, llm.Endpoint{Name: "anthropic", Host: "anthropic.test", Provider: second})
	}
	if o.fallback != "" {
		router.Fallbacks = map[string][]string{"openai/small": {o.fallback}}
	}
	w.service = &chat.Service{
		Store: w.store, Audit: w.store, Masker: pii.New(), Log: log, Now: now, NewID: newID,
		Router:       router,
		DefaultModel: func(context.Context) (string, error) { return "small", nil },
		Catalog:      quiet{catalog.New(o.models...)},
		CountTokens:  counter.Count,
		Pseudonym:    func(string) string { return "u_pseudonym" },
		Breakers:     &breaker.Set{OnChange: w.metrics.Breaker},
		Observer:     w.metrics, ContextMessages: o.contextMessages, AuditMaxChars: o.auditMaxChars,
		UpstreamTimeout: o.upstreamTimeout, UpstreamConcurrency: 64, ContextBytes: 1 << 20,
	}
	w.handler = server.New(server.Config{
		Service: w.service, Log: log, APIKey: o.apiKey, AllowedHosts: o.allowedHosts, Version: "test", Metrics: w.metrics,
	})
	ts := httptest.NewServer(w.handler)
	t.Cleanup(ts.Close)
	w.url, w.client = ts.URL, ts.Client()
	// A story shows a redirect, it does not follow it.
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	w.spec = sync.OnceValue(func() spec { return readSpec(t, w.handler) })
	return w
}

// logs keeps what was logged.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// lines are the log's lines, each of which must be JSON.
func (l *logs) lines(t *testing.T) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(l.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("a log line is no JSON: %v", err)
		}
		all = append(all, m)
	}
	return all
}
