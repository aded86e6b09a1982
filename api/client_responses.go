package api

import (
	"context"
	"net/http"
	"net/url"
)

// Respond prompts a model and waits for its answer, which is then stored. A failed call is a Problem with its ResponseID.
// Giving up by ctx does not end the response: the server finishes and keeps it. Cancel ends it.
func (c *Client) Respond(ctx context.Context, conversationID string, body NewResponse) (r Response, err error) {
	body.Stream = false
	err = c.do(ctx, prompt(ctx, conversationID, body), &r)
	return r, err
}

func prompt(ctx context.Context, conversationID string, body NewResponse) call {
	k := call{method: http.MethodPost, path: path("conversations", conversationID, "responses"), body: body}
	if ctx.Value(turn{}) != nil {
		k.query = url.Values{"on_conflict": {"wait"}}
	}
	return k
}

// Response returns a response as it stands.
func (c *Client) Response(ctx context.Context, id string) (r Response, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: path("responses", id)}, &r)
	return r, err
}

// Responses returns a page of a conversation's responses, newest first.
func (c *Client) Responses(ctx context.Context, conversationID string, q ListQuery) (list ResponseList, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: path("conversations", conversationID, "responses"), query: q.values()}, &list)
	return list, err
}

// Cancel stops a response and keeps what has come; one that has ended stays as it is.
func (c *Client) Cancel(ctx context.Context, id string) (r Response, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: path("responses", id, "cancel")}, &r)
	return r, err
}

// Models lists what a prompt may name.
func (c *Client) Models(ctx context.Context) (list ModelList, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: path("models")}, &list)
	return list, err
}

// Mask returns a text without its personal data, and what was found in it.
func (c *Client) Mask(ctx context.Context, text string) (m Masked, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: path("pii", "mask"), body: NewMask{text}}, &m)
	return m, err
}

// Analyze is Mask with the reasons of each finding.
func (c *Client) Analyze(ctx context.Context, text string) (m Masked, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: path("pii", "analyze"), body: NewMask{text}}, &m)
	return m, err
}

// Version names the server's program. It needs no key.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: "/version"}, &v)
	return v, err
}
