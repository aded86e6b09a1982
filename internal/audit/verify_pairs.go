package audit

import (
	"fmt"
	"maps"
	"slices"
)

// pairs holds the intents without an outcome and the outcomes without an intent: few at any one time, since what has
// found its other half is forgotten.
type pairs struct {
	intents, outcomes map[pairKey]side
}

// pairKey is one attempt of one response.
type pairKey struct {
	response string
	attempt  int
}

// side is one half of a pair.
type side struct {
	at place
	st *chainState
}

func (p *pairs) add(v *Verifier, st *chainState, at place, rec *Record) {
	if rec.Kind != KindIntent && rec.Kind != KindOutcome {
		return
	}
	st.began = st.began || rec.Kind == KindIntent
	if rec.ResponseID == "" {
		return
	}
	key := pairKey{rec.ResponseID, rec.Attempt}
	if rec.Kind == KindIntent {
		p.intent(v, key, side{at, st})
	} else {
		p.outcome(v, key, side{at, st})
	}
}

func (p *pairs) intent(v *Verifier, key pairKey, s side) {
	if outcome, ok := p.outcomes[key]; ok {
		delete(p.outcomes, key)
		if outcome.st == s.st {
			v.find(FindingUnpaired, s.at, fmt.Sprintf("its outcome, record %d, comes before it", outcome.at.seq))
		}
		return
	}
	if other, ok := p.intents[key]; ok {
		v.find(FindingUnpaired, s.at, fmt.Sprintf("%v is an intent of the same attempt", other.at))
		return
	}
	p.intents[key] = s
}

func (p *pairs) outcome(v *Verifier, key pairKey, s side) {
	if _, ok := p.intents[key]; ok {
		delete(p.intents, key)
		return
	}
	if other, ok := p.outcomes[key]; ok {
		v.find(FindingUnpaired, s.at, fmt.Sprintf("%v is an outcome of the same attempt", other.at))
		return
	}
	p.outcomes[key] = s
}

func (p *pairs) finish(v *Verifier) {
	if v.Range {
		v.report.Pending = len(p.intents) + len(p.outcomes)
		return
	}
	// A server that has not begun a call of its own may still be writing the outcomes that a dead one owes.
	recovering := slices.ContainsFunc(v.order, func(st *chainState) bool { return !st.closed && !st.began })
	for _, s := range sorted(p.intents) {
		if !s.st.closed || recovering {
			v.report.Pending++
			continue
		}
		v.find(FindingUnpaired, s.at, "the intent has no outcome")
	}
	for _, s := range sorted(p.outcomes) {
		v.find(FindingUnpaired, s.at, "the outcome has no intent, or is a second one")
	}
}

func sorted(sides map[pairKey]side) []side {
	return slices.SortedFunc(maps.Values(sides), func(a, b side) int { return a.at.compare(b.at) })
}
