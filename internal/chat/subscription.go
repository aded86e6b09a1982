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
// published. A reader that falls behind goes on in the log, and so does one that comes to an event of a large answer that repeats its text. A
// response that nobody makes here, or not any more, is read from its log alone.
type Subscription struct {
	// C is ready when Take may have something.
	C <-chan struct{}

	wake chan struct{}
	next int
	past *past // nil while the reader follows the run
	run  *Run  // nil where the response is not made here
	// timer is there once the reader has waited for a log that another process writes.
	timer *time.Timer
	// left is how far the reader has read the log, to go on there when it falls behind.
	left *past
	// seat is for what the reader takes of a large answer; it has taken that where it is served.
	seat   *seat
	served bool

	// These are the run's: taken is how much was published when the reader last took something, cut that it has lagged too far behind, behind that
	// nothing is held for it.
	taken       int
	cut, behind bool
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
	if s.past != nil {
		s.past.pause()
		s.left, s.past = s.past, nil
	}
	s.run = r
	s.taken, s.behind = r.bytes, false
	r.subs = append(r.subs, s)
	s.notify()
}

// Take returns what has come since the last call. What it returned then may be large, and is not to be used any more.
func (s *Subscription) Take(ctx context.Context) (Batch, error) {
	if s.served {
		s.giveSeatBack()
	}
	for {
		if s.past != nil && !s.caughtUp() {
			return s.takeLogged(ctx)
		}
		if b, ok := s.takeHeld(); ok {
			return b, nil
		}
	}
}

// Wanted is there where what was taken is of a large answer, and is closed when other readers of such wait for their turn. Who takes long
// is then to Return what is left.
func (s *Subscription) Wanted() <-chan struct{} {
	if !s.served {
		return nil
	}
	return s.seat.isWanted()
}

// Return gives what was taken last back, from the event numbered so on. It is there again when it is the reader's turn again.
func (s *Subscription) Return(from int) {
	s.giveSeatBack()
	s.past = s.past.returned(from, s.next)
	s.next = from
	s.notify()
}

func (s *Subscription) takeLogged(ctx context.Context) (Batch, error) {
	b, err := s.past.take(ctx, s)
	if b.Events = b.Events[min(max(s.next-b.First, 0), len(b.Events)):]; len(b.Events) > 0 {
		b.First = max(b.First, s.next)
		s.next = b.First + len(b.Events)
	}
	return b, err
}

// takeHeld takes what the run holds, unless the reader is to go on in the event log.
func (s *Subscription) takeHeld() (b Batch, ok bool) {
	r := s.run
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.cut {
		return Batch{First: s.next, Cut: true}, true
	}
	if s.handedOver() {
		return b, false
	}
	if !r.holds(s.next) {
		s.unfollow()
		if s.past = s.left; s.past == nil {
			past := r.past
			s.past = &past
		}
		return b, false
	}
	// It may wait for one that has a higher number than there is.
	b = Batch{First: s.next, Events: r.events[min(s.next-r.base, len(r.events)):]}
	if i := slices.IndexFunc(b.Events, isLogged); i >= 0 {
		b.Events = b.Events[:i]
		s.notify()
	}
	s.next += len(b.Events)
	s.taken, s.behind = r.bytes, false
	select {
	case <-r.done:
		b.Ended = s.next >= r.base+len(r.events)
	default:
	}
	r.release()
	return b, true
}

func isLogged(ev Event) bool {
	_, is := ev.(*logged)
	return is
}

// caughtUp has the reader follow the run if that still holds what comes next.
func (s *Subscription) caughtUp() bool {
	r := s.run
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.handedOver() || !r.holds(s.next) {
		return false
	}
	s.giveSeatBack()
	s.follow(r)
	return true
}

// handedOver reports whether the run has nothing more for the reader, who goes on in the log then. The run's lock is held.
func (s *Subscription) handedOver() bool {
	log := s.run.elsewhere
	if log == nil {
		return false
	}
	s.run = nil
	if s.past == nil {
		s.past = s.left
	}
	if s.past == nil {
		copied := *log
		s.past = &copied
	} else if log.final != nil {
		s.past.final, s.past.size = log.final, log.size
	}
	return true
}

// awaitLog has the reader come again when the log may have more. Where the run is over without it the reader goes on behind what was not
// logged.
func (s *Subscription) awaitLog() {
	r := s.run
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.done:
		if r.elsewhere == nil {
			s.next = max(s.next, r.base)
		}
		s.notify()
	default:
		s.later(followPause)
	}
}

// Close gives the subscription up.
func (s *Subscription) Close() {
	s.giveSeatBack()
	r := s.run
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.unfollow()
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

// unfollow has the run tell the reader nothing more. The run's lock is held.
func (s *Subscription) unfollow() {
	if i := slices.Index(s.run.subs, s); i >= 0 {
		s.run.subs = slices.Delete(s.run.subs, i, i+1)
	}
}

// takeSeat reports whether the reader may take what is so large. If not, it is woken when it may.
func (s *Subscription) takeSeat(in *room, bytes int) bool {
	if s.seat == nil {
		s.seat = in.ask(bytes, s.notify)
	}
	s.served = s.seat.has()
	return s.served
}

func (s *Subscription) giveSeatBack() {
	s.seat.leave()
	s.seat, s.served = nil, false
}

func (s *Subscription) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
