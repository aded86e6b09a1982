package chat

import (
	"context"
	"time"

	"github.com/parley-llm/parley/internal/fault"
)

// Codes of events that cannot be read.
const (
	CodeNotStreamed     = "not_streamed"
	CodeEventLogExpired = "event_log_expired"
)

// EventLogLife is how long the event log of a response is kept after its end.
const EventLogLife = 24 * time.Hour

// Events reads the events of a response from the one numbered from, those that were and those that come. Of a response that was
// made in one piece, which has no event log, they are made from what is stored; while it runs: Conflict, not_streamed. Where the log is
// not kept any more: Gone, event_log_expired. The caller must Close the subscription.
func (s *Service) Events(ctx context.Context, owner, id string, from int) (*Subscription, error) {
	sub := newSubscription(max(from, 0))
	sub.past = &past{service: s, owner: owner, id: id}
	if run := s.run(id); run != nil && run.owner == owner && !run.unstored && run.log != nil {
		sub.run = run
	} else if err := sub.past.open(ctx); err != nil {
		return nil, err
	}
	sub.notify()
	return sub, nil
}

func notStreamed() *fault.Error {
	return fault.New(fault.Conflict, CodeNotStreamed, "This response is made in one piece and has no events before its end. Read the response itself, or prompt with stream or background.")
}

func logExpired() *fault.Error {
	return fault.New(fault.Gone, CodeEventLogExpired, "The events of this response are not kept any more. Read the response itself.")
}

// past reads the events of a response from the store.
type past struct {
	service   *Service
	owner, id string
	player    *player
	// batch is the number of the log's batch that is read next.
	batch int
	// caughtUp: the last look has found what there was to find, fresh: that was one batch. quiet counts those that have found nothing since.
	caughtUp, fresh bool
	quiet           int
	// final is the response once it is known how it ended; what is read of the log after that is all of it.
	final *Response
}

// open reads the response and the beginning of its log, so that what is wrong with them is found at once and not in the middle of an answer.
func (p *past) open(ctx context.Context) error {
	r, err := p.service.Store.Response(ctx, p.owner, p.id)
	if err != nil {
		return err
	}
	p.player = newPlayer(&r)
	ended := r.Status.Terminal()
	if ended {
		p.final = &r
	}
	switch {
	case r.LastEvent == 0 && !ended:
		return notStreamed()
	case r.LastEvent == 0:
		return nil
	case ended && p.service.Now().Sub(r.CompletedAt) > EventLogLife:
		return logExpired()
	}
	batches, err := p.read(ctx)
	if err == nil && ended && batches == 0 {
		return logExpired()
	}
	return err
}

// read plays what comes next in the log, and returns how many batches did.
func (p *past) read(ctx context.Context) (n int, err error) {
	batches, err := p.service.Store.EventLog(ctx, p.owner, p.id, p.batch)
	if err != nil {
		return 0, err
	}
	p.batch += len(batches)
	for _, b := range batches {
		if err := p.player.play(b); err != nil {
			return 0, err
		}
	}
	return len(batches), nil
}

// take is the next of the events, which the reader may have had.
func (p *past) take(ctx context.Context, s *Subscription) (Batch, error) {
	if p.player == nil {
		if err := p.open(ctx); err != nil {
			return Batch{}, err
		}
	}
	if len(p.player.events) == 0 {
		done, err := p.advance(ctx, s)
		return p.batchOf(done), err
	}
	s.notify()
	return p.batchOf(false), nil
}

func (p *past) batchOf(ended bool) Batch {
	events, first := p.player.take()
	return Batch{Events: events, First: first, Ended: ended}
}

// advance makes more events and has the reader come again, at once or after a while. It reports whether they are the last ones.
func (p *past) advance(ctx context.Context, s *Subscription) (ended bool, err error) {
	if p.final != nil && p.final.LastEvent == 0 {
		p.player.stored(p.final)
		return true, nil
	}
	if p.fresh {
		// The next batch is not due yet, but there may be none.
		p.fresh = false
		return false, p.await(ctx, s)
	}
	batches, err := p.read(ctx)
	switch {
	case err != nil:
		return false, err
	case batches > 0:
		p.quiet, p.caughtUp = 0, p.caughtUp && batches == 1 && s.run == nil && p.final == nil
		if p.fresh = p.caughtUp; p.fresh {
			s.later(followPause)
		} else {
			s.notify()
		}
		return false, nil
	case s.run != nil:
		// What the run does not hold any more is in the log; if it is not, the log was removed.
		return false, logExpired()
	case p.final != nil:
		p.player.end(p.final)
		return true, nil
	}
	p.caughtUp = true
	p.quiet++
	return false, p.await(ctx, s)
}

// await looks whether the response has ended and has the reader come again: at once if it has, else after a pause.
func (p *past) await(ctx context.Context, s *Subscription) (err error) {
	p.final, err = p.ended(ctx)
	switch {
	case err != nil:
		return err
	case p.final != nil:
		s.notify()
	case p.quiet > followQuiet:
		s.later(followIdle)
	default:
		s.later(followPause)
	}
	return nil
}

// ended is the response once it has ended, and nil until then.
func (p *past) ended(ctx context.Context) (*Response, error) {
	if shared, ok := p.service.Store.(Shared); ok {
		if runs, err := shared.Runs(ctx, p.owner, p.id); err != nil || runs {
			return nil, err
		}
	}
	r, err := p.service.Store.Response(ctx, p.owner, p.id)
	if err != nil || !r.Status.Terminal() {
		return nil, err
	}
	return &r, nil
}
