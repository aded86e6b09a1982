package search

import (
	"iter"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

type kind uint8

const (
	word kind = iota
	// run is of a script that is written without spaces between its words.
	run
	symbol
)

// piece is a part of a text that makes terms: text[start:end].
type piece struct {
	kind       kind
	start, end int
}

// pieces are the parts of a text that make terms, in order. What is between them is not searched for.
func pieces(text string) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		for i := 0; i < len(text); {
			r, size := decode(text, i)
			p := piece{kind: symbol, start: i, end: i + size}
			switch class(r) {
			case separates, ignored:
				i += size
				continue
			case inWord:
				p.kind, p.end = word, end(text, p.end, inWord)
			case inRun:
				p.kind, p.end = run, end(text, p.end, inRun)
			case alone:
			}
			i = p.end
			// A word may be of accents alone.
			if p.kind == word && r >= utf8.RuneSelf && p.fold(text) == "" {
				continue
			}
			if !yield(p) {
				return
			}
		}
	}
}

// end is where a piece ends that goes on while its characters are of class c or ignored. An ignored one at its end is
// not of it.
func end(text string, from int, c charClass) int {
	last := from
	for i := from; i < len(text); {
		r, size := decode(text, i)
		i += size
		switch class(r) {
		case c:
			last = i
		case ignored:
		default:
			return last
		}
	}
	return last
}

func decode(text string, i int) (rune, int) {
	if c := text[i]; c < utf8.RuneSelf {
		return rune(c), 1
	}
	return utf8.DecodeRuneInString(text[i:])
}

type charClass uint8

const (
	separates charClass = iota
	ignored
	inWord
	inRun
	alone
)

func class(r rune) charClass {
	switch {
	case r < utf8.RuneSelf:
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return inWord
		}
		return separates
	case r == utf8.RuneError:
		return separates
	case r >= firstLatin && r <= lastLatin && r != '×' && r != '÷':
		return inWord
	case isRun(r):
		return inRun
	case unicode.In(r, unicode.L, unicode.N, unicode.M):
		return inWord
	case unicode.Is(unicode.Cf, r):
		return ignored
	case unicode.In(r, unicode.So, unicode.Sc):
		return alone
	default:
		return separates
	}
}

// What lies between these is letters, but for two signs, and most of what is not ASCII in European languages.
const (
	firstLatin = 'À'
	lastLatin  = 'ɏ'
)

const (
	firstOfRuns     = 0x0e00
	prolonged       = 'ー'
	halfProlonged   = 'ｰ'
	voiced          = 0x3099
	semiVoiced      = 0x309a
	halfVoiced      = 'ﾞ'
	halfSemiVoiced  = 'ﾟ'
	firstJoinedJamo = 0x1160
	lastJoinedJamo  = 0x11ff
)

// isRun reports whether a character is of a script without spaces. Korean has some, but not where a word ends.
func isRun(r rune) bool {
	if r < firstOfRuns {
		return false
	}
	switch r {
	case prolonged, halfProlonged, voiced, semiVoiced, halfVoiced, halfSemiVoiced:
		return true
	}
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar) &&
		unicode.In(r, unicode.L, unicode.N, unicode.M)
}

// fold is the term that a word or a symbol makes.
func (p piece) fold(text string) string {
	raw := text[p.start:p.end]
	folded := fold(raw)
	if folded == "" && p.kind == symbol {
		return raw
	}
	return folded
}

// char is a character of a run, folded, and where it stands in the text.
type char struct {
	r          rune
	start, end int
}

// chars are the characters of a run, of which there is at least one.
func (p piece) chars(text string) []char {
	list := make([]char, 0, (p.end-p.start)/3)
	for i := p.start; i < p.end; {
		r, size := decode(text, i)
		if class(r) == ignored {
			i += size
			continue
		}
		to := i + size
		for to < p.end {
			next, size := decode(text, to)
			if !joins(next) {
				break
			}
			to += size
		}
		for _, r := range norm.NFKC.String(text[i:to]) {
			if class(r) != separates {
				list = append(list, char{r, i, to})
			}
		}
		i = to
	}
	if len(list) == 0 {
		r, _ := decode(text, p.start)
		list = append(list, char{r, p.start, p.end})
	}
	return list
}

// joins reports whether a character makes one with that ahead of it: the marks of kana, and the further letters of a
// syllable of Hangul.
func joins(r rune) bool {
	switch r {
	case voiced, semiVoiced, halfVoiced, halfSemiVoiced:
		return true
	}
	return r >= firstJoinedJamo && r <= lastJoinedJamo
}
