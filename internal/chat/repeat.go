package chat

import (
	"context"
	"time"

	"github.com/parley-llm/parley/internal/fault"
)

const (
	// replayPatience is how long a request that is sent again waits for the response that the first one has begun.
	replayPatience = 30 * time.Second
	// pollPause is the time between two looks at what another process does.
	pollPause = 100 * time.Millisecond
)

// flight is a key with which a response is being begun.
type flight struct{ owner, route, key string }

// respondOnce begins a response by start, or returns what an earlier prompt of the same identity has begun: it works while the
// conversation is locked and while the server takes no new prompts. Of prompts that have the same key one is begun at a time, and the
// others wait for what comes of it.
func (s *Service) respondOnce(ctx context.Context, req *Request, start func() (*Run, error)) (*Run, error) {
	caller := req.Caller
	i := caller.Idempotency
	switch {
	case i == nil:
		return start()
	case i.Key == "":
		return s.retried(ctx, req, start)
	}
	f := flight{caller.Owner, i.Route, i.Key}
	if err := s.takeOff(ctx, f); err != nil {
		return nil, err
	}
	defer s.land(f)
	id, err := s.claimed(ctx, caller)
	if err == nil && id == "" {
		var run *Run
		if run, err = start(); err == nil {
			return run, nil
		}
		id, err = lost(caller, err)
		if fault.Is(err, CodeConversationLocked) {
			// It may be the same prompt, sent to another process, that holds the conversation.
			if earlier, failed := s.claimed(ctx, caller); failed != nil || earlier != "" {
				id, err = earlier, failed
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return s.rejoin(ctx, req, id)
}

func (s *Service) takeOff(ctx context.Context, f flight) error {
	for {
		s.mu.Lock()
		busy := s.flights[f]
		if busy == nil {
			if s.flights == nil {
				s.flights = map[flight]chan struct{}{}
			}
			s.flights[f] = make(chan struct{})
		}
		s.mu.Unlock()
		if busy == nil {
			return nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return GivenUp(ctx)
		}
	}
}

func (s *Service) land(f flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.flights[f])
	delete(s.flights, f)
}

// rejoin returns the run of a response that an earlier request has begun, or, where it has ended, one that has ended in the same way. One that
// another process makes is waited for, unless it is a streamed one: that has its events in the store.
func (s *Service) rejoin(ctx context.Context, req *Request, id string) (*Run, error) {
	caller := req.Caller
	patience, stop := context.WithTimeout(ctx, replayPatience)
	defer stop()
	draining := s.untilDraining()
	for {
		if run := s.run(id); run != nil && run.owner == caller.Owner && !run.keptNothing() {
			return run, nil
		}
		r, err := s.Store.Response(ctx, caller.Owner, id)
		if err != nil {
			caller.Idempotency.Replayed = false
			return nil, gone(err)
		}
		if r.Status.Terminal() {
			return ended(r), nil
		}
		if req.streamed() && r.LastEvent != 0 {
			return elsewhere(r), nil
		}
		// Another process makes it, or it could not be stored so far.
		select {
		case <-time.After(pollPause):
		case <-draining.Done():
			caller.Idempotency.Replayed = false
			return nil, inProgress()
		case <-patience.Done():
			caller.Idempotency.Replayed = false
			if ctx.Err() != nil {
				return nil, GivenUp(ctx)
			}
			return nil, inProgress()
		}
	}
}

// keptNothing reports whether the run is over and its response was not to be stored.
func (r *Run) keptNothing() bool {
	now := r.Response()
	return now.Unstored && now.Status.Terminal()
}

// ended is the run of a response that is over.
func ended(r Response) *Run {
	run := newRun(r.Owner, r, func(error) {})
	run.finish(r, r.fault(), nil)
	close(run.left)
	return run
}

// elsewhere is the run of a response that another process makes: it shows how that stood, and has no events of its own.
func elsewhere(r Response) *Run {
	run := newRun(r.Owner, r, func(error) {})
	close(run.left)
	return run
}

// EventsAgain reads the events of a run, from the first one on, for a caller whose request was sent before. What the event log does not have any
// more is made of what is stored. Of a response that is not stored there are none: Conflict, idempotency_in_progress.
func (s *Service) EventsAgain(ctx context.Context, caller Caller, run *Run) (*Subscription, error) {
	r := run.Response()
	sub, err := s.Events(ctx, caller.Owner, r.ID, 0)
	switch {
	case r.Unstored:
		err = inProgress()
	case fault.Is(err, CodeEventLogExpired):
		r.LastEvent = 0
		sub, err = newSubscription(0), nil
		sub.past = &past{service: s, owner: caller.Owner, id: r.ID, player: newPlayer(&r)}
		sub.past.ends(r)
		sub.notify()
	}
	if err != nil {
		caller.Idempotency.Replayed = false
		return nil, gone(err)
	}
	return sub, nil
}

// WaitAgain is run.Wait for a caller whose request was sent before: with a key it waits no longer than half a minute for the end, and then gets a
// Conflict, idempotency_in_progress.
func (i *Idempotency) WaitAgain(ctx context.Context, run *Run) (Response, error) {
	if i.Key == "" {
		return run.Wait(ctx)
	}
	patience, stop := context.WithTimeout(ctx, replayPatience)
	defer stop()
	select {
	case <-run.done:
		// A large answer counts as read until the caller has written it.
		return run.Wait(ctx)
	case <-patience.Done():
	}
	if ctx.Err() != nil {
		return run.Response(), ctx.Err()
	}
	i.Replayed = false
	return run.Response(), inProgress()
}
