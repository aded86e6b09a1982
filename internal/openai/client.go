// Package openai is the llm.Provider for the Chat Completions protocol: OpenAI itself, Azure's v1 endpoint, Ollama, vLLM,
// llama.cpp and whatever else is compatible with it.
//
// It owns the protocol's wire format, the time limits and caps of one call, and the translation of failures. It makes one
// attempt per call and keeps no state between calls but its connections; retries, audit and masking are not its business.
package openai

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultBaseURL is where a Config without a base URL points.
const DefaultBaseURL = "https://api.openai.com/v1"

// The time limits of a Config that sets none.
const (
	DefaultFirstByteTimeout = 300 * time.Second
	DefaultIdleTimeout      = 120 * time.Second
)

const (
	// maxBytes bounds an answer after decompression, streamed or whole.
	maxBytes = 64 << 20
	// maxEvents bounds the chunks of a stream, which may be small.
	maxEvents = 1 << 20
)

// Config is what a Client is made of. It comes from the operator's settings alone.
type Config struct {
	// BaseURL is the address that "/chat/completions" is appended to, such as "http://127.0.0.1:11434/v1" or
	// "https://NAME.openai.azure.com/openai/v1". Its query is kept ("?api-version=preview").
	BaseURL string
	// Key is sent as a bearer token, and to Azure's hosts as "api-key" instead. Without one nothing is sent.
	Key string
	// Version is Parley's, for the User-Agent.
	Version string
	// FirstByteTimeout runs from the start of a call to the first byte of the answer's body, IdleTimeout from
	// one byte to the next.
	FirstByteTimeout, IdleTimeout time.Duration
	// Transport carries the calls; nil stands for NewTransport(). It must not follow redirects.
	Transport http.RoundTripper
}

// Client speaks to one endpoint. It implements llm.Provider and is safe for concurrent use.
type Client struct {
	chatURL, modelsURL *url.URL
	// The heads of a GET, and of a POST by the answer that it wants. All requests share them, so nobody changes them.
	getHead, wholeHead, streamHead http.Header
	key                            string
	firstByte, idle                time.Duration
	transport                      http.RoundTripper
	dialect                        dialect
	maxBytes                       int64
	maxEvents                      int
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

// New makes a client. An error says what is wrong with the base URL, without quoting it: it may hold a secret.
func New(cfg Config) (*Client, error) {
	base, err := parseBase(cmp.Or(cfg.BaseURL, DefaultBaseURL))
	if err != nil {
		return nil, err
	}
	c := &Client{
		chatURL:   base.JoinPath("chat", "completions"),
		modelsURL: base.JoinPath("models"),
		key:       cfg.Key,
		firstByte: cmp.Or(cfg.FirstByteTimeout, DefaultFirstByteTimeout),
		idle:      cmp.Or(cfg.IdleTimeout, DefaultIdleTimeout),
		transport: cfg.Transport,
		dialect:   dialectOf(base.Hostname()),
		maxBytes:  maxBytes,
		maxEvents: maxEvents,
	}
	if c.transport == nil {
		c.transport = NewTransport()
	}
	c.getHead = http.Header{
		"Accept":          {mediaJSON},
		"Accept-Encoding": {"identity"},
		"User-Agent":      {"parley/" + cmp.Or(cfg.Version, "dev")},
	}
	switch {
	case cfg.Key == "":
	case c.dialect.apiKey:
		c.getHead["Api-Key"] = []string{cfg.Key}
	default:
		c.getHead["Authorization"] = []string{"Bearer " + cfg.Key}
	}
	c.wholeHead = c.getHead.Clone()
	c.wholeHead["Content-Type"] = []string{mediaJSON}
	c.streamHead = c.wholeHead.Clone()
	c.streamHead["Accept"] = []string{mediaEvents}
	return c, nil
}

// Host is the endpoint's host, with its port where it has one.
func (c *Client) Host() string { return c.chatURL.Host }

func parseBase(raw string) (*url.URL, error) {
	base, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("the base URL is not a URL")
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, errors.New("the base URL must begin with http:// or https://")
	case base.Hostname() == "":
		return nil, errors.New("the base URL names no host")
	case base.User != nil:
		return nil, errors.New("the base URL must not hold a user or a password; the key has its own setting")
	case base.Fragment != "":
		return nil, errors.New("the base URL must not have a fragment")
	case strings.HasSuffix(strings.TrimRight(base.Path, "/"), "/chat/completions"):
		return nil, errors.New("the base URL must not include /chat/completions")
	}
	if base.Path == "" {
		// Joined to nothing a path would be a relative one, which HTTP/2 refuses.
		base.Path = "/"
	}
	return base, nil
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
