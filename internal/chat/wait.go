package chat

import (
	"context"
	"slices"
	"time"

	"github.com/parley-llm/parley/internal/fault"
)

const (
	// turnPatience is how long a prompt waits for its conversation.
	turnPatience = 30 * time.Second
	// maxWaiting is how many prompts may wait for one conversation.
	maxWaiting = 256
)

// queue is the conversation that prompts wait for.
type queue struct{ owner, conversation string }

// place is one prompt's in a queue. turn closes when it is the first.
type place struct{ turn chan struct{} }

// inTurn begins a prompt when the conversation is free: those that wait on this instance begin in the order in which they came. While
// it waits it holds no place among the running responses. After half a minute, and at once where too many wait: Conflict, conversation_locked.
func (s *Service) inTurn(ctx context.Context, req *Request) (*Run, error) {
	q := queue{req.Caller.Owner, req.ConversationID}
	p := s.queueUp(q)
	if p == nil {
		return nil, Locked()
	}
	defer s.leaveQueue(q, p)
	w := waiter{Service: s, ctx: ctx, draining: s.untilDraining()}
	patience, stop := context.WithTimeout(ctx, turnPatience)
	defer stop()
	w.patience = patience
	if err := w.until(p.turn); err != nil {
		return nil, err
	}
	for {
		if err := w.unlocked(req); err != nil {
			return nil, err
		}
		// A prompt that does not wait may be quicker.
		run, err := s.start(ctx, *req)
		if !fault.Is(err, CodeConversationLocked) || patience.Err() != nil {
			return run, err
		}
	}
}

// waiter is one prompt's patience.
type waiter struct {
	*Service
	ctx, patience, draining context.Context //nolint:containedctx // they are of one call
}

func (w *waiter) until(what <-chan struct{}) error {
	select {
	case <-what:
		return nil
	case <-w.draining.Done():
		return draining()
	case <-w.patience.Done():
		if w.ctx.Err() != nil {
			return GivenUp(w.ctx)
		}
		return Locked()
	}
}

// unlocked returns when no response runs on the conversation, or it does not exist.
func (w *waiter) unlocked(req *Request) error {
	for {
		c, err := w.Store.Conversation(w.ctx, req.Caller.Owner, req.ConversationID)
		if err != nil || c.ActiveResponse == "" {
			return err
		}
		if run := w.run(c.ActiveResponse); run != nil {
			err = w.until(run.left)
		} else {
			err = w.until(after(pollPause))
		}
		if err != nil {
			return err
		}
	}
}

// after is a channel that closes after a while.
func after(d time.Duration) <-chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(d, func() { close(c) })
	return c
}

// queueUp takes the last place in a queue; nil if there is none left.
func (s *Service) queueUp(q queue) *place {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.queues[q]
	if len(waiting) == maxWaiting {
		return nil
	}
	p := &place{turn: make(chan struct{})}
	if len(waiting) == 0 {
		close(p.turn)
	}
	if s.queues == nil {
		s.queues = map[queue][]*place{}
	}
	s.queues[q] = append(waiting, p)
	return p
}

// leaveQueue gives a place up and has the next one take its turn, if it was the first.
func (s *Service) leaveQueue(q queue, p *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.queues[q]
	i := slices.Index(waiting, p)
	waiting = slices.Delete(waiting, i, i+1)
	if len(waiting) == 0 {
		delete(s.queues, q)
		return
	}
	s.queues[q] = waiting
	if i == 0 {
		close(waiting[0].turn)
	}
}
