package pii

import "unsafe"

const (
	// maxDepth is how deep JSON may be nested, as in encoding/json; deeper is no JSON.
	maxDepth = 10000
	// maxNested is how often JSON in a string of JSON is looked into.
	maxNested = 8
)

// AppendJSON appends the JSON text data to dst with every finding in its keys and strings replaced by its tag, and adds
// to c what was masked; c may be nil. The names of keys say what their values are: {"phone": 4515986}. A number that is
// masked becomes a string. JSON inside a string is masked as JSON. Valid JSON stays valid, and what is not masked keeps
// its bytes; what is not valid JSON is masked as text.
func (m *Masker) AppendJSON(dst, data []byte, c *Counts) []byte {
	return appendJSON(dst, view(data), c, 0)
}

func appendJSON(dst []byte, text string, c *Counts, nested int) []byte {
	w := walker{in: text, out: dst, nested: nested}
	if w.space(); w.value(0, keyInfo{}) {
		if w.space(); w.pos == len(text) {
			w.flush(len(text))
			if c != nil {
				c.Add(&w.counts)
			}
			return w.out
		}
	}
	w.s.reset(text, 0)
	dst, found := w.s.mask(w.out[:len(dst)], c)
	if !found {
		dst = append(dst, text...)
	}
	return dst
}

// view is b as a string without a copy; b is not changed as long as the string is used.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // the callers own b and only read it meanwhile
}

// walker reads JSON from in and writes it to out, masked. Its methods return false where in is not valid.
type walker struct {
	in     string
	pos    int
	from   int // what stands before it has been written
	out    []byte
	counts Counts
	nested int
	s      scanner
	plain  []byte // a string without its escapes
	masked []byte // and masked
}

func (w *walker) flush(end int) {
	w.out = append(w.out, w.in[w.from:end]...)
	w.from = end
}

func (w *walker) space() {
	i := w.pos
	for i < len(w.in) && (w.in[i] == ' ' || w.in[i] == '\n' || w.in[i] == '\t' || w.in[i] == '\r') {
		i++
	}
	w.pos = i
}

// value reads one value that stands under a key, or in an array under one.
func (w *walker) value(depth int, key keyInfo) bool {
	if w.pos == len(w.in) || depth > maxDepth {
		return false
	}
	switch c := w.in[w.pos]; {
	case c == '{':
		return w.object(depth, key)
	case c == '[':
		return w.array(depth, key)
	case c == '"':
		return w.text(key)
	case c == '-' || is(c, isDigit):
		return w.number(key)
	}
	for _, literal := range [...]string{"true", "false", "null"} {
		if end := w.pos + len(literal); end <= len(w.in) && w.in[w.pos:end] == literal {
			w.pos = end
			return true
		}
	}
	return false
}

func (w *walker) object(depth int, outer keyInfo) bool {
	w.pos++
	w.space()
	if w.next('}') {
		return true
	}
	for {
		key, ok := w.key(outer)
		if !ok || !w.value(depth+1, key) {
			return false
		}
		w.space()
		if w.next('}') {
			return true
		}
		if !w.next(',') {
			return false
		}
		w.space()
	}
}

// key reads a key and the colon behind it. What the keys around it say goes for it too if it says nothing itself.
func (w *walker) key(outer keyInfo) (keyInfo, bool) {
	if w.pos == len(w.in) || w.in[w.pos] != '"' {
		return keyInfo{}, false
	}
	end, escaped, ok := quotedEnd(w.in, w.pos)
	if !ok {
		return keyInfo{}, false
	}
	name := w.in[w.pos+1 : end-1]
	if escaped {
		name = string(unescape(nil, name))
	}
	info := readKey(name)
	if info.hints == 0 {
		info.hints = outer.hints
	}
	w.string(name, end, keyInfo{})
	w.space()
	if !w.next(':') {
		return info, false
	}
	w.space()
	return info, true
}

func (w *walker) array(depth int, key keyInfo) bool {
	w.pos++
	w.space()
	if w.next(']') {
		return true
	}
	for {
		if !w.value(depth+1, key) {
			return false
		}
		w.space()
		if w.next(']') {
			return true
		}
		if !w.next(',') {
			return false
		}
		w.space()
	}
}

// next passes the byte c if it is the next one.
func (w *walker) next(c byte) bool {
	if w.pos == len(w.in) || w.in[w.pos] != c {
		return false
	}
	w.pos++
	return true
}

// text reads a string and masks what it says; if nothing is found in it, it stays as it was.
func (w *walker) text(key keyInfo) bool {
	end, escaped, ok := quotedEnd(w.in, w.pos)
	if !ok {
		return false
	}
	plain := w.in[w.pos+1 : end-1]
	if escaped {
		w.plain = unescape(w.plain[:0], plain)
		plain = view(w.plain)
	}
	w.string(plain, end, key)
	return true
}

// string masks a string without its escapes, which ends before end.
func (w *walker) string(plain string, end int, key keyInfo) {
	if w.mask(plain, key) {
		w.flush(w.pos)
		w.out = appendQuoted(w.out, w.masked)
		w.from = end
	}
	w.pos = end
}

// mask masks a string into w.masked and says whether anything was found.
func (w *walker) mask(plain string, key keyInfo) bool {
	if w.nested < maxNested && looksLikeJSON(plain) {
		inner := Counts{}
		w.masked = appendJSON(w.masked[:0], plain, &inner, w.nested+1)
		w.counts.Add(&inner)
		return inner != Counts{}
	}
	w.s.reset(plain, key.hints)
	inner := Counts{}
	var found bool
	w.masked, found = w.s.mask(w.masked[:0], &inner)
	if e, ok := key.whole(plain, &inner); ok {
		w.masked = append(w.masked[:0], e.Tag()...)
		w.counts[e]++
		return true
	}
	if found {
		w.counts.Add(&inner)
	}
	return found
}

// looksLikeJSON says whether a string may hold an object or an array.
func looksLikeJSON(t string) bool {
	for i := range len(t) {
		switch t[i] {
		case ' ', '\n', '\t', '\r':
		case '{', '[':
			if _, _, ok := tagAt(t, i); ok {
				return false
			}
			return true
		default:
			return false
		}
	}
	return false
}

// number reads a number. It is masked if its key says what it is, or if it is a card beyond doubt.
func (w *walker) number(key keyInfo) bool {
	end, whole, ok := numberEnd(w.in, w.pos)
	if !ok {
		return false
	}
	start, digits := w.pos, w.in[w.pos:end]
	w.pos = end
	if !whole || key.hints&hintPersonal == 0 && key.secret == secretNo && len(digits) < minCard {
		return true
	}
	w.s.reset(digits, key.hints)
	h, found := w.s.next()
	e := h.entity
	found = found && h.start == 0 && h.end == len(digits) && (key.hints&hintPersonal != 0 || e == Card && key.hints&hintOther == 0)
	if !found {
		e, found = key.whole(digits, &Counts{})
	}
	if found {
		w.flush(start)
		w.out = append(w.out, '"')
		w.out = append(w.out, e.Tag()...)
		w.out = append(w.out, '"')
		w.from = end
		w.counts[e]++
	}
	return true
}
