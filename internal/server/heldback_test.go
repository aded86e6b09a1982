package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/parley-llm/parley/api"
)

// A provider that breaks its streams off: no failure that is retried, so each prompt is one attempt.
const brokenStream = "HTTP/1.1 200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked\n\n" +
	`data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}` + "\n\n%% reset"

func TestAProviderThatKeepsFailingIsLeftAlone(t *testing.T) {
	w := newWorld(t, settings{})
	conversation := w.conversation()
	w.upstream.Always(brokenStream)
	for range 10 {
		w.problem("POST", conversation+"/responses", `{"prompt":"Hi"}`, http.StatusBadGateway, "upstream_stream_truncated")
	}
	calls := len(w.upstream.Requests())
	for _, body := range []string{`{"prompt":"Hi"}`, `{"prompt":"Hi","stream":true}`, `{"regenerate":true}`} {
		resp := w.problem("POST", conversation+"/responses", body, http.StatusServiceUnavailable, "upstream_unavailable")
		if h := resp.Header; h.Get("Retry-After") == "" || h.Get("Retry-After-Ms") == "" || h.Get("X-Should-Retry") != "true" {
			t.Errorf("%s: %v", body, h)
		}
	}
	var messages api.MessageList
	w.call("GET", conversation+"/messages?limit=100", "", &messages)
	var responses api.ResponseList
	w.call("GET", conversation+"/responses?limit=100", "", &responses)
	if len(messages.Data) != 20 || len(responses.Data) != 10 || len(w.upstream.Requests()) != calls {
		t.Errorf("%d messages, %d responses, %d calls", len(messages.Data), len(responses.Data), len(w.upstream.Requests()))
	}
	if resp := w.call("GET", "/readyz", "", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("not ready: %d", resp.StatusCode)
	}
	w.metricsHave(`parley_llm_breakers_open{provider="openai"} 1`, `parley_llm_breakers_opened_total{provider="openai"} 1`)

	w.upstream.Always(helloAnswer)
	var r api.Response
	if resp := w.call("POST", conversation+"/responses", `{"prompt":"Hi","model":"large"}`, &r); resp.StatusCode != http.StatusOK || r.Model != "large" {
		t.Errorf("another model of the provider: %d", resp.StatusCode)
	}
}

func TestAFallbackTakesTheTurnsOfAModelThatIsHeldBack(t *testing.T) {
	w := newWorld(t, settings{anthropic: true, fallback: "anthropic/claude"})
	conversation := w.conversation()
	w.upstream.Always(brokenStream)
	for range 10 {
		w.problem("POST", conversation+"/responses", `{"prompt":"Hi"}`, http.StatusBadGateway, "upstream_stream_truncated")
	}
	calls := len(w.upstream.Requests())
	w.anthropic.Always(strings.Join([]string{
		"HTTP/1.1 200 OK", "Content-Type: application/json", "Content-Length: auto", "",
		`{"type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn"}`,
	}, "\n"))
	var r api.Response
	resp := w.call("POST", conversation+"/responses", `{"prompt":"Hi"}`, &r)
	if resp.StatusCode != http.StatusOK || r.Provider != "anthropic" || r.FallbackFrom != "small" || r.Attempts != 1 || r.OutputText != "Hello" {
		t.Errorf("%d: %+v", resp.StatusCode, r)
	}
	if len(w.upstream.Requests()) != calls {
		t.Error("the model that is held back was called")
	}
}
