package chat

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
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

var errShortLog = errors.New("an event log has fewer batches than were written")

// finale is the end of a response on its way into the store, from where its readers are told of it.
type finale struct {
	Ending
	run    *Run
	turn   *turn
	reply  *reply
	result *result
	// last are the events that come ahead of the terminal one.
	last []Event
}

// end brings a response to its terminal state: first the transaction, then the terminal event.
func (s *Service) end(ctx context.Context, run *Run, t *turn, r *reply, res *result) {
	e := &finale{Ending: Ending{Response: run.Response()}, run: run, turn: t, reply: r, result: res}
	final := &e.Response
	final.Attempts = t.response.Attempts
	final.StartedAt, final.FirstTokenAt = milli(res.answered), milli(res.firstToken)
	f := s.conclude(ctx, final, res)

	// What is over is told of when it is stored, and in one piece with the terminal event.
	if t.call.Stream {
		r.emit = func(events ...Event) { e.last = append(e.last, events...) }
	}
	r.end(final.Status.item())
	var told int
	if e.Log, told = run.closeLog(); run.log != nil {
		final.LastEvent = told + len(e.last)
	}
	final.CompletedAt = s.now()
	ctx = context.WithoutCancel(ctx)
	refused, err := s.complete(ctx, e, endPatience)
	switch {
	case err != nil:
		s.endLater(ctx, e, err)
	case refused && s.endedElsewhere(ctx, run, &e.Ending):
	default:
		s.tell(e, f)
	}
}

// complete stores an end with all that belongs to it, again and again as persist does. A large answer has its turn for each try, and is given up
// when that is over: while the store is unavailable none keeps the others from theirs.
func (s *Service) complete(ctx context.Context, e *finale, patience time.Duration) (refused bool, err error) {
	shed := e.reply.shed
	gathered, first := false, true
	err = s.persist(patience, func() error {
		if shed {
			seat := s.rooms().ending.ask(e.reply.written, nil)
			defer seat.leave()
			<-seat.granted
			defer func() { e.Response.Output, e.result.output, e.Outcome.Payloads = nil, nil, nil }()
		}
		if shed || !gathered {
			if err := s.gather(ctx, e); err != nil {
				return err
			}
			gathered = true
		}
		if e.turn.question != "" && e.reply.written > largeAnswer {
			e.turn.answer = beginningOf(contentOf(e.Response.Output))
		}
		var err error
		refused, err = s.storeOnce(ctx, &e.Ending, first)
		first = false
		return err
	})
	return refused, err
}

// gather adds to an end what was made and what is to be recorded of it.
func (s *Service) gather(ctx context.Context, e *finale) error {
	final, t, res := &e.Response, e.turn, e.result
	r := e.reply
	if r.shed {
		var err error
		if r, err = s.recall(ctx, e); err != nil {
			return err
		}
		r.end(final.Status.item())
	}
	final.Output = r.items()
	if final.Status != Completed {
		excludeCalls(final.Output)
	}
	res.output = final.Output
	s.settle(ctx, t, res)
	final.Usage, final.Cost = res.usage, res.cost
	setUsage(final.Output, final.Usage)
	status := string(final.Status)
	if res.notSent {
		status = outcomeNotSent
	}
	e.Outcome = s.outcome(t, final.Attempts, status, res)
	if t.aside && final.Status == Completed {
		e.Title = modelTitle(contentOf(final.Output))
	}
	return nil
}

// recall makes a reply whose texts were let go of anew, from its log.
func (s *Service) recall(ctx context.Context, e *finale) (*reply, error) {
	p := newPlayer(&e.Response)
	p.from = math.MaxInt
	batches := e.run.log.batch
	if len(e.Log) > 0 {
		batches = e.Log[0].Number
	}
	played, err := s.playLog(ctx, p, e.Response.Owner, e.Response.ID, batches)
	if err != nil {
		return nil, err
	}
	if played < batches {
		// Where the response is gone there is nothing more to be kept. Else a part of an answer is not to pass for all of it.
		if _, err := s.Store.Response(ctx, e.Response.Owner, e.Response.ID); !fault.Is(err, CodeResponseNotFound) {
			return nil, cmp.Or(err, errShortLog)
		}
	}
	for _, b := range e.Log {
		if err := p.play(b.Steps); err != nil {
			return nil, err
		}
	}
	return &p.reply, nil
}

// tell tells the readers of an end that is stored.
func (s *Service) tell(e *finale, f *fault.Error) {
	run, final := e.run, e.Response
	if !e.reply.shed {
		s.contexts.ended(&final, s.ContextBytes)
	} else {
		s.contexts.drop(final.Owner, final.ConversationID)
	}
	if e.reply.written > largeAnswer && !final.Unstored && !e.turn.aside {
		// Whoever wants the answer reads it from the store, in his turn.
		owner, id, size := final.Owner, final.ID, e.reply.written
		run.readStored(func(ctx context.Context) (Response, error) { return s.large(ctx, owner, id, size) })
		final.Output = nil
	}
	if e.reply.shed {
		past := run.past
		past.ends(final)
		run.handOver(&past)
		e.last = nil
	}
	s.finish(run, final, f, e.last)
}

// endLater is what becomes of an end that could not be stored.
func (s *Service) endLater(ctx context.Context, e *finale, err error) {
	f := fault.Wrap(err, fault.Unavailable, CodeStoreUnavailable, "The answer could not be stored.")
	s.Log.Error("a response could not be ended; trying on", "response_id", e.Response.ID, "error", err)
	// What the next start would make of it, should this never be stored: readers are told nothing that is not so then.
	e.Response.Status = Interrupted
	e.Response.Error = responseError(f)
	e.Outcome.Status, e.Outcome.ErrorCode = string(Interrupted), f.Code
	shown := e.Response
	shown.Output = nil
	if e.reply.shed {
		e.run.skipTo(shown.LastEvent)
		e.last = nil
	}
	s.finish(e.run, shown, f, e.last)
	// The conversation stays locked and its outcome owed until the store is back; a restart would settle it too.
	if e.reply.shed {
		e.result.err = &llm.Error{Fault: f, HTTPStatus: e.result.httpStatus}
		_, err = s.complete(ctx, e, s.UpstreamTimeout)
	} else {
		_, err = s.store(ctx, &e.Ending, s.UpstreamTimeout)
	}
	if err != nil {
		s.Log.Error("a response was left to the next start", "response_id", e.Response.ID, "error", err)
	}
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

// store writes the end of a response, again and again as persist does. It reports what storeOnce does.
func (s *Service) store(ctx context.Context, e *Ending, patience time.Duration) (refused bool, err error) {
	first := true
	err = s.persist(patience, func() error {
		var err error
		refused, err = s.storeOnce(ctx, e, first)
		first = false
		return err
	})
	return refused, err
}

// storeOnce tries to write the end of a response. It reports whether the end was refused, because there is one already: this one, which had failed as
// far as one could see and took effect all the same, or another process's. first: it was not tried before.
func (s *Service) storeOnce(ctx context.Context, e *Ending, first bool) (refused bool, err error) {
	err = s.Store.End(ctx, e.Response.Owner, e)
	switch {
	case fault.Is(err, CodeResponseEnded):
		return true, nil
	case fault.Is(err, CodeResponseNotFound):
		// Of what is not stored nothing is left once it has ended.
		return first, nil
	}
	return false, err
}

// persist tries again and again, while the store is unavailable, patience lasts and the server does not stop: what is left then is settled at
// the next start.
func (s *Service) persist(patience time.Duration, try func() error) error {
	deadline := time.Now().Add(patience)
	for pause := endPause; ; pause = min(2*pause, endMaxPause) {
		err := try()
		if err == nil || s.isStopping() || time.Now().Add(pause).After(deadline) {
			return err
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
