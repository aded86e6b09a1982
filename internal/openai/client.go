// Package openai is the llm.Provider for the Chat Completions protocol: OpenAI itself, Azure's v1 endpoint, Ollama, vLLM,
// llama.cpp and whatever else is compatible with it.
//
// It owns the protocol's wire format, the time limits and caps of one call, and the translation of failures. It makes one
// attempt per call and keeps no state between calls but its connections; retries, audit and masking are not its business.
package openai

import (
	"cmp"
	"context"
	"net/url"
	"strings"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/upstream"
)

// DefaultBaseURL is where a Config without a base URL points.
const DefaultBaseURL = "https://api.openai.com/v1"

// Client speaks to one endpoint. It implements llm.Provider and is safe for concurrent use.
type Client struct {
	http               *upstream.Client
	chatURL, modelsURL *url.URL
	dialect            dialect
}

// dialect is where endpoints of the protocol differ.
type dialect struct {
	// developerRole: the role "developer" is known, elsewhere it is sent as "system".
	developerRole bool
	// maxTokens is the name of the limit on the answer's tokens.
	maxTokens string
	// apiKey: the key goes into a header "api-key".
	apiKey bool
}

// New makes a client. The base URL is what "/chat/completions" is appended to, such as "http://127.0.0.1:11434/v1" or
// "https://NAME.openai.azure.com/openai/v1"; its query is kept ("?api-version=preview"). The key is sent as a bearer
// token, and to Azure's hosts as "api-key" instead. An error says what is wrong with the base URL, without quoting it.
func New(cfg upstream.Config) (*Client, error) {
	cfg.BaseURL = cmp.Or(cfg.BaseURL, DefaultBaseURL)
	http, err := upstream.New(&cfg, "/chat/completions", "a chat completion")
	if err != nil {
		return nil, err
	}
	c := &Client{
		http:      http,
		chatURL:   http.Base.JoinPath("chat", "completions"),
		modelsURL: http.Base.JoinPath("models"),
		dialect:   dialectOf(http.Base.Hostname()),
	}
	switch {
	case cfg.Key == "":
	case c.dialect.apiKey:
		http.SetHeader("Api-Key", cfg.Key)
	default:
		http.SetHeader("Authorization", "Bearer "+cfg.Key)
	}
	return c, nil
}

// Host is the endpoint's host, with its port where it has one.
func (c *Client) Host() string { return c.http.Host() }

// Models asks the endpoint what it offers, within ten seconds and 8 MiB.
func (c *Client) Models(ctx context.Context) ([]llm.Model, error) {
	return c.http.Models(ctx, c.modelsURL)
}

func dialectOf(host string) dialect {
	host = strings.ToLower(host)
	under := func(domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) }
	switch {
	case under("api.openai.com"):
		return dialect{developerRole: true, maxTokens: "max_completion_tokens"}
	case under("openai.azure.com"), under("cognitiveservices.azure.com"), under("services.ai.azure.com"):
		return dialect{developerRole: true, maxTokens: "max_completion_tokens", apiKey: true}
	default:
		return dialect{maxTokens: "max_tokens"}
	}
}
