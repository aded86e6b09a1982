package audit

import (
	"encoding/hex"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendText appends ,"name":"text" where lead is ,"name": and nothing where the text is empty.
func appendText(dst []byte, lead, text string) []byte {
	if text == "" {
		return dst
	}
	return appendString(append(dst, lead...), text)
}

// appendInt appends lead and n, and nothing where n is 0.
func appendInt(dst []byte, lead string, n int64) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, lead...), n, 10)
}

// appendHash appends lead and the hash in lower hex, and nothing where it is all zero.
func appendHash(dst []byte, lead string, hash [32]byte) []byte {
	if hash == ([32]byte{}) {
		return dst
	}
	return appendHex(append(dst, lead...), hash)
}

func appendHex(dst []byte, hash [32]byte) []byte {
	return append(hex.AppendEncode(append(dst, '"'), hash[:]), '"')
}

// appendString appends s as a JSON string, escaped as RFC 8785 section 3.2.2.2 has it, so that there is one way to
// write each text. Every byte that is not part of valid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	plain := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = appendEscape(append(dst, s[plain:i]...), c)
			i++
			plain = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = utf8.AppendRune(append(dst, s[plain:i]...), utf8.RuneError)
			plain = i + 1
		}
		i += size
	}
	return append(append(dst, s[plain:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\t':
		return append(dst, `\t`...)
	case '\n':
		return append(dst, `\n`...)
	case '\f':
		return append(dst, `\f`...)
	case '\r':
		return append(dst, `\r`...)
	default:
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
}

// scanner reads the JSON that the append functions write. It accepts somewhat more than they write, and relies on its
// caller to write the result again and compare. Once it has failed, everything it returns is zero.
type scanner struct {
	s      string
	pos    int
	failed bool
}

// take steps over x if it stands next.
func (p *scanner) take(x string) bool {
	if p.failed || len(p.s)-p.pos < len(x) || p.s[p.pos:p.pos+len(x)] != x {
		return false
	}
	p.pos += len(x)
	return true
}

// want steps over x, which must stand next.
func (p *scanner) want(x string) {
	if !p.take(x) {
		p.failed = true
	}
}

// text reads the string behind lead, if lead stands next.
func (p *scanner) text(lead string) string {
	if !p.take(lead) {
		return ""
	}
	return p.string()
}

// int reads the number behind lead, if lead stands next.
func (p *scanner) int(lead string) int64 {
	if !p.take(lead) {
		return 0
	}
	return p.number()
}

// hash reads the hash behind lead, if lead stands next.
func (p *scanner) hash(lead string) (hash [32]byte) {
	if p.take(lead) {
		hash = p.hex()
	}
	return hash
}

func (p *scanner) string() string {
	p.want(`"`)
	if p.failed {
		return ""
	}
	start := p.pos
	for i := start; i < len(p.s); i++ {
		switch p.s[i] {
		case '"':
			p.pos = i + 1
			return p.s[start:i]
		case '\\':
			p.pos = i
			return p.escaped(p.s[start:i])
		}
	}
	p.failed = true
	return ""
}

// escaped reads the rest of a string whose first escape stands next.
func (p *scanner) escaped(head string) string {
	// A header within a line of an export is mostly escapes, and about so long.
	out := append(make([]byte, 0, len(head)+1024), head...)
	for {
		end := p.pos
		for end < len(p.s) && p.s[end] != '"' && p.s[end] != '\\' {
			end++
		}
		if end == len(p.s) {
			p.failed = true
			return ""
		}
		out = append(out, p.s[p.pos:end]...)
		p.pos = end + 1
		if p.s[end] == '"' {
			return string(out)
		}
		out = append(out, p.escape())
	}
}

// escape reads what follows a backslash. Only ASCII is ever escaped.
func (p *scanner) escape() byte {
	if p.take(`"`) {
		return '"'
	}
	for _, e := range [...]struct {
		x string
		c byte
	}{{`\`, '\\'}, {"b", '\b'}, {"t", '\t'}, {"n", '\n'}, {"f", '\f'}, {"r", '\r'}} {
		if p.take(e.x) {
			return e.c
		}
	}
	p.want("u00")
	var c [1]byte
	if len(p.s)-p.pos < 2 {
		p.failed = true
	}
	if p.failed {
		return 0
	}
	if _, err := hex.Decode(c[:], []byte(p.s[p.pos:p.pos+2])); err != nil {
		p.failed = true
	}
	p.pos += 2
	return c[0]
}

func (p *scanner) number() int64 {
	start := p.pos
	for p.pos < len(p.s) && (p.s[p.pos] == '-' || p.s[p.pos] >= '0' && p.s[p.pos] <= '9') {
		p.pos++
	}
	n, err := strconv.ParseInt(p.s[start:p.pos], 10, 64)
	if err != nil {
		p.failed = true
		return 0
	}
	return n
}

func (p *scanner) hex() (hash [32]byte) {
	p.want(`"`)
	if len(p.s)-p.pos < 2*len(hash) {
		p.failed = true
	}
	if p.failed {
		return hash
	}
	var digits [2 * len(hash)]byte
	copy(digits[:], p.s[p.pos:])
	if _, err := hex.Decode(hash[:], digits[:]); err != nil {
		p.failed = true
	}
	p.pos += len(digits)
	p.want(`"`)
	return hash
}
