package pii

// singapore recognises Singapore's numbers: eight digits that begin with 3, 6, 8 or 9, with or without 65 before them.
func (s *scanner) singapore(p call) int {
	r := &s.run
	if n := s.withCode(p); n > 0 {
		return n
	}
	k := 0
	switch {
	case r.is(p.g, 8):
		k = 1
	case r.is(p.g, 4, 4) && r.groups[p.g+1].sep&^(sepSpace|sepDash|sepDot) == 0:
		k = 2
	default:
		return 0
	}
	if !singaporean(r.digits[r.groups[p.g].first]) || !s.endsPhone(&p, p.g+k-1) {
		return 0
	}
	if !p.before && !s.calledAfter(p, k) && (p.ctx.other || s.unitAfter(p, k) || !s.dialled(p, k)) {
		return 0
	}
	if r.clock(p.g, k) && !p.ctx.has(hintPhone) {
		return 0
	}
	return s.addPhone(p, k, rulePhoneSG, 80)
}

// withCode recognises 65 9123 4567, (65) 9123 4567 and 6591234567; behind + or 00 they are international numbers.
func (s *scanner) withCode(p call) int {
	r := &s.run
	first := r.groups[p.g].first
	if first+3 > maxDigits || r.digits[first] != '6' || r.digits[first+1] != '5' || !singaporean(r.digits[first+2]) {
		return 0
	}
	if p.ctx.other && !p.before || r.groups[p.g].size != 2 && r.groups[p.g].size != 10 && r.groups[p.g].size != 6 {
		return 0
	}
	total := 0
	for k := 1; p.g+k <= r.n && total < 10; k++ {
		total += r.groups[p.g+k-1].size
		if total == 10 && s.endsPhone(&p, p.g+k-1) && !(p.lead.crowded && k > 1 && !p.before) && !s.unitAfter(p, k) {
			return s.addPhone(p, k, rulePhoneSG, 88)
		}
	}
	return 0
}

func singaporean(d byte) bool { return d == '3' || d == '6' || d == '8' || d == '9' }

// dialled says whether eight bare digits look dialled rather than counted: not round, no power of two, no date, not one
// of a row of numbers.
func (s *scanner) dialled(p call, k int) bool {
	r := &s.run
	d := r.text(p.g, k)
	if string(d[5:]) == "000" {
		return false
	}
	if k == 1 {
		n := r.value(p.g)
		day, month, century := n/1000000, n/10000%100, n/100%100
		return n&(n-1) != 0 && (day > 31 || month < 1 || month > 12 || century != 19 && century != 20)
	}
	if r.groups[p.g+1].sep == sepDot && d[0] != '8' && d[0] != '9' {
		return false
	}
	return !p.lead.crowded && (!s.numberFollows(p.g+k) || p.g+k < r.n && singaporean(r.digits[r.groups[p.g+k].first]))
}

// numberFollows says whether another number stands one space behind what ends before group g, or did before it was masked.
func (s *scanner) numberFollows(g int) bool {
	r := &s.run
	if g < r.n {
		return r.groups[g].size >= 3 && r.groups[g].sep == sepSpace
	}
	e, _, ok := tagAt(s.text, r.end+1)
	return ok && s.text[r.end] == ' ' && (e == Phone || e == Card || e == SSN || e == IP || e == Postal || e == Address)
}
