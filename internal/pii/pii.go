// Package pii finds personal data and secrets in text and JSON and replaces them by tags.
//
// It is one deterministic pass over the bytes. It knows nothing of conversations, audit or storage.
package pii

// EngineVersion names the rules; it rises when the same text may give another result.
const EngineVersion = "2"

// Finding is one piece of personal data: where it is and why it is one. It never holds the value.
type Finding struct {
	// Entity is the kind of data, such as EMAIL.
	Entity Entity
	// Rule names what recognised it.
	Rule string
	// Start and End are byte offsets, End exclusive.
	Start, End int
	// Score is from 0 to 1.
	Score float64
	// Reasons say in words what raised or lowered the score.
	Reasons []string
}

// Detector finds personal data in text. Find appends to dst what it finds, ordered by Start and without overlaps. It is
// safe for concurrent use and keeps neither dst nor text.
type Detector interface {
	Find(dst []Finding, text string) []Finding
}

var _ Detector = (*Masker)(nil)
