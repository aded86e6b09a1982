package pii

import "strings"

// postal recognises postal codes, which are only digits without the words or the address beside them.
func (s *scanner) postal(g int, l lead) int {
	r := &s.run
	gr := &r.groups[g]
	if gr.size > 7 || gr.size < 3 && (gr.size < 2 || g+1 == r.n) || l.plus ||
		l.edge != edgeOpen && l.edge != edgeKeyed && !(l.open && l.edge == edgeJoined) {
		return 0
	}
	if gr.size == 6 && r.glued(g) == 1 && s.closes(g) && sector(r.value(g)) {
		if start := s.singaporeBefore(gr.start); start >= 0 && s.right(gr.end)&hintUnit == 0 {
			return s.addPostal(g, 1, start, gr.end, rulePostalSG, reasonContextBefore)
		}
	}
	if l.edge == edgeJoined {
		return 0 // only S(560123) may touch a letter
	}
	if s.near(l.start)&hintPostal != 0 {
		if k, end := s.postalGroups(g); k > 0 {
			return s.addPostal(g, k, gr.start, end, rulePostalContext, reasonContextBefore)
		}
	}
	if gr.size < 4 || gr.size > 6 {
		return 0
	}
	k := 1
	if r.glued(g) == 2 && gr.size == 5 && r.is(g+1, 4) && r.groups[g+1].sep == sepDash {
		k = 2
	}
	if r.glued(g) != k || !s.closes(g+k-1) {
		return 0
	}
	end := r.groups[g+k-1].end
	if gr.size == 5 && s.stateBefore(gr.start) {
		return s.addPostal(g, k, gr.start, end, rulePostalUS, reasonContextBefore)
	}
	if s.afterAddress(gr.start) && (gr.size == 6 && sector(r.value(g)) || s.addressEnds(end)) {
		return s.addPostal(g, k, gr.start, end, rulePostalAddress, reasonNearAddress)
	}
	return 0
}

func (s *scanner) addPostal(g, k, start, end int, ru rule, why reason) int {
	s.add(hit{start: start, end: end, entity: Postal, rule: ru, score: 80, reasons: reasonShape | why})
	return s.run.within(g, s.run.groups[g+k-1].end)
}

// sector says whether six digits begin with a postal sector of Singapore.
func sector(code int) bool {
	n := code / 10000
	return n >= 1 && n <= 82 && n != 74
}

// singaporeBefore returns where a code behind "Singapore", "S(" or "(S)" begins, -1 where none of them stands there.
func (s *scanner) singaporeBefore(i int) int {
	t := s.text
	j := i
	for j > s.lastEnd && i-j < 4 {
		c := t[j-1]
		if c != ' ' && c != '(' && c != ')' && c != ',' && c != '.' && c != ':' && c != '-' && c != '\n' {
			break
		}
		j--
	}
	if j > s.lastEnd && t[j-1]|0x20 == 's' && i > j && !s.joinedBefore(j-1) && (t[j-1] == 'S' || t[j] == '(') {
		return i
	}
	ws, we := s.wordBefore(j, max(s.lastEnd, j-leftWindow))
	if we == j && s.hintOf(ws, we)&hintCity != 0 {
		return i
	}
	return -1
}

// postalJoined recognises S560123, whose letter stands at w and whose digits stand at i.
func (s *scanner) postalJoined(w, i int) bool {
	t := s.text
	end := ends(t, i, isDigit)
	if t[w] != 'S' || end-i != 6 || joinedAfter(t, end) || end < len(t) && t[end] == '@' || !sector(atoi(t[i:end])) {
		return false
	}
	if c := s.left(w); c.other || s.edgeAfter(end) != edgeOpen {
		return false
	}
	s.add(hit{start: w, end: end, entity: Postal, rule: rulePostalSG, score: 75, reasons: reasonShape | reasonPrefix})
	return true
}

// postalGroups is how many groups from g spell a postal code of some country, and where it ends.
func (s *scanner) postalGroups(g int) (k, end int) {
	r := &s.run
	size := r.groups[g].size
	k = 1
	if g+1 < r.n {
		next := &r.groups[g+1]
		dash, space := next.sep == sepDash, next.sep == sepSpace
		if dash && (size == 5 && next.size == 4 || size == 4 && next.size == 3 || size == 2 && next.size == 3 || size == 3 && next.size == 4) ||
			space && (size == 3 && next.size == 2 || size == 3 && next.size == 3 && s.closes(g+1)) {
			k = 2
		}
	}
	if k == 1 && size < 3 || !s.closes(g+k-1) {
		return 0, 0
	}
	end = r.groups[g+k-1].end
	t := s.text
	// The Netherlands: 1234 AB.
	if size == 4 && k == 1 && end+2 < len(t) && t[end] == ' ' && is(t[end+1], isUpper) && is(t[end+2], isUpper) && !joinedAfter(t, end+3) {
		end += 3
	}
	return k, end
}

// stateBefore says whether a state stands before i as in "Springfield, IL 62704", or a military post office.
func (s *scanner) stateBefore(i int) bool {
	t := s.text
	if i-4 < s.lastEnd || t[i-1] != ' ' || !is(t[i-2], isUpper) || !is(t[i-3], isUpper) || words.of(t[i-3:i-1])&hintState == 0 {
		return false
	}
	if t[i-4] == ',' {
		return true
	}
	if t[i-4] != ' ' && t[i-4] != '\n' || i-5 < s.lastEnd {
		return false
	}
	if c := s.left(i); t[i-5] == ',' || c.has(hintAddress) || s.afterAddress(i) {
		return true
	}
	j := begins(t, i-4, max(s.lastEnd, i-8), isLetter)
	return folds(t, j, "apo") || folds(t, j, "fpo") || folds(t, j, "dpo")
}

// postcode recognises the codes of the United Kingdom, SW1A 1AA, and of Canada, K1A 0B1, next to words or behind an
// address.
func (s *scanner) postcode(w int) bool {
	t := s.text
	end := postcodeEnd(t, w)
	if end == 0 || joinedAfter(t, end) {
		return false
	}
	c := s.left(w)
	plain := !is(t[w], isUpper) || end-w < 6
	for i := w; i < end; i++ {
		plain = plain || is(t[i], isLower)
	}
	switch {
	case c.has(hintPostal), !plain && (c.has(hintAddress|hintPlace) || s.afterAddress(w) || s.alone(w, end)):
	default:
		return false
	}
	s.add(hit{start: w, end: end, entity: Postal, rule: rulePostalContext, score: 80, reasons: reasonShape | reasonContextBefore})
	return true
}

// postcodeEnd returns the end of a code of letters and digits at i, 0 where there is none.
func postcodeEnd(t string, i int) int {
	var shape [7]byte
	n, gap, start := 0, -1, i
	for ; i < len(t) && n < len(shape); i++ {
		switch c := t[i]; {
		case is(c, isDigit):
			shape[n] = '9'
		case is(c, isLetter):
			shape[n] = 'A'
		case c == ' ' && gap < 0 && n >= 2:
			gap = n
			continue
		default:
			return 0
		}
		n++
		if (gap < 0 || gap == n-3) && isPostcode(string(shape[:n])) && !joinedAfter(t, i+1) {
			if shape[n-1] == 'A' && (!postalArea(t[start:]) || strings.IndexByte("CIKMOV", t[i]&^0x20) >= 0 || strings.IndexByte("CIKMOV", t[i-1]&^0x20) >= 0) {
				return 0
			}
			return i + 1
		}
	}
	return 0
}

// ukAreas are the letters that a code of the United Kingdom may begin with.
const ukAreas = " AB AL B BA BB BD BH BL BN BR BS BT CA CB CF CH CM CO CR CT CV CW DA DD DE DG DH DL DN DT DY E EC EH EN EX FK FY G GL GU " +
	"GY HA HD HG HP HR HS HU HX IG IM IP IV JE KA KT KW KY L LA LD LE LL LN LS LU M ME MK ML N NE NG NN NP NR NW OL OX PA PE PH PL PO PR " +
	"RG RH RM S SA SE SG SK SL SM SN SO SP SR SS ST SW SY TA TD TF TN TQ TR TS TW UB W WA WC WD WF WN WR WS WV YO ZE "

func postalArea(code string) bool {
	n := ends(code, 0, isLetter)
	for i := 0; i+n+2 <= len(ukAreas); i++ {
		if ukAreas[i] == ' ' && ukAreas[i+n+1] == ' ' && sameFold(ukAreas[i+1:i+1+n], code[:n]) {
			return true
		}
	}
	return false
}

func isPostcode(shape string) bool {
	switch shape {
	case "A99AA", "A999AA", "AA99AA", "AA999AA", "A9A9AA", "AA9A9AA", "A9A9A9":
		return true
	}
	return false
}
