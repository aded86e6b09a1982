package anthropic

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
	c, err := New(Config{Config: upstream.Config{
		BaseURL: u.URL, Key: "sk-test-key", Version: "1.2.3", FirstByteTimeout: u.Patience, IdleTimeout: u.Patience,
	}})
	if err != nil {
		t.Fatalf("making the client: %v", err)
	}
	c.http.MaxBytes, c.http.MaxEvents = 2<<20, 10_000
	return c
}

func TestClientIsAProvider(t *testing.T) {
	// A refusal is a stop reason in this protocol, and its text is text.
	llmtest.Run(t, func(t *testing.T, u *llmtest.Upstream) llm.Provider { return newClient(t, u) }, "refusal")
}

// trip is a transport in a function.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func fakeClient(t testing.TB, baseURL string, f trip) *Client {
	t.Helper()
	c, err := New(Config{Config: upstream.Config{BaseURL: baseURL, Key: "sk-test-key", Transport: f}})
	if err != nil {
		t.Fatalf("making the client: %v", err)
	}
	return c
}

func TestBaseURL(t *testing.T) {
	for base, want := range map[string]string{
		"":                                  "https://api.anthropic.com/v1/messages",
		"https://api.anthropic.com/":        "https://api.anthropic.com/v1/messages",
		"https://api.anthropic.com/v1":      "https://api.anthropic.com/v1/messages",
		"http://127.0.0.1:8080/v1/":         "http://127.0.0.1:8080/v1/messages",
		"https://gateway.example/anthropic": "https://gateway.example/anthropic/v1/messages",
		"https://gateway.example/a?x=1":     "https://gateway.example/a/v1/messages?x=1",
	} {
		c, err := New(Config{Config: upstream.Config{BaseURL: base}})
		if err != nil || c.messagesURL.String() != want {
			t.Errorf("%q: %v, %v", base, c, err)
		}
	}
	if _, err := New(Config{Config: upstream.Config{BaseURL: "https://secret.example/v1/messages"}}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("an address with the path: %v", err)
	}
}

func TestARequestCarriesNothingButWhatItNeeds(t *testing.T) {
	var got *http.Request
	c := fakeClient(t, "http://127.0.0.1:1", func(r *http.Request) (*http.Response, error) {
		got = r
		return nil, errors.New("enough")
	})
	llmtest.Collect(t.Context(), t, c, &llm.Call{Body: []byte(`{}`)})
	want := map[string]string{
		"Accept": "application/json", "Accept-Encoding": "identity", "X-Api-Key": "sk-test-key", "Anthropic-Version": "2023-06-01",
		"Content-Type": "application/json", "User-Agent": "parley/dev",
	}
	for name := range got.Header {
		if got.Header.Get(name) != want[name] {
			t.Errorf("%s: %q", name, got.Header.Get(name))
		}
	}
	if len(got.Header) != len(want) || got.Method != http.MethodPost || got.URL.Path != "/v1/messages" {
		t.Errorf("%s %s with %d headers", got.Method, got.URL.Path, len(got.Header))
	}
	_, _ = c.Models(t.Context())
	if got.Method != http.MethodGet || got.URL.RequestURI() != "/v1/models?limit=1000" || got.Header.Get("X-Api-Key") != "sk-test-key" {
		t.Errorf("models: %s %s", got.Method, got.URL.RequestURI())
	}
}

func TestTheOperatorsHeadersGoFirst(t *testing.T) {
	var got *http.Request
	c, err := New(Config{Config: upstream.Config{
		BaseURL: "http://127.0.0.1:1", Header: map[string]string{"anthropic-version": "2099-01-01", "anthropic-beta": "files-api-2025-04-14"},
		Transport: trip(func(r *http.Request) (*http.Response, error) {
			got = r
			return nil, errors.New("enough")
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	llmtest.Collect(t.Context(), t, c, &llm.Call{Body: []byte(`{}`)})
	if got.Header.Get("Anthropic-Version") != "2099-01-01" || got.Header.Get("Anthropic-Beta") != "files-api-2025-04-14" || got.Header.Get("X-Api-Key") != "" {
		t.Errorf("sent %v", got.Header)
	}
}

func TestModelsInTheShapeOfCompatibleServers(t *testing.T) {
	c := fakeClient(t, "http://127.0.0.1:1", func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(
			`{"object":"list","data":[{"id":"a","created":1700000000,"created_at":"soon"},{"id":"b","created_at":"2025-02-19T00:00:00Z"}]}`))}, nil
	})
	models, err := c.Models(t.Context())
	if err != nil || len(models) != 2 || models[0].Created.Unix() != 1700000000 || models[1].Created.Year() != 2025 {
		t.Errorf("got %v, %v", models, err)
	}
}
