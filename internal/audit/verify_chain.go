package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// keptHashes is how many of a chain's last hashes are kept. A head that a later record names lies at a chain's end, or
// before the few records that sealed it.
const keptHashes = 8

// chainState is what is known of one chain.
type chainState struct {
	name string
	// first is the first number seen, last the highest.
	first  int64
	last   int64
	closed bool
	// began: the chain has an intent of its own, so its server had finished recovery.
	began bool
	// recent holds the last hashes, each at its number modulo the length.
	recent [keptHashes]seen
	gaps   []gap
}

// seen is a record that has passed. One that is not intact has no hash that could be relied on.
type seen struct {
	seq    int64
	hash   [32]byte
	intact bool
}

// gap is a run of numbers that have not come, both ends included.
type gap struct{ from, to int64 }

// enter returns the chain that a record belongs to. A chain that has been left for another is not come back to.
func (v *Verifier) enter(at place) *chainState {
	st := v.chains[at.chain]
	switch {
	case st == nil:
		st = &chainState{name: at.chain}
		// In front of the first record stands the zero hash.
		st.recent[0].intact = true
		v.chains[at.chain] = st
		v.order = append(v.order, st)
	case st != v.current:
		v.find(FindingReordered, at, "it stands apart from the rest of its chain")
	}
	v.current = st
	return st
}

// at returns what was seen at a number, if it is among the last.
func (st *chainState) at(seq int64) (seen, bool) {
	if seq < 0 {
		return seen{}, false
	}
	s := st.recent[seq%keptHashes]
	return s, s.seq == seq && s.intact
}

// place puts a record where its number belongs and reports whether it could.
func (st *chainState) place(v *Verifier, at place, hash [32]byte, rec *Record, intact bool) bool {
	if at.seq < 1 {
		v.find(FindingInserted, at, "the numbers of a chain begin at 1")
		return false
	}
	if at.seq <= st.last {
		return st.placeLate(v, at, hash, intact)
	}
	if st.closed {
		v.find(FindingInserted, at, fmt.Sprintf("it stands behind record %d, which closed the chain", st.last))
	}
	if st.first == 0 {
		st.first = at.seq
	}
	switch {
	case v.Range && st.last == 0:
		// What is ahead of it is not in the range.
	case at.seq-st.last > 1:
		v.gap(st, gap{st.last + 1, at.seq - 1})
	case intact:
		st.checkLink(v, at, rec.PrevHash)
	}
	st.last, st.closed = at.seq, rec.Kind.closes()
	st.pass(v, at, hash, intact)
	return true
}

// placeLate places a record whose number is not higher than all before it.
func (st *chainState) placeLate(v *Verifier, at place, hash [32]byte, intact bool) bool {
	for i, g := range st.gaps {
		if at.seq < g.from || at.seq > g.to {
			continue
		}
		st.gaps = slices.Delete(st.gaps, i, i+1)
		v.gaps--
		if g.from < at.seq {
			v.gap(st, gap{g.from, at.seq - 1})
		}
		if at.seq < g.to {
			v.gap(st, gap{at.seq + 1, g.to})
		}
		v.find(FindingReordered, at, fmt.Sprintf("it comes behind record %d", st.last))
		st.pass(v, at, hash, intact)
		return true
	}
	if other, ok := st.at(at.seq); ok && other.hash != hash {
		v.find(FindingForked, at, "there are two different records with this number")
	} else {
		v.find(FindingInserted, at, "a record with this number has been before")
	}
	return false
}

// checkLink compares the hash that a record carries with that of the record before it.
func (st *chainState) checkLink(v *Verifier, at place, prev [32]byte) {
	before, ok := st.at(at.seq - 1)
	if !ok || before.hash == prev {
		return
	}
	if fork, ok := st.at(at.seq - 2); ok && fork.hash == prev {
		v.find(FindingForked, at, fmt.Sprintf("it follows record %d, as the one before it does", at.seq-2))
		return
	}
	v.find(FindingInserted, at, "it does not follow the record before it")
}

// pass keeps the hash for what comes, and settles the claims that were waiting for it.
func (st *chainState) pass(v *Verifier, at place, hash [32]byte, intact bool) {
	if slot := &st.recent[at.seq%keptHashes]; slot.seq < at.seq {
		*slot = seen{at.seq, hash, intact}
	}
	key := headKey{st.name, at.seq}
	for _, c := range v.claims[key] {
		if intact {
			v.settle(c, hash)
		}
	}
	delete(v.claims, key)
}

// gap notes numbers that have not come. They may still come late, which is a finding of its own.
func (v *Verifier) gap(st *chainState, g gap) {
	if v.gaps == maxFindings {
		v.missing(st.name, g)
		return
	}
	v.gaps++
	st.gaps = append(st.gaps, g)
}

func (v *Verifier) missing(chain string, g gap) {
	detail := "this record is not there"
	if g.to > g.from {
		detail = fmt.Sprintf("the records from here to %d are not there", g.to)
	}
	v.find(FindingMissing, place{chain: chain, seq: g.from}, detail)
}

// claim is the head of a chain that a record names.
type claim struct {
	head Head
	by   place
}

type headKey struct {
	chain string
	seq   int64
}

func (c *claim) place() place { return place{chain: c.head.Chain, seq: c.head.Seq} }

// claim compares the head that a record names with the chain, as soon as both are known.
func (v *Verifier) claim(c claim) {
	if c.head.Seq < 1 {
		return
	}
	st := v.chains[c.head.Chain]
	if v.Range && (st == nil || c.head.Seq < st.first) {
		return
	}
	if st == nil || c.head.Seq > st.last || st.misses(c.head.Seq) {
		key := headKey{c.head.Chain, c.head.Seq}
		v.claims[key] = append(v.claims[key], c)
		return
	}
	if s := st.recent[c.head.Seq%keptHashes]; s.seq != c.head.Seq {
		v.find(FindingTruncated, c.place(), fmt.Sprintf("%v names this record as the chain's last, and it goes on to %d", c.by, st.last))
	} else if s.intact {
		v.settle(c, s.hash)
	}
}

func (v *Verifier) settle(c claim, hash [32]byte) {
	if c.head.Hash != hash {
		v.find(FindingTruncated, c.place(), fmt.Sprintf("%v names another record here", c.by))
	}
}

func (st *chainState) misses(seq int64) bool {
	return slices.ContainsFunc(st.gaps, func(g gap) bool { return g.from <= seq && seq <= g.to })
}

func (p place) compare(o place) int {
	return cmp.Or(strings.Compare(p.chain, o.chain), cmp.Compare(p.seq, o.seq))
}
