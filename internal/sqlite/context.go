package sqlite

import (
	"context"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

const (
	// What a prompt sends of an item, which is less than half of its columns.
	sentColumns = `pos, id, type, role, content, data, output, response_id`
	contextUp   = `SELECT ` + sentColumns + ` FROM items WHERE pos > ? AND pos < ? AND excluded = 0 ORDER BY pos`
	contextDown = `SELECT ` + sentColumns + ` FROM items WHERE pos > ? AND pos < ? AND excluded = 0 ORDER BY pos DESC`
	lastItems   = `SELECT ` + itemColumns + ` FROM items WHERE pos > ? AND pos < ? AND excluded < 2 ORDER BY pos DESC`
)

// checkEvery is how many rows are read between two looks at whether anybody still waits for them.
const checkEvery = 256

// Context implements chat.Store.
func (s *Store) Context(ctx context.Context, owner, conversationID string, n int) (chat.Conversation, []chat.Item, error) {
	var row *conversationRow
	var items []chat.Item
	err := s.readers.read(ctx, func(c *conn) error {
		return c.snapshot(func() (err error) {
			a := &arena{}
			if row, err = c.conversation(owner, conversationID, a); err != nil {
				return err
			}
			items, err = c.sent(ctx, row, pos(row.num+1, 0), n, a)
			return err
		})
	})
	if err != nil {
		return chat.Conversation{}, nil, err
	}
	return row.Conversation, items, nil
}

// LastTurn implements chat.Store.
func (s *Store) LastTurn(ctx context.Context, owner, conversationID string, n int) (c chat.Conversation, history, input []chat.Item, err error) {
	err = s.readers.read(ctx, func(db *conn) error {
		return db.snapshot(func() error {
			a := &arena{}
			row, err := db.conversation(owner, conversationID, a)
			if err != nil {
				return err
			}
			c = row.Conversation
			if c.ActiveResponse != "" {
				return nil
			}
			if input, err = db.lastInput(row, a); err != nil {
				return err
			}
			history, err = db.sent(ctx, row, pos(row.num, input[0].Seq), n, a)
			return err
		})
	})
	if err != nil {
		return chat.Conversation{}, nil, nil, err
	}
	return c, history, input, nil
}

// lastInput reads the input of the turn that a conversation ends with.
func (c *conn) lastInput(row *conversationRow, a *arena) ([]chat.Item, error) {
	q := c.prepare(lastItems).int(pos(row.num, 0)).int(pos(row.num+1, 0))
	defer q.reset()
	return chat.LastInput(func(it *chat.Item) (bool, error) {
		more, err := q.next()
		if err != nil || !more {
			return false, err
		}
		_, err = scanItem(q, a, row.ID, it)
		return true, err
	})
}

// sent reads the items below end that a prompt sends, the newest n or, where n is 0, all.
func (c *conn) sent(ctx context.Context, row *conversationRow, end int64, n int, a *arena) ([]chat.Item, error) {
	if n > 0 {
		return c.newest(ctx, row, end, n, a)
	}
	return c.all(ctx, row, end, a)
}

// all reads every item that is in the context.
func (c *conn) all(ctx context.Context, row *conversationRow, end int64, a *arena) ([]chat.Item, error) {
	items := make([]chat.Item, 0, row.MessageCount)
	q := c.prepare(contextUp).int(pos(row.num, 0)).int(end)
	defer q.reset()
	for {
		more, err := q.next()
		if err != nil || !more {
			return items, err
		}
		if len(items)%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return nil, chat.GivenUp(ctx)
		}
		items = append(items, chat.Item{})
		scanSent(q, a, row.ID, &items[len(items)-1])
	}
}

// newest reads backwards as far as a window of n items goes.
func (c *conn) newest(ctx context.Context, row *conversationRow, end int64, n int, a *arena) ([]chat.Item, error) {
	q := c.prepare(contextDown).int(pos(row.num, 0)).int(end)
	defer q.reset()
	read := 0
	return chat.Newest(n, int(min(int64(n), row.MessageCount)), func(it *chat.Item) (bool, error) {
		more, err := q.next()
		if err != nil || !more {
			return false, err
		}
		if read++; read%checkEvery == 0 && ctx.Err() != nil {
			return false, chat.GivenUp(ctx)
		}
		scanSent(q, a, row.ID, it)
		return true, nil
	})
}

func scanSent(s *stmt, a *arena, conversationID string, it *chat.Item) {
	it.ConversationID, it.Seq, it.ID = conversationID, s.getInt()&maxSeq, s.getText(a)
	it.Type, it.Role, it.Content, it.Data = s.getText(a), llm.Role(s.getText(a)), s.getRaw(a), s.getRaw(a)
	it.Output, it.ResponseID = s.getBool(), s.getText(a)
}
