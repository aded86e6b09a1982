package audit

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Row is a record as a store or an export keeps it: the header, its hash, the columns derived from it, all of which
// are compared, and the payloads.
type Row struct {
	Header []byte
	Hash   []byte

	Chain          string
	Seq            int64
	ID             string
	Time           time.Time
	Kind           Kind
	Owner          string
	ConversationID string
	ResponseID     string
	Attempt        int

	// Payloads are in the order of the header's. Those that are not Stored may be left out. What is kept in their place and
	// is none of them comes last, as one that no header names.
	Payloads []StoredPayload
}

// StoredPayload is what is kept of a payload beside the header. Text is nil where there is none, Salt empty.
type StoredPayload struct {
	Part string
	Text *string
	Salt []byte
}

// FindingKind says what is wrong.
type FindingKind string

// The kinds of finding.
const (
	FindingModified        FindingKind = "modified"         // header, hash and derived columns do not agree
	FindingMissing         FindingKind = "missing"          // numbers of a chain are left out
	FindingInserted        FindingKind = "inserted"         // a record twice, behind a chain's end, or not linked to the one before it
	FindingReordered       FindingKind = "reordered"        // a record comes behind one with a higher number
	FindingForked          FindingKind = "forked"           // two different records in one place
	FindingTruncated       FindingKind = "truncated"        // a head that another record or an export's end names is not there, or is another; an export without its end
	FindingPayloadMismatch FindingKind = "payload_mismatch" // the text is not the one that the header commits to
	FindingPayloadMissing  FindingKind = "payload_missing"  // the header says that a text is kept, and it is not
	FindingUnpaired        FindingKind = "unpaired"         // not one intent and one outcome to an attempt
)

// Finding is one thing that is wrong. Chain and Seq say where; RecordID is empty where there is no record.
type Finding struct {
	Kind     FindingKind `json:"kind"`
	Chain    string      `json:"chain"`
	Seq      int64       `json:"seq"`
	RecordID string      `json:"record_id"`
	Detail   string      `json:"detail"`
}

// maxFindings bounds the list in a Report.
const maxFindings = 1000

// Report is what a Verifier has to say of a log.
type Report struct {
	OK      bool  `json:"ok"`
	Records int64 `json:"records"`
	Chains  int64 `json:"chains"`
	// Open names the chains without a closing record: their server runs, or it crashed and no other has sealed them yet.
	Open []string `json:"open"`
	// Pending counts the intents without an outcome that may still get one.
	Pending int `json:"pending"`
	// Findings holds the first 1,000; Omitted counts the rest.
	Findings []Finding `json:"findings"`
	Omitted  int       `json:"omitted,omitempty"`
}

// Verifier proves that a log is what was written: every header and text unchanged, every chain whole and in order, one
// outcome to each intent, every chain as long as a later one says. It reads the log once. Its memory grows with the
// number of chains and of the calls that run at one time, not with the number of records.
//
// From the log alone nobody can see that its end was cut off, be it some records of the newest chain or the newest chains
// as a whole, or that this end was written anew with all its hashes: no record behind it names what stood there. That
// takes a checkpoint, a head that was noted elsewhere before. Nor can the salt of a payload that is not kept be checked
// without its data.
type Verifier struct {
	// Range says that the records are those of a range of time. Chains may then begin late and end early, and what a
	// record speaks of may lie outside: a head, the other half of a call. Between its first and its last record a chain
	// must be whole all the same. It is set ahead of the first record.
	Range bool

	report Report
	chains map[string]*chainState
	// order lists the chains as they came; current is the one that the last record belongs to.
	order   []*chainState
	current *chainState
	claims  map[headKey][]claim
	pairs   pairs
	gaps    int
	// exported are the records that have come by AddExport; ended: the line that closes them has.
	exported reach
	ended    bool
	buf      []byte
	line     []byte
}

// NewVerifier returns a Verifier that has seen nothing.
func NewVerifier() *Verifier {
	return &Verifier{
		report: Report{Open: []string{}, Findings: []Finding{}},
		chains: map[string]*chainState{},
		claims: map[headKey][]claim{},
		pairs:  pairs{intents: map[pairKey]side{}, outcomes: map[pairKey]side{}},
	}
}

// place says of which record a finding speaks.
type place struct {
	chain string
	seq   int64
	id    string
}

func placeOf(r *Record) place { return place{r.Chain, r.Seq, r.ID} }

func (p place) String() string { return fmt.Sprintf("record %d of chain %q", p.seq, p.chain) }

// Add checks the next record. The records of a chain come together, in the order of their numbers. The chains come in the
// order of their first records; where several servers write at one time the other way round, so that the heads which
// later chains name in the midst of earlier ones are known before these pass. Nothing of row is kept.
func (v *Verifier) Add(row *Row) {
	v.report.Records++
	hash := HashHeader(row.Header)
	rec, intact := v.read(row, hash)
	at := placeOf(&rec)
	st := v.enter(at)
	if !st.place(v, at, hash, &rec, intact) {
		return
	}
	for i := range rec.Heads {
		v.claim(claim{rec.Heads[i], at})
	}
	v.pairs.add(v, st, at, &rec)
}

// read returns what a row's header says. Where header and hash do not agree, that is what the columns say, so that one
// broken record does not break what stands around it.
func (v *Verifier) read(row *Row, hash [32]byte) (rec Record, intact bool) {
	rec, err := parseHeader(row.Header)
	if err == nil {
		v.buf, err = requireCanonical(v.buf, row.Header, &rec)
	}
	if err == nil && !bytes.Equal(hash[:], row.Hash) {
		err = errors.New("the hash is not that of the header")
	}
	if err != nil {
		rec = row.record()
		v.find(FindingModified, placeOf(&rec), err.Error())
		return rec, false
	}
	at := placeOf(&rec)
	if column := differing(row, &rec); column != "" {
		v.find(FindingModified, at, "the column "+column+" is not what the header says")
	}
	v.checkPayloads(at, &rec, row.Payloads)
	return rec, true
}

// record is what the columns say, without their memory.
func (r *Row) record() Record {
	return Record{
		Chain: strings.Clone(r.Chain), Seq: r.Seq, ID: strings.Clone(r.ID), Kind: r.Kind,
		ResponseID: strings.Clone(r.ResponseID), Attempt: r.Attempt,
	}
}

// Finish ends the checks that need the whole log and returns what was found. It is called once, after the last Add.
func (v *Verifier) Finish() Report {
	for _, st := range v.order {
		for _, g := range st.gaps {
			v.missing(st.name, g)
		}
	}
	v.unmetClaims()
	v.pairs.finish(v)
	for _, st := range v.order {
		if !st.closed {
			v.report.Open = append(v.report.Open, st.name)
		}
	}
	v.report.Chains = int64(len(v.order))
	v.report.OK = len(v.report.Findings) == 0
	return v.report
}

func (v *Verifier) find(kind FindingKind, at place, detail string) {
	if len(v.report.Findings) == maxFindings {
		v.report.Omitted++
		return
	}
	v.report.Findings = append(v.report.Findings, Finding{Kind: kind, Chain: at.chain, Seq: at.seq, RecordID: at.id, Detail: detail})
}

// differing returns the name of a column that is not what the header says, or nothing.
func differing(row *Row, rec *Record) string {
	switch {
	case row.Chain != rec.Chain:
		return "chain"
	case row.Seq != rec.Seq:
		return "seq"
	case !headerTime(row.Time).Equal(rec.Time):
		return "time"
	case row.Attempt != rec.Attempt:
		return "attempt"
	}
	for _, column := range [...]struct{ name, kept, said string }{
		{"id", row.ID, rec.ID},
		{"kind", string(row.Kind), string(rec.Kind)},
		{"owner", row.Owner, rec.Owner},
		{"conversation_id", row.ConversationID, rec.ConversationID},
		{"response_id", row.ResponseID, rec.ResponseID},
	} {
		if column.kept != column.said && headerText(column.kept) != column.said {
			return column.name
		}
	}
	return ""
}

// headerText is a text as a header has it, where bytes that are not UTF-8 cannot stand.
func headerText(s string) string { return string([]rune(s)) }

// checkPayloads compares the texts that are kept with what the header commits to.
func (v *Verifier) checkPayloads(at place, rec *Record, kept []StoredPayload) {
	for i := range rec.Payloads {
		p := &rec.Payloads[i]
		stands := len(kept) > 0 && kept[0].Part == p.Part
		if !p.Stored {
			if stands && kept[0].Text == nil {
				kept = kept[1:]
			}
			continue
		}
		if !stands {
			v.find(FindingPayloadMissing, at, fmt.Sprintf("the payload %q is not there", p.Part))
			continue
		}
		v.checkPayload(at, p, &kept[0])
		kept = kept[1:]
	}
	if len(kept) > 0 {
		v.find(FindingPayloadMismatch, at, fmt.Sprintf("a payload %q is there that the header does not name", kept[0].Part))
	}
}

func (v *Verifier) checkPayload(at place, p *Payload, kept *StoredPayload) {
	switch {
	case kept.Text == nil:
		v.find(FindingPayloadMissing, at, fmt.Sprintf("the payload %q has no text any more", p.Part))
	case len(kept.Salt) == 0:
		v.find(FindingPayloadMissing, at, fmt.Sprintf("the payload %q has no salt any more", p.Part))
	case commit(kept.Salt, p.Part, []byte(*kept.Text)) != p.Commitment:
		v.find(FindingPayloadMismatch, at, fmt.Sprintf("the payload %q is not the text that was written", p.Part))
	}
}

// unmetClaims reports the heads that were named and never came.
func (v *Verifier) unmetClaims() {
	if v.Range {
		return
	}
	var unmet []claim
	for _, claims := range v.claims {
		unmet = append(unmet, claims...)
	}
	slices.SortFunc(unmet, func(a, b claim) int { return a.by.compare(b.by) })
	for _, c := range unmet {
		last := int64(0)
		if st := v.chains[c.head.Chain]; st != nil {
			last = st.last
		}
		v.find(FindingTruncated, c.place(), fmt.Sprintf("%v names this record, which is not there; the chain ends at %d", c.by, last))
	}
}
