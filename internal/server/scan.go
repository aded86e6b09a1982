package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

const (
	// maxDepth is how deep arrays and objects may lie in each other.
	maxDepth = 64
	// maxValues is how many values a body may hold in all, maxElements how many an array, maxKeys how many an object. What
	// is refused for other reasons costs far more than to count: an error for every element.
	maxValues   = 100_000
	maxElements = 10_000
	maxKeys     = 1_000
	// maxListed is how many messages, parts of a content and tools there may be.
	maxListed = chat.MaxCreateMessages
	// maxFields bounds the list of what is wrong with a request.
	maxFields = 32
	// fewKeys is how many keys of an object are compared one by one before a map is made of them.
	fewKeys = 16
	// plainNumber is the longest number without an exponent that cannot be out of a float's range.
	plainNumber = 300
)

// Why a body is not even looked at.
var (
	errMalformed = errors.New("not valid JSON")
	errTooDeep   = errors.New("nested too deeply")
	errTooMany   = errors.New("too many values")
)

// What no text may be or have, in a body or in a query.
const (
	badUTF8 = "text is not valid UTF-8"
	hasNUL  = "text has a NUL character"
)

// scan reads a JSON text once and lists what a decoder would let pass in silence: keys given twice, NUL, lone surrogates,
// invalid UTF-8, numbers beyond any range. Text that is not JSON at all is errMalformed. At the first array, object or text
// that holds more than it may it ends with errTooMany, and the list says where.
//
// Locations name only keys that known has; at the first other one they end.
func scan(data []byte, known names) ([]fault.Field, error) {
	s := scanner{data: data, known: known}
	s.space()
	if err := s.value(0); err != nil {
		return s.fields, err
	}
	s.space()
	if s.pos != len(data) {
		return nil, errMalformed
	}
	return s.fields, nil
}

type scanner struct {
	data   []byte
	pos    int
	known  names
	values int
	path   []step
	keys   [][]byte
	fields []fault.Field
}

// step is one part of a path: a key or, with a nil key, an index.
type step struct {
	key   []byte
	index int
}

func (s *scanner) value(depth int) error {
	if s.pos == len(s.data) {
		return errMalformed
	}
	if s.values++; s.values > maxValues {
		s.path = nil
		return s.tooMany(maxValues, "values")
	}
	switch c := s.data[s.pos]; c {
	case '"':
		_, err := s.text()
		return err
	case '{', '[':
		if depth == maxDepth {
			return errTooDeep
		}
		s.pos++
		if c == '{' {
			return s.object(depth + 1)
		}
		return s.array(depth + 1)
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		return s.number()
	}
}

func (s *scanner) object(depth int) error {
	base := len(s.keys)
	defer func() { s.keys = s.keys[:base] }()
	var seen map[string]struct{}
	s.space()
	if s.take('}') {
		return nil
	}
	for n := 0; ; n++ {
		if n == maxKeys {
			return s.tooMany(maxKeys, "keys")
		}
		s.space()
		if s.pos == len(s.data) || s.data[s.pos] != '"' {
			return errMalformed
		}
		key, err := s.text()
		if err != nil {
			return err
		}
		if !s.addKey(base, &seen, key) {
			s.report("a key is given twice")
		}
		s.space()
		if !s.take(':') {
			return errMalformed
		}
		s.space()
		s.path = append(s.path, step{key: key})
		if err := s.value(depth); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
		s.space()
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return errMalformed
		}
	}
}

// addKey remembers a key of the object whose keys begin at base and reports whether it is new.
func (s *scanner) addKey(base int, seen *map[string]struct{}, key []byte) bool {
	keys := s.keys[base:]
	if *seen == nil && len(keys) == fewKeys {
		*seen = make(map[string]struct{}, 2*fewKeys)
		for _, k := range keys {
			(*seen)[string(k)] = struct{}{}
		}
	}
	if *seen != nil {
		_, found := (*seen)[string(key)]
		(*seen)[string(key)] = struct{}{}
		return !found
	}
	for _, k := range keys {
		if bytes.Equal(k, key) {
			return false
		}
	}
	s.keys = append(s.keys, key)
	return true
}

func (s *scanner) array(depth int) error {
	s.space()
	if s.take(']') {
		return nil
	}
	most := s.mostElements()
	for i := 0; ; i++ {
		if i == most {
			return s.tooMany(most, "elements")
		}
		s.space()
		s.path = append(s.path, step{index: i})
		if err := s.value(depth); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
		s.space()
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return errMalformed
		}
	}
}

// mostElements is how many elements the array at hand may have.
func (s *scanner) mostElements() int {
	switch n := len(s.path); {
	case n == 1 && s.path[0].is("messages", "prompt", "content", "tools"),
		n == 3 && s.path[0].is("messages", "prompt") && s.path[2].is("content"):
		return maxListed
	default:
		return maxElements
	}
}

func (s step) is(keys ...string) bool { return slices.Contains(keys, string(s.key)) }

// tooMany says of the value at hand that it holds more than it may. It says so alone: what else is wrong may be much.
func (s *scanner) tooMany(most int, what string) error {
	s.fields = nil
	s.report(fmt.Sprintf("expected at most %d %s", most, what))
	return errTooMany
}

// text reads a string and returns what stands in it, decoded only if it has escapes.
func (s *scanner) text() ([]byte, error) {
	start := s.pos
	s.pos++
	escaped, invalid := false, false
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			if invalid {
				s.report(badUTF8)
			}
			return s.plain(s.data[start:s.pos], escaped), nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return nil, err
			}
		case c < ' ':
			return nil, errMalformed
		case c < utf8.RuneSelf:
			s.pos++
		default:
			r, size := utf8.DecodeRune(s.data[s.pos:])
			invalid = invalid || r == utf8.RuneError && size == 1
			s.pos += size
		}
	}
	return nil, errMalformed
}

func (s *scanner) plain(quoted []byte, escaped bool) []byte {
	if escaped {
		return []byte(unquote(quoted))
	}
	return quoted[1 : len(quoted)-1]
}

func (s *scanner) escape() error {
	if s.pos+1 == len(s.data) {
		return errMalformed
	}
	switch s.data[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return nil
	case 'u':
	default:
		return errMalformed
	}
	r, ok := s.hex4()
	if !ok {
		return errMalformed
	}
	switch {
	case r == 0:
		s.report(hasNUL)
	case utf16.IsSurrogate(r):
		low, ok := rune(0), false
		if bytes.HasPrefix(s.data[s.pos:], []byte(`\u`)) {
			mark := s.pos
			if low, ok = s.hex4(); !ok {
				return errMalformed
			}
			if utf16.DecodeRune(r, low) == utf8.RuneError {
				// The second escape is looked at again by itself.
				s.pos, ok = mark, false
			}
		}
		if !ok {
			s.report("text has half of a surrogate pair")
		}
	}
	return nil
}

// hex4 reads an escape of the form \uXXXX.
func (s *scanner) hex4() (rune, bool) {
	if s.pos+6 > len(s.data) {
		return 0, false
	}
	var r rune
	for _, c := range s.data[s.pos+2 : s.pos+6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	s.pos += 6
	return r, true
}

func (s *scanner) number() error {
	start, exponent := s.pos, false
	s.take('-')
	if !s.take('0') && !s.digits() {
		return errMalformed
	}
	if s.take('.') && !s.digits() {
		return errMalformed
	}
	if s.take('e') || s.take('E') {
		exponent = true
		if !s.take('+') {
			s.take('-')
		}
		if !s.digits() {
			return errMalformed
		}
	}
	if exponent || s.pos-start > plainNumber {
		if _, err := strconv.ParseFloat(string(s.data[start:s.pos]), 64); err != nil {
			s.report("a number is out of range")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		return errMalformed
	}
	s.pos += len(word)
	return nil
}

func (s *scanner) take(c byte) bool {
	if s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) report(message string) {
	if len(s.fields) == maxFields {
		return
	}
	f := fault.Field{Location: s.location(), Message: message}
	// One text may be wrong at many places: once is enough to find it.
	if n := len(s.fields); n > 0 && s.fields[n-1] == f {
		return
	}
	s.fields = append(s.fields, f)
}

func (s *scanner) location() string {
	loc := []byte("body")
	for _, st := range s.path {
		if st.key == nil {
			loc = append(loc, '[')
			loc = strconv.AppendInt(loc, int64(st.index), 10)
			loc = append(loc, ']')
			continue
		}
		if !s.known.has(string(st.key)) {
			break
		}
		loc = append(loc, '.')
		loc = append(loc, st.key...)
	}
	return string(loc)
}

// names are the keys that an error may repeat: those of the API itself, never a caller's.
type names map[string]struct{}

func (n names) has(name string) bool {
	_, ok := n[name]
	return ok
}

// isNull reports whether a raw value is there and null.
func isNull(raw json.RawMessage) bool { return string(raw) == "null" }
