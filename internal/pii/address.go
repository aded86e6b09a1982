package pii

// address recognises street addresses: a number before or behind a street, a block, a flat, a box.
func (s *scanner) address(g int, l lead) int {
	r := &s.run
	gr := &r.groups[g]
	if gr.size > maxHouseDigits || l.plus || l.edge == edgePriced || l.edge == edgeJoined ||
		(l.edge == edgeDotted || l.edge == edgeSlashed || l.edge == edgeHyphened) && (g > 0 || !s.labelled(l.start)) {
		return 0
	}
	if l.edge == edgeHashed && g == 0 {
		if end := unitEnd(s.text, l.start-1); end > 0 {
			s.add(hit{start: l.start - 1, end: end, entity: Address, rule: ruleAddressUnit, score: 80, reasons: reasonShape})
			return r.within(g, end)
		}
	}
	last, end := s.house(g)
	if end == 0 {
		return 0
	}
	ws, we := s.wordBefore(l.start, max(s.lastEnd, l.start-leftWindow))
	before := hint(0)
	if we > ws && nearby(s.text, we, l.start) && !s.joinedBefore(ws) {
		before = s.hintOf(ws, we)
	}
	var h hit
	switch {
	case before&hintBox != 0:
		h = s.box(ws, end)
	case before&hintBlock != 0:
		h = s.block(ws, end)
	case before&hintDwelling != 0:
		h = s.dwelling(ws, end)
	}
	if h.end == 0 {
		h = s.streetAround(g, l, last, end, before)
	}
	if h.end == 0 || s.joinedBefore(h.start) {
		return 0
	}
	if prev := g - 1; h.start == gr.start && prev >= 0 && gr.sep == sepSpace && r.groups[prev].start >= s.lastEnd &&
		r.groups[prev].size <= maxHouseDigits && s.leadOf(prev, 0).edge == edgeOpen {
		h.start = r.groups[prev].start // a second number before the street: of a box, of a flat
	}
	s.add(h)
	return r.within(g, h.end)
}

// streetAround looks for a street behind the number, then for one before it, and then for a name behind it that only the
// words before make a street.
func (s *scanner) streetAround(g int, l lead, last, end int, before hint) hit {
	after, sure := s.streetAfter(g, l, end)
	if !sure && before&(hintOther|hintUnit|hintFiller) == 0 && g == last {
		if h := s.streetBefore(l.start, end); h.end > 0 {
			return h
		}
	}
	return after
}

// nearby says whether only a space, a dot or a # stands between a word and its number.
func nearby(t string, from, to int) bool {
	if to-from > 3 {
		return false
	}
	for _, c := range []byte(t[from:to]) {
		if c != ' ' && c != '.' && c != '#' && c != ':' && c != 0xC2 && c != 0xA0 {
			return false
		}
	}
	return true
}

// within is how many groups from g end before end.
func (r *run) within(g, end int) int {
	n := 1
	for g+n < r.n && r.groups[g+n].end <= end {
		n++
	}
	return n
}

// house returns the last group and the end of the house number at group g: 12, 221B, 10-12, 1/23; end is 0 where it is none.
func (s *scanner) house(g int) (last, end int) {
	r := &s.run
	n := r.glued(g)
	if n > 2 || n == 2 && (r.groups[g+1].size > maxStreetNumber || r.groups[g+1].sep == sepDot) {
		return 0, 0
	}
	last = g + n - 1
	end = r.groups[last].end
	t := s.text
	if isAt(t, end, isLetter) && !joinedAfter(t, end+1) {
		end++
	}
	if joinedAfter(t, end) || end < len(t) && (t[end] == '%' || t[end] == ':' || t[end] == '-') {
		return 0, 0
	}
	return last, end
}

// streetAfter recognises a house number with a street behind it.
func (s *scanner) streetAfter(g int, l lead, end int) (h hit, sure bool) {
	t := s.text
	if end+2 >= len(t) || t[end] != ' ' && t[end] != ',' && t[end] != 0xC2 {
		return hit{}, false
	}
	st, ok := readStreet(t, end, false)
	var c leftContext
	switch {
	case ok && st.kind&hintStreet != 0:
	case ok:
		if c = s.left(l.start); !c.has(hintAddress|hintPlace) && (st.kind == 0 || !s.addressEnds(st.end)) {
			return hit{}, false
		}
	default:
		if st, ok = readStreet(t, end, true); !ok || st.kind&hintStreet == 0 {
			return hit{}, false
		}
		if c = s.left(l.start); !c.has(hintAddress | hintPlace) {
			return hit{}, false
		}
	}
	switch {
	case st.kind&hintStreet != 0:
		if v := s.run.value(g); v >= 1900 && v < 2100 && !st.number {
			if c = s.left(l.start); !c.has(hintAddress) {
				return hit{}, false
			}
		}
	case st.kind == 0 && (!st.named || t[end] == ','):
		return hit{}, false
	case st.kind == 0 && st.number && c.has(hintAddress|hintPlace):
	case st.kind == 0 && !(c.has(hintAddress) && s.addressEnds(st.end)):
		return hit{}, false
	}
	h = hit{start: l.start, end: st.end, entity: Address, rule: ruleAddressStreet, score: 75, reasons: reasonShape}
	if c.has(hintAddress | hintPlace) {
		h.reasons |= reasonContextBefore
	}
	return h, st.kind != 0
}

// addressEnds says whether the text goes on behind i as it does behind a street.
func (s *scanner) addressEnds(i int) bool {
	t := s.text
	if i >= len(t) {
		return true
	}
	switch t[i] {
	case ',', '\n', '\r', '#', '"':
		return true
	case '.':
		return i+1 == len(t) || t[i+1] == '\n'
	}
	return flatTail(t, i) > i
}

// streetBefore recognises a street whose number stands behind it, at start.
func (s *scanner) streetBefore(start, end int) hit {
	t := s.text
	floor := max(s.lastEnd, start-leftWindow)
	if start == floor || t[start-1] != ' ' {
		return hit{}
	}
	i, from, names := start, -1, 0
	known := false
	for n := 0; n < maxStreetWords-1 && from < 0; n++ {
		ws, we := s.wordBefore(i, floor)
		if ws == we || i-we > 2 || i-we == 2 && t[we] != '.' {
			break
		}
		h := words.of(t[ws:we])
		upper := startsUpper(t, ws)
		switch {
		case h&hintStreetFirst != 0 && names > 0 && (upper || we-ws > 2 && h&hintFiller == 0):
			from, known = ws, true
		case n == 0 && upper && compound(t[ws:we]):
			from, known = ws, true
		case n == 0 && h&hintStreet != 0:
			known = true
		case upper:
			names++
		case h&hintParticle == 0:
			n = maxStreetWords
		}
		if known && from < 0 && upper && n > 0 && (n == maxStreetWords-2 || !s.nameBefore(ws, floor)) {
			from = ws
		}
		i = ws
	}
	if from < 0 || !known || s.right(end)&hintUnit != 0 {
		return hit{}
	}
	if w, _ := s.wordBefore(start, floor); w > from && words.of(t[w:nameEnd(t, w)])&hintStreet != 0 {
		// A street's name may end in a number; only an address says that it is a house's.
		if c := s.left(from); !c.has(hintAddress|hintPlace) && !s.addressEnds(end) {
			return hit{}
		}
	}
	return hit{start: from, end: flatTail(t, end), entity: Address, rule: ruleAddressStreet, score: 70, reasons: reasonShape}
}

// nameBefore says whether a word with an upper-case letter stands before i.
func (s *scanner) nameBefore(i, floor int) bool {
	ws, we := s.wordBefore(i, floor)
	return ws < we && i-we == 1 && s.text[we] == ' ' && startsUpper(s.text, ws) && words.of(s.text[ws:we])&hintFiller == 0
}

// block recognises Blk 123 with the street or the quarter behind it; w is where the word begins.
func (s *scanner) block(w, end int) hit {
	t := s.text
	short := folds(t, w, "blk")
	h := hit{start: w, end: end, entity: Address, rule: ruleAddressBlock, score: 80, reasons: reasonShape}
	if st, ok := readStreet(t, end, false); ok && (short || st.kind != 0 || s.addressEnds(st.end)) {
		h.end = st.end
		if st.kind == 0 {
			h.end = flatTail(t, st.end)
		}
		return h
	}
	if e := flatTail(t, end); e > end {
		h.end = e
		return h
	}
	if c := s.left(w); !short && !c.has(hintAddress) {
		return hit{}
	}
	return h
}

// dwelling recognises Apt. 864; other words for a part of a house need an address beside them.
func (s *scanner) dwelling(w, end int) hit {
	t := s.text
	h := hit{start: w, end: end, entity: Address, rule: ruleAddressUnit, score: 70, reasons: reasonShape}
	if st, ok := readStreet(t, end, false); ok && st.kind&hintStreet != 0 {
		h.end = st.end
		return h
	}
	if n := houseEnd(t, end+len(" box ")); n > 0 && folds(t, end, " box ") {
		h.end = n
		return h
	}
	switch {
	case s.afterAddress(w):
		h.reasons |= reasonNearAddress
	case folds(t, w, "apt") || folds(t, w, "apartment"):
	case is(t[w], isUpper) && s.addressEnds(end) && s.lineBegins(w) && (folds(t, w, "suite") || folds(t, w, "flat") || folds(t, w, "ste")):
	default:
		if c := s.left(w); !is(t[w], isUpper) || !c.has(hintAddress) {
			return hit{}
		}
		h.reasons |= reasonContextBefore
	}
	return h
}

// lineBegins says whether i stands at the beginning of a line or behind a comma.
func (s *scanner) lineBegins(i int) bool {
	for i > s.lastEnd && s.text[i-1] == ' ' {
		i--
	}
	return i == s.lastEnd || s.text[i-1] == '\n' || s.text[i-1] == ',' || s.text[i-1] == '>'
}

// basement recognises a unit below ground, #B1-03, whose letter stands at w.
func (s *scanner) basement(w int) bool {
	if w-1 < s.lastEnd || s.text[w]|0x20 != 'b' {
		return false
	}
	end := unitEnd(s.text, w-1)
	if end == 0 {
		return false
	}
	s.add(hit{start: w - 1, end: end, entity: Address, rule: ruleAddressUnit, score: 80, reasons: reasonShape})
	return true
}

// box recognises P.O. Box 123, PSC 0413, Box 8144 and Unit 1293 Box 4311.
func (s *scanner) box(w, end int) hit {
	t := s.text
	h := hit{start: w, end: end, entity: Address, rule: ruleAddressBox, score: 80, reasons: reasonShape}
	if folds(t, w, "psc") || folds(t, w, "cmr") || s.lastEntity == Address && s.lastEnd > 0 && w-s.lastEnd <= 2 {
		return h
	}
	i := w
	for i > s.lastEnd && (t[i-1] == ' ' || t[i-1] == ',' || t[i-1] == '.') {
		i--
	}
	if j := begins(t, i, s.lastEnd, isDigit); j < i {
		for i = j; i > s.lastEnd && t[i-1] == ' '; i-- {
		}
		if k := begins(t, i, s.lastEnd, isLetter); folds(t, k, "unit") || folds(t, k, "psc") || folds(t, k, "cmr") {
			h.start = k
			return h
		}
		return hit{}
	}
	for _, po := range [...]string{"p.o", "po", "p o", "post office"} {
		if k := i - len(po); k >= s.lastEnd && folds(t, k, po) && !s.joinedBefore(k) {
			h.start = k
			return h
		}
	}
	if end-w > len("box 12345") && !s.joinedBefore(w) || folds(t, w, "po") {
		return h
	}
	return hit{}
}

const addressReach = 64

// afterAddress says whether an address was found shortly before i, with nothing between that ends it.
func (s *scanner) afterAddress(i int) bool {
	if s.lastEntity != Address || s.lastEnd == 0 || i-s.lastEnd > addressReach {
		return false
	}
	t := s.text
	for j := s.lastEnd; j < i; {
		switch c := t[j]; {
		case is(c, isLetter|isHigh):
			e := ends(t, j, isLetter|isHigh)
			if !startsUpper(t, j) && words.of(t[j:e])&hintParticle == 0 {
				return false
			}
			j = e
		case c == '.' && j+1 < i && t[j+1] == ' ', c == '?', c == '!', c == ':', is(c, isDigit):
			return false
		default:
			j++
		}
	}
	return true
}
