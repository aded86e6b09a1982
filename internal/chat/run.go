package chat

import (
	"context"
	"sync"
)

const (
	// maxLag is how much of a run's events may wait for one reader.
	maxLag = 1 << 20
	// maxHeld is how much of that is held in memory: a reader that lags further goes on in the event log, if there is one.
	maxHeld = 128 << 10
)

// Run is a response being made. It belongs to the Service, not to the caller that asked for it: a caller that leaves
// does not end it. It is safe for concurrent use.
//
// Events are numbered from 0; event n is the n-th that was ever published. The last one is published after the
// transaction that ended the response has committed. In memory are those that some reader has still to take, unless they are many, or that are
// not yet in the event log.
type Run struct {
	owner string
	// aside: nobody waits for it.
	aside bool
	// unstored: it is known to nobody but the client that asked for it.
	unstored bool
	cancel   context.CancelCauseFunc

	mu     sync.Mutex
	events []Event
	// base is the number of the first of events.
	base int
	// bytes is the size of all that was published.
	bytes    int
	subs     []*Subscription
	response Response
	err      error
	// reader is for the caller that began the run with a stream.
	reader *Subscription
	// created is the first event.
	created Event
	// log is nil where the events are kept for the readers alone; past reads it.
	log  *eventLog
	past past
	// seat is for an answer that comes in one piece, from when it is large.
	seat *seat
	// elsewhere, once it is set, is where the readers go on: another process has ended the response, or it is a large one.
	elsewhere *past
	// stored, where the answer is a large one, reads it once it has ended: its output is not held.
	stored func(ctx context.Context) (Response, error)
	// done closes when the response is terminal for its readers, left when nothing more is done for it: the one before the
	// other where its end cannot be stored.
	done, left chan struct{}
}

func newRun(owner string, r Response, cancel context.CancelCauseFunc) *Run {
	return &Run{owner: owner, unstored: r.Unstored, cancel: cancel, response: r, done: make(chan struct{}), left: make(chan struct{})}
}

// Wait returns the response in its terminal state. A failed or interrupted one comes with a *fault.Error
// that carries its ResponseID. When ctx ends first, Wait returns its error and the run goes on. A large answer is read from the store, in
// its turn, and counts as read until ctx ends; where that fails, Wait returns the response without its output, and the error.
func (r *Run) Wait(ctx context.Context) (Response, error) {
	select {
	case <-r.done:
	case <-ctx.Done():
		return r.Response(), ctx.Err()
	}
	r.mu.Lock()
	response, err, stored := r.response, r.err, r.stored
	r.mu.Unlock()
	if err != nil || stored == nil {
		return response, err
	}
	whole, failed := stored(ctx)
	if failed != nil {
		return response, failed
	}
	return whole, nil
}

// holdsOutput reports whether Response shows all there is of the response, or will.
func (r *Run) holdsOutput() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stored == nil
}

// Response is the response as it stands now, without the output that is still being written, or that of a large answer.
func (r *Run) Response() Response {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.response
}

// Abandon is called when the client that asked for a response has gone: one of which nothing is kept is stopped then.
func (r *Run) Abandon() {
	if r.unstored {
		r.cancel(errAbandoned)
	}
}

// Begun is the response as it began.
func (r *Run) Begun() Response { return r.created.(*ResponseEvent).Response }

// Reader is the subscription, from the first event on, that was made for the caller that began the run with Stream; nil where
// another one began it. The caller must Close it.
func (r *Run) Reader() *Subscription { return r.reader }

// begin publishes the first events.
func (r *Run) begin(outputSeq int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.log != nil {
		r.log.pending = appendBegun(make([]byte, 0, 256), &r.response, outputSeq)
	}
	first := beginning(r.response, r.response.Status == Queued)
	r.created = first[0]
	r.tell(first)
	r.response.Status = InProgress
}

// publish appends events and wakes the readers. One that lags too far behind is cut off.
func (r *Run) publish(events ...Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(events)
}

func (r *Run) tell(events []Event) {
	r.add(events)
	if r.log != nil {
		r.log.append(events)
	}
}

func (r *Run) add(events []Event) {
	r.events = append(r.events, events...)
	before := r.bytes
	for _, ev := range events {
		r.bytes += size(ev)
	}
	kept := r.subs[:0]
	for _, s := range r.subs {
		s.notify()
		// A reader who has taken all there was is not too slow for what comes now, however much that is.
		if s.cut = before-s.taken > maxLag; !s.cut {
			kept = append(kept, s)
		}
		s.behind = r.log != nil && r.bytes-s.taken > maxHeld
	}
	clear(r.subs[len(kept):])
	r.subs = kept
}

// holds reports whether an event is held, or will be once there is one of that number. The lock is held.
func (r *Run) holds(number int) bool {
	at := number - r.base
	return at >= 0 && (at >= len(r.events) || !isLogged(r.events[at]))
}

// release lets go of the events that nobody needs any more.
func (r *Run) release() {
	needed := r.base + len(r.events)
	if r.log != nil {
		needed = min(needed, r.log.kept.events)
	}
	for _, s := range r.subs {
		if !s.behind {
			needed = min(needed, s.next)
		}
	}
	// What is cut off here may be in a reader's hands; it goes when the slice next grows.
	if n := needed - r.base; n > 0 {
		r.events, r.base = r.events[n:], needed
	}
}

// isLogged reports whether the event log has an event.
func (r *Run) isLogged(number int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.kept.events > number
}

// handOver has the readers go on in the event log.
func (r *Run) handOver(log *past) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.elsewhere = log
	for _, s := range r.subs {
		s.notify()
	}
	r.subs = nil
}

// readStored has a response that ends be read from the store from then on.
func (r *Run) readStored(read func(ctx context.Context) (Response, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored = read
}

// skipTo has the next event be the one of a number; those ahead of it are not told.
func (r *Run) skipTo(number int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events, r.base = nil, number
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
	close(r.done)
	r.add(last)
}
