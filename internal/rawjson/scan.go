// Package rawjson walks JSON text and writes it without decoding it: what is passed on keeps its bytes.
//
// It knows the grammar alone, not what a text means. What it is given is taken for valid UTF-8 or passed as it is.
package rawjson

import (
	"iter"
	"strings"
)

// maxDepth bounds how deep a Scanner follows; what is deeper is not understood.
const maxDepth = 256

// Scanner walks JSON text without decoding it. A method that meets malformed text returns false, and the Scanner is then
// of no more use.
type Scanner struct {
	b     []byte
	i     int
	depth int
}

// NewScanner makes a scanner at the start of a text.
func NewScanner(text []byte) Scanner { return Scanner{b: text} }

// Byte consumes white space and then c, if that is what comes.
func (s *Scanner) Byte(c byte) bool {
	s.space()
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *Scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\t' || s.b[s.i] == '\r') {
		s.i++
	}
}

// End reports whether only white space is left.
func (s *Scanner) End() bool {
	s.space()
	return s.i == len(s.b)
}

// Str consumes a string. It returns what stands between the quotes, and whether that is the string itself, free of escapes.
func (s *Scanner) Str() (inner []byte, plain, ok bool) {
	if !s.Byte('"') {
		return nil, false, false
	}
	start := s.i
	plain = true
	for {
		s.i = ordinary(s.b, s.i)
		if s.i == len(s.b) {
			return nil, false, false
		}
		switch s.b[s.i] {
		case '"':
			s.i++
			return s.b[start : s.i-1], plain, true
		case '\\':
			plain = false
			if !s.escape() {
				return nil, false, false
			}
		default:
			return nil, false, false
		}
	}
}

// ordinary is where the first byte from i on stands that means something in a string: a quote, a backslash or a control character.
func ordinary(b []byte, i int) int {
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
		i++
	}
	return i
}

// escape consumes a backslash and what it escapes.
func (s *Scanner) escape() bool {
	rest := s.b[s.i+1:]
	if len(rest) == 0 {
		return false
	}
	if rest[0] != 'u' {
		s.i += 2
		return strings.IndexByte(`"\/bfnrt`, rest[0]) >= 0
	}
	if len(rest) < 5 {
		return false
	}
	for _, c := range rest[1:5] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	s.i += 6
	return true
}

// Key consumes a member's name and the colon, after the comma where it is not the first. done means that the object has ended.
func (s *Scanner) Key(first bool) (name []byte, done, ok bool) {
	if s.Byte('}') {
		return nil, true, true
	}
	if !first && !s.Byte(',') {
		return nil, false, false
	}
	// A comma before the closing brace fails here, since no name follows.
	name, _, ok = s.Str()
	return name, false, ok && s.Byte(':')
}

// Value consumes any value and returns its text.
func (s *Scanner) Value() ([]byte, bool) {
	s.space()
	start := s.i
	if s.i == len(s.b) {
		return nil, false
	}
	ok := false
	switch c := s.b[s.i]; c {
	case '"':
		_, _, ok = s.Str()
	case '{', '[':
		ok = s.compound()
	case 't':
		ok = s.word("true")
	case 'f':
		ok = s.word("false")
	case 'n':
		ok = s.word("null")
	default:
		ok = s.number()
	}
	return s.b[start:s.i], ok
}

func (s *Scanner) compound() bool {
	s.depth++
	defer func() { s.depth-- }()
	if s.depth > maxDepth {
		return false
	}
	if s.Byte('{') {
		for first := true; ; first = false {
			_, done, ok := s.Key(first)
			if done || !ok {
				return ok
			}
			if _, ok := s.Value(); !ok {
				return false
			}
		}
	}
	s.i++
	if s.Byte(']') {
		return true
	}
	for {
		if _, ok := s.Value(); !ok {
			return false
		}
		if s.Byte(']') {
			return true
		}
		if !s.Byte(',') {
			return false
		}
	}
}

func (s *Scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

// Null consumes the word, if that is what comes.
func (s *Scanner) Null() bool {
	s.space()
	return s.word("null")
}

func (s *Scanner) number() bool {
	if s.b[s.i] == '-' {
		s.i++
	}
	leading := s.i
	if s.digits() == 0 || s.b[leading] == '0' && s.i > leading+1 {
		return false
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if s.digits() == 0 {
			return false
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		return s.digits() > 0
	}
	return true
}

func (s *Scanner) digits() int {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i - start
}

// Members are the names (as they stand between their quotes) and the values of an object, in their order. It yields
// nothing for what is no object, and stops where the text is malformed.
func Members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		s := Scanner{b: object}
		if !s.Byte('{') {
			return
		}
		for first := true; ; first = false {
			name, done, ok := s.Key(first)
			if done || !ok {
				return
			}
			value, ok := s.Value()
			if !ok || !yield(string(name), value) {
				return
			}
		}
	}
}

// Elements are the values of an array. It yields nothing for what is no array, and stops where the text is malformed.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s := Scanner{b: array}
		if !s.Byte('[') || s.Byte(']') {
			return
		}
		for {
			value, ok := s.Value()
			if !ok || !yield(value) || !s.Byte(',') {
				return
			}
		}
	}
}

// Member is the value of one member of an object, nil where there is none or it is null.
func Member(object []byte, name string) []byte {
	for n, value := range Members(object) {
		if n == name {
			if string(value) == "null" {
				return nil
			}
			return value
		}
	}
	return nil
}
