package chat

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/parley-llm/parley/internal/fault"
)

const (
	// retryLife is how long after its begin a response may be what a retry asks for.
	retryLife = 10 * time.Minute
	// maxReadings bounds the answers whose delivery is watched; the oldest are let go of.
	maxReadings = 4096
)

// readings watches the delivery of answers to clients that send no key and say how often they have tried. A retry gets the answer
// of the response that its first try has begun, but only if that answer has not reached its reader: two clients may well ask for
// the same at one time. It is safe for concurrent use; its zero value is ready.
type readings struct {
	mu    sync.Mutex
	byKey map[readingKey][]*reading
	// order is by age, the oldest first.
	order list.List
}

// readingKey is who asked for what.
type readingKey struct {
	owner, actor string
	fingerprint  Fingerprint
}

// reading is one answer on its way to its client.
type reading struct {
	key      readingKey
	response string
	begun    time.Time
	// gone: the client has left before the end.
	gone  bool
	place *list.Element
}

func (r *readings) begin(key readingKey, response string, now time.Time) *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKey == nil {
		r.byKey = map[readingKey][]*reading{}
	}
	if r.order.Len() == maxReadings {
		r.drop(r.order.Front().Value.(*reading))
	}
	e := &reading{key: key, response: response, begun: now}
	e.place = r.order.PushBack(e)
	r.byKey[key] = append(r.byKey[key], e)
	return e
}

// take returns the oldest answer that a client of that key has left, and is now being read again.
func (r *readings) take(key readingKey, now time.Time) *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.byKey[key] {
		if e.gone && now.Sub(e.begun) < retryLife {
			e.gone = false
			return e
		}
	}
	return nil
}

// leave notes that an answer's reader has gone before its end.
func (r *readings) leave(e *reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.gone = true
}

// end forgets an answer.
func (r *readings) end(e *reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(e)
}

func (r *readings) drop(e *reading) {
	if e.place == nil {
		return
	}
	r.order.Remove(e.place)
	e.place = nil
	rest := r.byKey[e.key]
	for i := range rest {
		if rest[i] == e {
			rest = append(rest[:i:i], rest[i+1:]...)
			break
		}
	}
	if len(rest) == 0 {
		delete(r.byKey, e.key)
	} else {
		r.byKey[e.key] = rest
	}
}

// retried begins a response by start or, for a retry, returns the one whose answer its client has not got.
func (s *Service) retried(ctx context.Context, req *Request, start func() (*Run, error)) (*Run, error) {
	caller := req.Caller
	i := caller.Idempotency
	key := readingKey{caller.Owner, caller.Actor, i.Fingerprint}
	if i.Retries > 0 {
		if e := s.readings.take(key, s.now()); e != nil {
			run, err := s.rejoin(ctx, req, e.response)
			switch {
			case err == nil:
				i.reading, i.Replayed = e, true
				return run, nil
			case !fault.Is(err, CodeResultGone):
				s.readings.leave(e)
				return nil, err
			}
			// What is gone cannot be had again.
			s.readings.end(e)
		}
	}
	run, err := start()
	if err == nil && !run.unstored {
		i.reading = s.readings.begin(key, run.Response().ID, s.now())
	}
	return run, err
}

// Delivered says how the reading of an answer to the caller's prompt has ended: whether all of it was written, or its client has gone. It
// is called once for every run that Respond has returned.
func (s *Service) Delivered(caller Caller, all bool) {
	i := caller.Idempotency
	if i == nil || i.reading == nil {
		return
	}
	if all {
		s.readings.end(i.reading)
	} else {
		s.readings.leave(i.reading)
	}
}
