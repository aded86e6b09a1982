package pii

// ipv4 recognises four bytes with dots, and the length of a network behind them.
func (s *scanner) ipv4(g int, l lead) int {
	r := &s.run
	if r.n-g < 4 || l.plus || l.edge != edgeOpen && l.edge != edgeKeyed && l.edge != edgeSlashed && l.edge != edgeHyphened {
		return 0
	}
	for i := g; i < g+4; i++ {
		gr := &r.groups[i]
		if gr.size > 3 || r.value(i) > 255 || gr.size > 1 && r.digits[gr.first] == '0' {
			return 0
		}
		if i > g && gr.sep != sepDot {
			return 0
		}
	}
	n := 4
	end := r.groups[g+3].end
	if g+n < r.n {
		switch next := &r.groups[g+4]; {
		case next.sep == sepSlash && next.size <= 2 && r.value(g+4) <= 32:
			n, end = 5, next.end
		case next.sep == sepDot:
			return 0
		}
	}
	if joinedAfter(s.text, end) {
		return 0
	}
	start := r.groups[g].start
	if c := s.left(start); c.other && !c.has(hintIP) {
		return 0
	}
	s.add(hit{start: start, end: end, entity: IP, rule: ruleIPv4, score: 95, reasons: reasonShape})
	return n
}

// ipv6 recognises an IPv6 address around the colon at i: eight groups of hex digits, or fewer with "::" once, the last
// two of them perhaps as an IPv4 address, with a zone and the length of a network behind it.
func (s *scanner) ipv6(i int) bool {
	t := s.text
	start := begins(t, i, max(s.lastEnd, i-5), isHex)
	if i-start > 4 || s.joinedBefore(start) || start > s.lastEnd && t[start-1] == '.' {
		return false
	}
	if start > s.lastEnd && t[start-1] == ':' && (start-1 != s.lastEnd || start == 1) && (start < 2 || t[start-2] == ':' || is(t[start-2], isHex)) {
		return false // the middle of what is none from its beginning
	}
	p, ok := parseIPv6(t, start)
	if !ok {
		return false
	}
	end := p.end
	if isAt(t, end, isAlnum) || end < len(t) && (t[end] == '_' || t[end] == ':' || t[end] == '=' || t[end] == '.' && isAt(t, end+1, isDigit)) {
		return false
	}
	if (p.groups < 2 || !p.digit) && !(end < len(t) && t[end] == '/' && isAt(t, end+1, isDigit)) {
		// ::1 and the like are slices in Python and scopes in C++ more often than addresses.
		if c := s.left(start); !c.has(hintIP) || start > 0 && is(t[start-1], isAlnum) {
			return false
		}
	}
	if end < len(t)-1 && t[end] == '%' && is(t[end+1], isAlnum) {
		end = ends(t, end+1, isAlnum)
	}
	if n := ends(t, min(end+1, len(t)), isDigit); end < len(t) && t[end] == '/' && n > end+1 && n <= end+4 {
		if v := atoi(t[end+1 : n]); v <= 128 && !joinedAfter(t, n) {
			end = n
		}
	}
	s.add(hit{start: start, end: end, entity: IP, rule: ruleIPv6, score: 95, reasons: reasonShape})
	return true
}

type ipv6 struct {
	end    int
	groups int
	digit  bool
}

func parseIPv6(t string, i int) (p ipv6, ok bool) {
	const groups = 8
	gap := false
	if i+1 < len(t) && t[i] == ':' {
		if t[i+1] != ':' {
			return p, false
		}
		gap, i = true, i+2
	}
	p.end = i
	for p.groups < groups {
		j := i
		for j < len(t) && j-i < 5 && is(t[j], isHex) {
			p.digit = p.digit || is(t[j], isDigit)
			j++
		}
		if j == i {
			break
		}
		if j < len(t) && t[j] == '.' && p.groups <= groups-2 {
			if end := endIPv4(t, i); end > 0 {
				p.end = end
				p.groups += 2
				return p, gap || p.groups == groups
			}
		}
		if j-i > 4 {
			return p, false
		}
		p.groups++
		p.end = j
		if j >= len(t) || t[j] != ':' {
			break
		}
		if j+1 < len(t) && t[j+1] == ':' {
			if gap {
				return p, false
			}
			gap = true
			i = j + 2
			p.end = i
			continue
		}
		if !isAt(t, j+1, isHex) {
			break
		}
		i = j + 1
	}
	return p, gap && p.groups < groups || !gap && p.groups == groups
}

// endIPv4 returns the end of the IPv4 address at i, 0 where there is none.
func endIPv4(t string, i int) int {
	for n := range 4 {
		j := ends(t, i, isDigit)
		if j == i || j-i > 3 || atoi(t[i:j]) > 255 {
			return 0
		}
		if n == 3 {
			if j+1 < len(t) && t[j] == '.' && is(t[j+1], isDigit) {
				return 0
			}
			return j
		}
		if j >= len(t) || t[j] != '.' {
			return 0
		}
		i = j + 1
	}
	return 0
}

// atoi reads a few decimal digits.
func atoi(d string) int {
	n := 0
	for i := range len(d) {
		n = n*10 + int(d[i]-'0')
	}
	return n
}
