package server_test

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/pii"
	"github.com/parley-llm/parley/internal/server"
	"github.com/parley-llm/parley/internal/sqlite"
)

// instant is a provider that answers at once.
type instant struct{}

func (instant) Encode(*llm.Request) ([]byte, error) { return []byte("{}"), nil }

func (instant) Generate(context.Context, *llm.Call) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		words := []llm.Event{llm.Started{HTTPStatus: 200}}
		for range 22 {
			words = append(words, llm.TextDelta{Text: "word "})
		}
		words = append(words, llm.Finished{FinishReason: "stop", Usage: &llm.Usage{InputTokens: 10, OutputTokens: 22, TotalTokens: 32}})
		for _, w := range words {
			if !yield(w, nil) {
				return
			}
		}
	}
}

func (instant) Models(context.Context) ([]llm.Model, error) { return nil, nil }

func benchHandler(b *testing.B) http.Handler {
	b.Helper()
	newID := chat.NewID(time.Now)
	store, err := sqlite.Open(b.Context(), sqlite.Options{Path: filepath.Join(b.TempDir(), "parley.db"), Now: time.Now, NewID: newID})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	log := slog.New(slog.DiscardHandler)
	metrics := server.NewMetrics()
	service := &chat.Service{
		Store: store, Audit: store, Masker: pii.New(), Log: log, Now: time.Now, NewID: newID,
		Router:       &llm.Router{Endpoints: []llm.Endpoint{{Name: "instant", Provider: instant{}}}, Default: "instant"},
		DefaultModel: func(context.Context) (string, error) { return "small", nil },
		Pseudonym:    func(string) string { return "" }, Observer: metrics, AuditMaxChars: 2000,
		UpstreamTimeout: time.Minute, UpstreamConcurrency: 256,
	}
	return server.New(server.Config{Service: service, Log: log, Version: "bench", Metrics: metrics})
}

func do(b *testing.B, h http.Handler, method, path, body string, want int) *httptest.ResponseRecorder {
	b.Helper()
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(b.Context(), method, path, strings.NewReader(body))
	req.Host = "127.0.0.1:8000"
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	h.ServeHTTP(rec, req)
	if rec.Code != want {
		b.Fatalf("%s %s: %d %s", method, path, rec.Code, rec.Body)
	}
	return rec
}

func newConversation(b *testing.B, h http.Handler) string {
	b.Helper()
	return do(b, h, "POST", "/api/conversations", "{}", http.StatusCreated).Header().Get("Location")
}

// The turns below go through everything but the network.
func benchmarkTurn(b *testing.B, body string) {
	h := benchHandler(b)
	var turns atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		conversation, n := newConversation(b, h), 0
		for pb.Next() {
			if n++; n%10 == 0 {
				conversation = newConversation(b, h)
			}
			do(b, h, "POST", conversation+"/responses", body, http.StatusOK)
			turns.Add(1)
		}
	})
}

func BenchmarkTurnWhole(b *testing.B) {
	benchmarkTurn(b, `{"prompt":"What is the capital of Portugal?"}`)
}

func BenchmarkTurnStreamed(b *testing.B) {
	benchmarkTurn(b, `{"prompt":"What is the capital of Portugal?","stream":true}`)
}

func BenchmarkCreateMessage(b *testing.B) {
	h := benchHandler(b)
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		conversation := newConversation(b, h)
		for pb.Next() {
			do(b, h, "POST", conversation+"/messages", `{"role":"user","content":"What is the capital of Portugal?"}`, http.StatusCreated)
		}
	})
}

func BenchmarkListMessages(b *testing.B) {
	h := benchHandler(b)
	conversation := newConversation(b, h)
	for range 100 {
		do(b, h, "POST", conversation+"/messages", `{"role":"user","content":"What is the capital of Portugal?"}`, http.StatusCreated)
	}
	b.ReportAllocs()
	for b.Loop() {
		do(b, h, "GET", conversation+"/messages?limit=50", "", http.StatusOK)
	}
}

// BenchmarkRoute is the share of this package alone: a request that touches no store.
func BenchmarkRoute(b *testing.B) {
	h := benchHandler(b)
	b.ReportAllocs()
	for b.Loop() {
		do(b, h, "GET", "/version", "", http.StatusOK)
	}
}

// BenchmarkRefusal decodes and validates a body, and refuses it.
func BenchmarkRefusal(b *testing.B) {
	h := benchHandler(b)
	b.ReportAllocs()
	for b.Loop() {
		do(b, h, "POST", "/api/conversations/conv_x/messages", `{"role":"user","content":"What is the capital of Portugal?"}`, http.StatusNotFound)
	}
}

// BenchmarkNew is what the routes add to a start.
func BenchmarkNew(b *testing.B) {
	log := slog.New(slog.DiscardHandler)
	for b.Loop() {
		server.New(server.Config{Service: &chat.Service{}, Log: log})
	}
}
