package search

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a snippet in code points: how long it is, how much of that comes ahead of the first match, within how much
// matches count as close together, and how far an edge moves so as not to cut a word.
const (
	maxSnippet = 200
	lead       = 50
	span       = 130
	ragged     = 20
)

// maxScan is how many bytes of a text are looked at once something in it has matched.
const maxScan = 1 << 20

// Snippet is a part of a text on one line, and which parts of it matched.
type Snippet struct {
	// Text is plain text without line breaks, control characters and marks of direction. An ellipsis stands where it was cut.
	Text string
	// Matches are in order, and none touches another.
	Matches []Range
}

// Range counts in code points; End is behind the last one.
type Range struct{ Start, End int }

// match is a part of a text that matched a term: its bytes, and where it starts in code points.
type match struct {
	term, start, end, at int
}

// Snippet returns the part of a text that shows most of the query's terms, the first one of those. A text that has none
// is shown from its start.
func (q Query) Snippet(text string) Snippet {
	m := q.matcher()
	first := m.best(text)
	from := back(text, first.start, lead)
	to := forth(text, from, maxSnippet)
	from, to = tidy(text, from, to, first)
	var shown []match
	for found := range m.matches(text[from:to]) {
		shown = append(shown, match{found.term, from + found.start, from + found.end, 0})
	}
	return render(text, from, to, shown)
}

// In reports whether a text holds the term.
func (t Term) In(text string) bool {
	for range (Query{[]Term{t}}).matcher().matches(text) {
		return true
	}
	return false
}

// matcher finds a query's terms in texts.
type matcher struct {
	Query
	exact map[string]int
}

func (q Query) matcher() *matcher {
	m := &matcher{Query: q, exact: make(map[string]int, len(q.Terms))}
	for i, t := range q.Terms {
		if !t.Prefix {
			m.exact[t.Text] = i
		}
	}
	return m
}

func (m *matcher) find(term string) (int, bool) {
	if i, found := m.exact[term]; found {
		return i, true
	}
	for i, t := range m.Terms {
		if t.Prefix && strings.HasPrefix(term, t.Text) {
			return i, true
		}
	}
	return 0, false
}

// matches are those of a text, in order.
func (m *matcher) matches(text string) iter.Seq[match] {
	return func(yield func(match) bool) {
		counted, at := 0, 0
		add := func(term, start, end int) bool {
			if start > counted {
				at += utf8.RuneCountInString(text[counted:start])
				counted = start
			}
			return yield(match{term, start, end, at})
		}
		for p := range pieces(text) {
			if p.kind != run {
				if t, found := m.find(p.fold(text)); found && !add(t, p.start, p.end) {
					return
				}
				continue
			}
			chars := p.chars(text)
			for i, c := range chars {
				if i+1 < len(chars) {
					if t, found := m.exact[string(c.r)+string(chars[i+1].r)]; found && !add(t, c.start, chars[i+1].end) {
						return
					}
				}
				if t, found := m.find(string(c.r)); found && !add(t, c.start, c.end) {
					return
				}
			}
		}
	}
}

// best is the first of the matches that stand close together, where most terms do.
func (m *matcher) best(text string) (first match) {
	var near []match
	var times [MaxTerms]int
	most, terms := 0, 0
	for found := range m.matches(text) {
		near = append(near, found)
		if times[found.term]++; times[found.term] == 1 {
			terms++
		}
		for found.at-near[0].at > span {
			if times[near[0].term]--; times[near[0].term] == 0 {
				terms--
			}
			near = near[1:]
		}
		if terms > most {
			most, first = terms, near[0]
		}
		if most == len(m.Terms) || found.start > maxScan {
			break
		}
	}
	return first
}

// back is the place n code points ahead of at.
func back(text string, at, n int) int {
	for ; n > 0 && at > 0; n-- {
		_, size := utf8.DecodeLastRuneInString(text[:at])
		at -= size
	}
	return at
}

// forth is the place n code points behind at.
func forth(text string, at, n int) int {
	for ; n > 0 && at < len(text); n-- {
		_, size := decode(text, at)
		at += size
	}
	return at
}

// tidy moves the edges of a snippet inwards to where a word ends, if that is near and leaves the first match in it.
func tidy(text string, from, to int, first match) (int, int) {
	if from > 0 {
		edge := min(forth(text, from, ragged), first.start)
		if i := strings.IndexFunc(text[from:max(from, edge)], unicode.IsSpace); i >= 0 {
			from += i
		}
	}
	if to < len(text) {
		edge := min(max(back(text, to, ragged), first.end, from), to)
		if i := strings.LastIndexFunc(text[edge:to], unicode.IsSpace); i >= 0 {
			to = edge + i
		}
	}
	return from, to
}

// render makes the snippet of text[from:to].
func render(text string, from, to int, matches []match) Snippet {
	var b strings.Builder
	var s Snippet
	n, space := 0, false
	put := func(r rune) {
		b.WriteRune(r)
		n++
	}
	if from > 0 {
		put('…')
	}
	start := n
	next := 0
	open := -1 // where the match that is being shown ends in the text
	for i := from; i < to; {
		if open >= 0 && i >= open {
			s.Matches[len(s.Matches)-1].End = n
			open = -1
		}
		r, size := decode(text, i)
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError:
			space = n > start
		case unicode.Is(unicode.Bidi_Control, r):
		default:
			if space {
				put(' ')
				space = false
			}
			for ; next < len(matches) && matches[next].start <= i; next++ {
				switch end := matches[next].end; {
				case open >= 0:
					open = max(open, end)
				case len(s.Matches) > 0 && s.Matches[len(s.Matches)-1].End == n:
					open = end
				case end > i:
					s.Matches = append(s.Matches, Range{Start: n})
					open = end
				}
			}
			put(r)
		}
		i += size
	}
	if open >= 0 {
		s.Matches[len(s.Matches)-1].End = n
	}
	if to < len(text) && strings.TrimSpace(text[to:]) != "" {
		put('…')
	}
	s.Text = b.String()
	return s
}
