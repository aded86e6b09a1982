package pii

const (
	minCard = 12
	maxCard = 19
)

// issuer is how sure the leading digits and the length make a card.
type issuer uint8

const (
	issuerNone issuer = iota
	issuerWeak        // needs a word beside it
	issuerSure
)

// card recognises the number of a payment card: 12 to 19 digits, in one group or in those that cards show, with a known
// issuer and a right checksum. Next to a word such as "card", a wrong checksum still is one: a mistyped card is a card.
func (s *scanner) card(g int, l lead, c *leftContext) int {
	r := &s.run
	if l.plus || l.edge != edgeOpen && l.edge != edgeKeyed && l.edge != edgeHashed || l.crowded && !c.has(hintCard) {
		return 0
	}
	total, k := 0, 0
	for g+k < r.n && total+r.groups[g+k].size <= maxCard {
		total += r.groups[g+k].size
		k++
	}
	for ; k > 0 && total >= minCard; k-- {
		if n, h := s.cardOf(g, k, c); n > 0 {
			s.add(h)
			return n
		}
		total -= r.groups[g+k-1].size
	}
	return 0
}

func (s *scanner) cardOf(g, k int, c *leftContext) (int, hit) {
	r := &s.run
	last := g + k - 1
	if !s.closesCard(last) {
		return 0, hit{}
	}
	d := r.text(g, k)
	named := c.has(hintCard)
	shaped := r.cardShaped(g, k)
	if !shaped && !named {
		return 0, hit{}
	}
	h := hit{start: r.groups[g].start, end: r.groups[last].end, entity: Card, rule: ruleCard, reasons: reasonShape}
	who := issuerOf(d)
	if named {
		h.reasons |= reasonContextBefore
	} else if s.right(h.end)&hintCard != 0 {
		named = true
		h.reasons |= reasonContextAfter
	}
	ok := luhn(d)
	switch {
	case ok && who == issuerSure && (named || !c.other || k > 1):
		h.score = 98
	case ok && (named || who != issuerNone && s.alone(h.start, h.end)):
		h.score = 90
	case !ok && named && shaped && len(d) >= 13 && who != issuerNone:
		h.score = 60
		h.reasons |= reasonBadChecksum
		return k, h
	default:
		return 0, hit{}
	}
	h.reasons |= reasonChecksum
	return k, h
}

// closesCard is closes, but an expiry or a code may follow a card at any separator but a hyphen.
func (s *scanner) closesCard(i int) bool {
	if s.closes(i) {
		return true
	}
	r := &s.run
	return i+1 == r.n && s.edgeAfter(r.end) == edgeDotted
}

// cardShaped says whether the groups are spaced as cards are: all by the same separator, 4-4-4-4, 4-6-5 and the like.
func (r *run) cardShaped(g, k int) bool {
	if k == 1 {
		return true
	}
	sep := r.groups[g+1].sep
	if sep != sepSpace && sep != sepDash && sep != sepDot {
		return false
	}
	for i := g + 1; i < g+k; i++ {
		if r.groups[i].sep != sep {
			return false
		}
	}
	size := func(i int) int { return r.groups[g+i].size }
	switch {
	case k == 2:
		return size(0) == 8 && size(1) == 8 || size(0) == 6 && size(1) >= 10
	case k == 3 && size(0) == 4 && size(1) == 6:
		return size(2) == 4 || size(2) == 5
	}
	for i := range k - 1 {
		if size(i) != 4 {
			return false
		}
	}
	return size(k-1) <= 4 && k >= 3
}

// alone says whether the text is nothing but the value: the answer to a question.
func (s *scanner) alone(start, end int) bool {
	t := s.text
	for start > 0 && isSpace(t[start-1]) {
		start--
	}
	for end < len(t) && (isSpace(t[end]) || t[end] == '.') {
		end++
	}
	return start == 0 && end == len(t)
}

// luhn checks the sum of ISO/IEC 7812-1, annex B.
func luhn(d []byte) bool {
	sum := 0
	for i := range d {
		n := int(d[len(d)-1-i] - '0')
		if i%2 == 1 {
			n *= 2
			if n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0 && sum > 0
}

// issuerOf knows the ranges of numbers that the card schemes have published. The longer cards are no surer than a random
// number of 64 bits.
func issuerOf(d []byte) issuer {
	n := len(d)
	p4 := atoi(string(d[:4]))
	p2, p3 := p4/100, p4/10
	sure := func(ok bool) issuer {
		if ok {
			return issuerSure
		}
		return issuerWeak
	}
	switch {
	case d[0] == '4': // Visa
		return sure(n == 16 || n == 13)
	case p2 >= 51 && p2 <= 55, p4 >= 2221 && p4 <= 2720: // Mastercard
		return sure(n == 16)
	case p2 == 34, p2 == 37: // American Express
		return sure(n == 15)
	case p4 == 6011, p3 >= 644 && p3 <= 649, p2 == 65: // Discover
		return sure(n == 16)
	case p2 == 62, p2 == 81: // UnionPay
		return sure(n == 16)
	case p3 >= 300 && p3 <= 305, p4 == 3095, p2 == 36, p2 == 38, p2 == 39: // Diners Club
		return sure(n == 14 || n == 16)
	case p4 >= 3528 && p4 <= 3589: // JCB
		return sure(n == 16)
	case p4 == 2131, p4 == 1800: // JCB
		return sure(n == 15)
	case p4 >= 2200 && p4 <= 2205, p4 == 9792: // Mir, Troy
		return sure(n == 16)
	case p2 == 50, p2 >= 56 && p2 <= 58, p2 == 60, p2 == 63, p2 == 67: // Maestro, Dankort, RuPay, Verve
		return sure(n == 16)
	case p4 == 604, d[0] == '6', p2 == 82, d[0] == '1' && n == 15: // Maestro, RuPay, UATP
		return issuerWeak
	}
	return issuerNone
}
