package pii

import (
	"unicode"
	"unicode/utf8"
)

// trigger is why the scan stops at a byte.
type trigger uint8

const (
	pass      trigger = iota
	onDigit           // a number, and what begins with one
	onHigh            // the first byte of a digit or a sign that is not ASCII
	onAt              // an e-mail address
	onColon           // a URL, an IPv6 address, an assignment
	onEquals          // an assignment
	onJoiner          // - _ . may end the prefix of a token
	onBracket         // a tag
	onUpperA          // AKIA..., AIza...
	onUpperJ          // eyJ...
	onB               // Bearer, Basic
	onD               // dot
	onW               // password
)

var triggers = makeTriggers()

func makeTriggers() (t [256]trigger) {
	for c := '0'; c <= '9'; c++ {
		t[c] = onDigit
	}
	// The lead bytes of full-width forms, of Arabic and Devanagari digits, and of mathematical ones.
	for _, c := range []byte{0xEF, 0xD9, 0xDB, 0xE0, 0xF0} {
		t[c] = onHigh
	}
	t['@'], t[':'], t['='], t['['] = onAt, onColon, onEquals, onBracket
	t['-'], t['_'], t['.'] = onJoiner, onJoiner, onJoiner
	t['A'], t['J'] = onUpperA, onUpperJ
	t['b'], t['B'] = onB, onB
	t['d'], t['D'] = onD, onD
	t['w'], t['W'] = onW, onW
	return t
}

// What a byte can be part of.
const (
	isUpper uint8 = 1 << iota
	isLower
	isDigit
	isHigh  // not ASCII
	isLocal // the ASCII part of an e-mail address before the @
	isToken // a token: letters, digits, - and _
	isHex
	isEscaped // in a JSON string

	isLetter = isUpper | isLower
	isAlnum  = isLetter | isDigit
)

var kinds = makeKinds()

func makeKinds() (k [256]uint8) {
	for c := range 256 {
		switch {
		case c >= 'a' && c <= 'z':
			k[c] = isLower | isLocal | isToken
		case c >= 'A' && c <= 'Z':
			k[c] = isUpper | isLocal | isToken
		case c >= '0' && c <= '9':
			k[c] = isDigit | isLocal | isToken | isHex
		case c >= utf8.RuneSelf:
			k[c] = isHigh
		}
	}
	for _, c := range "abcdefABCDEF" {
		k[c] |= isHex
	}
	for _, c := range "._+-'%&~" {
		k[c] |= isLocal
	}
	for _, c := range "-_" {
		k[c] |= isToken
	}
	for c := range 0x20 {
		k[c] |= isEscaped
	}
	k['"'] |= isEscaped
	k['\\'] |= isEscaped
	return k
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func is(c, kind uint8) bool { return kinds[c]&kind != 0 }

// isAt is is for a position that may lie outside.
func isAt(t string, i int, kind uint8) bool { return uint(i) < uint(len(t)) && kinds[t[i]]&kind != 0 }

// ends returns the end of the run of bytes of a kind that begins at i.
func ends(t string, i int, kind uint8) int {
	for i < len(t) && kinds[t[i]]&kind != 0 {
		i++
	}
	return i
}

// begins returns the start of the run of bytes of a kind that ends before i; it looks no further back than floor.
func begins(t string, i, floor int, kind uint8) int {
	for i > floor && kinds[t[i-1]]&kind != 0 {
		i--
	}
	return i
}

// folds says whether t continues at i with the lower-case ASCII text want, in any case.
func folds(t string, i int, want string) bool {
	if i < 0 || len(t)-i < len(want) {
		return false
	}
	for j := range len(want) {
		c := t[i+j]
		if is(c, isUpper) {
			c |= 0x20
		}
		if c != want[j] {
			return false
		}
	}
	return true
}

// ideographic says whether a script is written without spaces between its words, so that a number or an address may
// touch a letter and still be on its own.
func ideographic(r rune) bool { return r >= 0x0E00 && !(r >= 0xFF10 && r <= 0xFF5A) }

// joinedBefore says whether a word runs on to i from the left.
func joinedBefore(t string, i int) bool {
	if i == 0 {
		return false
	}
	c := t[i-1]
	if c < utf8.RuneSelf {
		return is(c, isAlnum) || c == '_'
	}
	r, _ := utf8.DecodeLastRuneInString(t[:i])
	return !ideographic(r) && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// joinedAfter says whether a word runs on from i to the right.
func joinedAfter(t string, i int) bool {
	if i >= len(t) {
		return false
	}
	c := t[i]
	if c < utf8.RuneSelf {
		return is(c, isAlnum) || c == '_'
	}
	r, _ := utf8.DecodeRuneInString(t[i:])
	return !ideographic(r) && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// noEntity is the entity of a tag with a name of another version.
const noEntity = Entity(NumEntities)

const maxTagName = 32

// tagAt returns the entity and the end of the tag at i, where there is one.
func tagAt(t string, i int) (Entity, int, bool) {
	if len(t)-i < len(tagOpen) || t[i:i+len(tagOpen)] != tagOpen {
		return noEntity, 0, false
	}
	end := i + len(tagOpen)
	for end < len(t) && end-i < maxTagName && (is(t[end], isUpper) || t[end] == '_') {
		end++
	}
	if end == i+len(tagOpen) || end == len(t) || t[end] != tagClose[0] {
		return noEntity, 0, false
	}
	end++
	for e, tag := range tags {
		if t[i:end] == tag {
			return Entity(e), end, true
		}
	}
	return noEntity, end, true
}
