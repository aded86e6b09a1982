package server

import (
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/parley-llm/parley/api"
)

// plainPrompts answers the commonest prompts by far, a text and at most a model and the wish for a stream, without the
// cost of decoding and validating by reflection. It is a middleware behind admit and leaves every other request to huma:
// it knows only what is certainly valid, so that what is valid is still said in one place, the schema.
func (s *server) plainPrompts(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	x := exchangeOf(r.Context())
	in := respondInput{}
	if len(x.faults) > 0 || r.URL.RawQuery != "" || !plainPrompt(x.body, &in.Body) {
		next(ctx)
		return
	}
	in.ConversationID = ctx.Param("conversation_id")
	run, err := s.respond(r.Context(), &in)
	if err != nil {
		s.fail(r.Context(), x, err)
		return
	}
	s.answer(r.Context(), x, run, &in.Body)
}

// plainPrompt reads such a prompt, as huma would, of a body that scan has found nothing wrong with.
func plainPrompt(body []byte, b *api.NewResponse) bool {
	const most = 256 // of a model's bytes, so that it cannot have too many characters
	s := scanner{data: body}
	s.space()
	for open := byte('{'); s.take(open); open = ',' {
		s.space()
		if !s.at('"') {
			return false
		}
		key, err := s.text()
		if err != nil {
			return false
		}
		s.space()
		s.take(':')
		s.space()
		start := s.pos
		switch string(key) {
		case "prompt":
			if !s.at('"') {
				return false
			}
			_, err = s.text()
			b.Prompt = body[start:s.pos]
			if len(b.Prompt) == len(`""`) {
				return false
			}
		case "model":
			if !s.at('"') {
				return false
			}
			var model []byte
			model, err = s.text()
			b.Model = string(model)
			if len(b.Model) > most {
				return false
			}
		case "stream":
			b.Stream = s.at('t')
			if !b.Stream && !s.at('f') {
				return false
			}
			err = s.value(0)
		default:
			return false
		}
		if err != nil {
			return false
		}
		s.space()
	}
	return s.take('}') && b.Prompt != nil
}

// at reports whether c comes next.
func (s *scanner) at(c byte) bool { return s.pos < len(s.data) && s.data[s.pos] == c }
