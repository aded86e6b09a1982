package openai

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/llmtest"
	"github.com/parley-llm/parley/internal/upstream"
)

// newClient makes a client for the upstream, with caps that a test reaches soon.
func newClient(t testing.TB, u *llmtest.Upstream) *Client {
	t.Helper()
	c, err := New(upstream.Config{BaseURL: u.URL + "/v1", Key: "sk-test-key", Version: "1.2.3", FirstByteTimeout: u.Patience, IdleTimeout: u.Patience})
	if err != nil {
		t.Fatalf("making the client: %v", err)
	}
	c.http.MaxBytes, c.http.MaxEvents = 2<<20, 10_000
	return c
}

func TestClientIsAProvider(t *testing.T) {
	llmtest.Run(t, func(t *testing.T, u *llmtest.Upstream) llm.Provider { return newClient(t, u) })
}

// trip is a transport in a function.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// fakeClient makes a client whose transport is f.
func fakeClient(t testing.TB, baseURL string, f trip) *Client {
	t.Helper()
	c, err := New(upstream.Config{BaseURL: baseURL, Key: "sk-test-key", Transport: f})
	if err != nil {
		t.Fatalf("making the client: %v", err)
	}
	return c
}

func response(status int, contentType string, body io.Reader) *http.Response {
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{"Content-Type": {contentType}},
		Body:       io.NopCloser(body),
	}
}

func TestBaseURL(t *testing.T) {
	for _, tc := range []struct{ base, chat, host string }{
		{"", "https://api.openai.com/v1/chat/completions", "api.openai.com"},
		{"http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1/chat/completions", "127.0.0.1:11434"},
		{"http://127.0.0.1:11434/v1/", "http://127.0.0.1:11434/v1/chat/completions", "127.0.0.1:11434"},
		{"http://[::1]:8080", "http://[::1]:8080/chat/completions", "[::1]:8080"},
		{"https://x.openai.azure.com/openai/v1?api-version=preview", "https://x.openai.azure.com/openai/v1/chat/completions?api-version=preview", "x.openai.azure.com"},
		{"https://gateway.example/a%2Fb/v1", "https://gateway.example/a%2Fb/v1/chat/completions", "gateway.example"},
	} {
		c, err := New(upstream.Config{BaseURL: tc.base})
		if err != nil {
			t.Errorf("%q: %v", tc.base, err)
			continue
		}
		if got := c.chatURL.String(); got != tc.chat || c.Host() != tc.host {
			t.Errorf("%q: calls go to %q at host %q", tc.base, got, c.Host())
		}
	}
	for _, base := range []string{
		"localhost:11434/v1", "ftp://secret.example/v1", "https://", "/v1", "https://user:secret@example.com/v1",
		"https://example.com/v1#secret", "https://exa mple.com/secret", "https://example.com/v1/chat/completions/?key=secret",
	} {
		if _, err := New(upstream.Config{BaseURL: base}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", base, err)
		}
	}
}

func TestTheKeyGoesWhereTheHostWantsIt(t *testing.T) {
	for base, want := range map[string]http.Header{
		"https://api.openai.com/v1":                       {"Authorization": {"Bearer sk-test-key"}},
		"http://127.0.0.1:8080/v1":                        {"Authorization": {"Bearer sk-test-key"}},
		"https://notopenai.azure.com.example/v1":          {"Authorization": {"Bearer sk-test-key"}},
		"https://X.OpenAI.azure.com/openai/v1":            {"Api-Key": {"sk-test-key"}},
		"https://x.cognitiveservices.azure.com/openai/v1": {"Api-Key": {"sk-test-key"}},
		"https://x.services.ai.azure.com/openai/v1":       {"Api-Key": {"sk-test-key"}},
	} {
		var got *http.Request
		c := fakeClient(t, base, func(r *http.Request) (*http.Response, error) {
			got = r
			return nil, errors.New("enough")
		})
		llmtest.Collect(t.Context(), t, c, &llm.Call{Stream: true, Body: []byte(`{}`)})
		for _, name := range []string{"Authorization", "Api-Key"} {
			if got.Header.Get(name) != want.Get(name) {
				t.Errorf("%s: %s is %q", base, name, got.Header.Get(name))
			}
		}
	}
}

func TestARequestCarriesNothingButWhatItNeeds(t *testing.T) {
	var got *http.Request
	c := fakeClient(t, "http://127.0.0.1:1/v1", func(r *http.Request) (*http.Response, error) {
		got = r
		return nil, errors.New("enough")
	})
	llmtest.Collect(t.Context(), t, c, &llm.Call{Body: []byte(`{}`)})
	want := map[string]string{
		"Accept": "application/json", "Accept-Encoding": "identity", "Authorization": "Bearer sk-test-key",
		"Content-Type": "application/json", "User-Agent": "parley/dev",
	}
	for name := range got.Header {
		if got.Header.Get(name) != want[name] {
			t.Errorf("%s: %q", name, got.Header.Get(name))
		}
	}
	if len(got.Header) != len(want) || got.Method != http.MethodPost || got.ContentLength != 2 {
		t.Errorf("%s with %d headers, length %d", got.Method, len(got.Header), got.ContentLength)
	}
}

func TestACallWithoutAKeySendsNone(t *testing.T) {
	var got *http.Request
	c, err := New(upstream.Config{BaseURL: "http://127.0.0.1:1/v1", Transport: trip(func(r *http.Request) (*http.Response, error) {
		got = r
		return nil, errors.New("enough")
	})})
	if err != nil {
		t.Fatal(err)
	}
	llmtest.Collect(t.Context(), t, c, &llm.Call{Body: []byte(`{}`)})
	if _, sent := got.Header["Authorization"]; sent {
		t.Errorf("header %v", got.Header)
	}
}

func TestModelsOfOtherServers(t *testing.T) {
	for _, tc := range []struct {
		name, body, want string
		status           int
	}{
		{"a bare array", `[{"id":"a"},{"id":"b","created":null,"owned_by":null}]`, "a b", 200},
		{"an empty list", `{"object":"list","data":[]}`, "", 200},
		{"odd members", `{"data":[{"id":"a","created":"now","owned_by":7},{"id":""},{"id":"x\ny"},{"id":{}},{}]}`, "a", 200},
		{"no list", `{"object":"list"}`, "upstream_failed", 200},
		{"an endpoint without a list", `{"error":"not found"}`, "upstream_failed", 404},
	} {
		c := fakeClient(t, "http://127.0.0.1:1/v1", func(*http.Request) (*http.Response, error) {
			return response(tc.status, "application/json", strings.NewReader(tc.body)), nil
		})
		models, err := c.Models(t.Context())
		got := make([]string, 0, len(models))
		for _, m := range models {
			got = append(got, m.ID)
		}
		if e, ok := errors.AsType[*llm.Error](err); ok {
			got = append(got, e.Fault.Code)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestTheListOfModelsIsBounded(t *testing.T) {
	c := fakeClient(t, "http://127.0.0.1:1/v1", func(*http.Request) (*http.Response, error) {
		return response(200, "application/json", io.LimitReader(endless{}, 16<<20)), nil
	})
	if _, err := c.Models(t.Context()); !errors.Is(err, upstream.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

// endless is a stream of blanks.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
