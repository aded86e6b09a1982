package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
)

// exportStart opens every record of an export.
const exportStart = `{"object":"audit.record"`

// AppendExport appends a record as a line of an export, without the newline: its fields flat, its payloads with their
// texts and salts, and, so that the line can be verified by itself, its hash and the exact bytes of its header as a string.
// The fields are those of the columns where there are columns, else the header's. What is erased is left out.
func AppendExport(dst []byte, row *Row) []byte {
	rec, err := parseHeader(row.Header)
	if err != nil {
		rec = Record{}
	}
	rec.Chain, rec.Seq, rec.ID, rec.Time, rec.Kind, rec.Owner = row.Chain, row.Seq, row.ID, row.Time, row.Kind, row.Owner
	rec.ConversationID, rec.ResponseID, rec.Attempt = row.ConversationID, row.ResponseID, row.Attempt

	dst = appendFields(append(dst, exportStart...), &rec)
	dst = appendMask(dst, rec.Mask, true)
	dst = appendHeads(dst, rec.Heads)
	dst = appendExported(dst, rec.Payloads, row.Payloads)
	dst = appendHex(append(dst, `,"prev_hash":`...), rec.PrevHash)
	dst = append(hex.AppendEncode(append(dst, `,"hash":"`...), row.Hash), '"')
	dst = appendString(append(dst, `,"header":`...), string(row.Header))
	return append(dst, '}')
}

// appendExported appends the payloads of a header, each with what is kept of it, then what is kept and not named there.
func appendExported(dst []byte, named []Payload, kept []StoredPayload) []byte {
	if len(named)+len(kept) == 0 {
		return dst
	}
	dst = append(dst, `,"payloads":`...)
	open := byte('[')
	for len(named)+len(kept) > 0 {
		var p Payload
		var k StoredPayload
		switch {
		case len(named) == 0:
			k, kept = kept[0], kept[1:]
			p.Part = k.Part
		case len(kept) > 0 && kept[0].Part == named[0].Part:
			k, kept = kept[0], kept[1:]
			fallthrough
		default:
			p, named = named[0], named[1:]
		}
		dst = appendPayload(append(dst, open), &p)
		if k.Text != nil {
			dst = appendString(append(dst, `,"text":`...), *k.Text)
		}
		if len(k.Salt) > 0 {
			dst = append(hex.AppendEncode(append(dst, `,"salt":"`...), k.Salt), '"')
		}
		dst = append(dst, '}')
		open = ','
	}
	return append(dst, ']')
}

var (
	errUnreadable = errors.New("the line cannot be read")
	errRewritten  = errors.New("the line is not as it was exported: its fields are not those of its header, or are written otherwise")
)

// ParseExport reads a line that AppendExport has written, without the newline, and nothing else. Where the line can be
// read and its fields are not those of its header, the row comes with the error.
func ParseExport(line []byte) (Row, error) {
	row, _, err := parseExport(nil, line)
	return row, err
}

// parseExport is ParseExport with a buffer, which it returns, grown, for the next time.
func parseExport(buf, line []byte) (Row, []byte, error) {
	p := scanner{s: string(line)}
	p.want(exportStart)
	var r Record
	p.who(&r)
	p.call(&r)
	p.mask()
	p.heads()
	payloads := p.exported()
	p.hash(`,"prev_hash":`)
	p.want(`,"hash":`)
	hash := p.bytes()
	p.want(`,"header":`)
	header := p.string()
	p.want("}")
	if p.failed || p.pos != len(p.s) {
		return Row{}, buf, fmt.Errorf("%w at byte %d", errUnreadable, p.pos)
	}
	row := Row{
		Header: []byte(header), Hash: hash, Chain: r.Chain, Seq: r.Seq, ID: r.ID, Time: r.Time, Kind: r.Kind, Owner: r.Owner,
		ConversationID: r.ConversationID, ResponseID: r.ResponseID, Attempt: r.Attempt, Payloads: payloads,
	}
	buf = AppendExport(buf[:0], &row)
	if !bytes.Equal(buf, line) {
		return row, buf, errRewritten
	}
	return row, buf, nil
}

// exported reads the payloads of a line.
func (p *scanner) exported() []StoredPayload {
	if !p.take(`,"payloads":[`) {
		return nil
	}
	var kept []StoredPayload
	for more := true; more && !p.failed; more = p.take(",") {
		k := StoredPayload{Part: p.payload().Part}
		if p.take(`,"text":`) {
			text := p.string()
			k.Text = &text
		}
		if p.take(`,"salt":`) {
			k.Salt = p.bytes()
		}
		p.want("}")
		kept = append(kept, k)
	}
	p.want("]")
	return kept
}

// bytes reads a string of hexadecimal digits.
func (p *scanner) bytes() []byte {
	b, err := hex.DecodeString(p.string())
	if err != nil {
		p.failed = true
	}
	return b
}

// AddExport checks the next line of an export, without its newline. A line that cannot be read is a finding. Behind the last
// comes FinishExport.
func (v *Verifier) AddExport(line []byte) {
	if v.ended {
		v.find(FindingInserted, v.exported.at(), "a line stands behind the one that closes the export")
	}
	if isExportEnd(line) {
		v.endExport(line)
		return
	}
	row, buf, err := parseExport(v.line, line)
	v.line = buf
	if err != nil {
		v.find(FindingModified, place{row.Chain, row.Seq, row.ID}, err.Error())
	}
	if errors.Is(err, errUnreadable) {
		v.report.Records++
		return
	}
	v.exported.add(&row)
	v.Add(&row)
}
