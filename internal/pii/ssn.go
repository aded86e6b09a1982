package pii

// ssn recognises a United States social security number: 3-2-4, by the rules of valid areas, groups and serials, or nine
// digits in another spelling next to words that say so, valid or not.
func (s *scanner) ssn(g int, l lead, c *leftContext) int {
	r := &s.run
	if l.plus || l.edge != edgeOpen && l.edge != edgeKeyed && !(l.edge == edgeHashed && c.has(hintSSN)) {
		return 0
	}
	named := c.has(hintSSN)
	k := ssnGroups(r, g, named)
	if k == 0 || !s.closes(g+k-1) {
		return 0
	}
	h := hit{start: r.groups[g].start, end: r.groups[g+k-1].end, entity: SSN, rule: ruleSSN, score: 85, reasons: reasonShape}
	switch {
	case named:
		h.score = 95
		h.reasons |= reasonContextBefore
		if !validSSN(r.text(g, k)) {
			h.score = 60
			h.reasons |= reasonBadChecksum
		}
	case k != 3 || !validSSN(r.text(g, k)) || c.other:
		return 0
	case r.groups[g+1].sep != sepDash && (l.crowded || s.numberFollows(g+k) || c.has(hintPhone|hintCard|hintBank)):
		return 0
	}
	s.add(h)
	return k
}

// ssnGroups is how many groups from g spell nine digits as such a number.
func ssnGroups(r *run, g int, named bool) int {
	size := func(i int) int {
		if g+i < r.n {
			return r.groups[g+i].size
		}
		return 0
	}
	switch {
	case size(0) == 3 && size(1) == 2 && size(2) == 4:
		a, b := r.groups[g+1].sep, r.groups[g+2].sep
		if a == b && (a == sepDash || a == sepDot || a == sepSpace) || named {
			return 3
		}
	case named && (size(0) == 3 && size(1) == 6 || size(0) == 5 && size(1) == 4):
		return 2
	case named && size(0) == 9:
		return 1
	}
	return 0
}

func validSSN(d []byte) bool {
	area, serial := string(d[:3]), string(d[5:])
	return area != "000" && area != "666" && area[0] != '9' && string(d[3:5]) != "00" && serial != "0000"
}
