package sqlite

import (
	"context"
	"errors"

	"zombiezen.com/go/sqlite"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// Bounds of one step of a fork, so that it stalls no other writer.
const (
	forkRows  = 200
	forkBytes = 512 << 10
)

// maxForks is how many conversations are copied at one time: the steps of all of them may meet in one transaction.
const maxForks = 2

const (
	// Conversations number their rows by this table, so a number that is taken from it is never given again.
	takeNumber = `UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'conversations' RETURNING seq`
	insertFork = `INSERT INTO forks (conversation, id) VALUES (?, ?)`
	deleteFork = `DELETE FROM forks WHERE conversation = ?`

	purgeForks  = `INSERT INTO purges (conversation, id) SELECT conversation, id FROM forks`
	deleteForks = `DELETE FROM forks`

	// A turn that is run again has brought no items yet.
	selectFirstNew = `SELECT CASE WHEN input_end IS NULL THEN first_seq ELSE output_seq END FROM responses WHERE id = ? AND owner = ?`
	copyItems      = `SELECT ` + itemColumns + ` FROM items WHERE pos > ? AND pos < ? AND excluded < 2 ORDER BY pos`
)

// forks bounds the forks that run.
type forks struct {
	slots  chan struct{}
	closed chan struct{}
}

func newForks() *forks {
	return &forks{slots: make(chan struct{}, maxForks), closed: make(chan struct{})}
}

func (f *forks) enter(ctx context.Context) error {
	select {
	case f.slots <- struct{}{}:
		return nil
	case <-f.closed:
		return unavailable(errClosed)
	case <-ctx.Done():
		return chat.GivenUp(ctx)
	}
}

func (f *forks) leave() { <-f.slots }

// close waits for those that run. The writer is closed by then, so their next step fails.
func (f *forks) close() {
	close(f.closed)
	for range maxForks {
		f.slots <- struct{}{}
	}
}

// ForkConversation implements chat.Store. It reads on a connection of its own, in one snapshot: the pool's are for readers
// that are quick. The write-ahead log is not emptied before the snapshot ends.
func (s *Store) ForkConversation(ctx context.Context, owner string, claim *chat.Claim, sourceID, after string, c *chat.Conversation, recs ...audit.Record) error {
	if err := s.forks.enter(ctx); err != nil {
		return err
	}
	defer s.forks.leave()
	reader, err := openConn(s.options.Path, sqlite.OpenReadOnly, "query_only = ON")
	if err != nil {
		return unavailable(err)
	}
	defer func() {
		if err := reader.Close(); err != nil {
			s.options.Log.Warn("a connection could not be closed", "error", err)
		}
	}()
	return operationError(reader.snapshot(func() error {
		f, err := s.openFork(reader, owner, sourceID, after, c)
		if err != nil {
			return err
		}
		defer f.rows.reset()
		f.claim = claim
		return f.run(ctx, recs)
	}))
}

// fork is a copy being made. What fits one step is written in one transaction; else the items come first, in steps, under a number
// that no conversation has, and the last step gives it one.
type fork struct {
	store *Store
	owner string
	claim *chat.Claim
	c     *chat.Conversation
	set   settings
	// rows are the items to copy; more says that they stand at one.
	rows *stmt
	more bool
	// num is 0 until a number is taken, seq the place of the last item that was copied.
	num, seq int64
}

// openFork reads what is to be copied, up to the items, and makes of c the conversation that it becomes.
func (s *Store) openFork(reader *conn, owner, sourceID, after string, c *chat.Conversation) (*fork, error) {
	source, err := reader.conversation(owner, sourceID, &arena{})
	if err != nil {
		return nil, err
	}
	end, err := reader.forkEnd(source, after)
	if err != nil {
		return nil, err
	}
	if c.Title == "" {
		c.Title, c.TitleSet = source.Title, source.TitleSet
	}
	c.Owner, c.Version, c.ContextVersion, c.MessageCount = owner, 1, 1, 0
	c.User, c.Model, c.Instructions, c.Params, c.Metadata = source.User, source.Model, source.Instructions, source.Params, source.Metadata
	c.ForkedFrom = &chat.Fork{ConversationID: sourceID}
	f := &fork{store: s, owner: owner, c: c}
	if f.set, err = encodeSettings(c); err != nil {
		return nil, err
	}
	f.rows = reader.prepare(copyItems).int(pos(source.num, 0)).int(end)
	f.more, err = f.rows.next()
	return f, err
}

// forkEnd is the position behind the last item to copy.
func (c *conn) forkEnd(source *conversationRow, after string) (int64, error) {
	end := pos(source.num+1, 0)
	if source.ActiveResponse != "" {
		q := c.prepare(selectFirstNew).text(source.ActiveResponse).text(source.Owner)
		found, err := q.next()
		if err != nil {
			return 0, err
		}
		if found {
			end = pos(source.num, q.getInt())
			q.reset()
		}
	}
	if after == "" {
		return end, nil
	}
	q := c.prepare(selectItemPos).text(after).int(source.num)
	found, err := q.next()
	if err != nil {
		return 0, err
	}
	if !found {
		return 0, chat.MessageNotFound()
	}
	defer q.reset()
	at := q.getInt()
	if at >= end {
		return 0, chat.Locked()
	}
	return at + 1, nil
}

func (f *fork) run(ctx context.Context, recs []audit.Record) (err error) {
	defer func() {
		if err != nil && f.num != 0 {
			f.abandon(ctx)
		}
	}()
	for {
		items, err := f.read()
		if err != nil {
			return err
		}
		rows, err := encodeItems(f.c.ID, items)
		if err != nil {
			return err
		}
		if n := len(items); n > 0 {
			f.c.ForkedFrom.ItemID = items[n-1].ID
		}
		if !f.more {
			return f.publish(ctx, rows, itemBytes(items), recs)
		}
		if err := f.step(ctx, rows, itemBytes(items)); err != nil {
			return err
		}
	}
}

// read takes the items of one step.
func (f *fork) read() ([]chat.Item, error) {
	var items []chat.Item
	a := &arena{}
	for bytes := 0; f.more && len(items) < forkRows && bytes < forkBytes; {
		items = append(items, chat.Item{})
		n, err := scanItem(f.rows, a, f.c.ID, &items[len(items)-1])
		if err != nil {
			return nil, err
		}
		bytes += n
		if f.more, err = f.rows.next(); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// step writes items that no conversation has yet.
func (f *fork) step(ctx context.Context, rows []itemRow, bytes int) error {
	var num int64
	err := f.store.writer.submit(ctx, bytes, func(t *tx) (err error) {
		if num = f.num; num == 0 {
			if num, err = t.takeNumber(f.c.ID); err != nil {
				return err
			}
		}
		return t.insertItems(num, f.seq+1, rows)
	})
	if err == nil {
		f.num, f.seq = num, f.seq+int64(len(rows))
	}
	return err
}

// takeNumber takes a number that no conversation has had, and notes that items without a conversation will be there.
func (t *tx) takeNumber(id string) (int64, error) {
	q := t.prepare(takeNumber)
	found, err := q.next()
	if err != nil {
		return 0, err
	}
	if !found {
		return 0, errors.New("conversations have no numbers")
	}
	t.wrote = true
	num := q.getInt()
	q.reset()
	if num > maxNum {
		return 0, numbersUsedUp()
	}
	return num, t.write(t.prepare(insertFork).int(num).text(id))
}

// publish writes the last items, and the conversation.
func (f *fork) publish(ctx context.Context, rows []itemRow, bytes int, recs []audit.Record) error {
	count := f.seq + int64(len(rows))
	err := f.store.writer.submit(ctx, f.set.bytes()+bytes, func(t *tx) error {
		if err := t.unclaimed(f.owner, f.claim); err != nil {
			return err
		}
		return t.atomically(func() error {
			if f.num != 0 {
				if err := t.write(t.prepare(deleteFork).int(f.num)); err != nil {
					return err
				}
			}
			num, err := t.insertConversation(f.owner, f.c, f.num, count, &f.set)
			if err != nil {
				return err
			}
			if err := t.insertItems(num, f.seq+1, rows); err != nil {
				return err
			}
			if err := t.claim(f.owner, f.claim); err != nil {
				return err
			}
			return t.seal(recs)
		})
	})
	if err == nil {
		f.c.MessageCount = count
	}
	return err
}

// abandon leaves what was copied to the purger. If it cannot, the next start does.
func (f *fork) abandon(ctx context.Context) {
	err := f.store.writer.submit(context.WithoutCancel(ctx), 0, func(t *tx) error {
		if err := t.write(t.prepare(deleteFork).int(f.num)); err != nil {
			return err
		}
		return t.write(t.prepare(insertPurge).int(f.num).text(f.c.ID))
	})
	if err != nil {
		f.store.options.Log.Warn("what a failed fork has copied is left to the next start", "conversation_id", f.c.ID, "error", err)
		return
	}
	f.store.purger.poke()
}

// abandonForks leaves to the purger what the last process was copying when it died.
func (t *tx) abandonForks() error {
	if err := t.write(t.prepare(purgeForks)); err != nil {
		return err
	}
	return t.write(t.prepare(deleteForks))
}

func numbersUsedUp() error {
	return fault.New(fault.Unavailable, chat.CodeStoreUnavailable, "The database has used up its conversation numbers.")
}
