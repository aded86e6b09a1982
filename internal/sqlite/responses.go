package sqlite

import (
	"context"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

const responseColumns = `r.num, r.conversation, r.id, r.owner, r.status, r.attempts, r.first_seq, coalesce(r.input_end, r.output_seq),
  r.output_seq, r.end_seq,
  r.created_at, r.started_at, r.first_token_at, r.completed_at, r.stream, r.model, r.provider, r.host, r.fallback_from, r.actor, r.request_id,
  r.finish_reason, r.error_code, r.error_message, r.error_kind, r.usage, r.cost, r.truncated, r.last_event`

const (
	selectResponse = `SELECT ` + responseColumns + `, c.id FROM responses r JOIN conversations c ON c.num = r.conversation
  WHERE r.id = ? AND r.owner = ? AND r.first_seq >= 0`
	listResponsesUp = `SELECT ` + responseColumns + ` FROM responses r
  WHERE r.conversation = ? AND r.num > ? AND r.num < ? AND r.first_seq > 0 ORDER BY r.num LIMIT ?`
	listResponsesDown = `SELECT ` + responseColumns + ` FROM responses r
  WHERE r.conversation = ? AND r.num > ? AND r.num < ? AND r.first_seq > 0 ORDER BY r.num DESC LIMIT ?`
	listOrphans = `SELECT ` + responseColumns + `, coalesce(c.id, p.id) FROM responses r INDEXED BY responses_running
  LEFT JOIN conversations c ON c.num = r.conversation LEFT JOIN purges p ON p.conversation = r.conversation
  WHERE r.status IN ('queued', 'in_progress') ORDER BY r.num`
	selectResponseNum = `SELECT num FROM responses WHERE id = ? AND owner = ? AND conversation = ?`

	selectInput  = `SELECT id FROM items WHERE pos >= ? AND pos < ? ORDER BY pos`
	selectOutput = `SELECT ` + itemColumns + ` FROM items WHERE pos >= ? AND pos < ? ORDER BY pos`
)

// responseRow is a response and where its items are.
type responseRow struct {
	chat.Response
	num, conversation  int64
	firstSeq, inputEnd int64
	outputSeq, endSeq  int64
}

func scanResponse(s *stmt, a *arena, r *responseRow) (err error) {
	r.num, r.conversation, r.ID, r.Owner, r.Status = s.getInt(), s.getInt(), s.getText(a), s.getText(a), chat.Status(s.getText(a))
	r.Attempts, r.firstSeq, r.inputEnd, r.outputSeq, r.endSeq = int(s.getInt()), s.getInt(), s.getInt(), s.getInt(), s.getInt()
	r.CreatedAt, r.StartedAt, r.FirstTokenAt, r.CompletedAt = s.getTime(), s.getTime(), s.getTime(), s.getTime()
	r.Stream, r.Model, r.Provider, r.Host, r.FallbackFrom = s.getBool(), s.getText(a), s.getText(a), s.getText(a), s.getText(a)
	r.Actor, r.RequestID, r.FinishReason = s.getText(a), s.getText(a), s.getText(a)
	if code, message, kind := s.getText(a), s.getText(a), s.getText(a); code != "" || message != "" {
		r.Error = &chat.ResponseError{Code: code, Message: message, Kind: fault.KindOf(kind)}
	}
	if r.Usage, err = decodeUsage(s.getRaw(a)); err != nil {
		return err
	}
	r.Cost, err = decodeCost(s.getRaw(a))
	r.Truncated, r.LastEvent = int(s.getInt()), int(s.getInt())
	r.Unstored = r.firstSeq == unstoredSeq
	return err
}

// loadItems reads a response's input ids and output, and returns the size of the output's content.
func (c *conn) loadItems(r *responseRow, a *arena) (int, error) {
	q := c.prepare(selectInput).int(pos(r.conversation, r.firstSeq)).int(pos(r.conversation, r.inputEnd))
	for {
		more, err := q.next()
		if err != nil {
			return 0, err
		}
		if !more {
			break
		}
		r.Input = append(r.Input, q.getText(a))
	}
	if r.outputSeq == r.endSeq {
		return 0, nil
	}
	bytes := 0
	q = c.prepare(selectOutput).int(pos(r.conversation, r.outputSeq)).int(pos(r.conversation, r.endSeq))
	defer q.reset()
	for {
		more, err := q.next()
		if err != nil || !more {
			return bytes, err
		}
		var it chat.Item
		n, err := scanItem(q, a, r.ConversationID, &it)
		if err != nil {
			return 0, err
		}
		bytes += n
		r.Output = append(r.Output, it)
	}
}

// Response implements chat.Store.
func (s *Store) Response(ctx context.Context, owner, id string) (chat.Response, error) {
	var row responseRow
	err := s.readers.read(ctx, func(c *conn) error {
		return c.snapshot(func() error {
			q := c.prepare(selectResponse).text(id).text(owner)
			found, err := q.next()
			if err != nil {
				return err
			}
			if !found {
				return chat.ResponseNotFound()
			}
			defer q.reset()
			a := &arena{}
			if err := scanResponse(q, a, &row); err != nil {
				return err
			}
			row.ConversationID = q.getText(a)
			_, err = c.loadItems(&row, a)
			return err
		})
	})
	if err != nil {
		return chat.Response{}, err
	}
	return row.Response, nil
}

// Responses implements chat.Store.
func (s *Store) Responses(ctx context.Context, owner, conversationID string, p chat.Page) (chat.List[chat.Response], error) {
	var list chat.List[chat.Response]
	err := s.readers.read(ctx, func(c *conn) error {
		return c.snapshot(func() error {
			st, err := c.state(owner, conversationID)
			if err != nil {
				return err
			}
			w, err := responseWindow(c, owner, st.num, p)
			if err != nil {
				return err
			}
			sql := listResponsesUp
			if w.down {
				sql = listResponsesDown
			}
			q := c.prepare(sql).int(st.num).int(w.lo.num).int(w.hi.num).int(int64(w.limit) + 1)
			a := &arena{}
			list, err = collect(q, w, p.MaxBytes, func(v *chat.Response) (int, error) {
				row := responseRow{}
				if err := scanResponse(q, a, &row); err != nil {
					return 0, err
				}
				row.ConversationID = conversationID
				n, err := c.loadItems(&row, a)
				*v = row.Response
				return n, err
			})
			return err
		})
	})
	return list, err
}

func responseWindow(c *conn, owner string, conversation int64, p chat.Page) (window, error) {
	return newWindow(p, func(id string) (key, error) {
		q := c.prepare(selectResponseNum).text(id).text(owner).int(conversation)
		found, err := q.next()
		if err != nil {
			return key{}, err
		}
		if !found {
			return key{}, chat.InvalidCursor()
		}
		defer q.reset()
		return key{num: q.getInt()}, nil
	})
}

// Orphans implements chat.Store. The lock file says that no other process holds a response.
func (s *Store) Orphans(ctx context.Context) ([]chat.Response, error) {
	var orphans []chat.Response
	err := s.readers.read(ctx, func(c *conn) error {
		return c.snapshot(func() error {
			orphans = nil
			q := c.prepare(listOrphans)
			defer q.reset()
			a := &arena{}
			for {
				more, err := q.next()
				if err != nil || !more {
					return err
				}
				var row responseRow
				if err := scanResponse(q, a, &row); err != nil {
					return err
				}
				row.ConversationID = q.getText(a)
				if _, err := c.loadItems(&row, a); err != nil {
					return err
				}
				orphans = append(orphans, row.Response)
			}
		})
	})
	return orphans, err
}
