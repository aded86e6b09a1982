package chat

import (
	"context"
	"fmt"
)

// Recover ends every response whose holder is gone as interrupted. Call it before the first Respond. Nothing is sent to
// a model again.
func (s *Service) Recover(ctx context.Context) (int, error) {
	orphans, err := s.Store.Orphans(ctx)
	if err != nil {
		return 0, fmt.Errorf("listing the responses that a crash left: %w", err)
	}
	for i := range orphans {
		r := orphans[i]
		now, f := s.now(), interrupted()
		outcome := s.unknownOutcome(&r, now)
		r.Status, r.CompletedAt = Interrupted, now
		r.Error = &ResponseError{Code: f.Code, Message: f.Message}
		if err := s.Store.End(ctx, r.Owner, &Ending{Response: r, Outcome: outcome}); err != nil {
			return i, fmt.Errorf("ending response %s: %w", r.ID, err)
		}
	}
	return len(orphans), nil
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
