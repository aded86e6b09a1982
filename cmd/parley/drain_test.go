//go:build unix

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/parley-llm/parley/api"
)

const drainStreams = 200

// slowModel streams a first word at once and the rest when it is released.
func slowModel(t *testing.T, release <-chan struct{}) (url string) {
	t.Helper()
	chunk := `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":%q},"finish_reason":null}]}` + "\n\n"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, chunk, "first ")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
			return
		}
		_, _ = fmt.Fprintf(w, chunk, "last")
		_, _ = io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1"
}

// openStreams opens many streams and returns, once each has its first word, the responses and, for later, how each stream ended.
func (p *process) openStreams(t *testing.T) (ids []string, ends func() []string) {
	t.Helper()
	client := &api.Client{BaseURL: p.url, HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: drainStreams}}}
	ids, last := make([]string, drainStreams), make([]string, drainStreams)
	var begun, ended sync.WaitGroup
	begun.Add(drainStreams)
	for i := range drainStreams {
		conv := p.conversation(t)
		ended.Go(func() {
			first := sync.OnceFunc(begun.Done)
			defer first()
			for ev, err := range client.Stream(t.Context(), conv, api.NewResponse{Prompt: api.Text("hi")}) {
				switch {
				case err != nil && last[i] != "":
					// The client says of a failed response what its last event said.
				case err != nil:
					last[i] = err.Error()
				case ev.Type == api.EventCreated:
					ids[i] = ev.Response.ID
				case ev.Type == api.EventTextDelta:
					first()
				case ev.Last():
					last[i] += ev.Type + " " + ev.Response.Status
				}
			}
		})
	}
	begun.Wait()
	return ids, func() []string { ended.Wait(); return last }
}

// statuses counts the responses by how they stand.
func (p *process) statuses(t *testing.T, ids []string) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, id := range ids {
		n[decode[api.Response](t, p.call(t, "GET", "/api/responses/"+id, ""), http.StatusOK).Status]++
	}
	return n
}

func TestRunningStreamsAreDrained(t *testing.T) {
	for _, test := range []struct {
		name, timeout string
		finish        bool
		end, status   string
	}{
		{"those that end in time are whole", "60s", true, "response.completed completed", "completed"},
		{"those that do not are interrupted", "1s", false, "response.failed interrupted", "interrupted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			release, data := make(chan struct{}), t.TempDir()
			environ := []string{"OPENAI_BASE_URL=" + slowModel(t, release), "OPENAI_MODEL=small"}
			p := launch(t, data, environ, "--shutdown-timeout", test.timeout)
			p.await(t)
			spare := p.conversation(t)
			ids, ends := p.openStreams(t)
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if test.finish {
				for p.call(t, "GET", "/readyz", "").status != http.StatusServiceUnavailable {
					continue
				}
				a := p.call(t, "POST", "/api/conversations/"+spare+"/responses", `{"prompt":"late"}`)
				if a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body), `"draining"`) || a.header.Get("Retry-After") == "" {
					t.Errorf("a prompt meanwhile is answered %d %s %v", a.status, a.body, a.header)
				}
				close(release)
			}
			for i, end := range ends() {
				if end != test.end {
					t.Fatalf("stream %d ended with %q", i, end)
				}
			}
			<-p.ended
			if code := p.cmd.ProcessState.ExitCode(); code != exitOK {
				t.Errorf("exit %d: %s", code, p.stderr)
			}
			again := launch(t, data, environ)
			again.await(t)
			if n := again.statuses(t, ids); n[test.status] != drainStreams {
				t.Errorf("stored are %v", n)
			}
		})
	}
}

func TestStreamsThatACrashBrokeOffAreInterruptedWhenTheServerIsBack(t *testing.T) {
	data := t.TempDir()
	environ := []string{"OPENAI_BASE_URL=" + slowModel(t, nil), "OPENAI_MODEL=small"}
	p := launch(t, data, environ)
	p.await(t)
	ids, ends := p.openStreams(t)
	p.kill()
	ends()
	again := launch(t, data, environ)
	again.await(t)
	if n := again.statuses(t, ids); n["interrupted"] != drainStreams {
		t.Errorf("stored are %v", n)
	}
}
