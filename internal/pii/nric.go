package pii

import "unicode/utf8"

// nricJoined recognises a Singapore NRIC or FIN whose letter stands at w, directly before the digits at i.
func (s *scanner) nricJoined(w, i int) bool {
	s.run.read(s.text, i)
	return s.nric(w, 0)
}

// nricSpaced recognises one whose letter stands apart from the digits of group g.
func (s *scanner) nricSpaced(g int, c *leftContext) bool {
	t := s.text
	gr := &s.run.groups[g]
	if gr.size != nricDigits || g > 0 {
		return false
	}
	i := gr.start
	if i > s.lastEnd && (t[i-1] == ' ' || t[i-1] == '-') {
		i--
	}
	if i == s.lastEnd || !is(t[i-1], isUpper) && !(c.has(hintNRIC) && is(t[i-1], isLower)) {
		return false
	}
	return s.nric(i-1, g)
}

const nricDigits = 7

// nric checks the letter at w, the seven digits of group g and the letter behind them. With a right checksum it needs no
// word beside it; with a wrong one it does: a mistyped number is still somebody's.
func (s *scanner) nric(w, g int) bool {
	t := s.text
	gr := &s.run.groups[g]
	prefix, _ := letterAt(t, w)
	if gr.size != nricDigits || s.joinedBefore(w) || indexByte("STFGM", prefix) < 0 {
		return false
	}
	i := gr.end
	if i < len(t) && (t[i] == ' ' || t[i] == '-') {
		i++
	}
	check, width := letterAt(t, i)
	end := i + width
	if width == 0 || joinedAfter(t, end) || end < len(t) && t[end] == '@' {
		return false
	}
	h := hit{start: w, end: end, entity: NRIC, rule: ruleNRIC, score: 98, reasons: reasonShape | reasonChecksum}
	if nricCheck(prefix, s.run.text(g, 1)) != check {
		c := s.left(w)
		if !c.has(hintNRIC) && s.right(end)&hintNRIC == 0 && !s.alone(w, end) {
			return false
		}
		h.score, h.reasons = 70, reasonShape|reasonBadChecksum|reasonContextBefore
	}
	s.add(h)
	return true
}

// nricCheck computes the letter that ends an NRIC (S, T) or a FIN (F, G, M).
func nricCheck(prefix byte, d []byte) byte {
	weights := [nricDigits]int{2, 7, 6, 5, 4, 3, 2}
	sum := 0
	for i, w := range weights {
		sum += w * int(d[i]-'0')
	}
	switch prefix {
	case 'T', 'G':
		sum += 4
	case 'M':
		sum += 3
	}
	switch prefix {
	case 'S', 'T':
		return "JZIHGFEDCBA"[sum%11]
	case 'M':
		return "XWUTRQPNJLK"[sum%11]
	}
	return "XWUTRQPNMLK"[sum%11]
}

// letterAt returns the ASCII letter at i in upper case, also where it is full-width; its width is 0 where there is none.
func letterAt(t string, i int) (letter byte, width int) {
	if i >= len(t) {
		return 0, 0
	}
	if is(t[i], isLetter) {
		return t[i] &^ 0x20, 1
	}
	r, w := utf8.DecodeRuneInString(t[i:])
	switch {
	case r >= 'Ａ' && r <= 'Ｚ':
		return byte('A' + r - 'Ａ'), w
	case r >= 'ａ' && r <= 'ｚ':
		return byte('A' + r - 'ａ'), w
	}
	return 0, 0
}

func indexByte(s string, b byte) int {
	for i := range len(s) {
		if s[i] == b {
			return i
		}
	}
	return -1
}
