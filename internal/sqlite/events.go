package sqlite

import (
	"context"

	"github.com/parley-llm/parley/internal/chat"
)

// A batch's row number is its response's number and, in the low bits, its own.
const (
	batchBits  = 20
	maxBatches = 1 << batchBits
)

// logPage is about how much of an event log is read at a time.
const logPage = 64 << 10

const (
	selectLog    = `SELECT num, status, last_event FROM responses WHERE id = ? AND owner = ?`
	setLastEvent = `UPDATE responses SET last_event = ?, status = 'in_progress' WHERE num = ?`

	nextLog    = `SELECT pos >> 20 FROM events WHERE pos >= ? ORDER BY pos LIMIT 1`
	selectAge  = `SELECT created_at, completed_at FROM responses WHERE num = ?`
	deleteLogs = `DELETE FROM events WHERE pos IN (SELECT pos FROM events WHERE pos >= ? AND pos < ? ORDER BY pos LIMIT ?)`

	putBatch    = `INSERT INTO events (pos, steps) VALUES (?, ?) ON CONFLICT (pos) DO UPDATE SET steps = excluded.steps`
	listBatches = `SELECT steps FROM events WHERE pos >= ? AND pos < ? ORDER BY pos`

	// Of the response that wrote an item.
	deleteLogOf = `DELETE FROM events WHERE pos IN (SELECT e.pos FROM items i JOIN responses r ON r.id = i.response_id AND r.owner = ? AND r.conversation = i.pos >> 24
  JOIN events e ON e.pos >= r.num << 20 AND e.pos < (r.num + 1) << 20 WHERE i.pos = ? AND i.output = 1)`
	// Of the responses of a conversation that have ended.
	deleteLogsOf = `DELETE FROM events WHERE pos IN (SELECT e.pos FROM responses r JOIN events e ON e.pos >= r.num << 20 AND e.pos < (r.num + 1) << 20
  WHERE r.conversation = ? AND r.status NOT IN ('queued', 'in_progress') LIMIT ?)`
)

func batchPos(response int64, number int) int64 { return response<<batchBits | int64(number) }

// AppendEvents implements chat.Store.
func (s *Store) AppendEvents(ctx context.Context, owner, id string, b chat.Batched) error {
	return s.writer.submit(ctx, len(b.Steps), func(t *tx) error {
		q := t.prepare(selectLog).text(id).text(owner)
		found, err := q.next()
		if err != nil {
			return err
		}
		if !found {
			return chat.ResponseNotFound()
		}
		num, status, last := q.getInt(), chat.Status(q.getText(&arena{})), q.getInt()
		q.reset()
		if status.Terminal() {
			return chat.ResponseEndedAlready()
		}
		if int64(b.LastEvent) != last || status == chat.Queued {
			if err := t.write(t.prepare(setLastEvent).int(int64(b.LastEvent)).int(num)); err != nil {
				return err
			}
		}
		return t.putBatch(num, &b)
	})
}

// putBatch writes a batch, if there is something in it.
func (t *tx) putBatch(response int64, b *chat.Batched) error {
	if len(b.Steps) == 0 || b.Number >= maxBatches {
		return nil
	}
	return t.write(t.prepare(putBatch).int(batchPos(response, b.Number)).blob(b.Steps))
}

// EventLog implements chat.Store.
func (s *Store) EventLog(ctx context.Context, owner, id string, from int) ([][]byte, error) {
	var batches [][]byte
	err := s.readers.read(ctx, func(c *conn) error {
		return c.snapshot(func() error {
			batches = nil
			q := c.prepare(selectLog).text(id).text(owner)
			found, err := q.next()
			if err != nil || !found {
				return err
			}
			num := q.getInt()
			q.reset()
			q = c.prepare(listBatches).int(batchPos(num, from)).int(batchPos(num+1, 0))
			defer q.reset()
			a := &arena{}
			for bytes := 0; bytes < logPage; {
				more, err := q.next()
				if err != nil || !more {
					return err
				}
				steps := q.getRaw(a)
				batches = append(batches, steps)
				bytes += len(steps)
			}
			return nil
		})
	})
	return batches, err
}
