package faulttest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
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

// What must not get out: the provider's own words, our key, and what the operator sends in a header. The upstreams quote them all.
const (
	keyCanary    = "sk-FAULTKEY-7f3a91c2"
	headerCanary = "gateway-FAULTHEADER-55e1"
)

var secrets = []string{llmtest.Canary, keyCanary, headerCanary}

// patience is the time limit of what is not meant to run into one.
const patience = 2 * time.Minute

// counter is shared: its vocabulary takes a while to load.
var counter tokens.Counter

// unasked is a catalogue that asks no upstream, where a question would count as a call.
type unasked struct{ *catalog.Catalog }

func (unasked) Ask(llm.Endpoint, string, int64) {}

// world is a server as cmd/parley wires it, with a provider that fails and one that is well.
type world struct {
	t        testing.TB
	service  *chat.Service
	database *opentest.Database
	url      string
	client   *http.Client
	logs     *logs
	// heard is everything that any answer has said.
	heard bytes.Buffer
	close func()
}

const (
	faulty  = "faulty/model-1"
	healthy = "healthy/model-1"
)

func newWorld(t testing.TB, others ...llm.Endpoint) *world {
	t.Helper()
	now := time.Now
	newID := chat.NewID(now)
	w := &world{t: t, logs: &logs{}, database: opentest.New(t, os.Getenv(mongotest.Env))}
	log := slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	store := w.database.Open(opentest.Options{Now: now, NewID: newID, Log: log})
	metrics := server.NewMetrics()
	w.service = &chat.Service{
		Store: store, Audit: store, Masker: pii.New(), Log: log, Now: now, NewID: newID,
		Router: &llm.Router{
			Endpoints: append(others, llm.Endpoint{Name: "healthy", Host: "healthy.test", Provider: newHealthy(t)}),
			Default:   "healthy",
		},
		DefaultModel: func(context.Context) (string, error) { return healthy, nil },
		Catalog:      unasked{catalog.New()}, CountTokens: counter.Count, Pseudonym: func(string) string { return "u_pseudonym" },
		Breakers: &breaker.Set{OnChange: metrics.Breaker}, Observer: metrics,
		AuditMaxChars: 2000, UpstreamTimeout: 2 * patience, UpstreamConcurrency: 256,
	}
	ts := httptest.NewServer(server.New(server.Config{Service: w.service, Log: log, Version: "test", Metrics: metrics}))
	w.url, w.client = ts.URL, ts.Client()
	w.close = sync.OnceFunc(func() {
		ts.Close()
		w.service.Drain(t.Context())
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.close)
	return w
}

// newHealthy is a provider that always answers.
func newHealthy(t testing.TB) llm.Provider {
	u := llmtest.NewUpstream(t)
	u.Always(protocols[0].answer)
	transport := upstream.NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	p, err := openai.New(upstream.Config{BaseURL: u.URL + "/v1", FirstByteTimeout: patience, IdleTimeout: patience, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// do sends a request and returns the answer, read to its end.
func (w *world) do(method, path, body string) (*http.Response, []byte) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%s %s: the answer broke off: %v", method, path, err)
	}
	if err := resp.Header.Write(&w.heard); err != nil {
		w.t.Fatal(err)
	}
	w.heard.Write(data)
	return resp, data
}

func (w *world) get(path string, out any) {
	w.t.Helper()
	resp, data := w.do(http.MethodGet, path, "")
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("GET %s: %d %s", path, resp.StatusCode, data)
	}
	w.decode(data, out)
}

func (w *world) decode(data []byte, out any) {
	w.t.Helper()
	if err := json.Unmarshal(data, out); err != nil {
		w.t.Fatalf("%v in %s", err, data)
	}
}

func (w *world) conversation() string {
	w.t.Helper()
	resp, data := w.do(http.MethodPost, "/api/conversations", "{}")
	if resp.StatusCode != http.StatusCreated {
		w.t.Fatalf("%d %s", resp.StatusCode, data)
	}
	var c api.Conversation
	w.decode(data, &c)
	return c.ID
}

// verify closes the world and proves its audit log.
func (w *world) verify() {
	w.t.Helper()
	w.close()
	w.database.Verify(context.WithoutCancel(w.t.Context()))
}

// logs keeps what was logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
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
