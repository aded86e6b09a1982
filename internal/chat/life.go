package chat

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/parley-llm/parley/internal/fault"
)

// Recover ends every response whose holder is gone as interrupted. Call it before the first Respond; on a Shared store it may be called at any time. Nothing is sent to
// a model again.
func (s *Service) Recover(ctx context.Context) (int, error) {
	orphans, err := s.Store.Orphans(ctx)
	if err != nil {
		return 0, fmt.Errorf("listing the responses that a crash left: %w", err)
	}
	failed := make([]error, len(orphans))
	room := make(chan struct{}, recoverers)
	var enders sync.WaitGroup
	for i := range orphans {
		room <- struct{}{}
		enders.Go(func() {
			defer func() { <-room }()
			failed[i] = s.recover(ctx, &orphans[i])
		})
	}
	enders.Wait()
	ended := 0
	for i, err := range failed {
		// One that cannot be ended does not keep the others.
		if failed[i] = nil; err == nil || fault.Is(err, CodeResponseEnded) {
			ended++
			continue
		}
		failed[i] = fmt.Errorf("ending response %s: %w", orphans[i].ID, err)
	}
	return ended, errors.Join(failed...)
}

// recoverers is how many responses are ended at a time: who waits for their conversations should not have to wait for all.
const recoverers = 8

// recover ends a response whose holder is gone with what its event log has of the answer.
func (s *Service) recover(ctx context.Context, r *Response) error {
	e := &Ending{Response: *r}
	now, f := s.now(), interrupted()
	e.Response.Status, e.Response.CompletedAt = Interrupted, now
	e.Response.Error = responseError(f)
	if r.LastEvent != 0 {
		p := newPlayer(r)
		p.from = math.MaxInt
		if _, err := s.playLog(ctx, p, r.Owner, r.ID, math.MaxInt); err != nil {
			return err
		}
		if p.next == 0 {
			// It died so early that not even the beginning is there.
			e.Log = []Batched{{Steps: appendBegun(nil, r, 0)}}
		}
		p.reply.end(Interrupted.item())
		e.Response.Output = p.output(&e.Response)
	}
	e.Outcome = s.unknownOutcome(&e.Response, now)
	s.addReply(&e.Outcome, &result{output: e.Response.Output})
	return s.Store.End(ctx, r.Owner, e)
}

// Drain refuses new prompts and returns when no response runs any more. When ctx ends first, the running ones are
// stopped and end as interrupted, and Drain still waits until that is stored. It is called once.
func (s *Service) Drain(ctx context.Context) {
	idle := s.drain()
	select {
	case <-idle:
	case <-ctx.Done():
		s.interrupt()
		<-idle
	}
}

// drain refuses new prompts, gives up on titles, and returns a channel that closes when nothing runs.
func (s *Service) drain() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	if s.stopServing != nil {
		s.stopServing()
	}
	s.idle = make(chan struct{})
	for _, run := range s.runs {
		if run.aside {
			run.cancel(errShutdown)
		}
	}
	if s.admitted == 0 {
		close(s.idle)
	}
	return s.idle
}

// untilDraining is a context that ends when new prompts are refused.
func (s *Service) untilDraining() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving == nil {
		s.serving, s.stopServing = context.WithCancel(context.Background())
		if s.draining {
			s.stopServing()
		}
	}
	return s.serving
}

// interrupt stops every run, also those that are just beginning.
func (s *Service) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for _, run := range s.runs {
		run.cancel(errShutdown)
	}
}

func (s *Service) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}
