package pii

import (
	"strings"
	"unicode/utf8"
)

// numberEnd returns the end of the JSON number at i, and whether it is whole and has no sign.
func numberEnd(t string, i int) (end int, whole, ok bool) {
	whole = t[i] != '-'
	if !whole {
		i++
	}
	j := ends(t, i, isDigit)
	if j == i || j > i+1 && t[i] == '0' {
		return 0, false, false
	}
	if j < len(t) && t[j] == '.' {
		whole = false
		k := ends(t, j+1, isDigit)
		if k == j+1 {
			return 0, false, false
		}
		j = k
	}
	if j < len(t) && t[j]|0x20 == 'e' {
		whole = false
		k := j + 1
		if k < len(t) && (t[k] == '+' || t[k] == '-') {
			k++
		}
		j = ends(t, k, isDigit)
		if j == k {
			return 0, false, false
		}
	}
	return j, whole, true
}

// quotedEnd returns the end of the string that opens at i, and whether it has escapes.
func quotedEnd(t string, i int) (end int, escaped, ok bool) {
	for j := i + 1; ; {
		for j < len(t) && kinds[t[j]]&isEscaped == 0 {
			j++
		}
		if j == len(t) {
			return 0, false, false
		}
		if t[j] == '"' {
			return j + 1, escaped, true
		}
		if t[j] != '\\' {
			return 0, false, false
		}
		escaped = true
		width := escapeWidth(t[j:])
		if width == 0 {
			return 0, false, false
		}
		j += width
	}
}

// escapeWidth is how long the escape is that t begins with; 0 if it is none.
func escapeWidth(t string) int {
	if len(t) < 2 {
		return 0
	}
	switch t[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(t) >= 6 && is(t[2], isHex) && is(t[3], isHex) && is(t[4], isHex) && is(t[5], isHex) {
			return 6
		}
	}
	return 0
}

// unescape appends the inside of a valid JSON string without its escapes.
func unescape(dst []byte, t string) []byte {
	for i := 0; ; i++ {
		n := strings.IndexByte(t[i:], '\\')
		if n < 0 {
			return append(dst, t[i:]...)
		}
		dst = append(dst, t[i:i+n]...)
		i += n + 1
		switch t[i] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(t[i+1:])
			i += 4
			if r >= 0xD800 && r < 0xDC00 && i+6 < len(t) && t[i+1] == '\\' && t[i+2] == 'u' {
				if low := hex4(t[i+3:]); low >= 0xDC00 && low < 0xE000 {
					r = 0x10000 + (r-0xD800)<<10 + (low - 0xDC00)
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, t[i])
		}
	}
}

func hex4(t string) rune {
	r := rune(0)
	for i := range 4 {
		c := t[i]
		switch {
		case is(c, isDigit):
			c -= '0'
		default:
			c = c&^0x20 - 'A' + 10
		}
		r = r<<4 | rune(c)
	}
	return r
}

// appendQuoted appends t as a JSON string.
func appendQuoted(dst, t []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i, c := range t {
		if kinds[c]&isEscaped == 0 {
			continue
		}
		dst = append(dst, t[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, t[from:]...)
	return append(dst, '"')
}
