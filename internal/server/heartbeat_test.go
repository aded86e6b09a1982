package server_test

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/pii"
	"github.com/parley-llm/parley/internal/server"
	"github.com/parley-llm/parley/internal/sqlite"
)

// thinker is a provider that takes its time.
type thinker struct{ pause time.Duration }

func (thinker) Encode(*llm.Request) ([]byte, error) { return []byte("{}"), nil }

func (p thinker) Generate(context.Context, *llm.Call) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		time.Sleep(p.pause)
		_ = yield(llm.Started{HTTPStatus: 200}, nil) && yield(llm.TextDelta{Text: "At last."}, nil) && yield(llm.Finished{FinishReason: "stop"}, nil)
	}
}

func (thinker) Models(context.Context) ([]llm.Model, error) { return nil, nil }

// lockedRecorder may be read while a handler writes.
type lockedRecorder struct {
	mu      sync.Mutex
	header  http.Header
	text    strings.Builder
	flushes int
}

func (r *lockedRecorder) Header() http.Header { return r.header }
func (r *lockedRecorder) WriteHeader(int)     {}
func (r *lockedRecorder) Flush()              { r.mu.Lock(); r.flushes++; r.mu.Unlock() }
func (r *lockedRecorder) String() string      { r.mu.Lock(); defer r.mu.Unlock(); return r.text.String() }

func (r *lockedRecorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func TestAStreamSaysThatItIsAlive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		newID := chat.NewID(time.Now)
		log := slog.New(slog.DiscardHandler)
		store, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Now: time.Now, NewID: newID})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = store.Close() }()
		service := &chat.Service{
			Store: store, Audit: store, Masker: pii.New(), Log: log, Now: time.Now, NewID: newID,
			Router:          &llm.Router{Endpoints: []llm.Endpoint{{Name: "thinker", Provider: thinker{pause: 40 * time.Second}}}, Default: "thinker"},
			DefaultModel:    func(context.Context) (string, error) { return "slow", nil },
			Pseudonym:       func(string) string { return "" },
			UpstreamTimeout: time.Hour, UpstreamConcurrency: 1,
		}
		h := server.New(server.Config{Service: service, Log: log})
		made := httptest.NewRecorder()
		h.ServeHTTP(made, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/api/conversations", nil))

		rec := &lockedRecorder{header: http.Header{}}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost"+made.Header().Get("Location")+"/responses", strings.NewReader(`{"prompt":"Think","stream":true}`))
		done := make(chan struct{})
		go func() {
			h.ServeHTTP(rec, req)
			close(done)
		}()
		synctest.Wait()
		if text := rec.String(); !strings.HasPrefix(text, "id: 0\nevent: response.created\n") || strings.Contains(text, ": alive") {
			t.Errorf("at the beginning: %s", text)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if n := strings.Count(rec.String(), ": alive\n\n"); n != 2 {
			t.Errorf("%d signs of life in 31 seconds", n)
		}
		<-done
		if text := rec.String(); strings.Count(text, "event: response.completed\n") != 1 || strings.Count(text, ": alive") != 2 {
			t.Errorf("at the end: %s", text)
		}
	})
}
