package pii

import "unicode/utf8"

const (
	maxGroups = 32
	maxDigits = 96
	// keepGroups is how many groups a reader may look ahead; a longer run is read again from there.
	keepGroups = 20
)

// What separates two groups of digits; more than one may.
const (
	sepSpace uint8 = 1 << iota
	sepDash
	sepDot
	sepSlash
	sepOpen
	sepClose
)

// group is a row of digits.
type group struct {
	start, end int
	first      int // index of its first digit in run.digits
	size       int
	open       int   // offset of the bracket before it, else -1
	sep        uint8 // what stands between the group before and this one
}

// run is a row of groups of digits with separators that numbers are written with. Full-width and other decimal digits
// and zero-width characters read the same as plain ones.
type run struct {
	digits [maxDigits]byte // '0' to '9'
	groups [maxGroups]group
	n      int
	end    int
}

// read reads the run whose first digit stands at i.
func (r *run) read(t string, i int) {
	r.n = 0
	nd := 0
	open, sep := -1, uint8(0)
	for {
		g := &r.groups[r.n]
		*g = group{start: i, first: nd, open: open, sep: sep}
		for {
			d, w := digitAt(t, i)
			if w == 0 {
				z := skipZeroWidth(t, i)
				if z == i {
					break
				}
				if d, w = digitAt(t, z); w == 0 {
					break
				}
				i = z
			}
			if nd < maxDigits {
				r.digits[nd] = d
				nd++
			}
			g.size++
			i += w
		}
		g.end = i
		r.n++
		if r.n == maxGroups || nd >= maxDigits-keepDigits {
			break
		}
		j, s, o := separator(t, i)
		if s == 0 {
			break
		}
		i, sep, open = j, s, o
	}
	r.end = i
}

const keepDigits = 32

// truncated says whether the run may go on behind what was read.
func (r *run) truncated() bool {
	g := &r.groups[r.n-1]
	return r.n == maxGroups || g.first+g.size >= maxDigits-keepDigits
}

// text returns the digits of n groups from g; the slice is valid until the next read.
func (r *run) text(g, n int) []byte {
	last := &r.groups[g+n-1]
	return r.digits[r.groups[g].first:min(last.first+last.size, maxDigits)]
}

// total is how many digits n groups from g have.
func (r *run) total(g, n int) int {
	total := 0
	for i := g; i < g+n; i++ {
		total += r.groups[i].size
	}
	return total
}

// digitAt decodes the decimal digit at i; its width is 0 where there is none.
func digitAt(t string, i int) (digit byte, width int) {
	if i >= len(t) {
		return 0, 0
	}
	c := t[i]
	if c < utf8.RuneSelf {
		if c-'0' <= 9 {
			return c, 1
		}
		return 0, 0
	}
	if triggers[c] != onHigh {
		return 0, 0
	}
	r, w := utf8.DecodeRuneInString(t[i:])
	for _, zero := range [...]rune{0xFF10, 0x0660, 0x06F0, 0x0966} {
		if r >= zero && r < zero+10 {
			return '0' + byte((r-zero)&0xF), w
		}
	}
	if r >= 0x1D7CE && r <= 0x1D7FF {
		return '0' + byte((r-0x1D7CE)%10), w
	}
	return 0, 0
}

// skipZeroWidth returns where the zero-width characters at i end.
func skipZeroWidth(t string, i int) int {
	for i < len(t) && t[i] >= utf8.RuneSelf {
		r, w := utf8.DecodeRuneInString(t[i:])
		switch r {
		case 0x00AD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF:
			i += w
		default:
			return i
		}
	}
	return i
}

const maxSeparator = 4

// separator reads what stands between two groups of digits: where the next group begins, what it is made of, and where a
// bracket opens. It is 0 where no group follows.
func separator(t string, i int) (next int, sep uint8, open int) {
	open = -1
	spaces := 0
	for range maxSeparator {
		i = skipZeroWidth(t, i)
		if _, w := digitAt(t, i); w > 0 {
			return i, sep, open
		}
		s, w := separatorAt(t, i)
		switch s {
		case 0:
			return 0, 0, -1
		case sepSpace:
			if spaces++; spaces > 2 {
				return 0, 0, -1
			}
		case sepOpen:
			open = i
			fallthrough
		default:
			if sep&s != 0 || sep&(sepDash|sepDot|sepSlash) != 0 && s&(sepDash|sepDot|sepSlash) != 0 {
				return 0, 0, -1
			}
		}
		sep |= s
		i += w
	}
	i = skipZeroWidth(t, i)
	if _, w := digitAt(t, i); w > 0 {
		return i, sep, open
	}
	return 0, 0, -1
}

// separatorAt classifies the character at i.
func separatorAt(t string, i int) (sep uint8, width int) {
	if i >= len(t) {
		return 0, 0
	}
	switch c := t[i]; {
	case c == ' ':
		return sepSpace, 1
	case c == '-':
		return sepDash, 1
	case c == '.':
		return sepDot, 1
	case c == '/':
		return sepSlash, 1
	case c == '(':
		return sepOpen, 1
	case c == ')':
		return sepClose, 1
	case c < utf8.RuneSelf:
		return 0, 0
	}
	r, w := utf8.DecodeRuneInString(t[i:])
	switch {
	case r == 0x00A0 || r >= 0x2000 && r <= 0x200A || r == 0x202F || r == 0x205F || r == 0x3000:
		return sepSpace, w
	case r >= 0x2010 && r <= 0x2015 || r == 0x2212 || r == 0xFE63 || r == 0xFF0D:
		return sepDash, w
	case r == 0x00B7 || r == 0x2022 || r == 0xFF0E:
		return sepDot, w
	case r == 0xFF0F:
		return sepSlash, w
	case r == 0xFF08:
		return sepOpen, w
	case r == 0xFF09:
		return sepClose, w
	}
	return 0, 0
}
