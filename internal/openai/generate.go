package openai

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/sse"
)

// tailTimeout bounds what comes behind the finish reason: the usage and the end of the stream.
const tailTimeout = 10 * time.Second

const (
	mediaJSON   = "application/json"
	mediaEvents = "text/event-stream"
	mediaHTML   = "text/html"
)

// Generate sends the call and yields the answer's events.
//
// A server that answers a streamed call whole, or the other way round, is understood by its content type. An answer is
// bounded: 64 MiB after decompression, a million chunks, 1 MiB a line. Once the finish reason has come nothing that
// goes wrong spoils the answer any more, and the rest, which holds the usage, gets ten seconds.
func (c *Client) Generate(ctx context.Context, call *llm.Call) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		head := c.wholeHead
		if call.Stream {
			head = c.streamHead
		}
		x, failure := c.send(ctx, http.MethodPost, c.chatURL, head, call.Body)
		if failure != nil {
			yield(nil, failure)
			return
		}
		defer x.close()
		a := &answer{yield: yield}
		a.emit(llm.Started{HTTPStatus: x.response.StatusCode})
		if a.stopped {
			return
		}
		if x.streams(call) {
			failure = x.stream(a)
		} else {
			failure = x.whole(a)
		}
		switch {
		case a.stopped:
		case failure != nil:
			yield(nil, failure)
		default:
			x.complete = true
			a.emit(a.finished())
		}
	}
}

// streams reports whether the answer is a stream. A content type that tells nothing leaves it at what was asked for.
func (x *exchange) streams(call *llm.Call) bool {
	switch x.mediaType() {
	case mediaEvents:
		return true
	case mediaJSON, mediaHTML:
		return false
	}
	return call.Stream
}

// whole reads an answer that comes in one piece.
func (x *exchange) whole(a *answer) *llm.Error {
	body, err := x.readAll()
	if err != nil {
		return x.broken(err, "upstream_failed", "The model's answer broke off before its end.")
	}
	w := &a.heard
	err = w.decode(body)
	if !empty(w.Error) {
		return x.client.reported(x.response.StatusCode, body)
	}
	first := w.first()
	switch {
	case err != nil:
		return x.unusable("the answer is not JSON of the expected shape", body)
	case first == nil:
		return x.unusable("the answer has no choice", body)
	case first.FinishReason == "":
		return x.unusable("the answer has no finish reason", body)
	}
	a.model, a.finish, a.usage = w.Model, first.FinishReason, w.Usage.tokens()
	if err := errors.Join(a.say(&first.Message), a.named()); err != nil {
		return x.unusable(err.Error(), body)
	}
	return nil
}

// stream reads an answer that comes as events.
func (x *exchange) stream(a *answer) *llm.Error {
	events := sse.NewReader(x)
	for n := 0; !a.stopped; n++ {
		ev, err := events.Next()
		if err == nil && n == x.client.maxEvents {
			err = errTooLarge
		}
		done := err == nil && string(ev.Data) == "[DONE]"
		switch {
		case a.finish != "" && (err != nil || done):
			return nil //nolint:nilerr // the answer is complete without what follows its finish reason
		case errors.Is(err, io.EOF) && n == 0 && x.mediaType() != mediaEvents:
			return x.unusable("the answer is not an event stream", nil)
		case errors.Is(err, io.EOF), done:
			return x.truncated(io.ErrUnexpectedEOF)
		case errors.Is(err, sse.ErrLineTooLong), errors.Is(err, sse.ErrEventTooLarge):
			return x.truncated(errTooLarge)
		case err != nil:
			return x.truncated(err)
		}
		if failure := x.chunk(a, &ev); failure != nil {
			return failure
		}
	}
	return nil
}

// truncated is the error of a stream without its end marker.
func (x *exchange) truncated(err error) *llm.Error {
	return x.broken(err, "upstream_stream_truncated", "The model's answer broke off before its end.")
}

// chunk takes one event of a stream.
func (x *exchange) chunk(a *answer, ev *sse.Event) *llm.Error {
	w := &a.heard
	err := w.decode(ev.Data)
	if a.finish != "" {
		if err == nil && w.Usage != nil {
			a.usage = w.Usage.tokens()
		}
		return nil
	}
	if !empty(w.Error) || string(ev.Type) == "error" {
		return x.client.reported(x.response.StatusCode, ev.Data)
	}
	if err != nil {
		return x.unusable("a chunk is not JSON of the expected shape", ev.Data)
	}
	return x.piece(a, w, ev.Data)
}

func (x *exchange) piece(a *answer, w *completion, data []byte) *llm.Error {
	if a.model == "" {
		a.model = w.Model
	}
	if w.Usage != nil {
		// Some servers count along; the last count stands.
		a.usage = w.Usage.tokens()
	}
	c := w.first()
	if c == nil {
		return nil
	}
	err := a.say(&c.Delta)
	if err == nil && c.FinishReason != "" {
		a.finish = c.FinishReason
		err = a.named()
		x.endWithin(min(tailTimeout, x.client.idle))
	}
	if err != nil {
		return x.unusable(err.Error(), data)
	}
	return nil
}
