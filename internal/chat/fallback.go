package chat

import (
	"context"
	"log/slog"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// fallBack is the turn with the next model that may take over from one that failed, nil where none may. t stays as it is:
// its outcome is still to be written.
func (s *Service) fallBack(ctx context.Context, t *turn, res *result) *turn {
	if ctx.Err() != nil || !mayFallBack(res) {
		return nil
	}
	next := s.takeOver(t, res.err.Fault.Code)
	if next != nil {
		next.commit()
	}
	return next
}

// takeOver is the turn with the next model that can be asked in the place of its own, and an attempt at it allowed; nil where there is
// none. A model whose provider cannot express the request, whose window is too small for it, or that is held back itself, is passed over.
// code says why its own model is not asked.
func (s *Service) takeOver(t *turn, code string) *turn {
	for i, model := range t.fallbacks {
		endpoint, name, ok := s.Router.Route(model)
		if !ok {
			continue
		}
		p := t.prompt.at(endpoint, name, s.modelInfo(endpoint, name))
		if s.fit(p) != nil {
			continue
		}
		body, err := endpoint.Provider.Encode(p.request)
		if err != nil {
			continue
		}
		next := *t
		next.endpoint, next.fallbacks, next.trims = endpoint, t.fallbacks[i+1:], 0
		next.info, next.prompt = p.info, p
		next.call = &llm.Call{Model: name, Stream: t.call.Stream, Body: body}
		next.response.Truncated = p.dropped
		if next.response.FallbackFrom == "" {
			next.response.FallbackFrom = t.response.Model
		}
		next.response.Model, next.response.Provider, next.response.Host = model, endpoint.Name, endpoint.Host
		if !s.allow(&next) {
			continue
		}
		s.Log.Warn("a model failed; another one takes over",
			slog.String("response_id", t.response.ID), slog.String("request_id", t.response.RequestID),
			slog.String("provider", t.response.Provider), slog.String("to", endpoint.Name), slog.String("code", code))
		return &next
	}
	return nil
}

// mayFallBack reports whether a failure is the provider's own and came before anything of an answer: another provider may
// do better. What was wrong with the request would be wrong there, too, and a wrong key is for the operator to see.
func mayFallBack(res *result) bool {
	if res.err == nil || !res.answered.IsZero() {
		return false
	}
	kind := res.err.Fault.Kind
	return res.err.Retryable || kind == fault.RateLimited || kind == fault.Timeout || res.err.NotSent && kind == fault.Upstream
}

// at is the prompt as another model would be sent it, with no more of the history than the first one.
func (p *prompt) at(endpoint llm.Endpoint, model string, info llm.ModelInfo) *prompt {
	other, request := *p, *p.request
	request.Model = model
	other.endpoint, other.info, other.request = endpoint, info, &request
	return &other
}
