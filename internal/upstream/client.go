// Package upstream is the way to a model's provider over HTTP that the clients of all protocols share: one exchange under
// time limits and caps, without redirects, and the translation of its failures into *llm.Error.
//
// It makes one attempt per call and keeps no state between calls but its connections. It knows the frames of a protocol (a
// body, or an event stream), not what stands in them: that is a Reader's business.
package upstream

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The time limits of a Config that sets none.
const (
	DefaultFirstByteTimeout = 300 * time.Second
	DefaultIdleTimeout      = 120 * time.Second
)

const (
	// maxBytes bounds an answer after decompression, streamed or whole.
	maxBytes = 64 << 20
	// maxEvents bounds the events of a stream, which may be small.
	maxEvents = 1 << 20
)

// Config is what the operator's settings say of an endpoint, whatever protocol it speaks.
type Config struct {
	// BaseURL is the address that the protocol's paths are appended to. Its query is kept.
	BaseURL string
	// Key is the secret that the provider knows us by; empty where it wants none.
	Key string
	// Header is sent with every request, besides what the protocol needs or in its place.
	Header map[string]string
	// Version is Parley's, for the User-Agent.
	Version string
	// FirstByteTimeout runs from the start of a call to the first byte of the answer's body, IdleTimeout from
	// one byte to the next.
	FirstByteTimeout, IdleTimeout time.Duration
	// PublicOnly refuses to connect to addresses of private networks and of this machine. It holds for the connections of
	// NewTransport; where a proxy is used, that is what is connected to.
	PublicOnly bool
	// Transport carries the calls; nil stands for NewTransport(). It must not follow redirects.
	Transport http.RoundTripper
}

// Client makes exchanges with one endpoint. Its fields are set before the first one and not changed after; it is safe for
// concurrent use.
type Client struct {
	// Base is the base URL; its path is never empty.
	Base *url.URL
	// What is an answer of the protocol in words, such as "a chat completion".
	What string
	// FirstByte and Idle are the time limits, MaxBytes and MaxEvents the caps of one answer.
	FirstByte, Idle time.Duration
	MaxBytes        int64
	MaxEvents       int

	// secrets replaces what is ours in a provider's words; nil where nothing is.
	secrets   *strings.Replacer
	transport http.RoundTripper
	// The heads of a GET, and of a POST by the answer that it wants. All requests share them, so nobody changes them.
	getHead, wholeHead, streamHead http.Header
	// given are the operator's headers, which go before the protocol's.
	given map[string]bool
}

// New makes a client. path is the last part of the protocol's own address, which a base URL must not hold. An error
// says what is wrong with the base URL, without quoting it: it may hold a secret.
func New(cfg *Config, path, what string) (*Client, error) {
	base, err := parseBase(cfg.BaseURL, path)
	if err != nil {
		return nil, err
	}
	c := &Client{
		Base:      base,
		What:      what,
		FirstByte: cmp.Or(cfg.FirstByteTimeout, DefaultFirstByteTimeout),
		Idle:      cmp.Or(cfg.IdleTimeout, DefaultIdleTimeout),
		MaxBytes:  maxBytes,
		MaxEvents: maxEvents,
		secrets:   secrets(cfg),
		transport: cfg.Transport,

		getHead:    http.Header{"Accept": {mediaJSON}},
		wholeHead:  http.Header{"Accept": {mediaJSON}, "Content-Type": {mediaJSON}},
		streamHead: http.Header{"Accept": {mediaEvents}, "Content-Type": {mediaJSON}},
		given:      map[string]bool{},
	}
	c.SetHeader("Accept-Encoding", "identity")
	c.SetHeader("User-Agent", "parley/"+cmp.Or(cfg.Version, "dev"))
	for name, value := range cfg.Header {
		c.SetHeader(name, value)
		c.given[http.CanonicalHeaderKey(name)] = true
	}
	if c.transport == nil {
		transport := NewTransport()
		if cfg.PublicOnly {
			transport.DialContext = dialer(publicOnly).DialContext
		}
		c.transport = transport
	}
	return c, nil
}

// minSecret is the shortest value of a header that is taken for a secret; shorter ones are switches and versions.
const minSecret = 8

// secrets are the key and the values of the operator's headers.
func secrets(cfg *Config) *strings.Replacer {
	var pairs []string
	if cfg.Key != "" {
		pairs = append(pairs, cfg.Key, "[key]")
	}
	for _, value := range cfg.Header {
		// A token may be quoted without its scheme.
		_, token, _ := strings.Cut(value, " ")
		for _, secret := range []string{value, token} {
			if len(secret) >= minSecret {
				pairs = append(pairs, secret, "[header]")
			}
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	return strings.NewReplacer(pairs...)
}

// SetHeader adds to what every request carries, unless the operator has said otherwise. It is called before the first
// exchange.
func (c *Client) SetHeader(name, value string) {
	name = http.CanonicalHeaderKey(name)
	if c.given[name] {
		return
	}
	for _, head := range []http.Header{c.getHead, c.wholeHead, c.streamHead} {
		head[name] = []string{value}
	}
}

// Host is the endpoint's host, with its port where it has one.
func (c *Client) Host() string { return c.Base.Host }

func parseBase(raw, path string) (*url.URL, error) {
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
	case strings.HasSuffix(strings.TrimRight(base.Path, "/"), path):
		return nil, errors.New("the base URL must not include " + path)
	}
	if base.Path == "" {
		// Joined to nothing a path would be a relative one, which HTTP/2 refuses.
		base.Path = "/"
	}
	return base, nil
}
