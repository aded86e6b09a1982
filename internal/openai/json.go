package openai

import (
	"iter"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep a scanner follows; what is deeper is not understood.
const maxDepth = 256

// scanner walks JSON text without decoding it. A method that meets malformed text returns false, and the scanner is then
// of no more use.
type scanner struct {
	b     []byte
	i     int
	depth int
}

// byte consumes white space and then c, if that is what comes.
func (s *scanner) byte(c byte) bool {
	s.space()
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\t' || s.b[s.i] == '\r') {
		s.i++
	}
}

// end reports whether only white space is left.
func (s *scanner) end() bool {
	s.space()
	return s.i == len(s.b)
}

// str consumes a string. It returns what stands between the quotes, and whether that is the string itself, free of escapes.
func (s *scanner) str() (inner []byte, plain, ok bool) {
	if !s.byte('"') {
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
func (s *scanner) escape() bool {
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

// key consumes a member's name and the colon, after the comma where it is not the first. done means that the object has ended.
func (s *scanner) key(first bool) (name []byte, done, ok bool) {
	if s.byte('}') {
		return nil, true, true
	}
	if !first && !s.byte(',') {
		return nil, false, false
	}
	// A comma before the closing brace fails here, since no name follows.
	name, _, ok = s.str()
	return name, false, ok && s.byte(':')
}

// value consumes any value and returns its text.
func (s *scanner) value() ([]byte, bool) {
	s.space()
	start := s.i
	if s.i == len(s.b) {
		return nil, false
	}
	ok := false
	switch c := s.b[s.i]; c {
	case '"':
		_, _, ok = s.str()
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

func (s *scanner) compound() bool {
	s.depth++
	defer func() { s.depth-- }()
	if s.depth > maxDepth {
		return false
	}
	if s.byte('{') {
		for first := true; ; first = false {
			_, done, ok := s.key(first)
			if done || !ok {
				return ok
			}
			if _, ok := s.value(); !ok {
				return false
			}
		}
	}
	s.i++
	if s.byte(']') {
		return true
	}
	for {
		if _, ok := s.value(); !ok {
			return false
		}
		if s.byte(']') {
			return true
		}
		if !s.byte(',') {
			return false
		}
	}
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

// null consumes the word, if that is what comes.
func (s *scanner) null() bool {
	s.space()
	return s.word("null")
}

func (s *scanner) number() bool {
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

func (s *scanner) digits() int {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i - start
}

// members are the names (as they stand between their quotes) and the values of an object, in their order. It yields
// nothing for what is no object, and stops where the text is malformed.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		s := scanner{b: object}
		if !s.byte('{') {
			return
		}
		for first := true; ; first = false {
			name, done, ok := s.key(first)
			if done || !ok {
				return
			}
			value, ok := s.value()
			if !ok || !yield(string(name), value) {
				return
			}
		}
	}
}

// elements are the values of an array. It yields nothing for what is no array, and stops where the text is malformed.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s := scanner{b: array}
		if !s.byte('[') || s.byte(']') {
			return
		}
		for {
			value, ok := s.value()
			if !ok || !yield(value) || !s.byte(',') {
				return
			}
		}
	}
}

// member is the value of one member of an object, nil where there is none or it is null.
func member(object []byte, name string) []byte {
	for n, value := range members(object) {
		if n == name {
			if string(value) == "null" {
				return nil
			}
			return value
		}
	}
	return nil
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string with no more escapes than JSON asks for. What is not UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
