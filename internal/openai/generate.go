package openai

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/rawjson"
	"github.com/parley-llm/parley/internal/sse"
	"github.com/parley-llm/parley/internal/upstream"
)

// tailTimeout bounds what comes behind the finish reason: the usage and the end of the stream.
const tailTimeout = 10 * time.Second

// Generate sends the call and yields the answer's events, within the bounds of upstream.Client.Generate. Once the finish
// reason has come nothing that goes wrong spoils the answer any more, and the rest, which holds the usage, gets ten seconds.
func (c *Client) Generate(ctx context.Context, call *llm.Call) iter.Seq2[llm.Event, error] {
	return c.http.Generate(ctx, c.chatURL, call, func(x *upstream.Exchange) upstream.Reader { return &answer{Exchange: x} })
}

// Whole takes an answer that came in one piece.
func (a *answer) Whole(body []byte) *llm.Error {
	w := &a.heard
	err := w.decode(body)
	if !rawjson.Empty(w.Error) {
		return a.Reported(body)
	}
	first := w.first()
	switch {
	case err != nil:
		return a.Unusable("the answer is not JSON of the expected shape", body)
	case first == nil:
		return a.Unusable("the answer has no choice", body)
	case first.FinishReason == "":
		return a.Unusable("the answer has no finish reason", body)
	}
	a.model, a.finish, a.usage = w.Model, first.FinishReason, w.Usage.tokens()
	if err := errors.Join(a.say(&first.Message), a.named()); err != nil {
		return a.Unusable(err.Error(), body)
	}
	return nil
}

// Event takes one event of a stream.
func (a *answer) Event(ev sse.Event) (done bool, failure *llm.Error) {
	if string(ev.Data) == "[DONE]" {
		if a.Complete() {
			return true, nil
		}
		return true, a.Truncated(io.ErrUnexpectedEOF)
	}
	return false, a.chunk(ev.Type, ev.Data)
}

// Complete reports whether the finish reason has come.
func (a *answer) Complete() bool { return a.finish != "" }

// Finished is the end of the answer.
func (a *answer) Finished() llm.Finished { return upstream.Finished(a.finish, a.model, a.usage) }

func (a *answer) chunk(event, data []byte) *llm.Error {
	w := &a.heard
	err := w.decode(data)
	if a.finish != "" {
		if err == nil {
			a.count(w)
		}
		return nil
	}
	if !rawjson.Empty(w.Error) || string(event) == "error" {
		return a.Reported(data)
	}
	if err != nil {
		return a.Unusable("a chunk is not JSON of the expected shape", data)
	}
	return a.piece(w, data)
}

// count takes what a chunk says of the usage. Some servers count along; the last count stands.
func (a *answer) count(w *completion) {
	if u := w.Usage.tokens(); u != nil {
		a.usage = u
	}
}

func (a *answer) piece(w *completion, data []byte) *llm.Error {
	if a.model == "" {
		a.model = w.Model
	}
	a.count(w)
	c := w.first()
	if c == nil {
		return nil
	}
	err := a.say(&c.Delta)
	if err == nil && c.FinishReason != "" {
		a.finish = c.FinishReason
		err = a.named()
		a.EndWithin(min(tailTimeout, a.Idle()))
	}
	if err != nil {
		return a.Unusable(err.Error(), data)
	}
	return nil
}
