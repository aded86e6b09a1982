package rawjson

import (
	"slices"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendString appends a text as a JSON string. Control characters are escaped, and the line separators U+2028 and U+2029, which
// JSON lets stand and not every reader of lines does; what is not UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; ; {
		for i < len(s) && s[i] >= ' ' && s[i] < utf8.RuneSelf && s[i] != '"' && s[i] != '\\' {
			i++
		}
		if i == len(s) {
			dst = append(dst, s[start:]...)
			return append(dst, '"')
		}
		if c := s[i]; c < utf8.RuneSelf {
			dst = appendEscape(append(dst, s[start:i]...), c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			dst = append(dst, s[start:i]...)
			dst = append(dst, '\\', 'u', hexDigits[r>>12&0xf], hexDigits[r>>8&0xf], hexDigits[r>>4&0xf], hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
	}
}

// AppendName appends the name of a further member, with the comma before it. The name must need no escapes.
func AppendName(dst []byte, name string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// AppendFloat appends a further member that is a number, if there is one.
func AppendFloat(dst []byte, name string, value *float64) []byte {
	if value == nil {
		return dst
	}
	return strconv.AppendFloat(AppendName(dst, name), *value, 'g', -1, 64)
}

// AppendInt appends a further member that is a whole number, if there is one.
func AppendInt(dst []byte, name string, value *int64) []byte {
	if value == nil {
		return dst
	}
	return strconv.AppendInt(AppendName(dst, name), *value, 10)
}

// AppendStrings appends a further member that is a list of strings, if there are any.
func AppendStrings(dst []byte, name string, values []string) []byte {
	for i, value := range values {
		if i == 0 {
			dst = append(AppendName(dst, name), '[')
		} else {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, value)
	}
	if len(values) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

// AppendWithout appends an object without some of its members.
func AppendWithout(dst, object []byte, names ...string) []byte {
	dst = append(dst, '{')
	first := true
	for name, value := range Members(object) {
		if slices.Contains(names, name) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, '"')
		dst = append(dst, name...)
		dst = append(dst, '"', ':')
		dst = append(dst, value...)
	}
	return append(dst, '}')
}

// OrEmpty is a value, or the empty string where there is none.
func OrEmpty(value []byte) []byte {
	if len(value) == 0 {
		return []byte(`""`)
	}
	return value
}

// Empty reports whether a value is left out, or null.
func Empty(raw []byte) bool {
	return len(raw) == 0 || string(raw) == "null"
}
