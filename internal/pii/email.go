package pii

import (
	"unicode"
	"unicode/utf8"
)

const (
	maxLocal  = maxBack
	maxDomain = 255
)

// email recognises the address around the @ at i, which is w bytes wide.
func (s *scanner) email(i, w int) {
	t := s.text
	start := s.localStart(i)
	if start == i {
		return
	}
	end := domainEnd(t, i+w)
	if end == 0 {
		return
	}
	if t[start:i] == "git" && end < len(t) && t[end] == ':' {
		return // git@host:path is how a repository is named
	}
	s.add(hit{start: start, end: end, entity: Email, rule: ruleEmail, score: 95, reasons: reasonShape})
}

// localStart returns where the part before the @ at i begins. Letters of other scripts belong to it, but Chinese and the
// like only where the whole part is: they stand before an address without a space.
func (s *scanner) localStart(i int) int {
	t := s.text
	floor := max(s.floor, i-maxLocal)
	j := i
	if i-1 > floor && t[i-1] == '"' {
		return s.quotedStart(i, floor)
	}
	ascii := true
	for j > floor {
		if is(t[j-1], isLocal) {
			j--
			continue
		}
		if t[j-1] < utf8.RuneSelf {
			break
		}
		r, w := utf8.DecodeLastRuneInString(t[floor:j])
		if r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
			break
		}
		if ideographic(r) {
			if j < i && ascii {
				break
			}
			ascii = false
		}
		j -= w
	}
	for j < i && (t[j] == '.' || t[j] == '\'' || t[j] == '-' || t[j] == '&' || t[j] == '%' || t[j] == '~') {
		j++
	}
	return j
}

// quotedStart returns where a quoted local part that ends before i begins.
func (s *scanner) quotedStart(i, floor int) int {
	for j := i - 2; j >= floor; j-- {
		switch s.text[j] {
		case '"':
			if j+1 < i-1 {
				return j
			}
			return i
		case '\n':
			return i
		}
	}
	return i
}

// domainEnd returns the end of the domain at i, which has a dot and a top-level domain, or is an address in brackets; 0
// where there is none.
func domainEnd(t string, i int) int {
	if i < len(t) && t[i] == '[' {
		return literalEnd(t, i)
	}
	limit := min(len(t), i+maxDomain)
	end, label := 0, i
	for j := i; ; {
		if j < limit && is(t[j], isAlnum) || j < limit && t[j] == '-' && j > label {
			j++
			continue
		}
		if j < limit && t[j] >= utf8.RuneSelf {
			r, w := utf8.DecodeRuneInString(t[j:])
			if (unicode.IsLetter(r) || unicode.IsMark(r)) && (!ideographic(r) || j == label || t[j-1] >= utf8.RuneSelf) {
				j += w
				continue
			}
		}
		if j == label {
			return end
		}
		if label > i && topLevel(t[label:j]) {
			end = j
			for t[end-1] == '-' {
				end--
			}
		}
		if j+1 >= limit || t[j] != '.' {
			return end
		}
		if label == i && retina(t[label:j]) {
			return 0
		}
		label = j + 1
		j = label
	}
}

// topLevel says whether a label may be the last one: it begins with two letters.
func topLevel(l string) bool {
	return len(l) >= 2 && is(l[0], isLetter|isHigh) && is(l[1], isLetter|isHigh)
}

// retina recognises the 2x of logo@2x.png.
func retina(l string) bool {
	n := ends(l, 0, isDigit)
	return n > 0 && n == len(l)-1 && l[n]|0x20 == 'x'
}

func literalEnd(t string, i int) int {
	const longest = 48
	j := i + 1
	for j < len(t) && j < i+longest && (is(t[j], isHex) || t[j] == '.' || t[j] == ':') {
		j++
	}
	if j < len(t) && t[j] == ']' && j > i+7 {
		return j + 1
	}
	return 0
}

// spokenDot recognises an address spelled out around the word "dot" at i: name at host dot com, name [at] host [dot] com.
func (s *scanner) spokenDot(i int) {
	t := s.text
	if !folds(t, i, "dot") || s.joinedBefore(i) || joinedAfter(t, i+3) {
		return
	}
	open, labelEnd, ok := spokenGap(t, i, s.floor)
	if !ok {
		return
	}
	label := s.spokenChain(labelEnd)
	at := label
	for at > s.floor && label-at < 2 && isSpace(t[at-1]) {
		at--
	}
	bracket := false
	if at > s.floor && (t[at-1] == ']' || t[at-1] == ')' || t[at-1] == '}') {
		bracket = true
		at--
	}
	if label == labelEnd || at == label || at-2 < s.floor || !folds(t, at-2, "at") {
		return
	}
	_, localEnd, ok := spokenGap(t, at-2, s.floor)
	if !ok || bracket != open {
		return
	}
	start := s.spokenChain(localEnd)
	end := spokenTLD(t, i+3, open)
	if start == localEnd || end == 0 {
		return
	}
	s.add(hit{start: start, end: end, entity: Email, rule: ruleEmailSpoken, score: 80, reasons: reasonShape})
}

// spokenGap returns whether a bracket opens before the word at i, and where the word before it ends.
func spokenGap(t string, i, floor int) (open bool, end int, ok bool) {
	j := i
	if j > floor && (t[j-1] == '[' || t[j-1] == '(' || t[j-1] == '{') {
		open = true
		j--
	}
	k := j
	for k > floor && t[k-1] == ' ' && j-k < 2 {
		k--
	}
	return open, k, k > floor && (open || k < j)
}

// maxSpokenDots bounds how many dots a side of an address that is spelled out may have.
const maxSpokenDots = 4

// spokenChain returns where the words that end before i begin, joined by "dot": jane dot doe, mail dot example. A word that
// is part of an ordinary sentence is no part of an address.
func (s *scanner) spokenChain(i int) int {
	t, start, end := s.text, i, i
	for range maxSpokenDots {
		word := s.spokenWord(end)
		if word == end || words.of(t[word:end])&hintFiller != 0 {
			return start
		}
		start = word
		dot := word
		for dot > s.floor && word-dot < 2 && t[dot-1] == ' ' {
			dot--
		}
		if dot > s.floor && (t[dot-1] == ']' || t[dot-1] == ')' || t[dot-1] == '}') {
			dot--
		}
		dot -= len("dot")
		if dot+len("dot") == word || dot < s.floor || !folds(t, dot, "dot") || s.joinedBefore(dot) {
			return start
		}
		var ok bool
		if _, end, ok = spokenGap(t, dot, s.floor); !ok {
			return start
		}
	}
	return start
}

// spokenWord returns where the part of an address that ends before i begins.
func (s *scanner) spokenWord(i int) int {
	return begins(s.text, i, max(s.floor, i-64), isLocal)
}

const spokenTLDs = " com net org edu gov io co sg uk de fr it es nl in au ca us me info biz dev app ai my id ph jp cn hk tw kr eu ch at be se no "

// spokenTLD returns the end of the top-level domain behind "dot", with further "dot xx"; 0 where none is known.
func spokenTLD(t string, i int, bracket bool) int {
	end := 0
	for range 3 {
		if bracket {
			if i >= len(t) || t[i] != ']' && t[i] != ')' && t[i] != '}' {
				return end
			}
			i++
		}
		j := i
		for j < len(t) && t[j] == ' ' && j-i < 2 {
			j++
		}
		k := ends(t, j, isLetter)
		if j == i && !bracket || k == j || k-j > 4 || !knownTLD(t[j:k]) {
			return end
		}
		end = k
		for j = k; j < len(t) && j-k < 2 && (t[j] == ' ' || t[j] == '[' || t[j] == '('); j++ {
		}
		if !folds(t, j, "dot") || j == k {
			return end
		}
		i = j + 3
	}
	return end
}

func knownTLD(w string) bool {
	for i := 0; i+len(w)+2 <= len(spokenTLDs); i++ {
		if spokenTLDs[i] == ' ' && spokenTLDs[i+1+len(w)] == ' ' && folds(w, 0, spokenTLDs[i+1:i+1+len(w)]) {
			return true
		}
	}
	return false
}
