package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold is a word as it is compared: its compatibility decomposition in lower case, without accents and invisible
// characters. It may be empty.
func fold(w string) string {
	if ascii, lower := plain(w); ascii {
		if lower {
			return cut(w)
		}
		return cut(strings.ToLower(w))
	}
	var b strings.Builder
	for _, r := range norm.NFKD.String(w) {
		r = unicode.ToLower(r)
		if isAccent(r) || !isWordRune(r) {
			continue
		}
		if b.Len() >= maxTerm {
			break
		}
		if plainer := letters[r]; plainer != "" {
			b.WriteString(plainer)
		} else {
			b.WriteRune(r)
		}
	}
	return cut(b.String())
}

func isWordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
	}
	return unicode.In(r, unicode.L, unicode.N, unicode.M)
}

// plain reports whether a word is of ASCII letters and digits only, and whether those are of lower case.
func plain(w string) (ascii, lower bool) {
	lower = true
	for i := range len(w) {
		switch c := w[i]; {
		case c >= utf8.RuneSelf:
			return false, false
		case c >= 'A' && c <= 'Z':
			lower = false
		}
	}
	return true, lower
}

// cut cuts a term to its first bytes.
func cut(term string) string {
	if len(term) <= maxTerm {
		return term
	}
	n := maxTerm
	for !utf8.RuneStart(term[n]) {
		n--
	}
	return term[:n]
}

// letters are those whose accent or ligature Unicode does not decompose, as they are written without.
var letters = map[rune]string{
	'ß': "ss", 'æ': "ae", 'œ': "oe", 'ø': "o", 'đ': "d", 'ð': "d", 'þ': "th", 'ħ': "h", 'ı': "i", 'ĸ': "k", 'ł': "l", 'ŋ': "n", 'ŧ': "t", 'ς': "σ",
}

// accents are the marks that are left out: those on Latin, Greek and Cyrillic letters, the points of Hebrew and the vowel
// signs of Arabic. In other scripts a mark makes another letter.
var accents = &unicode.RangeTable{R16: []unicode.Range16{
	{0x0300, 0x036f, 1},
	{0x0483, 0x0489, 1},
	{0x0591, 0x05bd, 1},
	{0x05bf, 0x05bf, 1},
	{0x05c1, 0x05c2, 1},
	{0x05c4, 0x05c5, 1},
	{0x05c7, 0x05c7, 1},
	{0x0610, 0x061a, 1},
	{0x064b, 0x065f, 1},
	{0x0670, 0x0670, 1},
	{0x06d6, 0x06dc, 1},
	{0x06df, 0x06e4, 1},
	{0x06e7, 0x06e8, 1},
	{0x06ea, 0x06ed, 1},
	{0x1ab0, 0x1aff, 1},
	{0x1dc0, 0x1dff, 1},
	{0x20d0, 0x20ff, 1},
	{0xfe00, 0xfe0f, 1},
	{0xfe20, 0xfe2f, 1},
}}

func isAccent(r rune) bool { return r >= 0x300 && unicode.Is(accents, r) }
