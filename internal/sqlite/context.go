package sqlite

import (
	"cmp"
	"context"
	"slices"

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

// maxSearch is how much further back than its window a context is read to find the call that an output in it answers.
const maxSearch = 256

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

// lastInput reads the input of the turn that a conversation ends with: the items at its end belong to one response.
func (c *conn) lastInput(row *conversationRow, a *arena) ([]chat.Item, error) {
	q := c.prepare(lastItems).int(pos(row.num, 0)).int(pos(row.num+1, 0))
	defer q.reset()
	input := backwards{buf: make([]chat.Item, 4)}
	response := ""
	for {
		more, err := q.next()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		var it chat.Item
		if _, err := scanItem(q, a, row.ID, &it); err != nil {
			return nil, err
		}
		response = cmp.Or(response, it.ResponseID)
		if it.ResponseID == "" || it.ResponseID != response {
			break
		}
		if !it.Output {
			*input.prepend() = it
		}
	}
	if input.n == 0 {
		return nil, chat.NothingToRegenerate()
	}
	return input.last(input.n), nil
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
			return nil, canceled(ctx)
		}
		items = append(items, chat.Item{})
		scanSent(q, a, row.ID, &items[len(items)-1])
	}
}

// newest reads backwards until at least n items are there, the first is a user's message, and no output stands without
// its call.
func (c *conn) newest(ctx context.Context, row *conversationRow, end int64, n int, a *arena) ([]chat.Item, error) {
	q := c.prepare(contextDown).int(pos(row.num, 0)).int(end)
	defer q.reset()
	items := backwards{buf: make([]chat.Item, min(int64(n), row.MessageCount)+4)}
	var unanswered calls
	// enough is the length of the shortest window that begins with a user's message; a call may lie further back.
	enough := 0
	for {
		more, err := q.next()
		if err != nil {
			return nil, err
		}
		if !more || enough > 0 && items.n == enough+maxSearch {
			// The call is gone. Where a window was found, nothing is gained by sending more than that.
			return items.last(cmp.Or(enough, items.n)), nil
		}
		if items.n%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return nil, canceled(ctx)
		}
		it := items.prepend()
		scanSent(q, a, row.ID, it)
		unanswered.add(it)
		if items.n < n || it.Type != llm.TypeMessage || it.Role != llm.User {
			continue
		}
		if len(unanswered) == 0 {
			return items.last(items.n), nil
		}
		enough = cmp.Or(enough, items.n)
	}
}

func scanSent(s *stmt, a *arena, conversationID string, it *chat.Item) {
	it.ConversationID, it.Seq, it.ID = conversationID, s.getInt()&maxSeq, s.getText(a)
	it.Type, it.Role, it.Content, it.Data = s.getText(a), llm.Role(s.getText(a)), s.getRaw(a), s.getRaw(a)
	it.Output, it.ResponseID = s.getBool(), s.getText(a)
}

// backwards is a slice that grows at its front.
type backwards struct {
	buf []chat.Item
	n   int
}

func (b *backwards) prepend() *chat.Item {
	if b.n == len(b.buf) {
		b.buf = append(make([]chat.Item, len(b.buf)), b.buf...)
	}
	b.n++
	return &b.buf[len(b.buf)-b.n]
}

func (b *backwards) last(n int) []chat.Item { return b.buf[len(b.buf)-n:] }

// calls are the ids of the calls that outputs answer and that have not come yet, reading backwards.
type calls []string

func (c *calls) add(it *chat.Item) {
	switch it.Type {
	case llm.TypeFunctionCallOutput:
		*c = append(*c, chat.CallID(it.Data))
	case llm.TypeFunctionCall:
		id := chat.CallID(it.Data)
		*c = slices.DeleteFunc(*c, func(open string) bool { return open == id })
	}
}
