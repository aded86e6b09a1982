package audit

import (
	"bytes"
	"testing"
	"time"
)

func FuzzParseHeader(f *testing.F) {
	chain := NewChain("i1/1")
	for _, r := range goldenRecords() {
		f.Add(chain.Seal(&r))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		r, err := ParseHeader(header)
		if err != nil {
			return
		}
		if again := appendHeader(nil, &r); !bytes.Equal(again, header) {
			t.Errorf("%q is read as what is written %q", header, again)
		}
		if r.Hash != HashHeader(header) {
			t.Errorf("%q has hash %x", header, r.Hash)
		}
	})
}

// FuzzVerifierFindsOneAlteredByte changes one byte of one honest log, anywhere.
func FuzzVerifierFindsOneAlteredByte(f *testing.F) {
	rows := smallLog().rows()
	for i := range uint16(16) {
		f.Add(i, i*37, byte(1))
		f.Add(i, i*3, byte(0x80))
	}
	f.Fuzz(func(t *testing.T, row, position uint16, change byte) {
		if change == 0 {
			return
		}
		tampered := cloneRows(rows)
		r := tampered[int(row)%len(tampered)]
		if !alter(r, int(position), change) {
			return
		}
		if rep := verify(tampered); rep.OK {
			t.Errorf("row %d with byte %d changed by %#x passes: %+v", row, position, change, r)
		}
	})
}

// alter changes the byte at a position, counted over all that is kept of a record, and reports whether there is one.
func alter(r *Row, position int, change byte) bool {
	inText := func(text *string) bool {
		if position >= len(*text) {
			position -= len(*text)
			return false
		}
		b := []byte(*text)
		b[position] ^= change
		*text = string(b)
		return true
	}
	inBytes := func(b []byte) bool {
		if position >= len(b) {
			position -= len(b)
			return false
		}
		b[position] ^= change
		return true
	}
	inNumber := func(n *int64) bool {
		if position >= 8 {
			position -= 8
			return false
		}
		*n ^= int64(change) << (8 * position)
		return true
	}
	if inBytes(r.Header) || inBytes(r.Hash) || inText(&r.Chain) || inNumber(&r.Seq) || inText(&r.ID) ||
		inText((*string)(&r.Kind)) || inText(&r.Owner) || inText(&r.ConversationID) || inText(&r.ResponseID) {
		return true
	}
	if attempt := int64(r.Attempt); inNumber(&attempt) {
		r.Attempt = int(attempt)
		return true
	}
	if ms := r.Time.UnixMilli(); position < 6 && inNumber(&ms) {
		r.Time = time.UnixMilli(ms)
		return true
	}
	for i := range r.Payloads {
		p := &r.Payloads[i]
		if inText(&p.Part) || p.Text != nil && (inText(p.Text) || inBytes(p.Salt)) {
			return true
		}
	}
	return false
}

// FuzzVerifierAdd feeds forged records among true ones: sealed well, so that they get as far as can be, and broken.
func FuzzVerifierAdd(f *testing.F) {
	rows := smallLog().rows()
	for i, r := range rows {
		f.Add(r.Header, r.Chain, r.Seq, string(r.Kind), r.ResponseID, r.Attempt, r.Chain, r.Seq, uint8(i))
	}
	f.Fuzz(func(t *testing.T, header []byte, chain string, seq int64, kind, response string, attempt int, headChain string, headSeq int64, where uint8) {
		v := NewVerifier()
		for i, r := range rows {
			if i == int(where)%len(rows) {
				forged := Record{
					Kind: Kind(kind), ResponseID: response, Attempt: attempt, Chain: chain, Seq: seq,
					Heads: []Head{{Chain: headChain, Seq: headSeq}},
				}
				sealed := appendHeader(nil, &forged)
				forged.Hash = HashHeader(sealed)
				v.Add(row(sealed, &forged))
				v.Add(&Row{Header: header, Hash: []byte(chain), Chain: chain, Seq: seq, Kind: Kind(kind), ResponseID: response, Attempt: attempt})
			}
			v.Add(r)
		}
		if rep := v.Finish(); rep.OK || len(rep.Findings) == 0 {
			t.Errorf("%+v", rep)
		}
	})
}
