// Package breaker is the chat.Breakers: a circuit breaker for each model of each provider.
//
// It owns when one opens and when it lets an attempt through again. It does not know what a failure is: the core judges that.
package breaker

import (
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/parley-llm/parley/internal/chat"
)

const (
	// failures in a row open a breaker.
	failures = 10
	// openFor is how long it then refuses everything, before it lets one attempt through as a trial.
	openFor = 10 * time.Second
	// trialFor is what a caller is told to wait while such a trial runs: nobody knows how long it takes.
	trialFor = time.Second
	// maxModels bounds the breakers that are kept. Prompts may name any model, and each has its own.
	maxModels = 1000
)

// Set is the breakers of all models. The zero value is ready for use.
type Set struct {
	// OnChange, if set, is told when a model's breaker has opened, and when it has closed again. It must not block.
	OnChange func(provider string, open bool)

	mu     sync.Mutex
	models map[key]*model
}

var _ chat.Breakers = (*Set)(nil)

type key struct{ provider, model string }

// model is the breaker of one model.
type model struct {
	*gobreaker.TwoStepCircuitBreaker[struct{}]

	mu sync.Mutex
	// used is when it was last asked.
	used time.Time
	// reopens is when a trial is due.
	reopens time.Time
	open    bool
	// forgotten: an attempt may still run, and nobody asks how it ends.
	forgotten bool
}

// What a breaker is told.
var (
	errFailing      = errors.New("the provider is failing")
	errInconclusive = errors.New("the attempt says nothing")
)

// Allow implements chat.Breakers.
func (s *Set) Allow(provider, name string) (func(chat.Verdict), bool) {
	m := s.model(key{provider, name})
	done, err := m.Allow()
	if err != nil {
		return nil, false
	}
	p := &permit{done: done, trial: m.State() == gobreaker.StateHalfOpen}
	return p.take, true
}

// Wait implements chat.Breakers.
func (s *Set) Wait(provider, name string) time.Duration {
	m := s.model(key{provider, name})
	switch m.State() {
	case gobreaker.StateOpen:
		m.mu.Lock()
		defer m.mu.Unlock()
		return max(time.Until(m.reopens), trialFor)
	case gobreaker.StateHalfOpen:
		// Of those that have ended only failures and successes count, and either ends this state: what counts now is running.
		if c := m.Counts(); c.Requests > c.TotalExclusions {
			return trialFor
		}
	case gobreaker.StateClosed:
	}
	return 0
}

// model finds a model's breaker or makes it.
func (s *Set) model(k key) *model {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[k]
	if m == nil {
		if s.models == nil {
			s.models = map[key]*model{}
		}
		if len(s.models) >= maxModels {
			s.forget()
		}
		m = s.new(k)
		s.models[k] = m
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used = now
	return m
}

// forget drops the breaker that has not been asked for the longest time.
func (s *Set) forget() {
	var oldest key
	var since time.Time
	for k, m := range s.models {
		if used := m.lastUsed(); since.IsZero() || used.Before(since) {
			oldest, since = k, used
		}
	}
	if s.models[oldest].leave() && s.OnChange != nil {
		s.OnChange(oldest.provider, false)
	}
	delete(s.models, oldest)
}

func (m *model) lastUsed() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

func (s *Set) new(k key) *model {
	m := &model{}
	m.TwoStepCircuitBreaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     openFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failures },
		IsExcluded:  func(err error) bool { return errors.Is(err, errInconclusive) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			// A trial changes nothing for those who look on: it is still open until the trial has gone well.
			if to == gobreaker.StateHalfOpen {
				return
			}
			if m.change(to == gobreaker.StateOpen) && s.OnChange != nil {
				s.OnChange(k.provider, to == gobreaker.StateOpen)
			}
		},
	})
	return m
}

// change notes that the breaker opened or closed and reports whether it was the other before. A trial that failed opens it anew.
func (m *model) change(open bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := m.open != open && !m.forgotten
	m.open = open
	if open {
		m.reopens = time.Now().Add(openFor)
	}
	return changed
}

// leave notes that the breaker is forgotten and reports whether it was open.
func (m *model) leave() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgotten = true
	return m.open
}

// permit is an attempt that was let through.
type permit struct {
	done  func(error)
	trial bool

	mu   sync.Mutex
	over bool
}

// take passes a verdict on. A trial has gone well when an answer begins: it may go on for minutes, in which all others would be refused.
func (p *permit) take(v chat.Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || v == chat.Answering && !p.trial {
		return
	}
	p.over = true
	switch v {
	case chat.Answering, chat.Working:
		p.done(nil)
	case chat.Failing:
		p.done(errFailing)
	case chat.Inconclusive:
		p.done(errInconclusive)
	}
}
