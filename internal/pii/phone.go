package pii

const (
	minPhone = 7
	maxPhone = 15 // of E.164
)

// call is what is known of a number that may be a phone's.
type call struct {
	g      int
	lead   lead
	ctx    *leftContext
	before bool // words before it say so
	apart  bool // it stands by itself, or only a label touches it
}

// phone recognises telephone numbers: with a country code from anywhere, and as they are written at home in Singapore
// and North America and elsewhere; in other spellings where words beside it say so.
func (s *scanner) phone(g int, l lead, c *leftContext) int {
	if l.edge == edgePriced || l.edge == edgeJoined {
		return 0
	}
	p := call{g: g, lead: l, ctx: c}
	p.before = c.has(hintPhone) || c.near&hintPhoneWeak != 0
	p.apart = l.edge == edgeOpen || c.last&(hintPhone|hintPhoneWeak) != 0 && g == 0 && s.labelled(l.start) ||
		l.edge == edgeKeyed && p.before
	if n := s.international(p); n > 0 {
		return n
	}
	if !p.apart {
		return 0
	}
	if n := s.singapore(p); n > 0 {
		return n
	}
	if n := s.northAmerica(p); n > 0 {
		return n
	}
	if n := s.national(p); n > 0 {
		return n
	}
	return s.called(p)
}

// beforeStreet says whether the run ends in the number of a house.
func (s *scanner) beforeStreet() bool {
	r := &s.run
	if r.groups[r.n-1].size > maxHouseDigits || r.end >= len(s.text) || !isSpace(s.text[r.end]) {
		return false
	}
	st, ok := readStreet(s.text, r.end, true)
	return ok && st.kind != 0
}

// labelled says whether the sign before i stands between a word and the number: Tel-9123, Tel.9123, HP/9123.
func (s *scanner) labelled(i int) bool {
	return i-2 >= s.lastEnd && (isSpace(s.text[i-2]) || is(s.text[i-2], isLetter|isHigh))
}

// addPhone queues groups g to g+k-1 as a phone number, with the extension behind it.
func (s *scanner) addPhone(p call, k int, r rule, score uint8) int {
	last := p.g + k - 1
	end := s.run.groups[last].end
	if last+1 == s.run.n {
		end = extension(s.text, end)
	}
	h := hit{start: p.lead.start, end: end, entity: Phone, rule: r, score: score, reasons: reasonShape}
	if p.lead.open && !s.closedWithin(p.lead.start, end) {
		h.start++ // the bracket is about the sentence
	}
	if p.before {
		h.reasons |= reasonContextBefore
		h.score = min(h.score+5, 99)
	}
	s.add(h)
	return k
}

func (s *scanner) closedWithin(start, end int) bool {
	for i := start; i < end; i++ {
		if s.text[i] == ')' {
			return true
		}
	}
	return false
}

// endsPhone says whether a phone number may end behind group i.
func (s *scanner) endsPhone(p *call, i int) bool {
	r := &s.run
	if i+1 < r.n {
		return s.closes(i)
	}
	if s.edgeAfter(r.end) != edgeOpen {
		return extension(s.text, r.end) > r.end
	}
	return p.lead.plus || p.ctx.has(hintPhone) || !s.beforeStreet()
}

// extension returns the end of an extension behind a number that ends at i, or i.
func extension(t string, i int) int {
	const maxExtension = 6
	j := i
	for j < len(t) && j < i+2 && (t[j] == ' ' || t[j] == ',') {
		j++
	}
	switch {
	case folds(t, j, "extension"):
		j += len("extension")
	case folds(t, j, "ext"):
		j += len("ext")
	case folds(t, j, "x"), j < len(t) && t[j] == '#' && j > i:
		j++
	default:
		return i
	}
	for n := 0; n < 2 && j < len(t) && (t[j] == '.' || t[j] == ' ' || t[j] == ':'); n++ {
		j++
	}
	end := ends(t, j, isDigit)
	if end == j || end-j > maxExtension || joinedAfter(t, end) {
		return i
	}
	return end
}

// international recognises a number with its calling code behind + or a prefix for international calls.
func (s *scanner) international(p call) int {
	r := &s.run
	d := r.text(p.g, min(r.n-p.g, keepGroups))
	prefix := 0
	switch {
	case p.lead.plus:
		if p.lead.edge != edgeOpen && p.lead.edge != edgeKeyed && !p.apart {
			return 0
		}
	case !p.apart || len(d) < 9:
		return 0
	case d[0] == '0' && d[1] == '0' && d[2] != '0' && r.groups[p.g].size > 1:
		prefix = 2
	case string(d[:3]) == "011" && (r.groups[p.g].size == 3 || p.before):
		prefix = 3
	default:
		return 0
	}
	code, want := callingCode(d[prefix:])
	if code == 0 || prefix > 0 && p.ctx.other && !p.before {
		return 0
	}
	if longer := freephone(d[prefix+code:]); longer {
		want.max = max(want.max, 12)
	}
	total, trunk, best := -prefix-code, 0, 0
	for k := 1; p.g+k <= r.n; k++ {
		gr := &r.groups[p.g+k-1]
		total += gr.size
		if k > 1 && trunk == 0 && gr.open >= 0 && r.digits[gr.first] == '0' && gr.size == 1 {
			trunk = 1
		}
		if total > maxPhone {
			break
		}
		n := total - trunk
		if n > 0 && n == want.max+1 && r.nationalStarts(p.g, prefix+code) == '0' && trunk == 0 {
			n--
		}
		if n >= want.min && n <= want.max && total+code >= minPhone && s.endsPhone(&p, p.g+k-1) {
			best = k
			if want.max == want.min {
				break
			}
		}
	}
	if best > 0 && !(code == 1 && d[prefix] == '1' && r.nationalStarts(p.g, prefix+code) < '2') {
		return s.addPhone(p, best, rulePhoneInternational, 93)
	}
	if p.before || p.lead.plus && s.run.glued(p.g) > 1 {
		return s.called(p)
	}
	return 0
}

// freephone says whether a national number begins as those do that are longer than a country's others: 800, 1800, 900.
func freephone(d []byte) bool {
	for _, p := range [...]string{"80", "080", "18", "90", "7000"} {
		if len(d) >= len(p) && string(d[:len(p)]) == p {
			return true
		}
	}
	return false
}

// nationalStarts returns the digit at n behind the start of group g.
func (r *run) nationalStarts(g, n int) byte {
	return r.digits[min(r.groups[g].first+n, maxDigits-1)]
}

// northAmerica recognises (212) 555-1234, 212-555-1234, 1-800-555-1234.
func (s *scanner) northAmerica(p call) int {
	r := &s.run
	k := 0
	at := p.g
	if r.is(at, 1) && r.digits[r.groups[at].first] == '1' && !p.lead.open {
		at, k = at+1, 1
	}
	switch {
	case r.is(at, 3, 3, 4):
		k += 3
	case r.is(at, 3, 7):
		k += 2
	default:
		return 0
	}
	first := r.groups[at].first
	area, exchange := r.digits[first], r.digits[first+3]
	if area < '2' || !s.endsPhone(&p, p.g+k-1) {
		return 0
	}
	bracketed := r.bracketed(at, p.lead.open && at == p.g)
	sure := exchange >= '2' && !p.lead.crowded || bracketed
	if r.is(at, 3, 7) && !bracketed {
		sure = false
	}
	for i := at + 1; i < p.g+k; i++ {
		if r.groups[i].sep&sepSlash != 0 {
			sure = false
		}
	}
	if !p.before && (p.ctx.other || !sure && !s.calledAfter(p, k)) {
		return 0
	}
	return s.addPhone(p, k, rulePhoneNANP, 90)
}

// is says whether the groups from g have these sizes.
func (r *run) is(g int, sizes ...int) bool {
	if g+len(sizes) > r.n {
		return false
	}
	for i, n := range sizes {
		if r.groups[g+i].size != n {
			return false
		}
	}
	return true
}

// bracketed says whether group g stands in brackets.
func (r *run) bracketed(g int, open bool) bool {
	return g+1 < r.n && r.groups[g+1].sep&sepClose != 0 && (open || r.groups[g].open >= 0)
}

// calledAfter says whether words behind k groups name a phone.
func (s *scanner) calledAfter(p call, k int) bool {
	last := p.g + k - 1
	return last+1 == s.run.n && s.right(s.run.groups[last].end)&(hintPhone|hintPhoneWeak) != 0
}

// national recognises a number in groups that begins with a trunk zero: 020 7946 0958, 06.12.34.56.78, (08) 8747 6301.
func (s *scanner) national(p call) int {
	r := &s.run
	first := r.groups[p.g].first
	bracketed := r.bracketed(p.g, p.lead.open)
	if r.digits[first] != '0' && !bracketed || r.digits[first] == '0' && r.n-p.g > 1 && first+1 < maxDigits && r.digits[first+1] == '0' {
		return 0
	}
	if !p.before && (p.ctx.other || r.is(p.g, 3, 2, 4)) || p.lead.crowded {
		return 0
	}
	total, best := 0, 0
	for k := 1; p.g+k <= r.n; k++ {
		gr := &r.groups[p.g+k-1]
		total += gr.size
		if total > 11 || gr.size == 1 && !bracketed || k > 1 && (gr.sep&sepSlash != 0 || gr.open >= 0) || k > 1 && r.date(p.g+k-1) > 0 {
			break
		}
		least := 9
		if bracketed {
			least = 10
			if r.digits[first] == '0' {
				least = 8
			}
		}
		if k > 1 && total >= least && s.endsPhone(&p, p.g+k-1) {
			best = k
		}
	}
	if best == 0 || s.unitAfter(p, best) || !p.before && s.goesOn(p.g, best) {
		return 0
	}
	return s.addPhone(p, best, rulePhoneNational, 85)
}

// goesOn says whether k groups from g are the beginning of a longer row of pairs of digits: a table, a dump.
func (s *scanner) goesOn(g, k int) bool {
	r := &s.run
	next := g + k
	if r.groups[next-1].size > 2 {
		return false
	}
	if next < r.n {
		return r.groups[next].sep == sepSpace && r.groups[next].size == r.groups[next-1].size
	}
	return s.numberFollows(next)
}

func (s *scanner) unitAfter(p call, k int) bool {
	last := p.g + k - 1
	return last+1 == s.run.n && s.right(s.run.groups[last].end)&hintUnit != 0
}

// called recognises any row of digits that may be dialled, because words beside it say so.
func (s *scanner) called(p call) int {
	r := &s.run
	if p.ctx.other && !p.ctx.has(hintPhone) {
		return 0
	}
	total, k := 0, 0
	for p.g+k < r.n && total+r.groups[p.g+k].size <= maxPhone && (k == 0 || r.date(p.g+k) == 0) {
		total += r.groups[p.g+k].size
		k++
	}
	for ; k > 0 && total >= minPhone-1; k-- {
		if s.endsPhone(&p, p.g+k-1) {
			break
		}
		total -= r.groups[p.g+k-1].size
	}
	least := minPhone
	if p.ctx.has(hintPhone) {
		least--
	}
	if k == 0 || total < least || r.clock(p.g, k) || s.unitAfter(p, k) {
		return 0
	}
	if !p.before && !p.lead.plus {
		if !s.calledAfter(p, k) || p.lead.crowded {
			return 0
		}
	}
	return s.addPhone(p, k, rulePhoneContext, 75)
}

// clock says whether k groups from g are a span of hours or of round numbers, 0900-1700, and no number to dial.
func (r *run) clock(g, k int) bool {
	if k != 2 || !r.is(g, 4, 4) || r.groups[g+1].sep&sepDash == 0 {
		return false
	}
	a, b := r.value(g), r.value(g+1)
	return a%5 == 0 && b%5 == 0 && a < b
}
