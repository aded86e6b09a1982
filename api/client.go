package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client calls a Parley server. Its fields are set before the first call and not changed after; its methods are safe for
// concurrent use. An answer that is a failure is a *Problem in the error's chain. A call takes as long as its context allows:
// a model may think for minutes, so there is no other limit.
type Client struct {
	// BaseURL is where the server is, such as http://127.0.0.1:8000, without /api.
	BaseURL string
	// APIKey is sent as a bearer token, if set.
	APIKey string
	// HTTPClient sends the requests; nil is http.DefaultClient.
	HTTPClient *http.Client
}

// maxProblem bounds what is read of a failure.
const maxProblem = 1 << 20

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
)

type idempotencyKey struct{}

// WithIdempotencyKey makes the POST that is sent with the context one that may be sent again: with the same key and the same
// body it is carried out once. Make a new key for each thing that is to happen.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

type turn struct{}

// WithTurn has the prompts that are sent with the context wait while a response runs on their conversation, in the order in which they come and up
// to 30 seconds. Otherwise, and after that, such a prompt is a Problem of code conversation_locked.
func WithTurn(ctx context.Context) context.Context {
	return context.WithValue(ctx, turn{}, true)
}

// call is one request.
type call struct {
	method, path string
	query        url.Values
	// body is sent as JSON unless it is nil.
	body any
	// version, if not 0, must still be the current one.
	version int64
}

// path joins segments, of which those of callers are escaped.
func path(segments ...string) string {
	var b strings.Builder
	b.WriteString("/api")
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

// do sends a call and decodes its answer, if into is not nil.
func (c *Client) do(ctx context.Context, k call, into any) error {
	resp, err := c.send(ctx, k)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("reading the answer of %s %s: %w", k.method, k.path, err)
	}
	return nil
}

// send returns a successful answer, whose body the caller closes. Any other is an error.
func (c *Client) send(ctx context.Context, k call) (*http.Response, error) {
	req, err := c.request(ctx, k)
	if err != nil {
		return nil, err
	}
	client := c.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("calling Parley: %w", err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	return nil, problemOf(resp)
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	if c.BaseURL == "" {
		return nil, errors.New("the client has no BaseURL")
	}
	var body io.Reader
	if k.body != nil {
		// Text goes out as it is: < and & need no escapes here.
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(k.body); err != nil {
			return nil, fmt.Errorf("encoding the body of %s %s: %w", k.method, k.path, err)
		}
		body = &b
	}
	target := strings.TrimSuffix(c.BaseURL, "/") + k.path
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("making a request to %s: %w", c.BaseURL, err)
	}
	if k.body != nil {
		req.Header.Set("Content-Type", jsonType)
	}
	if c.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+c.APIKey)
	}
	if k.version != 0 {
		req.Header.Set("If-Match", strconv.Quote(strconv.FormatInt(k.version, 10)))
	}
	if key, ok := ctx.Value(idempotencyKey{}).(string); ok && k.method == http.MethodPost {
		req.Header.Set("Idempotency-Key", key)
	}
	return req, nil
}

// problemOf makes an error of an answer that is none of success, also where something in between has answered.
func problemOf(resp *http.Response) *Problem {
	p := &Problem{}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || mediaType != problemType || json.Unmarshal(data, p) != nil || p.Code == "" {
		p = &Problem{
			Title: http.StatusText(resp.StatusCode), Code: CodeUnexpected,
			Detail: fmt.Sprintf("The answer is %s and not one of Parley's. Is something else at this address?", resp.Status),
		}
	}
	p.Status = resp.StatusCode
	p.ShouldRetry = resp.Header.Get("X-Should-Retry") == "true"
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		p.RetryAfter = time.Duration(s) * time.Second
	}
	if ms, err := strconv.Atoi(resp.Header.Get("Retry-After-Ms")); err == nil {
		p.RetryAfter = time.Duration(ms) * time.Millisecond
	}
	return p
}
