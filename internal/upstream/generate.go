package upstream

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/sse"
)

const (
	mediaJSON   = "application/json"
	mediaEvents = "text/event-stream"
	mediaHTML   = "text/html"
)

// Reader understands one answer of a protocol. It tells what it finds by the exchange's Emit, up to but not with the end.
type Reader interface {
	// Whole takes an answer that came in one piece.
	Whole(body []byte) *llm.Error
	// Event takes the next event of a stream. done says that no further one is wanted.
	Event(ev sse.Event) (done bool, failure *llm.Error)
	// Complete reports whether the end marker has come: what goes wrong behind it spoils nothing.
	Complete() bool
	// Finished is the end of an answer that Whole or Event took without a failure.
	Finished() llm.Finished
}

// Generate sends the call and yields the answer's events as a Reader finds them.
//
// A server that answers a streamed call whole, or the other way round, is understood by its content type. An answer is
// bounded: 64 MiB after decompression, a million events, 1 MiB a line.
func (c *Client) Generate(ctx context.Context, to *url.URL, call *llm.Call, newReader func(*Exchange) Reader) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		head := c.wholeHead
		if call.Stream {
			head = c.streamHead
		}
		x, failure := c.send(ctx, http.MethodPost, to, head, call.Body)
		if failure != nil {
			yield(nil, failure)
			return
		}
		defer x.close()
		x.yield = yield
		x.Emit(llm.Started{HTTPStatus: x.response.StatusCode})
		if x.stopped {
			return
		}
		r := newReader(x)
		if x.streams(call) {
			failure = x.stream(r)
		} else {
			failure = x.whole(r, call.Hold)
		}
		switch {
		case x.stopped:
		case failure != nil:
			yield(nil, failure)
		default:
			x.complete = true
			x.Emit(r.Finished())
		}
	}
}

// Emit hands an event to the caller of Generate. Once that has gone it does nothing.
func (x *Exchange) Emit(ev llm.Event) {
	if !x.stopped && !x.yield(ev, nil) {
		x.stopped = true
	}
}

// Text emits a piece of the reply's text, if it is not empty.
func (x *Exchange) Text(s string) {
	if s != "" {
		x.Emit(llm.TextDelta{Text: s})
	}
}

// Reasoning emits a piece of the model's reasoning, if it is not empty.
func (x *Exchange) Reasoning(s string) {
	if s != "" {
		x.Emit(llm.ReasoningDelta{Text: s})
	}
}

// streams reports whether the answer is a stream. A content type that tells nothing leaves it at what was asked for.
func (x *Exchange) streams(call *llm.Call) bool {
	switch x.mediaType() {
	case mediaEvents:
		return true
	case mediaJSON, mediaHTML:
		return false
	}
	return call.Stream
}

// whole reads an answer that comes in one piece.
func (x *Exchange) whole(r Reader, hold func(context.Context, int) error) *llm.Error {
	body, err := x.readAll(hold)
	if err != nil {
		return x.broken(err, "upstream_failed", "The model's answer broke off before its end.")
	}
	return r.Whole(body)
}

// stream reads an answer that comes as events.
func (x *Exchange) stream(r Reader) *llm.Error {
	events := sse.NewReader(x)
	for n := 0; !x.stopped; n++ {
		ev, err := events.Next()
		if err == nil && n == x.client.MaxEvents {
			err = ErrTooLarge
		}
		switch {
		case err != nil && r.Complete():
			return nil // The answer is complete without what follows its end marker.
		case errors.Is(err, io.EOF) && n == 0 && x.mediaType() != mediaEvents:
			return x.Unusable("the answer is not an event stream", nil)
		case errors.Is(err, io.EOF):
			return x.Truncated(io.ErrUnexpectedEOF)
		case errors.Is(err, sse.ErrLineTooLong), errors.Is(err, sse.ErrEventTooLarge):
			return x.Truncated(ErrTooLarge)
		case err != nil:
			return x.Truncated(err)
		}
		if done, failure := r.Event(ev); done || failure != nil {
			return failure
		}
	}
	return nil
}
