package pii

import "strings"

const (
	minToken  = 16
	maxPrefix = 12
)

// joiner handles - _ and the dot: they end the prefixes of tokens, and five hyphens begin a PEM block.
func (s *scanner) joiner(i int) {
	t := s.text
	if t[i] == '-' && strings.HasPrefix(t[i:], pemBegin) {
		s.pem(i)
		return
	}
	if !isAt(t, i-1, isAlnum) || !isAt(t, i+1, isAlnum) {
		return
	}
	w := begins(t, i, max(s.lastEnd, i-maxPrefix), isAlnum)
	// A prefix in the middle of a token is none; this also keeps a row of prefixes from being read again from each.
	if s.joinedBefore(w) || isAt(t, w-1, isToken) || w > 0 && t[w-1] == '.' || !tokenPrefix(t[w:i], t[i]) {
		return
	}
	end := i + 1
	for end < len(t) && (is(t[end], isToken) || t[end] == '.' && t[i] == '.' && isAt(t, end+1, isToken)) {
		end++
	}
	for end > i && !is(t[end-1], isAlnum) {
		end--
	}
	if end-i <= minToken || !random(t[i+1:end]) {
		return
	}
	s.add(hit{start: w, end: end, entity: APIKey, rule: ruleToken, score: 95, reasons: reasonPrefix | reasonShape})
}

// tokenPrefix knows how the keys of widely used services begin.
func tokenPrefix(w string, joiner byte) bool {
	switch joiner {
	case '-':
		switch w {
		case "sk", "pk", "rk", "xoxb", "xoxp", "xoxa", "xoxs", "xoxr", "xoxe", "xapp", "glpat", "gldt", "glrt", "glcbt", "glptt",
			"glagent", "glsoat", "glft", "GOCSPX", "PMAK", "nvapi", "tvly", "pplx", "xai", "pypi", "key", "fo1", "flt", "AGE":
			return true
		}
	case '_':
		switch w {
		case "sk", "pk", "rk", "ghp", "gho", "ghu", "ghs", "ghr", "github", "whsec", "npm", "hf", "gsk", "r8", "dop", "doo",
			"dor", "shpat", "shpca", "shppa", "shpss", "figd", "lin", "glsa", "glc", "dckr", "sntrys", "sntryu", "rubygems", "pul",
			"sbp", "dp", "ntn", "fw", "EZAK", "EZTK", "FLWSECK", "rnd", "csk", "apify", "vcp":
			return true
		}
	default:
		switch w {
		case "SG", "hvs", "hvb", "hvr", "ya29", "xoxe", "dapi", "EAAG", "dt0c01":
			return true
		}
	}
	return false
}

// random tells the body of a token from words with hyphens or underscores between them: a row of letters with digits
// among them, or one longer than words are.
func random(body string) bool {
	const longest = 16
	digits, row := 0, 0
	best, mixed := 0, false
	for i := range len(body) {
		switch c := body[i]; {
		case is(c, isDigit):
			digits++
			row++
		case is(c, isLetter):
			row++
		default:
			row = 0
		}
		best = max(best, row)
		mixed = mixed || row >= 2 && is(body[i], isDigit) && is(body[i-1], isLetter)
	}
	return best > longest || digits >= 2 && mixed && best >= 8
}

// upperA recognises what begins with an upper-case A: keys of AWS and of Google.
func (s *scanner) upperA(i int) {
	t := s.text
	if s.joinedBefore(i) || len(t)-i < 20 {
		return
	}
	switch t[i : i+4] {
	case "AKIA", "ASIA", "ABIA", "ACCA":
		end := i
		for end < len(t) && is(t[end], isUpper|isDigit) {
			end++
		}
		if end-i == 20 && !joinedAfter(t, end) {
			s.add(hit{start: i, end: end, entity: APIKey, rule: ruleToken, score: 98, reasons: reasonPrefix | reasonShape})
		}
	case "AIza":
		end := ends(t, i, isToken)
		if end-i >= 35 && end-i <= 45 {
			s.add(hit{start: i, end: end, entity: APIKey, rule: ruleToken, score: 98, reasons: reasonPrefix | reasonShape})
		}
	}
}

// jwt recognises a JSON web token, whose header and claims begin with eyJ, by the J at i.
func (s *scanner) jwt(i int) {
	const shortest = 10
	t := s.text
	if i-2 < s.lastEnd || t[i-2:i] != "ey" || s.joinedBefore(i-2) || isAt(t, i-3, isToken) {
		return
	}
	end := ends(t, i, isToken)
	if end-i < shortest || end >= len(t) || t[end] != '.' {
		return
	}
	parts := 1
	for parts < 5 && end+1 < len(t) && t[end] == '.' && is(t[end+1], isToken) {
		end = ends(t, end+1, isToken)
		parts++
	}
	if parts < 2 {
		return
	}
	s.add(hit{start: i - 2, end: end, entity: APIKey, rule: ruleJWT, score: 98, reasons: reasonPrefix | reasonShape})
}

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	pemDash  = "-----"
)

// pem recognises a private key from its first line to its last; without one, to the end of its base64.
func (s *scanner) pem(i int) {
	const longestLabel = 48
	t := s.text
	head := t[i:min(len(t), i+longestLabel+len(pemBegin))]
	label := strings.Index(head[len(pemBegin):], pemDash)
	if label < 0 || !strings.Contains(head[:len(pemBegin)+label], "PRIVATE KEY") {
		s.pos = i + len(pemBegin)
		return
	}
	body := i + len(pemBegin) + label + len(pemDash)
	end := s.pemEndAfter(body)
	if end < 0 || strings.Contains(t[body:end], tagOpen) {
		for end = body; end < len(t) && (is(t[end], isAlnum) || isSpace(t[end]) || strings.IndexByte(`+/=\-:,`, t[end]) >= 0); end++ {
		}
	}
	s.add(hit{start: i, end: end, entity: APIKey, rule: rulePEM, score: 99, reasons: reasonPrefix | reasonShape})
}

// pemEndAfter returns the end of the last line of a PEM block whose body begins at i, -1 where there is none. It
// remembers where that line is, so that many beginnings before one end are read in linear time.
func (s *scanner) pemEndAfter(i int) int {
	const longestLabel = 48
	t := s.text
	if s.pemEnd >= 0 && s.pemEnd < i {
		s.pemEnd = strings.Index(t[i:], pemEnd)
		if s.pemEnd >= 0 {
			s.pemEnd += i
		}
	}
	if s.pemEnd < 0 {
		return -1
	}
	end := s.pemEnd + len(pemEnd)
	if n := strings.Index(t[end:min(len(t), end+longestLabel)], pemDash); n >= 0 {
		end += n + len(pemDash)
	}
	return end
}

// bearer recognises the token behind "Bearer" and behind "Basic", as HTTP sends them.
func (s *scanner) bearer(i int) {
	t := s.text
	n := 0
	switch {
	case folds(t, i, "bearer "):
		n = len("bearer ")
	case folds(t, i, "basic "):
		n = len("basic ")
	default:
		return
	}
	if s.joinedBefore(i) {
		return
	}
	start := i + n
	for start < len(t) && start < i+n+3 && t[start] == ' ' {
		start++
	}
	end := start
	for end < len(t) && (is(t[end], isToken) || strings.IndexByte(".~+/=", t[end]) >= 0) {
		end++
	}
	for end > start && t[end-1] == '.' {
		end--
	}
	v := t[start:end]
	if !credential(v) {
		return
	}
	if c := s.left(i); !c.has(hintToken) && !certain(v) {
		return
	}
	s.add(hit{start: start, end: end, entity: APIKey, rule: ruleBearer, score: 90, reasons: reasonContextBefore})
}

// certain says whether a credential cannot be a name in a program.
func certain(v string) bool {
	const longest = 20
	for i := range len(v) {
		if is(v[i], isDigit) || v[i] == '=' {
			return true
		}
	}
	return len(v) >= longest && strings.IndexByte(v, '.') < 0
}

// credential tells a token from a word: digits or padding in it, letters of both cases inside, or longer than words are.
func credential(v string) bool {
	const shortest, longest = 8, 24
	if len(v) < shortest {
		return false
	}
	digits, uppers, lowers, others := 0, 0, 0, 0
	for i := range len(v) {
		switch c := v[i]; {
		case is(c, isDigit):
			digits++
		case is(c, isUpper):
			if i > 0 {
				uppers++
			}
		case is(c, isLower):
			lowers++
		default:
			others++
		}
	}
	return digits > 0 || uppers > 0 && lowers > 0 || strings.HasSuffix(v, "=") || len(v) >= longest && others < len(v)/6
}
