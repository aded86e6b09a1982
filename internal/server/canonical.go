package server

import (
	"bytes"
	"slices"
	"strconv"
)

// appendCanonical appends a JSON text, in which scan has found nothing wrong, in a form that all texts of the same value share: members sorted,
// strings without escapes behind their length, numbers as digits and exponent, no space. It is no JSON.
func appendCanonical(dst, body []byte) []byte {
	c := canonical{scanner: scanner{data: body}, dst: dst}
	c.space()
	c.value()
	return c.dst
}

type canonical struct {
	scanner
	dst []byte
}

// member is one of an object's: its name, and where its canonical form stands.
type member struct {
	name       []byte
	start, end int
}

func (c *canonical) value() {
	switch start := c.pos; c.data[start] {
	case '"':
		text, _ := c.text()
		c.string(text)
	case '{':
		c.pos++
		c.object()
	case '[':
		c.pos++
		c.array()
	case 't', 'f', 'n':
		c.dst = append(c.dst, c.data[start])
		for c.pos < len(c.data) && c.data[c.pos] >= 'a' && c.data[c.pos] <= 'z' {
			c.pos++
		}
	default:
		_ = c.number()
		c.dst = appendNumber(c.dst, c.data[start:c.pos])
	}
	c.space()
}

func (c *canonical) string(text []byte) {
	c.dst = append(c.dst, '"')
	c.dst = strconv.AppendInt(c.dst, int64(len(text)), 10)
	c.dst = append(c.dst, ':')
	c.dst = append(c.dst, text...)
}

func (c *canonical) array() {
	c.dst = append(c.dst, '[')
	for c.space(); !c.take(']'); c.space() {
		c.value()
		c.take(',')
	}
	c.dst = append(c.dst, ']')
}

func (c *canonical) object() {
	c.dst = append(c.dst, '{')
	base := len(c.dst)
	var members []member
	for c.space(); !c.take('}'); c.space() {
		m := member{start: len(c.dst)}
		m.name, _ = c.text()
		c.string(m.name)
		c.space()
		c.take(':')
		c.space()
		c.value()
		m.end = len(c.dst)
		members = append(members, m)
		c.take(',')
	}
	byName := func(a, b member) int { return bytes.Compare(a.name, b.name) }
	if !slices.IsSortedFunc(members, byName) {
		slices.SortFunc(members, byName)
		unsorted := bytes.Clone(c.dst[base:])
		c.dst = c.dst[:base]
		for _, m := range members {
			c.dst = append(c.dst, unsorted[m.start-base:m.end-base]...)
		}
	}
	c.dst = append(c.dst, '}')
}

// appendNumber appends a number as its digits, without zeros ahead and behind, and the power of ten that they are to be multiplied by: 1, 1.0
// and 10e-1 are one number.
func appendNumber(dst, number []byte) []byte {
	mantissa, exponent, _ := bytes.Cut(bytes.ToLower(number), []byte("e"))
	shift := 0
	if len(exponent) > 0 {
		var err error
		if shift, err = strconv.Atoi(string(exponent)); err != nil {
			// So far out that it is nothing, however it is written.
			return append(dst, number...)
		}
	}
	whole, fraction, _ := bytes.Cut(bytes.TrimPrefix(mantissa, []byte("-")), []byte("."))
	digits := bytes.TrimLeft(append(bytes.Clone(whole), fraction...), "0")
	significant := bytes.TrimRight(digits, "0")
	if len(significant) == 0 {
		return append(dst, '0')
	}
	if mantissa[0] == '-' {
		dst = append(dst, '-')
	}
	dst = append(dst, significant...)
	dst = append(dst, 'e')
	return strconv.AppendInt(dst, int64(shift-len(fraction)+len(digits)-len(significant)), 10)
}
