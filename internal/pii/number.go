package pii

import (
	"unicode"
	"unicode/utf8"
)

// edge is what a number touches on one side.
type edge uint8

const (
	edgeOpen     edge = iota // white space, a quote, a bracket: it stands by itself
	edgeJoined               // a word or another number
	edgeHyphened             // a hyphen with a word or a number behind it
	edgeDotted
	edgeSlashed
	edgeHashed // #
	edgeKeyed  // =
	edgePriced // the sign of a currency, or %
)

// lead is how a number begins.
type lead struct {
	start   int // of the plus or the bracket before it, where there is one
	plus    bool
	open    bool // a bracket opens before it
	crowded bool // another number stands before it, one space away
	edge    edge
}

// number reads the run of digits that begins at i and classifies what is in it.
func (s *scanner) number(i int) {
	t := s.text
	if i > 0 && t[i-1] == '%' && isAt(t, i, isHex) && isAt(t, i+1, isHex) {
		s.pos = i + 2
		return
	}
	if s.joinedBefore(i) && !escaped(t, i) && !s.lettered(i) {
		s.pos = max(s.pos, ends(t, i, isAlnum))
		return
	}
	if s.pos > i+1 {
		return
	}
	r := &s.run
	r.read(t, i)
	s.runContext = false
	limit := r.n
	s.pos = r.end
	if r.truncated() && r.n > 1 {
		limit = max(1, r.n-keepGroups)
		s.pos = r.groups[limit].start
	}
	for g, claimed := 0, 0; g < limit; {
		n := s.classify(g, s.leadOf(g, claimed))
		if n == 0 {
			g++
			continue
		}
		g += n
		claimed = g
	}
}

// escaped says whether the letters before i are an escape, such as \n or %2B, and no word.
func escaped(t string, i int) bool {
	if i >= 2 && t[i-2] == '\\' && (t[i-1] == 'n' || t[i-1] == 'r' || t[i-1] == 't') {
		return true
	}
	return i >= 3 && t[i-3] == '%' && is(t[i-2], isHex) && is(t[i-1], isHex)
}

// lettered handles a number that letters run into. It says whether to read on as if the number stood by itself, because
// the letters are a label: Tel91234567.
func (s *scanner) lettered(i int) bool {
	const maxLabel = 12
	t := s.text
	w := begins(t, i, max(s.lastEnd, i-maxLabel), isLetter)
	if w == i {
		s.wide(i)
		return false
	}
	if s.joinedBefore(w) {
		return false
	}
	switch i - w {
	case 1:
		if s.basement(w) {
			return false
		}
		if s.nricJoined(w, i) || s.postalJoined(w, i) || s.postcode(w) {
			return false
		}
	case 2:
		if s.iban(w) || s.postcode(w) {
			return false
		}
	}
	if i-w > 1 && words.of(t[w:i])&(hintPhone|hintCard|hintSSN|hintPostal|hintBlock) != 0 {
		s.labelEnd = i
		return true
	}
	return false
}

// wide handles a number that full-width letters run into.
func (s *scanner) wide(i int) {
	const width = len("Ａ")
	t := s.text
	if i-width < s.lastEnd {
		return
	}
	if _, w := letterAt(t, i-width); w != width {
		return
	}
	if !s.nricJoined(i-width, i) && i-2*width >= s.lastEnd {
		if _, w := letterAt(t, i-2*width); w == width && !s.joinedBefore(i-2*width) {
			s.iban(i - 2*width)
		}
	}
}

// leadOf looks at what stands before group g. Groups before claimed belong to findings.
func (s *scanner) leadOf(g, claimed int) lead {
	gr := &s.run.groups[g]
	if g == 0 {
		return s.leadOfRun(gr.start)
	}
	l := lead{start: gr.start}
	if gr.open >= 0 {
		l.start, l.open = gr.open, true
	}
	switch {
	case gr.sep&(sepSpace|sepOpen) != 0 || g == claimed:
		l.crowded = g > claimed && s.run.groups[g-1].size > 2 && gr.sep == sepSpace
	case gr.sep&sepDash != 0:
		l.edge = edgeHyphened
	case gr.sep&sepDot != 0:
		l.edge = edgeDotted
	case gr.sep&sepSlash != 0:
		l.edge = edgeSlashed
	}
	return l
}

func (s *scanner) leadOfRun(i int) lead {
	t := s.text
	l := lead{start: i}
	bracket := func() {
		if l.start > s.lastEnd && t[l.start-1] == '(' {
			l.start, l.open = l.start-1, true
		}
	}
	bracket()
	j := l.start
	if j > s.lastEnd && t[j-1] == ' ' && !l.open {
		j--
	}
	switch {
	case j > s.lastEnd && t[j-1] == '+':
		l.start, l.plus = j-1, true
	case j-2 > s.lastEnd && t[j-3:j] == "\uff0b":
		l.start, l.plus = j-3, true
	case i-2 > s.lastEnd && t[i-3] == '%' && t[i-2] == '2' && t[i-1]|0x20 == 'b':
		l.start, l.plus = i-3, true
	}
	if l.plus && !l.open {
		bracket()
	}
	l.edge = s.edgeBefore(l.start)
	return l
}

func (s *scanner) edgeBefore(i int) edge {
	t := s.text
	if i == s.lastEnd || i == s.labelEnd || escaped(t, i) {
		return edgeOpen
	}
	c := t[i-1]
	if c >= utf8.RuneSelf {
		r, w := utf8.DecodeLastRuneInString(t[:i])
		if sep, _ := separatorAt(t, i-w); sep == sepDash && s.joinedBefore(i-w) {
			return edgeHyphened
		}
		return edgeOfRune(r)
	}
	touched := i >= 2 && s.joinedBefore(i-1)
	switch c {
	case '-':
		if touched {
			return edgeHyphened
		}
	case '.':
		if touched {
			return edgeDotted
		}
	case '/', '\\':
		return edgeSlashed
	case '#':
		return edgeHashed
	case '=':
		return edgeKeyed
	case '$':
		return edgePriced
	case ':', ',', '\'':
		if isAt(t, i-2, isDigit) && i-1 != s.lastEnd {
			return edgeJoined
		}
	case '@', '+':
		return edgeJoined
	default:
		if is(c, isAlnum) || c == '_' {
			return edgeJoined
		}
	}
	return edgeOpen
}

// edgeAfter looks at what follows a number that ends before i.
func (s *scanner) edgeAfter(i int) edge {
	t := s.text
	if i >= len(t) {
		return edgeOpen
	}
	c := t[i]
	if c >= utf8.RuneSelf {
		r, _ := utf8.DecodeRuneInString(t[i:])
		return edgeOfRune(r)
	}
	// What was masked before counts as the word that it was, so that masking again finds nothing new.
	if c == '-' || c == '.' || c == ':' {
		if _, _, ok := tagAt(t, i+1); ok {
			return edgeJoined
		}
	}
	switch c {
	case '-':
		if joinedAfter(t, i+1) && !s.isLabel(i+1) {
			return edgeHyphened
		}
	case '.':
		if isAt(t, i+1, isDigit|isLower) {
			return edgeDotted
		}
	case ':':
		if isAt(t, i+1, isDigit) {
			return edgeJoined
		}
	case '%':
		return edgePriced
	case '@':
		return edgeJoined
	default:
		if is(c, isAlnum) || c == '_' {
			return edgeJoined
		}
	}
	return edgeOpen
}

// isLabel says whether the word at i names a phone: 91234567-Office.
func (s *scanner) isLabel(i int) bool {
	return words.of(s.text[i:ends(s.text, i, isLetter)])&(hintPhone|hintPhoneWeak) != 0
}

func edgeOfRune(r rune) edge {
	switch {
	case unicode.Is(unicode.Sc, r):
		return edgePriced
	case !ideographic(r) && (unicode.IsLetter(r) || unicode.IsDigit(r)):
		return edgeJoined
	}
	return edgeOpen
}

// glued is how many groups from g stand together without a space.
func (r *run) glued(g int) int {
	n := 1
	for g+n < r.n && r.groups[g+n].sep&(sepSpace|sepOpen|sepClose) == 0 {
		n++
	}
	return n
}

// closes says whether a value may end behind group i: what follows in the run, or behind it, is no part of it.
func (s *scanner) closes(i int) bool {
	r := &s.run
	if i+1 < r.n {
		return r.groups[i+1].sep&(sepSpace|sepSlash|sepOpen|sepClose) != 0
	}
	return s.edgeAfter(r.end) == edgeOpen
}

// classify tries, strongest first, what the groups from g on may be. It returns how many of them are done with.
func (s *scanner) classify(g int, l lead) int {
	r := &s.run
	if n := s.ipv4(g, l); n > 0 {
		return n
	}
	if n := r.date(g); n > 0 && !l.plus {
		return n
	}
	digits := r.total(g, min(r.n-g, keepGroups))
	if digits >= 5 {
		c := s.leftOfRun(l.start)
		if n := s.card(g, l, c); n > 0 {
			return n
		}
		if n := s.ssn(g, l, c); n > 0 {
			return n
		}
		if s.nricSpaced(g, c) {
			return 1
		}
		if n := s.phone(g, l, c); n > 0 {
			return n
		}
	}
	if n := s.address(g, l); n > 0 {
		return n
	}
	return s.postal(g, l)
}

// leftOfRun is left for a group of the run. No words stand inside a run: what holds before one group holds before the
// next, until something is found.
func (s *scanner) leftOfRun(i int) *leftContext {
	if !s.runContext {
		s.context, s.runContext = s.left(i), true
	}
	return &s.context
}

// date recognises a calendar date, which is personal only in context: its groups belong to nothing else.
func (r *run) date(g int) int {
	if r.n-g < 3 || r.glued(g) != 3 {
		return 0
	}
	a, b, c := &r.groups[g], &r.groups[g+1], &r.groups[g+2]
	if b.sep != c.sep || b.sep&(sepDash|sepDot|sepSlash) == 0 || b.size > 2 {
		return 0
	}
	va, vb, vc := r.value(g), r.value(g+1), r.value(g+2)
	day := func(n int) bool { return n >= 1 && n <= 31 }
	month := func(n int) bool { return n >= 1 && n <= 12 }
	switch {
	case a.size == 4 && c.size <= 2:
		if va >= 1800 && va <= 2199 && month(vb) && day(vc) {
			return 3
		}
	case a.size <= 2 && (c.size == 4 && vc >= 1800 && vc <= 2199 || c.size == 2):
		if day(va) && month(vb) || month(va) && day(vb) {
			return 3
		}
	}
	return 0
}

// value is the number that group g is, up to nine digits of it.
func (r *run) value(g int) int {
	n := 0
	gr := &r.groups[g]
	for i := gr.first; i < gr.first+min(gr.size, 9) && i < maxDigits; i++ {
		n = n*10 + int(r.digits[i]-'0')
	}
	return n
}
