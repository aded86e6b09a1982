package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/parley-llm/parley/internal/sse"
)

// The types of event that most readers look for; the others are those of the OpenAI Responses stream.
const (
	EventCreated      = "response.created"
	EventTextDelta    = "response.output_text.delta"
	EventRefusalDelta = "response.refusal.delta"
	EventItemDone     = "response.output_item.done"
	EventCompleted    = "response.completed"
	EventIncomplete   = "response.incomplete"
	EventFailed       = "response.failed"
)

// ErrStreamBroken says that a stream ended without its last event. The response goes on, or has ended, at the server:
// read it by its id.
var ErrStreamBroken = errors.New("the stream broke off before its end")

// maxEvent bounds one event: the last one holds the whole answer.
const maxEvent = 64 << 20

// Event is one numbered step of a response.
type Event struct {
	Type           string `json:"type"`
	SequenceNumber int64  `json:"sequence_number"`
	// Response is the response as it stands, with EventCreated and the events that end it.
	Response *Response `json:"response,omitempty"`
	// Item is a message or a call of a tool, when it begins and when it is done.
	Item *Message `json:"item,omitempty"`
	// ItemID, OutputIndex and ContentIndex say to what a Delta belongs.
	ItemID       string `json:"item_id,omitempty"`
	OutputIndex  int    `json:"output_index,omitempty"`
	ContentIndex int    `json:"content_index,omitempty"`
	// Delta is the next piece, of text where Type is EventTextDelta.
	Delta string `json:"delta,omitempty"`

	// Data is the event as it came.
	Data json.RawMessage `json:"-"`
}

// Last reports whether the event ends its response.
func (e *Event) Last() bool {
	return e.Type == EventCompleted || e.Type == EventIncomplete || e.Type == EventFailed
}

// Stream prompts a model and yields the events of its answer as they come. Each range over it sends the prompt: range once.
// The last event is one of EventCompleted, EventIncomplete and EventFailed; behind EventFailed comes a Problem as the
// error, so whoever looks at errors alone misses no failure. A stream that ends without its last event is ErrStreamBroken. Leaving
// the loop does not end the response, nor does ctx: the server finishes and keeps it. Cancel ends it.
func (c *Client) Stream(ctx context.Context, conversationID string, body NewResponse) iter.Seq2[Event, error] {
	body.Stream = true
	return c.events(ctx, prompt(ctx, conversationID, body))
}

// Events yields the events of a response behind number after, those that were and those that come; -1 is from the first on. It
// ends as Stream does. With it a stream that broke off is gone on with.
func (c *Client) Events(ctx context.Context, responseID string, after int64) iter.Seq2[Event, error] {
	q := url.Values{}
	if after >= 0 {
		q.Set("after", strconv.FormatInt(after, 10))
	}
	return c.events(ctx, call{method: http.MethodGet, path: path("responses", responseID, "events"), query: q})
}

func (c *Client) events(ctx context.Context, k call) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		resp, err := c.send(ctx, k)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		r := sse.NewReader(resp.Body)
		r.MaxLine, r.MaxEvent = maxEvent, maxEvent
		for {
			ev, err := nextEvent(r)
			if err != nil {
				if ctx.Err() != nil {
					err = context.Cause(ctx)
				}
				yield(Event{}, err)
				return
			}
			if !yield(ev, nil) {
				return
			}
			if !ev.Last() {
				continue
			}
			if ev.Type == EventFailed {
				yield(Event{}, failureOf(ev.Response))
			}
			return
		}
	}
}

func nextEvent(r *sse.Reader) (ev Event, err error) {
	raw, err := r.Next()
	switch {
	case errors.Is(err, io.EOF):
		return ev, ErrStreamBroken
	case err != nil:
		return ev, fmt.Errorf("%w: %w", ErrStreamBroken, err)
	}
	if err := json.Unmarshal(raw.Data, &ev); err != nil {
		return ev, fmt.Errorf("reading an event of type %q: %w", raw.Type, err)
	}
	ev.Data = bytes.Clone(raw.Data)
	return ev, nil
}

// failureOf is why a response failed.
func failureOf(r *Response) *Problem {
	p := &Problem{Code: EventFailed, Detail: "The response failed."}
	if r == nil {
		return p
	}
	p.ResponseID = r.ID
	if r.Error != nil {
		p.Code, p.Detail = r.Error.Code, r.Error.Message
	}
	return p
}
