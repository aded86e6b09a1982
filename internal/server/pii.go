package server

import (
	"context"
	"net/http"
	"unicode/utf8"

	"github.com/parley-llm/parley/api"
)

const tagPII = "Personal data"

func (s *server) piiRoutes() {
	example := map[string]any{"A message": map[string]any{"text": "I am jane.doe@example.com, call me on +65 9123 4567."}}
	register(s, route{
		method: http.MethodPost, path: "/api/pii/mask", id: "mask", tag: tagPII,
		summary: "Mask a text", description: "Replaces personal data by tags, as it is done ahead of the audit log, and says what was found. start and end count Unicode code points of the text that was sent.",
		status: http.StatusOK, reply: api.Masked{}, examples: example,
	}, func(_ context.Context, in *maskInput) (*answer, error) { return s.mask(in, false), nil })
	register(s, route{
		method: http.MethodPost, path: "/api/pii/analyze", id: "analyze", tag: tagPII,
		summary: "Explain what is found in a text", description: "What mask answers, and the reasons of each finding.",
		status: http.StatusOK, reply: api.Masked{}, examples: example,
	}, func(_ context.Context, in *maskInput) (*answer, error) { return s.mask(in, true), nil })
}

type maskInput struct {
	withBody[api.NewMask]
}

func (s *server) mask(in *maskInput, reasons bool) *answer {
	text := in.Body.Text
	findings := s.Service.Masker.Find(nil, text)
	var o object
	o.open()
	o.str("text", string(s.Service.Masker.AppendText(nil, text, nil)))
	o.key("findings")
	o = append(o, '[')
	// Offsets go from bytes to code points in one pass.
	bytes, chars := 0, 0
	at := func(offset int) int64 {
		chars += utf8.RuneCountInString(text[bytes:offset])
		bytes = offset
		return int64(chars)
	}
	for i := range findings {
		f := &findings[i]
		if i > 0 {
			o = append(o, ',')
		}
		o.open()
		o.str("type", f.Entity.String())
		o.int("start", at(f.Start))
		o.int("end", at(f.End))
		o.floatPtrIf("score", &f.Score)
		o.str("rule", f.Rule)
		if reasons {
			o.texts("reasons", f.Reasons)
		}
		o.close()
	}
	o = append(o, ']')
	o.close()
	return jsonAnswer(http.StatusOK, o)
}
