package openai

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/parley-llm/parley/internal/rawjson"
	"github.com/parley-llm/parley/internal/upstream"
)

// plainCompletion reads the commonest answers and chunks by far, those with one choice that says text and nothing else,
// and those with the usage alone, at a fraction of what decoding costs. It returns false for every other one, malformed
// ones included: the decoder then has the word, and w is to be made anew. Where it returns true, w holds what the decoder
// would have found, but for an Error that is null, which is left empty.
func plainCompletion(text []byte, w *completion) bool {
	p := plainScan{Scanner: rawjson.NewScanner(text), completion: w}
	return p.object(inCompletion) && p.End()
}

// place is an object of a completion that plainCompletion looks into.
type place int

const (
	inCompletion place = iota
	inChoice
	inDelta
	inMessage
	inUsage
	inPromptDetails
	inCompletionDetails
)

// plainScan is the state of plainCompletion. Like the decoder it writes over what a completion says twice.
type plainScan struct {
	rawjson.Scanner
	*completion
}

// object consumes an object. Names that the decoder might take for others, since it ignores case, are left to it.
func (p *plainScan) object(where place) bool {
	if !p.Byte('{') {
		return false
	}
	for first := true; ; first = false {
		name, done, ok := p.Key(first)
		if done || !ok {
			return ok
		}
		for _, c := range name {
			if c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
				return false
			}
		}
		if !p.member(where, name) {
			return false
		}
	}
}

// member consumes the value of one member.
func (p *plainScan) member(where place, name []byte) bool {
	switch where {
	case inCompletion:
		switch string(name) {
		case "choices":
			return p.choices()
		case "usage":
			return p.Null() || p.used()
		case "error":
			return p.Null()
		case "model":
			return p.label(&p.Model, p.model)
		}
	case inChoice:
		switch string(name) {
		case "delta":
			return p.object(inDelta)
		case "message":
			return p.object(inMessage)
		case "index":
			n, ok := p.Value()
			return ok && string(n) == "0"
		case "finish_reason":
			return p.Null() || p.label(&p.Choices[0].FinishReason, "stop")
		}
	case inDelta:
		return p.message(&p.Choices[0].Delta, name)
	case inMessage:
		return p.message(&p.Choices[0].Message, name)
	case inUsage:
		switch string(name) {
		case "prompt_tokens":
			return p.tokens(&p.Usage.Prompt)
		case "completion_tokens":
			return p.tokens(&p.Usage.Completion)
		case "total_tokens":
			return p.tokens(&p.Usage.Total)
		case "prompt_tokens_details":
			return p.Null() || p.object(inPromptDetails)
		case "completion_tokens_details":
			return p.Null() || p.object(inCompletionDetails)
		}
	case inPromptDetails:
		if string(name) == "cached_tokens" {
			return p.tokens(&p.Usage.PromptDetails.Cached)
		}
	case inCompletionDetails:
		if string(name) == "reasoning_tokens" {
			return p.tokens(&p.Usage.CompletionDetails.Reasoning)
		}
	}
	_, ok := p.Value()
	return ok
}

// choices consumes an array of one choice or none.
func (p *plainScan) choices() bool {
	if p.Choices != nil || !p.Byte('[') {
		return false
	}
	if p.Byte(']') {
		p.Choices = p.one[:0]
		return true
	}
	p.Choices = p.one[:]
	return p.object(inChoice) && p.Byte(']')
}

func (p *plainScan) used() bool {
	if p.Usage == nil {
		p.Usage = &usage{}
	}
	return p.object(inUsage)
}

func (p *plainScan) message(m *message, name []byte) bool {
	switch string(name) {
	case "content":
		return p.Null() || p.text(&m.Content)
	case "refusal", "reasoning_content", "reasoning", "tool_calls":
		return p.Null()
	}
	_, ok := p.Value()
	return ok
}

// text consumes a string.
func (p *plainScan) text(t *text) bool {
	inner, plain, ok := p.Str()
	if !ok {
		return false
	}
	if plain && utf8.Valid(inner) {
		*t = text(inner)
		return true
	}
	s, ok := unquote(inner)
	*t = text(s)
	return ok
}

// label consumes a string that needs no decoding. It is probably the one that is given.
func (p *plainScan) label(s *string, probably string) bool {
	inner, plain, ok := p.Str()
	if !ok || !plain || !utf8.Valid(inner) {
		return false
	}
	*s = probably
	if string(inner) != probably {
		*s = string(inner)
	}
	return true
}

// tokens consumes a number of tokens, or what stands in its place.
func (p *plainScan) tokens(c *upstream.Count) bool {
	n, ok := p.Value()
	// It takes whatever there is: what is no number counts as none.
	return ok && c.UnmarshalJSON(n) == nil
}

func unquote(inner []byte) (string, bool) {
	quoted := make([]byte, 0, len(inner)+2)
	quoted = append(append(append(quoted, '"'), inner...), '"')
	var s string
	err := json.Unmarshal(quoted, &s)
	return s, err == nil
}
