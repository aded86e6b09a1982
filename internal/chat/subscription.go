package chat

import (
	"context"
	"slices"
	"time"
)

// The event log of a response that another process makes is looked at every followPause while events come, but not between two batches of one that comes
// every logDelay, and every followIdle where followQuiet looks have found nothing.
const (
	followPause = 50 * time.Millisecond
	followIdle  = 100 * time.Millisecond
	followQuiet = 20
)

// Subscription is one reader's place in the events of a response. It is for one goroutine.
//
// Events come from the event log until the reader has caught up with what the run holds in memory, and from then on as they are
// published. A response that nobody makes here, or not any more, is read from its log alone.
type Subscription struct {
	// C is ready when Take may have something.
	C <-chan struct{}

	wake chan struct{}
	next int
	past *past // nil once the reader has caught up
	run  *Run  // nil where the response is not made here
	// timer is there once the reader has waited for a log that another process writes.
	timer *time.Timer

	// These are the run's: taken is how much was published when the reader last took something, cut that it has lagged too far behind.
	taken int
	cut   bool
}

// Batch is what a Subscription has for its reader.
type Batch struct {
	// Events were not taken before. First is the number of the first of them. The slice must not be changed.
	Events []Event
	First  int
	// Ended: these are the last ones.
	Ended bool
	// Cut: the reader was too slow, and gets no more. It may subscribe again from where it is.
	Cut bool
}

func newSubscription(next int) *Subscription {
	wake := make(chan struct{}, 1)
	return &Subscription{C: wake, wake: wake, next: next}
}

// follow has the run tell the reader of its events from now on. The run's lock is held.
func (s *Subscription) follow(r *Run) {
	s.run, s.past = r, nil
	s.taken = r.bytes
	r.subs = append(r.subs, s)
	s.notify()
}

// Take returns what has come since the last call.
func (s *Subscription) Take(ctx context.Context) (Batch, error) {
	if s.past != nil && !s.caughtUp() {
		b, err := s.past.take(ctx, s)
		if b.Events = b.Events[min(max(s.next-b.First, 0), len(b.Events)):]; len(b.Events) > 0 {
			b.First = max(b.First, s.next)
			s.next = b.First + len(b.Events)
		}
		return b, err
	}
	r := s.run
	r.mu.Lock()
	if s.handedOver() {
		r.mu.Unlock()
		return s.Take(ctx)
	}
	defer r.mu.Unlock()
	if s.cut {
		return Batch{First: s.next, Cut: true}, nil
	}
	b := Batch{First: s.next}
	if at := s.next - r.base; at < len(r.events) {
		b.Events = r.events[at:]
		s.next = r.base + len(r.events)
	}
	s.taken = r.bytes
	select {
	case <-r.done:
		b.Ended = true
	default:
	}
	r.release()
	return b, nil
}

// caughtUp has the reader follow the run if that still holds what comes next.
func (s *Subscription) caughtUp() bool {
	r := s.run
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.handedOver() || s.next < r.base {
		return false
	}
	s.follow(r)
	return true
}

// handedOver reports whether the run has nothing more for the reader, who goes on in the log then. The run's lock is held.
func (s *Subscription) handedOver() bool {
	log := s.run.elsewhere
	if log == nil {
		return false
	}
	if s.run = nil; s.past == nil {
		copied := *log
		s.past = &copied
	}
	return true
}

// Close gives the subscription up.
func (s *Subscription) Close() {
	r := s.run
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.subs, s); i >= 0 {
		r.subs = slices.Delete(r.subs, i, i+1)
	}
	r.release()
}

// later has the reader come again after a pause, in the place of any that it was to come after.
func (s *Subscription) later(pause time.Duration) {
	if s.timer == nil {
		s.timer = time.AfterFunc(pause, s.notify)
	} else {
		s.timer.Reset(pause)
	}
}

func (s *Subscription) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
