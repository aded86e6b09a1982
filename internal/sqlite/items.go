package sqlite

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/search"
)

// An item's row number is its conversation's number and, in the low bits, its seq.
const (
	seqBits = 24
	maxSeq  = 1<<seqBits - 1
)

const itemColumns = `pos, id, type, role, status, version, created_at, edited_at, excluded, output, response_id, model, usage,
  metadata, content, data`

const (
	insertItem = `INSERT INTO items (` + itemColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	selectItem = `SELECT ` + itemColumns + ` FROM items WHERE id = ? AND pos >> 24 = ? AND excluded < 2`
	updateItem = `UPDATE items SET content = ?, metadata = ?, edited_at = ?, version = version + 1 WHERE pos = ? AND version = ?`
	deleteItem = `DELETE FROM items WHERE pos = ?`

	selectItemPos = `SELECT pos, version FROM items WHERE id = ? AND pos >> 24 = ? AND excluded < 2`
	// A page may go on behind an item that was superseded meanwhile.
	selectCursor = `SELECT pos FROM items WHERE id = ? AND pos >> 24 = ?`

	listItemsUp   = `SELECT ` + itemColumns + ` FROM items WHERE pos > ? AND pos < ? AND excluded < 2 ORDER BY pos LIMIT ?`
	listItemsDown = `SELECT ` + itemColumns + ` FROM items WHERE pos > ? AND pos < ? AND excluded < 2 ORDER BY pos DESC LIMIT ?`

	excludeItems = `UPDATE items SET excluded = 1 WHERE pos >= ? AND pos < ?`
)

// What the column excluded says; 0 is an item that is in the context.
const (
	excludedItem   = 1
	supersededItem = 2
)

func exclusion(it *chat.Item) int64 {
	switch {
	case it.Superseded:
		return supersededItem
	case it.Excluded:
		return excludedItem
	default:
		return 0
	}
}

func pos(conversation, seq int64) int64 { return conversation<<seqBits | seq }

// itemRow is an item ready to be stored.
type itemRow struct {
	*chat.Item
	metadata []byte
}

// encodeItems prepares what need not be done in the writer.
func encodeItems(conversationID string, items []chat.Item) ([]itemRow, error) {
	rows := make([]itemRow, len(items))
	for i := range items {
		items[i].ConversationID = conversationID
		metadata, err := encode(items[i].Metadata)
		if err != nil {
			return nil, err
		}
		rows[i] = itemRow{&items[i], metadata}
	}
	return rows, nil
}

// itemBytes is about how much items write.
func itemBytes(items []chat.Item) int {
	n := 0
	for i := range items {
		n += len(items[i].Content) + len(items[i].Data) + 500
	}
	return n
}

// insertItems stores items from seq on and sets their Seq.
func (t *tx) insertItems(num, seq int64, items []itemRow) error {
	if len(items) == 0 {
		return nil
	}
	if seq+int64(len(items)) > maxSeq {
		return conversationFull()
	}
	for i, it := range items {
		it.Seq = seq + int64(i)
		s := t.prepare(insertItem).int(pos(num, it.Seq)).text(it.ID).text(it.Type).opt(string(it.Role)).text(string(it.Status)).int(it.Version).
			ms(it.CreatedAt).time(it.EditedAt).int(exclusion(it.Item)).bool(it.Output).opt(it.ResponseID).opt(it.Model).
			usage(it.Usage).raw(it.metadata).raw(it.Content).raw(it.Data)
		if err := t.write(s); err != nil {
			return err
		}
	}
	t.touch(num)
	return nil
}

// scanItem reads a row and returns the size of its content.
func scanItem(s *stmt, a *arena, conversationID string, it *chat.Item) (int, error) {
	it.ConversationID = conversationID
	it.Seq = s.getInt() & maxSeq
	it.ID, it.Type, it.Role, it.Status = s.getText(a), s.getText(a), llm.Role(s.getText(a)), chat.ItemStatus(s.getText(a))
	it.Version, it.CreatedAt, it.EditedAt = s.getInt(), s.getTime(), s.getTime()
	excluded := s.getInt()
	it.Excluded, it.Superseded = excluded == excludedItem, excluded == supersededItem
	it.Output, it.ResponseID = s.getBool(), s.getText(a)
	it.Model = s.getText(a)
	usage, metadata := s.getRaw(a), s.getRaw(a)
	it.Content, it.Data = s.getRaw(a), s.getRaw(a)
	var err error
	if it.Usage, err = decodeUsage(usage); err != nil {
		return 0, err
	}
	it.Metadata, err = decodeMetadata(metadata)
	return len(it.Content) + len(it.Data), err
}

// AppendItems implements chat.Store.
func (s *Store) AppendItems(ctx context.Context, owner string, claim *chat.Claim, conversationID, title string, items []chat.Item, recs ...audit.Record) error {
	rows, err := encodeItems(conversationID, items)
	if err != nil {
		return err
	}
	return s.writer.submit(ctx, itemBytes(items), func(t *tx) error {
		if err := t.unclaimed(owner, claim); err != nil {
			return err
		}
		c, err := t.unlocked(owner, conversationID)
		if err != nil {
			return err
		}
		appendAll := func() error {
			if err := t.insertItems(c.num, c.nextSeq, rows); err != nil {
				return err
			}
			added := int64(len(rows))
			if err := t.advance(c, false, c.nextSeq+added, added, lastCreated(items), title); err != nil {
				return err
			}
			if err := t.claim(owner, claim); err != nil {
				return err
			}
			return t.seal(recs)
		}
		if len(rows) > 1 {
			return t.atomically(appendAll)
		}
		// The only item that can be refused is the first thing written.
		return appendAll()
	})
}

func lastCreated(items []chat.Item) time.Time {
	if len(items) == 0 {
		return time.Time{}
	}
	return items[len(items)-1].CreatedAt
}

// Item implements chat.Store.
func (s *Store) Item(ctx context.Context, owner, conversationID, id string) (chat.Item, error) {
	it, _, err := s.item(ctx, owner, conversationID, id)
	return it, err
}

// item reads an item and its conversation's state.
func (s *Store) item(ctx context.Context, owner, conversationID, id string) (it chat.Item, st state, err error) {
	err = s.readers.read(ctx, func(c *conn) error {
		return c.snapshot(func() error {
			if st, err = c.state(owner, conversationID); err != nil {
				return err
			}
			q := c.prepare(selectItem).text(id).int(st.num)
			found, err := q.next()
			if err != nil {
				return err
			}
			if !found {
				return chat.MessageNotFound()
			}
			defer q.reset()
			_, err = scanItem(q, &arena{}, conversationID, &it)
			return err
		})
	})
	return it, st, err
}

// Items implements chat.Store.
func (s *Store) Items(ctx context.Context, owner, conversationID string, p chat.Page) (chat.List[chat.Item], error) {
	var list chat.List[chat.Item]
	err := s.readers.read(ctx, func(c *conn) error {
		return c.snapshot(func() error {
			st, err := c.state(owner, conversationID)
			if err != nil {
				return err
			}
			w, err := itemWindow(c, st.num, p)
			if err != nil {
				return err
			}
			sql := listItemsUp
			if w.down {
				sql = listItemsDown
			}
			q := c.prepare(sql).int(w.lo.num).int(w.hi.num).int(int64(w.limit) + 1)
			a := &arena{}
			list, err = collect(q, w, p.MaxBytes, func(it *chat.Item) (int, error) { return scanItem(q, a, conversationID, it) })
			return err
		})
	})
	return list, err
}

func itemWindow(c *conn, num int64, p chat.Page) (window, error) {
	w, err := newWindow(p, func(id string) (key, error) {
		q := c.prepare(selectCursor).text(id).int(num)
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
	w.lo.num, w.hi.num = max(w.lo.num, pos(num, 0)), min(w.hi.num, pos(num+1, 0))
	return w, err
}

// UpdateItem implements chat.Store, in the manner of UpdateConversation.
func (s *Store) UpdateItem(ctx context.Context, owner, conversationID, id string, version int64, change func(*chat.Item) error, recs ...audit.Record) (chat.Item, error) {
	for {
		it, st, err := s.item(ctx, owner, conversationID, id)
		switch {
		case err != nil:
			return chat.Item{}, err
		case st.active != "":
			return chat.Item{}, chat.Locked()
		case version != 0 && it.Version != version:
			return chat.Item{}, chat.VersionMismatch()
		}
		changed := it
		if err := change(&changed); err != nil {
			return chat.Item{}, err
		}
		edited := !bytes.Equal(it.Content, changed.Content)
		it.Content, it.Metadata, it.EditedAt = changed.Content, changed.Metadata, kept(changed.EditedAt)
		metadata, err := encode(it.Metadata)
		if err != nil {
			return chat.Item{}, err
		}
		row, words := itemRow{&it, metadata}, ""
		if edited {
			words = search.Terms(chat.SearchText(&it))
		}
		err = s.writer.submit(ctx, len(it.Content), func(t *tx) error { return t.updateItem(owner, row, edited, words, recs) })
		if err == nil {
			it.Version++
			return it, nil
		}
		if !errors.Is(err, chat.ErrStale) {
			return chat.Item{}, err
		}
	}
}

// updateItem writes an item and, if its content was edited, its terms.
func (t *tx) updateItem(owner string, it itemRow, edited bool, words string, recs []audit.Record) error {
	c, err := t.unlocked(owner, it.ConversationID)
	if err != nil {
		return err
	}
	if err := t.exec(t.prepare(updateItem).raw(it.Content).raw(it.metadata).time(it.EditedAt).int(pos(c.num, it.Seq)).int(it.Version)); err != nil {
		return err
	}
	if t.Changes() == 0 {
		return chat.ErrStale
	}
	t.wrote = true
	if err := t.advance(c, !edited, c.nextSeq, 0, it.EditedAt, ""); err != nil {
		return err
	}
	if edited {
		if err := t.write(t.prepare(deleteLogOf).text(owner).int(pos(c.num, it.Seq))); err != nil {
			return err
		}
		if err := t.reindex(c.num, it.Seq, words); err != nil {
			return err
		}
	}
	return t.seal(recs)
}

// DeleteItem implements chat.Store.
func (s *Store) DeleteItem(ctx context.Context, owner, conversationID, id string, version int64, recs ...audit.Record) error {
	return s.writer.submitVital(ctx, 0, func(t *tx) error {
		c, err := t.unlocked(owner, conversationID)
		if err != nil {
			return err
		}
		at, current, err := t.itemPos(c.num, id)
		if err != nil {
			return err
		}
		if version != 0 && current != version {
			return chat.VersionMismatch()
		}
		if err := t.write(t.prepare(deleteLogOf).text(owner).int(at)); err != nil {
			return err
		}
		if err := t.write(t.prepare(deleteItem).int(at)); err != nil {
			return err
		}
		if err := t.unindex(c.num, at&maxSeq); err != nil {
			return err
		}
		t.touch(c.num)
		if err := t.advance(c, false, c.nextSeq, -1, time.Time{}, ""); err != nil {
			return err
		}
		return t.seal(recs)
	})
}

func (t *tx) itemPos(num int64, id string) (at, version int64, err error) {
	q := t.prepare(selectItemPos).text(id).int(num)
	found, err := q.next()
	if err != nil {
		return 0, 0, err
	}
	if !found {
		return 0, 0, chat.MessageNotFound()
	}
	defer q.reset()
	return q.getInt(), q.getInt(), nil
}
