package chat

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

const (
	// endPatience is how long a response that cannot be stored is tried before its client is told.
	endPatience = 10 * time.Second
	endPause    = 100 * time.Millisecond
	endMaxPause = 2 * time.Second
)

// end brings a response to its terminal state: first the transaction, then the terminal event.
func (s *Service) end(ctx context.Context, run *Run, t *turn, r *reply, res *result) {
	final := run.Response()
	final.Attempts = t.response.Attempts
	final.StartedAt, final.FirstTokenAt = milli(res.answered), milli(res.firstToken)
	f := s.conclude(ctx, &final, res)

	// What is over is told of when it is stored, and in one piece with the terminal event.
	var last []Event
	if t.call.Stream {
		r.emit = func(events ...Event) { last = append(last, events...) }
	}
	r.end(final.Status.item())
	final.Output = r.items()
	if final.Status != Completed {
		excludeCalls(final.Output)
	}
	res.output = final.Output
	s.settle(ctx, t, res)
	final.Usage, final.Cost = res.usage, res.cost
	setUsage(final.Output, final.Usage)
	final.CompletedAt = s.now()

	status := string(final.Status)
	if res.notSent {
		status = outcomeNotSent
	}
	log, told := run.closeLog()
	if run.log != nil {
		final.LastEvent = told + len(last)
	}
	e := &Ending{Response: final, Outcome: s.outcome(t, final.Attempts, status, res), Log: log}
	if t.aside && final.Status == Completed {
		e.Title = modelTitle(contentOf(final.Output))
	}
	refused, err := s.store(context.WithoutCancel(ctx), e, endPatience)
	if err != nil {
		f = fault.Wrap(err, fault.Unavailable, CodeStoreUnavailable, "The answer could not be stored.")
		s.Log.Error("a response could not be ended; trying on", "response_id", final.ID, "error", err)
		// What the next start would make of it, should this never be stored: readers are told nothing that is not so then.
		e.Response.Status = Interrupted
		e.Response.Error = responseError(f)
		e.Outcome.Status, e.Outcome.ErrorCode = string(Interrupted), f.Code
		shown := e.Response
		shown.Output = nil
		s.finish(run, shown, f, last)
		// The conversation stays locked and its outcome owed until the store is back; a restart would settle it too.
		if _, err := s.store(context.WithoutCancel(ctx), e, s.UpstreamTimeout); err != nil {
			s.Log.Error("a response was left to the next start", "response_id", final.ID, "error", err)
		}
		return
	}
	if refused && s.endedElsewhere(context.WithoutCancel(ctx), run, e) {
		return
	}
	s.finish(run, e.Response, f, last)
}

// conclude sets the terminal status and what goes with it, and returns the fault that a waiting caller gets, if any.
func (s *Service) conclude(ctx context.Context, final *Response, res *result) *fault.Error {
	if res.finish != nil {
		final.FinishReason = res.finish.FinishReason
	}
	if res.err == nil {
		final.Status = Completed
		if final.FinishReason == "length" || final.FinishReason == "content_filter" {
			final.Status = Incomplete
		}
		return nil
	}
	var f *fault.Error
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errConversationDeleted), errors.Is(cause, errCancelled), errors.Is(cause, errAbandoned):
		final.Status = Cancelled
		return nil
	case errors.Is(cause, errShutdown), errors.Is(cause, errLost):
		final.Status = Interrupted
		f = interrupted()
	default:
		final.Status = Failed
		copied := *res.err.Fault
		f = &copied
		s.logFailure(final, res.err)
	}
	f.ResponseID = final.ID
	final.Error = responseError(f)
	return f
}

func interrupted() *fault.Error {
	return fault.New(fault.Unavailable, "interrupted", "The server stopped before the answer was finished. What had come was kept; ask again.")
}

// logFailure says in the log why a model failed, without a word of what it said: the cause is left out, because errors of
// the network layers may quote the upstream.
func (s *Service) logFailure(r *Response, err *llm.Error) {
	s.Log.Warn("a model call failed",
		slog.String("response_id", r.ID), slog.String("request_id", r.RequestID), slog.String("provider", r.Provider), slog.String("host", r.Host),
		slog.String("code", err.Fault.Code), slog.Int("http_status", err.HTTPStatus), slog.Int("attempts", r.Attempts))
}

// excludeCalls keeps tool calls of an answer that was not finished from later prompts: they may be cut short, and nobody
// is to answer them.
func excludeCalls(output []Item) {
	for i := range output {
		if output[i].Type == llm.TypeFunctionCall {
			output[i].Excluded = true
		}
	}
}

// setUsage puts what the answer cost on its last message, where a reader of messages looks for it.
func setUsage(output []Item, usage *llm.Usage) {
	for i := len(output) - 1; i >= 0; i-- {
		if output[i].Type == llm.TypeMessage {
			output[i].Usage = usage
			return
		}
	}
}

// store writes the end of a response, again and again while the store is unavailable, patience lasts and the
// server does not stop: what is left then is settled at the next start. It reports whether the end was refused, because there is one
// already: this one, which had failed as far as one could see and took effect all the same, or another process's.
func (s *Service) store(ctx context.Context, e *Ending, patience time.Duration) (refused bool, err error) {
	deadline := time.Now().Add(patience)
	first := true
	for pause := endPause; ; pause = min(2*pause, endMaxPause) {
		err := s.Store.End(ctx, e.Response.Owner, e)
		switch {
		case err == nil:
			return false, nil
		case fault.Is(err, CodeResponseEnded):
			return true, nil
		case fault.Is(err, CodeResponseNotFound):
			// Of what is not stored nothing is left once it has ended.
			return first, nil
		}
		first = false
		if s.isStopping() || time.Now().Add(pause).After(deadline) {
			return false, err
		}
		time.Sleep(pause)
	}
}

// finish tells the readers of the last events, to which it adds the terminal one, and ends the run.
func (s *Service) finish(run *Run, final Response, f *fault.Error, last []Event) {
	if s.Observer != nil {
		s.Observer.Response(&final)
	}
	var err error
	if f != nil {
		err = f
	}
	run.finish(final, err, append(last, &ResponseEvent{Name: final.Status.event(), Response: final}))
}

// milli is a time as stores keep it.
func milli(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
