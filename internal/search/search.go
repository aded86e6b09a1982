// Package search is what full-text search means here, whatever the store: how a text becomes terms, what a query asks
// of them, and how a hit is shown.
//
// A store keeps the terms of Terms for each text and finds the conversations that hold every term of a Query. The
// package knows no store, no conversation and no wire format; it keeps nothing and is safe for concurrent use.
package search

import (
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"unicode/utf8"
)

// Version rises whenever Terms makes other terms of the same text: what was indexed before is then to be indexed anew.
const Version = 1

// Limits of what is searched for and of what is found.
const (
	MaxQuery = 256 // Unicode code points
	MaxTerms = 32
	// MaxWords is how many different terms of one text are found; those behind them are not.
	MaxWords = 10_000
	// maxTerm is how many bytes of a term count: longer ones are cut, in texts and queries alike.
	maxTerm = 64
)

// What is wrong with a query.
var (
	ErrNoTerms      = errors.New("expected a word, a number or a symbol to search for")
	ErrTooLong      = errors.New("expected at most 256 characters")
	ErrTooManyTerms = errors.New("expected at most 32 words; each two characters of Chinese, Japanese or Korean count as one")
)

// Term is what a text must hold: a term of Terms or, with Prefix, one that begins so.
type Term struct {
	Text   string
	Prefix bool
}

// Query is what was searched for: all of its terms, in any order. The zero Query searches for nothing.
type Query struct {
	Terms []Term
}

// Parse reads a query. Its last word is a prefix. Nothing in it is an operator: it is cut into terms as a text is.
func Parse(q string) (Query, error) {
	if len(q) > MaxQuery && utf8.RuneCountInString(q) > MaxQuery {
		return Query{}, ErrTooLong
	}
	var terms []Term
	for p := range pieces(q) {
		if p.kind != run {
			terms = append(terms, Term{Text: p.fold(q)})
			continue
		}
		chars := p.chars(q)
		if len(chars) == 1 {
			// In a text it is the first half of a pair, unless it stands at its run's end.
			terms = append(terms, Term{string(chars[0].r), true})
		}
		for i := 1; i < len(chars); i++ {
			terms = append(terms, Term{Text: string(chars[i-1].r) + string(chars[i].r)})
		}
	}
	if len(terms) == 0 {
		return Query{}, ErrNoTerms
	}
	if last := &terms[len(terms)-1]; endsInWord(q) {
		last.Prefix = true
	}
	return distinct(terms)
}

// endsInWord reports whether the last term of a query is a word, which may go on.
func endsInWord(q string) bool {
	kind := symbol
	for p := range pieces(q) {
		kind = p.kind
	}
	return kind == word
}

// distinct drops what is asked for twice.
func distinct(terms []Term) (Query, error) {
	var kept []Term
	for _, t := range terms {
		whole := Term{Text: t.Text}
		if !slices.Contains(kept, t) && !(t.Prefix && slices.Contains(terms, whole)) {
			kept = append(kept, t)
		}
	}
	if len(kept) > MaxTerms {
		return Query{}, ErrTooManyTerms
	}
	return Query{kept}, nil
}

var seed = maphash.MakeSeed()

// Terms returns the different terms of a text, at most MaxWords, each followed by a space; no term holds one, nor any other
// ASCII character but letters and digits.
//
// Terms are words and numbers, folded (see fold); symbols, emoji among them, each by itself; and of scripts that write
// without spaces every pair of neighbouring characters and the last character of a run.
func Terms(text string) string {
	var b strings.Builder
	seen := map[uint64]struct{}{}
	add := func(term string) {
		h := maphash.String(seed, term)
		if _, found := seen[h]; found || len(seen) == MaxWords {
			return
		}
		seen[h] = struct{}{}
		b.WriteString(term)
		b.WriteByte(' ')
	}
	for p := range pieces(text) {
		if len(seen) == MaxWords {
			break
		}
		if p.kind != run {
			add(p.fold(text))
			continue
		}
		var last rune
		for i, c := range p.chars(text) {
			if i > 0 {
				add(string(last) + string(c.r))
			}
			last = c.r
		}
		add(string(last))
	}
	return b.String()
}
