package pii

import "sync"

// Masker finds and masks. One serves the whole process, and its methods are safe for concurrent use.
type Masker struct {
	// scanners are lent to one text at a time. On the stack, their size would make that of every caller grow.
	scanners sync.Pool
}

// New makes a masker with the rules that are on by default.
func New() *Masker {
	return &Masker{scanners: sync.Pool{New: func() any { return &scanner{} }}}
}

// Find appends to dst what is found in text, ordered by Start and without overlaps: where two findings overlap, their
// union is one finding under the name of the stronger. Tags that a masker wrote before are never part of a finding.
func (m *Masker) Find(dst []Finding, text string) []Finding {
	s := scanner{text: text}
	for {
		h, ok := s.next()
		if !ok {
			return dst
		}
		dst = append(dst, Finding{
			Entity:  h.entity,
			Rule:    h.rule.String(),
			Start:   h.start,
			End:     h.end,
			Score:   float64(h.score) / 100,
			Reasons: h.reasons.list(),
		})
	}
}

// AppendText appends text to dst with every finding replaced by its tag, and adds to c what was masked; c may be nil.
// Any bytes are allowed, and those outside of findings stay as they are. It takes linear time and allocates nothing but
// what dst needs to grow. Its output can be masked again: what was masked stays, and nothing new is found.
func (m *Masker) AppendText(dst []byte, text string, c *Counts) []byte {
	s := m.scanners.Get().(*scanner)
	s.reset(text, 0)
	dst, found := s.mask(dst, c)
	s.text = ""
	m.scanners.Put(s)
	if !found {
		dst = append(dst, text...)
	}
	return dst
}

// mask appends the masked text; where nothing is found it appends nothing and says so.
func (s *scanner) mask(dst []byte, c *Counts) (out []byte, found bool) {
	h, ok := s.next()
	if !ok {
		return dst, false
	}
	from := 0
	for ; ok; h, ok = s.next() {
		dst = append(dst, s.text[from:h.start]...)
		dst = append(dst, h.entity.Tag()...)
		from = h.end
		if c != nil {
			c[h.entity]++
		}
	}
	return append(dst, s.text[from:]...), true
}
