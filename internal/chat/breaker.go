package chat

import (
	"cmp"
	"time"

	"github.com/parley-llm/parley/internal/fault"
)

// CodeUpstreamUnavailable is the code of a prompt that was held back.
const CodeUpstreamUnavailable = "upstream_unavailable"

// Breakers hold prompts back from a model whose provider keeps failing. They are safe for concurrent use.
type Breakers interface {
	// Allow asks for one attempt at a provider's model. Once it is granted, done must be called with how the attempt went: once with
	// the last word, and before that maybe with Answering.
	Allow(provider, model string) (done func(Verdict), granted bool)
	// Wait is how long the model will be refused yet, as far as is known; 0 where it is not.
	Wait(provider, model string) time.Duration
}

// Verdict is what an attempt says of the provider, for the attempts to come.
type Verdict uint8

// What attempts say.
const (
	// Inconclusive: the attempt was not made, was given up, or failed by something that lay in this one answer.
	Inconclusive Verdict = iota
	// Answering is no last word: an answer has begun, which may take long.
	Answering
	// Working: there was an answer, or a refusal that was meant for this request.
	Working
	// Failing: an outage, as llm.Error has it.
	Failing
)

// allow asks for the next attempt of a turn at its model.
func (s *Service) allow(t *turn) bool {
	if s.Breakers == nil {
		t.done = func(Verdict) {}
		return true
	}
	done, granted := s.Breakers.Allow(t.endpoint.Name, t.call.Model)
	if granted {
		t.done = done
	}
	return granted
}

// refusedFor is how long no attempt at a turn's model will be granted.
func (s *Service) refusedFor(t *turn) time.Duration {
	if s.Breakers == nil {
		return 0
	}
	return s.Breakers.Wait(t.endpoint.Name, t.call.Model)
}

// unavailable is the fault of a prompt for a model that is held back.
func (s *Service) unavailable(t *turn) *fault.Error {
	f := fault.New(fault.Unavailable, CodeUpstreamUnavailable, "The model's provider has failed many times in a row, so it is left alone for a moment. Nothing was begun; try again then.")
	f.RetryAfter = cmp.Or(s.refusedFor(t), time.Second)
	return f
}

// verdict is what the end of an attempt says.
func (res *result) verdict() Verdict {
	const clientErrors, serverErrors = 400, 500
	switch err := res.err; {
	case err == nil:
		return Working
	case err.Outage:
		return Failing
	case err.HTTPStatus >= clientErrors && err.HTTPStatus < serverErrors:
		return Working
	default:
		return Inconclusive
	}
}
