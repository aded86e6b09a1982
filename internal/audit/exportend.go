package audit

import (
	"bytes"
	"strconv"
	"strings"
)

// exportEnd opens the line that closes an export. It is no record: it says how many there are, and how far each chain goes, so
// that an export which broke off is not taken for a whole one.
const exportEnd = `{"object":"audit.export.end"`

func isExportEnd(line []byte) bool { return bytes.HasPrefix(line, []byte(exportEnd)) }

// Exporter writes an export. Its memory grows with the number of chains.
type Exporter struct{ written reach }

// Append appends the next record as a line; see AppendExport.
func (e *Exporter) Append(dst []byte, row *Row) []byte {
	e.written.add(row)
	return append(AppendExport(dst, row), '\n')
}

// AppendEnd appends the line that closes the export, behind the last record.
func (e *Exporter) AppendEnd(dst []byte) []byte { return append(e.written.appendEnd(dst), '\n') }

// reach is how far the records of an export go: their number, and the last one of each chain, in the order in which the chains come.
type reach struct {
	records int64
	heads   []Head
}

func (r *reach) add(row *Row) {
	r.records++
	if n := len(r.heads); n == 0 || r.heads[n-1].Chain != row.Chain {
		// Nothing of the row is kept.
		r.heads = append(r.heads, Head{Chain: strings.Clone(row.Chain)})
	}
	h := &r.heads[len(r.heads)-1]
	h.Seq, h.Hash = row.Seq, [32]byte{}
	copy(h.Hash[:], row.Hash)
}

// at is the last record.
func (r *reach) at() place {
	if len(r.heads) == 0 {
		return place{}
	}
	h := &r.heads[len(r.heads)-1]
	return place{chain: h.Chain, seq: h.Seq}
}

func (r *reach) appendEnd(dst []byte) []byte {
	dst = strconv.AppendInt(append(append(dst, exportEnd...), `,"records":`...), r.records, 10)
	if len(r.heads) == 0 {
		dst = append(dst, `,"heads":[]`...)
	}
	return append(appendHeads(dst, r.heads), '}')
}

// endExport compares the closing line with the records that have come. Only what AppendEnd writes of these is right.
func (v *Verifier) endExport(line []byte) {
	v.ended = true
	v.line = v.exported.appendEnd(v.line[:0])
	if !bytes.Equal(v.line, line) {
		v.find(FindingTruncated, v.exported.at(), "the closing line of the export speaks of other records than there are: lines are left out or altered")
	}
}

// FinishExport is Finish for an export: without its closing line it is not whole.
func (v *Verifier) FinishExport() Report {
	if !v.ended {
		v.find(FindingTruncated, v.exported.at(), "the export has no closing line: it broke off here, or its end was cut off")
	}
	return v.Finish()
}
