package chat

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

const (
	maxAttempts = 3
	// backoff is the ceiling of the first wait; it doubles with each attempt, and the wait is drawn from the whole of it.
	backoff = 500 * time.Millisecond
	// maxRetryAfter is the longest wait that a provider may ask for; beyond it the failure is passed on.
	maxRetryAfter = 30 * time.Second
	// fallbackPatience is the longest such wait where another model may take over instead.
	fallbackPatience = 2 * time.Second
	maxTokens        = 1 << 40
)

// Why a run was made to stop.
var (
	errConversationDeleted = errors.New("the conversation was deleted")
	errShutdown            = errors.New("the server is shutting down")
	errCancelled           = errors.New("the response was cancelled")
	errAbandoned           = errors.New("the client has gone")
)

// result is how one attempt ended.
type result struct {
	began, ended time.Time
	answered     time.Time // zero if the provider never answered with a success
	firstToken   time.Time // zero if no token came
	httpStatus   int
	finish       *llm.Finished // nil unless the provider's own end marker came
	err          *llm.Error
	notSent      bool
	output       []Item
	usage        *llm.Usage // nil if nothing was used
	estimated    bool       // the usage is ours, not the provider's
	cost         *Cost
}

// execute makes the attempts of a turn and ends it; it returns the turn as the last of them sent it. It is the run's own
// goroutine.
func (s *Service) execute(ctx context.Context, run *Run, t *turn) *turn {
	defer s.leave(run)
	defer run.cancel(nil)
	ctx, stop := context.WithTimeout(ctx, s.UpstreamTimeout)
	defer stop()

	for tries := 1; ; tries++ {
		r := s.newReply(run, t)
		res := s.attempt(ctx, run, t, r)
		s.observe(t, res)
		next := t
		switch {
		case s.mayRetry(ctx, t, tries, res) && s.allow(t):
		case s.mayShorten(ctx, t, res) && s.allow(t):
			// What is sent then is another prompt, and its tries are not these.
			tries--
		default:
			next, tries = s.fallBack(ctx, t, res), 0
		}
		if next == nil || !s.again(ctx, run, t, next, res) {
			s.end(ctx, run, t, r, res)
			return t
		}
		t = next
	}
}

// again records that an attempt of t failed and that the next one begins, which is next's. If that cannot be written, the
// failure of the attempt is that.
func (s *Service) again(ctx context.Context, run *Run, t, next *turn, res *result) bool {
	attempt := t.response.Attempts
	following := next.response
	following.Attempts = attempt + 1
	err := s.Store.NextAttempt(context.WithoutCancel(ctx), following.Owner, &following,
		s.outcome(t, attempt, string(Failed), res), s.nextIntent(next, attempt+1))
	if err != nil {
		next.done(Inconclusive)
		res.err.Fault = fault.Of(auditUnavailable(err))
		return false
	}
	next.response = following
	run.update(func(r *Response) {
		r.Attempts, r.Model, r.Provider, r.Host = following.Attempts, following.Model, following.Provider, following.Host
		r.FallbackFrom, r.Truncated = following.FallbackFrom, following.Truncated
	})
	return true
}

func (s *Service) newReply(run *Run, t *turn) *reply {
	r := &reply{newID: s.NewID, now: s.now, response: &t.response, seq: t.seq, sheds: t.call.Stream && run.log != nil}
	if t.call.Stream {
		r.publish, r.step = run.publish, make([]Event, 0, 4)
		r.emit = func(events ...Event) { r.step = append(r.step, events...) }
	} else {
		// Nobody reads a whole answer's events before its end.
		r.emit = func(...Event) {}
	}
	return r
}

// attempt calls the provider once and relays what it says.
func (s *Service) attempt(ctx context.Context, run *Run, t *turn, r *reply) (res *result) {
	s.budget.called()
	res = &result{began: s.Now()}
	defer func() {
		if p := recover(); p != nil {
			res.err = &llm.Error{Fault: fault.Of(fmt.Errorf("a provider panicked: %v", p))}
		}
		res.output, res.ended = r.items(), s.Now()
		t.done(res.verdict())
	}()
	if ctx.Err() != nil {
		res.notSent = true
		res.err = &llm.Error{Fault: stopped(context.Cause(ctx))}
		return res
	}
	t.call.Hold = func(ctx context.Context, bytes int) error { return s.hold(ctx, run, bytes) }
	for ev, err := range t.endpoint.Provider.Generate(ctx, t.call) {
		if err != nil {
			res.err = asLLMError(err)
			return res
		}
		switch ev := ev.(type) {
		case llm.Started:
			t.release()
			res.answered, res.httpStatus = s.Now(), ev.HTTPStatus
			run.update(func(r *Response) { r.StartedAt = res.answered })
		case llm.Finished:
			clamp(ev.Usage)
			res.finish = &ev
		default:
			first := res.firstToken.IsZero()
			if first {
				res.firstToken = s.Now()
				run.update(func(r *Response) { r.FirstTokenAt = res.firstToken })
				t.done(Answering)
			}
			if err := run.makeRoom(ctx); err != nil {
				res.err = &llm.Error{Fault: stalled(err), HTTPStatus: res.httpStatus}
				return res
			}
			r.add(ev)
			if first && t.call.Stream && s.quiet() {
				// Who reads has been woken, and goes first: until another thread had been woken for it, the rest would have been read.
				runtime.Gosched()
			}
		}
	}
	if res.finish == nil {
		res.err = &llm.Error{Fault: fault.New(fault.Upstream, "upstream_stream_truncated", "The model's answer broke off before its end."), HTTPStatus: res.httpStatus, Outage: true}
	}
	return res
}

// stopped is the fault of an attempt that was not made any more.
func stopped(cause error) *fault.Error {
	if errors.Is(cause, context.DeadlineExceeded) {
		return fault.Wrap(cause, fault.Timeout, "upstream_timeout", "The time for the response was over before the model was called.")
	}
	return fault.Wrap(cause, fault.Canceled, "canceled", "The response was stopped before the model was called.")
}

// stalled is the fault of an attempt that waited, for the event log to be written, until it was stopped.
func stalled(cause error) *fault.Error {
	if errors.Is(cause, context.DeadlineExceeded) {
		return fault.Wrap(cause, fault.Unavailable, CodeStoreUnavailable, "The answer could not be stored while it came, until the time for the response was over.")
	}
	return stopped(cause)
}

func asLLMError(err error) *llm.Error {
	if e, ok := errors.AsType[*llm.Error](err); ok {
		return e
	}
	return &llm.Error{Fault: fault.Of(err)}
}

// clamp keeps a hostile provider's numbers within what can be added up, and the total no less than its parts.
func clamp(u *llm.Usage) {
	if u == nil {
		return
	}
	for _, n := range []*int64{&u.InputTokens, &u.OutputTokens, &u.TotalTokens, &u.CachedTokens, &u.ReasoningTokens, &u.CacheWriteTokens} {
		*n = min(max(*n, 0), maxTokens)
	}
	// Some count more than both; none can have counted less.
	u.TotalTokens = max(u.TotalTokens, u.InputTokens+u.OutputTokens)
}

// mayRetry decides whether another attempt at the same model is made, and waits until it is due. tries counts those made.
func (s *Service) mayRetry(ctx context.Context, t *turn, tries int, res *result) bool {
	if res.err == nil || !res.err.Retryable || !res.answered.IsZero() || tries == maxAttempts || ctx.Err() != nil {
		return false
	}
	wait, patience := res.err.RetryAfter, maxRetryAfter
	if len(t.fallbacks) > 0 {
		patience = fallbackPatience
	}
	if wait > patience {
		return false
	}
	if wait == 0 {
		wait = time.Duration(rand.Int64N(int64(backoff << (tries - 1)))) //nolint:gosec // jitter needs no secrecy
	}
	until, limited := ctx.Deadline()
	if limited && time.Until(until) < wait || s.refusedFor(t) > wait || !s.budget.take() {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// mayShorten decides whether a prompt that the provider found too long is sent again with less of the history, and makes that.
func (s *Service) mayShorten(ctx context.Context, t *turn, res *result) bool {
	if res.err == nil || res.err.Fault.Code != codeTooLong || !res.answered.IsZero() || ctx.Err() != nil || t.trims == maxTrims || !s.shorten(t, res.err) {
		return false
	}
	body, err := t.endpoint.Provider.Encode(t.prompt.request)
	if err != nil {
		return false
	}
	t.call = &llm.Call{Model: t.call.Model, Stream: t.call.Stream, Body: body}
	t.commit()
	t.response.Truncated = t.prompt.dropped
	return true
}

func (s *Service) observe(t *turn, res *result) {
	if s.Observer == nil {
		return
	}
	code := ""
	if res.err != nil {
		code = res.err.Fault.Code
	}
	s.Observer.Attempt(t.response.Provider, code, res.ended.Sub(res.began))
}
