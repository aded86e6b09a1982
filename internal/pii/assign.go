package pii

import "strings"

const (
	maxName   = 40
	maxSecret = 256
)

// colon handles a colon: the credentials of a URL, an IPv6 address, an assignment.
func (s *scanner) colon(i int) {
	t := s.text
	if strings.HasPrefix(t[i:], "://") {
		s.urlCredentials(i + len("://"))
		return
	}
	if isAt(t, i-1, isHex) || isAt(t, i+1, isHex) || i+1 < len(t) && t[i+1] == ':' {
		if s.ipv6(i) || s.botToken(i) {
			return
		}
	}
	s.assignment(i)
}

// urlCredentials recognises what stands before the @ in the authority at i: user:password, or a token alone.
func (s *scanner) urlCredentials(i int) {
	const longest, longToken = 256, 20
	t := s.text
	at := -1
	secret := false
	for j := i; j < len(t) && j < i+longest; j++ {
		c := t[j]
		if c == '@' {
			at = j
		}
		if isSpace(c) || strings.IndexByte("/?#\"'<>`\\|", c) >= 0 {
			break
		}
		if c == ':' && at < 0 && j+1 < len(t) && t[j+1] != '@' {
			secret = true
		}
	}
	if at <= i || !secret && at-i < longToken || strings.Contains(t[i:at], tagOpen) || t[i] == '$' || t[i] == '<' {
		return
	}
	s.add(hit{start: i, end: at, entity: APIKey, rule: ruleURLCredentials, score: 96, reasons: reasonShape})
}

// botToken recognises a Telegram bot's token around the colon at i.
func (s *scanner) botToken(i int) bool {
	const body = 35
	t := s.text
	w := begins(t, i, max(s.lastEnd, i-11), isDigit)
	if i-w < 8 || i-w > 10 || s.joinedBefore(w) || !strings.HasPrefix(t[i+1:], "AA") {
		return false
	}
	end := ends(t, i+1, isToken)
	if end-i-1 != body {
		return false
	}
	s.add(hit{start: w, end: end, entity: APIKey, rule: ruleToken, score: 95, reasons: reasonShape})
	return true
}

// secrecy is what the name of a value says of it.
type secrecy uint8

const (
	secretNo     secrecy = iota
	secretToken          // it is a secret if it looks like one
	secretAlways         // a password
)

// secretName reads the parts of a name such as db_password, openaiApiKey or "API key". The last part decides.
func secretName(name string) secrecy {
	end := wordEnd(name, len(name))
	w := lastPart(name[:end])
	h := words.of(w)
	switch {
	case h&hintSecret != 0:
		return secretAlways
	case h&hintToken != 0:
		return secretToken
	case h&hintKey == 0:
		return secretNo
	}
	end = wordEnd(name, end-len(w))
	if before := lastPart(name[:end]); words.of(before)&hintKeyOf != 0 {
		return secretToken
	}
	return secretNo
}

// lastPart returns the last word of a name that ends in a letter; an upper-case letter behind a lower-case one begins a
// word.
func lastPart(name string) string {
	i := len(name)
	for i > 0 && is(name[i-1], isLetter|isHigh) {
		if i < len(name) && is(name[i], isUpper) && is(name[i-1], isLower) {
			break
		}
		i--
	}
	return name[i:]
}

// assignment recognises the value behind the colon or the equals sign at i where the name before it is a secret's:
// password=..., "api_key": "...".
func (s *scanner) assignment(i int) {
	t := s.text
	if i+1 >= len(t) || t[i+1] == '=' || i > 0 && strings.IndexByte("=!<>", t[i-1]) >= 0 || t[i] == ':' && t[i+1] == ':' {
		return
	}
	kind := secretName(s.nameBeforeSign(i))
	if kind == secretNo {
		return
	}
	start, end, quoted := value(t, i+1)
	if start == end || !secretValue(t[start:end], kind, quoted || lineEnds(t, end), quoted) {
		return
	}
	s.add(hit{start: start, end: end, entity: APIKey, rule: ruleAssignment, score: 85, reasons: reasonContextBefore})
}

// nameBeforeSign returns what is assigned to by the sign at i.
func (s *scanner) nameBeforeSign(i int) string {
	t := s.text
	floor := max(s.lastEnd, i-maxName)
	j := i
	for j > floor && strings.IndexByte(" \"'`:\\]", t[j-1]) >= 0 && i-j < 4 {
		j--
	}
	k := j
	for k > floor && (is(t[k-1], isToken|isHigh) || t[k-1] == '.' || t[k-1] == ' ' && k < j && is(t[k], isToken)) {
		k--
	}
	return t[k:j]
}

// value finds the value behind a sign at i: in quotes up to the closing one, else up to what ends a word.
func value(t string, i int) (start, end int, quoted bool) {
	for n := 0; n < 3 && i < len(t) && (t[i] == ' ' || t[i] == '>'); n++ {
		i++
	}
	if i < len(t) && t[i] == '\\' && i+1 < len(t) && t[i+1] == '"' {
		i++
	}
	limit := min(len(t), i+maxSecret)
	if i < limit && strings.IndexByte("\"'`", t[i]) >= 0 {
		q := t[i]
		for j := i + 1; j < limit; j++ {
			if t[j] == '\\' && j+1 < limit && t[j+1] != q {
				j++
				continue
			}
			if t[j] == q || t[j] == '\n' || t[j] == '\\' || t[j] == '[' && strings.HasPrefix(t[j:], tagOpen) {
				return i + 1, j, t[j] == q || t[j] == '\\'
			}
		}
		return i + 1, limit, false
	}
	j := i
	for j < limit && !isSpace(t[j]) && strings.IndexByte(",;\"'`<>)}]|\\", t[j]) < 0 {
		if t[j] == '[' && strings.HasPrefix(t[j:], tagOpen) || t[j] == '&' && parameter(t, j+1) {
			break
		}
		j++
	}
	for j > i && (t[j-1] == '.' || t[j-1] == '?') {
		j--
	}
	return i, j, false
}

// parameter says whether the next parameter of a query begins at i.
func parameter(t string, i int) bool {
	n := ends(t, i, isToken)
	return n > i && n-i <= maxName && n < len(t) && t[n] == '='
}

// lineEnds says whether the line ends behind i.
func lineEnds(t string, i int) bool {
	for i < len(t) && (t[i] == ' ' || t[i] == '.' || t[i] == ',' || t[i] == ';' || t[i] == '"' || t[i] == '}') {
		i++
	}
	return i == len(t) || t[i] == '\n' || t[i] == '\r' || t[i] == '\\' || t[i] == '&'
}

// secretValue tells a value from a type, a placeholder and a sentence. whole says that nothing follows it.
func secretValue(v string, kind secrecy, whole, quoted bool) bool {
	const shortest, shortestToken = 4, 8
	if len(v) < shortest || strings.IndexByte("$<{%*([", v[0]) >= 0 || words.of(v)&hintPlain != 0 || strings.Contains(v, tagOpen) {
		return false
	}
	if strings.ContainsAny(v, "()[{") || folds(v, 0, "os.") || folds(v, 0, "process.") || folds(v, 0, "your") || folds(v, 0, "xxx") {
		return false
	}
	if kind == secretToken {
		return len(v) >= shortestToken && strings.IndexByte(v, ' ') < 0 && !folds(v, 0, "0x") && credential(v) && certain(v)
	}
	if whole {
		return strings.Count(v, " ") < 4 && (quoted || !selector(v))
	}
	return strings.IndexByte(v, ' ') < 0 && unlikeWord(v) && !selector(v)
}

// selector says whether a value is a name in a program, with dots between its parts: cfg.Password.
func selector(v string) bool {
	dots := 0
	for i := range len(v) {
		switch {
		case v[i] == '.':
			dots++
		case !is(v[i], isLetter) && v[i] != '_':
			return false
		}
	}
	return dots > 0
}

// unlikeWord says whether a value has what passwords have and words do not.
func unlikeWord(v string) bool {
	for i := range len(v) {
		if c := v[i]; is(c, isDigit) || i > 0 && is(c, isUpper) || strings.IndexByte("!@#$%^&*+=~/", c) >= 0 {
			return true
		}
	}
	return false
}

// passwordIs recognises a password told in a sentence, "my password is hunter2", by the w at i.
func (s *scanner) passwordIs(i int) {
	t := s.text
	w := i - len("pass")
	j := 0
	switch {
	case w >= s.lastEnd && folds(t, w, "password"):
		j = w + len("password")
	case w >= s.lastEnd && folds(t, w, "passwd"):
		j = w + len("passwd")
	case i-1 >= s.lastEnd && folds(t, i-1, "pwd"):
		w, j = i-1, i+2
	default:
		return
	}
	if s.joinedBefore(w) || j >= len(t) || t[j] != ' ' {
		return
	}
	j++
	for _, verb := range [...]string{"is ", "was ", "to ", "as ", "of "} {
		if folds(t, j, verb) {
			j += len(verb)
			break
		}
	}
	start, end, quoted := value(t, j)
	if start == end || end-start > 2*maxName || strings.IndexByte("=:", t[j]) >= 0 {
		return
	}
	if _, _, ok := tagAt(t, end); ok {
		return // the rest of it was masked before
	}
	if v := t[start:end]; !secretValue(v, secretAlways, quoted, quoted) {
		return
	}
	s.add(hit{start: start, end: end, entity: APIKey, rule: rulePassword, score: 75, reasons: reasonContextBefore})
}
