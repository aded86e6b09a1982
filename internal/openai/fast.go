package openai

import (
	"encoding/json"
	"unicode/utf8"
)

// plainDelta reads the commonest chunk by far, one that brings a piece of text and nothing else, at a fraction of what
// decoding costs. ok is false for every other chunk, malformed ones included: the decoder then has the word. Where ok is
// true the text is what the decoder would have found.
func plainDelta(chunk []byte) (text string, ok bool) {
	p := plainScan{scanner: scanner{b: chunk}}
	if !p.object(inChunk) || !p.end() || !p.found {
		return "", false
	}
	if p.plain && utf8.Valid(p.content) {
		return string(p.content), true
	}
	return unquote(p.content)
}

func unquote(inner []byte) (string, bool) {
	quoted := make([]byte, 0, len(inner)+2)
	quoted = append(append(append(quoted, '"'), inner...), '"')
	var s string
	err := json.Unmarshal(quoted, &s)
	return s, err == nil
}

// place is an object of a chunk that plainDelta looks into.
type place int

const (
	inChunk place = iota
	inChoice
	inDelta
)

// plainScan is the state of plainDelta.
type plainScan struct {
	scanner
	content []byte
	plain   bool
	// What has been seen; a chunk that says it twice is not plain.
	choices, delta, found bool
}

// object consumes an object. Names that the decoder might take for others, since it ignores case, are left to it.
func (p *plainScan) object(where place) bool {
	if !p.byte('{') {
		return false
	}
	for first := true; ; first = false {
		name, done, ok := p.key(first)
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
	case inChunk:
		switch string(name) {
		case "choices":
			return once(&p.choices) && p.byte('[') && p.object(inChoice) && p.byte(']')
		case "usage", "error":
			return p.null()
		case "model":
			_, _, ok := p.str()
			return ok
		}
	case inChoice:
		switch string(name) {
		case "delta":
			return once(&p.delta) && p.object(inDelta)
		case "index":
			n, ok := p.value()
			return ok && string(n) == "0"
		case "finish_reason":
			return p.null()
		case "message":
			return false
		}
	case inDelta:
		switch string(name) {
		case "content":
			ok := once(&p.found)
			if ok {
				p.content, p.plain, ok = p.str()
			}
			return ok
		case "refusal", "reasoning_content", "reasoning", "tool_calls":
			return p.null()
		}
	}
	_, ok := p.value()
	return ok
}

// once reports whether seen was false, and sets it.
func once(seen *bool) bool {
	again := *seen
	*seen = true
	return !again
}
