package pii

import "unicode/utf8"

const (
	leftWindow  = 64 // bytes looked at before a value
	rightWindow = 28 // and behind it
	nearWords   = 2  // an order number is one if "order" is among so many words before it, fillers aside
	maxWords    = 12
)

// leftContext is what the words before a value say.
type leftContext struct {
	hints hint // all of them together, up to the first that says "this is something else"
	near  hint // of the word that stands directly before, fillers skipped
	last  hint // of the word that stands directly before, whatever it is
	other bool // it is something else: an order number, an amount
}

func (c leftContext) has(h hint) bool { return c.hints&h != 0 }

// left reads the words before pos. What was masked before ends the window, but in a list ("81234567, 91234567") the
// earlier value speaks for the next.
func (s *scanner) left(pos int) leftContext {
	var c leftContext
	floor := max(s.lastEnd, pos-leftWindow)
	seen, number := 0, false
	first := true
	for i, n := pos, 0; n < maxWords; n++ {
		start, end := s.wordBefore(i, floor)
		if start == end {
			break
		}
		i = start
		h := s.hintOf(start, end)
		if first {
			c.last, first = h, false
		}
		if number {
			number = false
			if h&hintFiller != 0 || h&hintPersonal != 0 {
				c.hints |= hintPhoneWeak
				c.near |= hintPhoneWeak
			}
		}
		if h&hintNumber != 0 && h&(hintPersonal|hintOther) == 0 {
			number = true
			continue
		}
		if h&hintFiller != 0 && h&(hintPersonal&^hintPlace|hintOther) == 0 {
			c.hints |= h & hintPlace
			continue
		}
		if seen++; seen == 1 {
			c.near |= h
		}
		if h&hintOther != 0 && h&(hintPersonal&^hintPlace) == 0 {
			if seen <= nearWords && c.hints&(hintPersonal&^hintPlace) == 0 {
				c.other = true
			}
			if seen <= nearWords {
				break
			}
			continue
		}
		c.hints |= h
	}
	if floor == s.lastEnd && s.lastEnd > 0 && s.isList(s.lastEnd, pos) {
		c.inherit(s.lastEntity)
	}
	if floor == 0 || pos <= leftWindow {
		c.hints |= s.key
		c.near |= s.key
		c.other = c.other || s.key&hintOther != 0 && c.hints&hintPersonal == 0
	}
	return c
}

// near is the hint of the first word before pos that is no filler.
func (s *scanner) near(pos int) hint {
	const reach = 4
	floor := max(s.lastEnd, pos-leftWindow)
	i := pos
	for range reach {
		start, end := s.wordBefore(i, floor)
		if start == end {
			break
		}
		if h := s.hintOf(start, end); h&(hintFiller|hintNumber) == 0 || h&(hintPersonal&^hintPlace) != 0 {
			return h
		}
		i = start
	}
	switch {
	case floor == s.lastEnd && floor > 0 && s.lastEntity == Postal && s.isList(floor, pos):
		return hintPostal
	case pos <= leftWindow && floor == 0:
		return s.key
	}
	return 0
}

// inherit adds what the value before says of the next in a list.
func (c *leftContext) inherit(e Entity) {
	var h hint
	switch e {
	case Phone:
		h = hintPhone
	case Card:
		h = hintCard
	case NRIC:
		h = hintNRIC
	case SSN:
		h = hintSSN
	case IBAN:
		h = hintBank
	case Postal:
		h = hintPostal
	default:
		return
	}
	c.hints |= h
	c.near |= h
}

const maxListGap = 8

// isList says whether only a list's separators stand between from and to.
func (s *scanner) isList(from, to int) bool {
	if to-from > maxListGap {
		return false
	}
	for i := from; i < to; {
		switch c := s.text[i]; {
		case is(c, isLetter):
			end := ends(s.text, i, isLetter)
			switch s.text[i:end] {
			case "and", "or", "und", "et", "y", "und/oder":
			default:
				return false
			}
			i = end
		case c == ' ' || c == ',' || c == ';' || c == '/' || c == '&' || c == '|' || c == '"' || c == '\'' || c == '+' || c == '(':
			i++
		default:
			return false
		}
	}
	return true
}

// wordBefore returns the last word that ends before i. An underscore, and an upper-case letter behind a lower-case one,
// begins another word.
func (s *scanner) wordBefore(i, floor int) (start, end int) {
	t := s.text
	for i > floor && !is(t[i-1], isLetter|isHigh) {
		i--
	}
	end = i
	for i > floor && is(t[i-1], isLetter|isHigh) {
		i--
	}
	if i == floor && s.joinedBefore(i) && i > s.lastEnd {
		return i, i
	}
	return i, end
}

// hintOf looks a word up, and where it is unknown, the last part of a compound: phoneNumber, 我的电话.
func (s *scanner) hintOf(start, end int) hint {
	w := s.text[start:end]
	if h := words.of(w); h != 0 || w == "" {
		return h
	}
	if is(w[len(w)-1], isHigh) {
		return cjkHint(w)
	}
	for i := len(w) - 1; i > 0; i-- {
		if is(w[i], isUpper) && is(w[i-1], isLower) {
			h := words.of(w[i:])
			if h&(hintNumber|hintFiller) != 0 {
				h |= words.of(w[:i])
			}
			return h
		}
	}
	if len(w) > 3 && w[len(w)-1]|0x20 == 's' {
		return words.of(w[:len(w)-1]) &^ hintFiller
	}
	return 0
}

const cjkWidth = 3 // bytes of a Chinese, Japanese or Korean character

// cjkHint looks for a known word among the last characters of a sentence that is written without spaces.
func cjkHint(w string) hint {
	const back = 8
	var h hint
	for end := len(w); end > len(w)-back*cjkWidth && end >= 2*cjkWidth; end -= cjkWidth {
		if !utf8.RuneStart(w[end-2*cjkWidth]) {
			return h
		}
		h |= words.of(w[end-2*cjkWidth : end])
	}
	return h
}

// right reads the words behind a value, up to the end of the line or of the sentence.
func (s *scanner) right(pos int) hint {
	t := s.text
	end := min(len(t), pos+rightWindow)
	var h hint
	for i, n := pos, 0; i < end && n < 3; {
		switch c := t[i]; {
		case is(c, isLetter|isHigh):
			j := ends(t, i, isLetter|isHigh)
			if j < len(t) && (t[j] == '@' || is(t[j], isDigit)) {
				return h
			}
			w := words.of(t[i:j])
			if n == 0 && w&hintUnit != 0 && w&hintFiller == 0 {
				return h | hintUnit
			}
			if w&hintFiller == 0 {
				n++
			}
			h |= w & hintPersonal
			i = j
		case c == ' ' || c == '(' || c == ')' || c == '-' || c == '\\' || c == '/' || c == '\'':
			i++
		default:
			return h
		}
	}
	return h
}
