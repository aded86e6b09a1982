package openai

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/upstream"
)

// A stream may take minutes, and its prompt is the whole history.
func TestAnAnswerThatComesDoesNotHoldThePrompt(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, stop+done)
	}))
	defer server.Close()
	c, err := New(upstream.Config{BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	call := &llm.Call{Stream: true, Body: make([]byte, 1<<20)}
	prompt := weak.Make(&call.Body[0])
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for ev, err := range c.Generate(ctx, call) {
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := ev.(llm.Started); !ok {
			continue
		}
		call.Body = nil
		for prompt.Value() != nil && ctx.Err() == nil {
			// The transport closes the body on a goroutine of its own.
			runtime.GC()
		}
		close(release)
	}
	if prompt.Value() != nil {
		t.Error("it holds the prompt")
	}
}
