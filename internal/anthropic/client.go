// Package anthropic is the llm.Provider for Anthropic's Messages protocol: Anthropic itself, and the servers and gateways
// that are compatible with it.
//
// It owns the protocol's wire format; time limits, caps and the meaning of failures are internal/upstream's. It makes one
// attempt per call; retries, audit and masking are not its business.
package anthropic

import (
	"cmp"
	"context"
	"iter"
	"net/url"
	"path"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/upstream"
)

const (
	// DefaultBaseURL is where a Config without a base URL points.
	DefaultBaseURL = "https://api.anthropic.com"
	// DefaultMaxTokens bounds an answer where nobody did: the protocol has no answer without a bound. Every current
	// model can say as much.
	DefaultMaxTokens = 8192

	// protocolVersion is the dated version of the protocol that is spoken.
	protocolVersion = "2023-06-01"
	// allModels is the longest page of models that the protocol knows.
	allModels = "1000"
)

// Config is what a Client is made of. It comes from the operator's settings alone. "/v1/messages" is appended to the base
// URL, or "/messages" where that ends in "/v1". The key is sent as "x-api-key".
type Config struct {
	upstream.Config
	// MaxTokens bounds the answers to prompts that set no bound; 0 stands for DefaultMaxTokens.
	MaxTokens int64
}

// Client speaks to one endpoint. It implements llm.Provider and is safe for concurrent use.
type Client struct {
	http                   *upstream.Client
	messagesURL, modelsURL *url.URL
	maxTokens              int64
}

// New makes a client. An error says what is wrong with the base URL, without quoting it: it may hold a secret.
func New(cfg Config) (*Client, error) {
	cfg.BaseURL = cmp.Or(cfg.BaseURL, DefaultBaseURL)
	http, err := upstream.New(&cfg.Config, "/messages", "a message")
	if err != nil {
		return nil, err
	}
	http.SetHeader("Anthropic-Version", protocolVersion)
	if cfg.Key != "" {
		http.SetHeader("X-Api-Key", cfg.Key)
	}
	base := http.Base
	if path.Base(base.Path) != "v1" {
		base = base.JoinPath("v1")
	}
	c := &Client{
		http:        http,
		messagesURL: base.JoinPath("messages"),
		modelsURL:   base.JoinPath("models"),
		maxTokens:   cmp.Or(cfg.MaxTokens, DefaultMaxTokens),
	}
	query := c.modelsURL.Query()
	query.Set("limit", allModels)
	c.modelsURL.RawQuery = query.Encode()
	return c, nil
}

// Host is the endpoint's host, with its port where it has one.
func (c *Client) Host() string { return c.http.Host() }

// Generate sends the call and yields the answer's events, within the bounds of upstream.Client.Generate. Nothing but the
// event message_stop ends a stream as a success.
func (c *Client) Generate(ctx context.Context, call *llm.Call) iter.Seq2[llm.Event, error] {
	// Now: the call's body is not held while the answer comes.
	origin := originOf(c.Host(), call.Body)
	return c.http.Generate(ctx, c.messagesURL, call, func(x *upstream.Exchange) upstream.Reader {
		return &answer{Exchange: x, origin: origin}
	})
}

// Models asks the endpoint what it offers, within ten seconds and 8 MiB.
func (c *Client) Models(ctx context.Context) ([]llm.Model, error) {
	return c.http.Models(ctx, c.modelsURL)
}
