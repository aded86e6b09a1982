package mongo

import (
	"fmt"
	"strconv"
	"time"

	"github.com/parley-llm/parley/internal/audit"
)

// recordDoc is an audit record. It is written with the change that it belongs to, as yet outside of any chain, and sealed into one right after:
// its header is written anew then, with Chain, Seq and Hash, and Unsealed goes. All else stays.
type recordDoc struct {
	ID string `bson:"_id"`
	// Key makes a record unique in its own terms: an attempt has one intent and one outcome.
	Key   string    `bson:"key"`
	Owner string    `bson:"o"`
	Time  time.Time `bson:"time"`
	// Pos orders records by time and then by when they were written.
	Pos          string       `bson:"pos"`
	Kind         string       `bson:"kind"`
	Conversation string       `bson:"c,omitempty"`
	Response     string       `bson:"r,omitempty"`
	Attempt      int          `bson:"attempt,omitempty"`
	Header       []byte       `bson:"header"`
	Payloads     []payloadDoc `bson:"payloads,omitempty"`
	Chain        string       `bson:"chain,omitempty"`
	Seq          int64        `bson:"seq,omitempty"`
	Hash         []byte       `bson:"hash,omitempty"`
	// Unsealed names the process that will seal it.
	Unsealed string `bson:"unsealed,omitempty"`
}

type payloadDoc struct {
	Part string  `bson:"part"`
	Text *string `bson:"text,omitempty"`
	Salt []byte  `bson:"salt,omitempty"`
}

// encodeRecord makes the document of a record as its chain has sealed it.
func encodeRecord(rec *audit.Record, header []byte) *recordDoc {
	at := kept(rec.Time)
	d := &recordDoc{
		ID: rec.ID, Key: rec.ID, Owner: rec.Owner, Time: at, Pos: activity(at, newAge()), Kind: string(rec.Kind), Conversation: rec.ConversationID,
		Response: rec.ResponseID, Attempt: rec.Attempt, Header: header,
	}
	if rec.ResponseID != "" && (rec.Kind == audit.KindIntent || rec.Kind == audit.KindOutcome) {
		d.Key = key(rec.Owner, rec.ResponseID) + "/" + strconv.Itoa(rec.Attempt) + "/" + string(rec.Kind)
	}
	for i := range rec.Payloads {
		p := &rec.Payloads[i]
		kept := payloadDoc{Part: p.Part, Salt: p.Salt}
		if p.Stored {
			kept.Text = &p.Text
		}
		d.Payloads = append(d.Payloads, kept)
	}
	return d
}

// place is the record as a chain has it.
func (d *recordDoc) place(rec *audit.Record, header []byte) {
	d.Header, d.Chain, d.Seq, d.Hash, d.Unsealed = header, rec.Chain, rec.Seq, rec.Hash[:], ""
}

// encodeRecords makes documents of records that are still to be sealed.
func (s *Store) encodeRecords(recs []audit.Record) ([]*recordDoc, error) {
	docs := make([]*recordDoc, len(recs))
	for i := range recs {
		// A header can only be written of a record that stands somewhere: at the first place of no chain.
		rec := recs[i]
		docs[i] = encodeRecord(&rec, audit.NewChain("").Seal(&rec))
		docs[i].Unsealed = s.holder
		size := 0
		for _, p := range docs[i].Payloads {
			if p.Text != nil {
				size += len(*p.Text)
			}
		}
		if err := boundedBytes(size); err != nil {
			return nil, err
		}
	}
	return docs, nil
}

// record is what was written, without the payloads' texts. Of one that is not sealed yet there is no place.
func (d *recordDoc) record() (audit.Record, error) {
	rec, err := audit.ParseHeader(d.Header)
	if err != nil {
		return audit.Record{}, fmt.Errorf("reading an audit header: %w", err)
	}
	if d.Unsealed != "" {
		rec.Chain, rec.Seq, rec.PrevHash, rec.Hash = "", 0, [32]byte{}, [32]byte{}
		return rec, nil
	}
	copy(rec.Hash[:], d.Hash)
	return rec, nil
}

// whole is the record with its texts.
func (d *recordDoc) whole() (audit.Record, error) {
	rec, err := d.record()
	if err != nil {
		return audit.Record{}, err
	}
	for i := range rec.Payloads {
		if i >= len(d.Payloads) || d.Payloads[i].Part != rec.Payloads[i].Part {
			continue
		}
		rec.Payloads[i].Salt = d.Payloads[i].Salt
		if text := d.Payloads[i].Text; text != nil {
			rec.Payloads[i].Text = *text
		}
	}
	return rec, nil
}

// row is the record as the verifier and the export want it.
func (d *recordDoc) row() *audit.Row {
	row := &audit.Row{
		Header: d.Header, Hash: d.Hash, Chain: d.Chain, Seq: d.Seq, ID: d.ID, Time: d.Time, Kind: audit.Kind(d.Kind), Owner: d.Owner,
		ConversationID: d.Conversation, ResponseID: d.Response, Attempt: d.Attempt,
	}
	for _, p := range d.Payloads {
		row.Payloads = append(row.Payloads, audit.StoredPayload{Part: p.Part, Text: p.Text, Salt: p.Salt})
	}
	return row
}
