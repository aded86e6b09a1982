package pii

import "unicode/utf8"

const (
	// maxBack is how far a recogniser looks back for the start of a value.
	maxBack   = 128
	queueSize = 32
	// queueFlush is how many hits may wait; one step adds fewer than the rest.
	queueFlush = 8
)

// scanner is one pass over a text. It stops at bytes that something may begin at or hang on, hands them to the
// recogniser for it, and goes on behind what that found. Hits wait in a queue as long as a later one may overlap them.
type scanner struct {
	text string
	pos  int
	key  hint // of the JSON key whose value the text is

	floor      int // what was handed out, and tags, end here: no finding reaches back over it
	lastEnd    int // the last hit or tag ends here
	lastEntity Entity

	queue      [queueSize]hit
	head, size int

	labelEnd int // a label touches the number that begins here
	pemEnd   int // where the last line of a PEM block was found; -1 where there is none ahead
	run      run

	context    leftContext // of the run, if runContext
	runContext bool
}

// reset begins another text without clearing what is written before it is read.
func (s *scanner) reset(text string, key hint) {
	s.text, s.key = text, key
	s.pos, s.floor, s.lastEnd, s.lastEntity = 0, 0, 0, 0
	s.head, s.size, s.pemEnd, s.labelEnd = 0, 0, 0, 0
}

// next returns the next finding that nothing can change any more.
func (s *scanner) next() (hit, bool) {
	for {
		if s.size > 0 && (s.pos >= len(s.text) || s.size > queueFlush || s.pos-s.queue[s.head].end > maxBack) {
			h := s.queue[s.head]
			s.head = (s.head + 1) % queueSize
			s.size--
			s.floor = max(s.floor, h.end)
			return h, true
		}
		if s.pos >= len(s.text) {
			return hit{}, false
		}
		s.step()
	}
}

// add queues a finding and goes on behind it.
func (s *scanner) add(h hit) {
	for s.size > 0 {
		last := s.queue[(s.head+s.size-1)%queueSize]
		if !last.overlaps(h) && s.size < queueSize {
			break
		}
		h = h.union(last)
		s.size--
	}
	s.queue[(s.head+s.size)%queueSize] = h
	s.size++
	s.lastEnd, s.lastEntity = h.end, h.entity
	s.runContext = false
	s.pos = max(s.pos, h.end)
}

// joinedBefore says whether a word runs on to i from the left; one that was masked does not.
func (s *scanner) joinedBefore(i int) bool { return i != s.lastEnd && joinedBefore(s.text, i) }

// step goes on to the next trigger and behind what hangs on it.
func (s *scanner) step() {
	t := s.text
	i := s.pos
	for i < len(t) && triggers[t[i]] == pass {
		i++
	}
	if i == len(t) {
		s.pos = i
		return
	}
	s.pos = i + 1
	switch triggers[t[i]] {
	case onDigit:
		s.number(i)
	case onHigh:
		s.high(i)
	case onAt:
		s.email(i, 1)
	case onColon:
		s.colon(i)
	case onEquals:
		s.assignment(i)
	case onJoiner:
		s.joiner(i)
	case onBracket:
		s.tag(i)
	case onUpperA:
		s.upperA(i)
	case onUpperJ:
		s.jwt(i)
	case onB:
		s.bearer(i)
	case onD:
		s.spokenDot(i)
	case onW:
		s.passwordIs(i)
	case pass:
	}
}

// high handles a character that is not ASCII: a digit begins a number, a full-width @ an e-mail address.
func (s *scanner) high(i int) {
	if _, w := digitAt(s.text, i); w > 0 {
		s.number(i)
		return
	}
	r, w := utf8.DecodeRuneInString(s.text[i:])
	if r == 0xFF20 {
		s.email(i, w)
		return
	}
	s.pos = i + w
}

// tag passes over what was masked before.
func (s *scanner) tag(i int) {
	if e, end, ok := tagAt(s.text, i); ok {
		s.pos, s.floor, s.lastEnd, s.lastEntity = end, end, end, e
	}
}
