package chat

import (
	"context"
	"sync"
)

// Run is a response being made. It belongs to the Service, not to the caller that asked for it: a caller that leaves
// does not end it. It is safe for concurrent use.
//
// Events are numbered from 0; event n is the n-th that was ever published. The last one is published after the
// transaction that ended the response has committed.
type Run struct {
	owner string
	// aside: nobody waits for it.
	aside  bool
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	events   []Event
	subs     []*Subscription
	response Response
	err      error
	// done closes when the response is terminal for its readers, left when nothing more is done for it: the one before the
	// other where its end cannot be stored.
	done, left chan struct{}
}

func newRun(owner string, r Response, cancel context.CancelCauseFunc) *Run {
	return &Run{owner: owner, cancel: cancel, response: r, done: make(chan struct{}), left: make(chan struct{})}
}

// Wait returns the response in its terminal state. A failed or interrupted one comes with a *fault.Error
// that carries its ResponseID. When ctx ends first, Wait returns its error and the run goes on.
func (r *Run) Wait(ctx context.Context) (Response, error) {
	select {
	case <-r.done:
	case <-ctx.Done():
		return r.Response(), ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.response, r.err
}

// Response is the response as it stands now, without the output that is still being written.
func (r *Run) Response() Response {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.response
}

// Subscribe reads the run's events from the one numbered from. The caller must Close the subscription.
func (r *Run) Subscribe(from int) *Subscription {
	wake := make(chan struct{}, 1)
	s := &Subscription{C: wake, wake: wake, run: r, next: from}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subs = append(r.subs, s)
	s.notify()
	return s
}

// Subscription is one reader's place in a run. It is for one goroutine.
type Subscription struct {
	// C is ready when Take may have something.
	C <-chan struct{}

	wake chan struct{}
	run  *Run
	next int
}

// Take returns the events that have come since the last call, the number of the first of them, and whether they end the
// run. The slice must not be changed.
func (s *Subscription) Take() (events []Event, first int, ended bool) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	first = min(s.next, len(s.run.events))
	events = s.run.events[first:]
	s.next = len(s.run.events)
	select {
	case <-s.run.done:
		ended = true
	default:
	}
	return events, first, ended
}

// Close gives the subscription up.
func (s *Subscription) Close() {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	for i, other := range s.run.subs {
		if other == s {
			s.run.subs = append(s.run.subs[:i], s.run.subs[i+1:]...)
			return
		}
	}
}

func (s *Subscription) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// publish appends events and wakes the readers. With a final response it also ends the run.
func (r *Run) publish(events ...Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, events...)
	for _, s := range r.subs {
		s.notify()
	}
}

// update changes what Response shows.
func (r *Run) update(change func(*Response)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.response)
}

// finish publishes the last events, of which the very last is the terminal one, and ends the run.
func (r *Run) finish(final Response, err error, last []Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.response, r.err = final, err
	r.events = append(r.events, last...)
	close(r.done)
	for _, s := range r.subs {
		s.notify()
	}
}
