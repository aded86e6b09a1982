package sqlite

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

// A record's row number is its chain's epoch and, in the low bits, its seq.
const recordBits = 40

const (
	insertRecord = `INSERT INTO audit (pos, id, time, kind, owner, conversation_id, response_id, attempt, header, hash, texts, salts)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	selectRecord    = `SELECT header, hash, texts, salts FROM audit WHERE id = ? AND owner = ?`
	selectRecordKey = `SELECT time, pos FROM audit WHERE id = ? AND owner = ?`
	// The plus keeps the index on the owner's records from being taken where there is one on something narrower.
	listRecords = `SELECT header, hash FROM audit WHERE `
)

// chain is the chain that the writer seals records into.
type chain struct {
	*audit.Chain
	epoch int64
}

// seal makes records the next ones of the chain and stores them.
func (t *tx) seal(recs []audit.Record) error {
	for i := range recs {
		if err := t.sealOne(&recs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) sealOne(rec *audit.Record) error { return t.sealInto(t.chain, rec) }

func (t *tx) sealInto(c *chain, rec *audit.Record) error {
	// The head has moved even if the row is refused: the transaction that is rolled back then takes it back.
	t.wrote = true
	header := c.Seal(rec)
	s := t.prepare(insertRecord).int(c.epoch<<recordBits | rec.Seq).text(rec.ID).ms(rec.Time).text(string(rec.Kind)).text(rec.Owner).
		opt(rec.ConversationID).opt(rec.ResponseID)
	if rec.Attempt != 0 {
		s.int(int64(rec.Attempt))
	} else {
		s.null()
	}
	s.blob(header).blob(rec.Hash[:])
	if len(rec.Payloads) == 0 {
		s.null().null()
	} else {
		texts, salts := packPayloads(rec.Payloads)
		s.text(texts).blob(salts)
	}
	return t.exec(s)
}

// packPayloads joins the kept texts, and describes them one behind the other: the part's length and name, the text's
// length + 1 or 0 where none is kept, the salt's length and the salt.
func packPayloads(payloads []audit.Payload) (texts string, salts []byte) {
	size := 0
	for i := range payloads {
		size += len(payloads[i].Part) + len(payloads[i].Salt) + 8
	}
	salts = make([]byte, 0, size)
	var all strings.Builder
	for i := range payloads {
		p := &payloads[i]
		salts = binary.AppendUvarint(salts, uint64(len(p.Part)))
		salts = append(salts, p.Part...)
		if p.Stored {
			salts = binary.AppendUvarint(salts, uint64(len(p.Text))+1)
			if len(payloads) == 1 {
				texts = p.Text
			} else {
				all.WriteString(p.Text)
			}
		} else {
			salts = append(salts, 0)
		}
		salts = binary.AppendUvarint(salts, uint64(len(p.Salt)))
		salts = append(salts, p.Salt...)
	}
	if len(payloads) > 1 {
		texts = all.String()
	}
	return texts, salts
}

// unpackPayloads is packPayloads backwards. Of bytes that it did not write it returns what can be made out, and whole is
// false: exactly what packPayloads makes of the list is whole.
func unpackPayloads(texts string, salts []byte) (list []audit.StoredPayload, whole bool) {
	for len(salts) > 0 {
		part, ok := takeBytes(&salts)
		if !ok {
			return list, false
		}
		n, ok := takeUvarint(&salts)
		if !ok || n > uint64(len(texts))+1 {
			return list, false
		}
		p := audit.StoredPayload{Part: string(part)}
		if n > 0 {
			text := texts[:n-1]
			texts = texts[n-1:]
			p.Text = &text
		}
		if p.Salt, ok = takeBytes(&salts); !ok {
			return list, false
		}
		list = append(list, p)
	}
	return list, texts == ""
}

func takeBytes(from *[]byte) ([]byte, bool) {
	n, ok := takeUvarint(from)
	if !ok || n > uint64(len(*from)) {
		return nil, false
	}
	b := (*from)[:n:n]
	*from = (*from)[n:]
	return b, true
}

// takeUvarint takes a number in its shortest form only.
func takeUvarint(from *[]byte) (uint64, bool) {
	n, width := binary.Uvarint(*from)
	if width <= 0 || width > 1 && (*from)[width-1] == 0 {
		return 0, false
	}
	*from = (*from)[width:]
	return n, true
}

// Append implements audit.Log.
func (s *Store) Append(ctx context.Context, recs ...audit.Record) error {
	return s.writer.submit(ctx, 0, func(t *tx) error { return t.seal(recs) })
}

// Record implements audit.Log.
func (s *Store) Record(ctx context.Context, owner, id string) (audit.Record, error) {
	var rec audit.Record
	err := s.readers.read(ctx, func(c *conn) error {
		q := c.prepare(selectRecord).text(id).text(owner)
		found, err := q.next()
		if err != nil {
			return err
		}
		if !found {
			return chat.RecordNotFound()
		}
		defer q.reset()
		a := &arena{}
		if rec, err = scanRecord(q, a); err != nil {
			return err
		}
		kept, _ := unpackPayloads(q.getText(a), q.getRaw(a))
		for i := range rec.Payloads {
			if i < len(kept) && kept[i].Part == rec.Payloads[i].Part {
				rec.Payloads[i].Salt = kept[i].Salt
				if kept[i].Text != nil {
					rec.Payloads[i].Text = *kept[i].Text
				}
			}
		}
		return nil
	})
	return rec, err
}

func scanRecord(q *stmt, a *arena) (audit.Record, error) {
	rec, err := audit.ParseHeader(q.getRaw(a))
	if err != nil {
		return audit.Record{}, fmt.Errorf("reading an audit header: %w", err)
	}
	copy(rec.Hash[:], q.getRaw(a))
	return rec, nil
}

// Records implements audit.Log.
func (s *Store) Records(ctx context.Context, owner string, q audit.Query) ([]audit.Record, bool, error) {
	var list chat.List[audit.Record]
	err := s.readers.read(ctx, func(c *conn) error {
		return c.snapshot(func() error {
			w, err := recordWindow(c, owner, &q)
			if err != nil {
				return err
			}
			rows := recordRows(c, owner, &q, &w)
			a := &arena{}
			list, err = collect(rows, w, 0, func(rec *audit.Record) (int, error) {
				*rec, err = scanRecord(rows, a)
				return 0, err
			})
			return err
		})
	})
	return list.Data, list.HasMore, err
}

func recordWindow(c *conn, owner string, q *audit.Query) (window, error) {
	page := chat.Page{Limit: q.Limit, After: q.After, Before: q.Before, Desc: !q.Asc}
	w, err := newWindow(page, func(id string) (key, error) {
		s := c.prepare(selectRecordKey).text(id).text(owner)
		found, err := s.next()
		if err != nil {
			return key{}, err
		}
		if !found {
			return key{}, chat.InvalidCursor()
		}
		defer s.reset()
		return key{time: s.getInt(), num: s.getInt()}, nil
	})
	if !q.From.IsZero() {
		// The bounds are exclusive: behind everything of the millisecond before.
		w.lo = later(w.lo, key{ceilMilli(q.From) - 1, maxPos})
	}
	if !q.To.IsZero() {
		w.hi = earlier(w.hi, key{ceilMilli(q.To), -1})
	}
	return w, err
}

// ceilMilli is the first millisecond that is not before t.
func ceilMilli(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }

// recordRows asks for the records of a window by the narrowest index there is. The texts of the statements are few.
func recordRows(c *conn, owner string, q *audit.Query, w *window) *stmt {
	narrow := q.ConversationID != "" || q.ResponseID != ""
	sql := listRecords
	if narrow {
		sql += `+`
	}
	sql += `owner = ? AND (time, pos) > (?, ?) AND (time, pos) < (?, ?)`
	for _, filter := range []struct{ column, value string }{
		{"conversation_id", q.ConversationID}, {"response_id", q.ResponseID}, {"kind", string(q.Kind)},
	} {
		if filter.value != "" {
			sql += ` AND ` + filter.column + ` = ?`
		}
	}
	if w.down {
		sql += ` ORDER BY time DESC, pos DESC LIMIT ?`
	} else {
		sql += ` ORDER BY time, pos LIMIT ?`
	}
	s := c.prepare(sql).text(owner).int(w.lo.time).int(w.lo.num).int(w.hi.time).int(w.hi.num)
	for _, value := range []string{q.ConversationID, q.ResponseID, string(q.Kind)} {
		if value != "" {
			s.text(value)
		}
	}
	return s.int(int64(w.limit) + 1)
}
