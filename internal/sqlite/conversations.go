package sqlite

import (
	"context"
	"errors"
	"math"
	"reflect"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

const conversationColumns = `num, id, owner, created_at, updated_at, version, version - quiet_versions, next_seq, message_count, usage,
  has_settings, active_response, title, title_set, user, model, forked_conversation, forked_item, cost`

const (
	selectConversation = `SELECT ` + conversationColumns + ` FROM conversations WHERE id = ? AND owner = ?`

	// The row value is compared as one key of the index by activity.
	listConversationsUp = `SELECT ` + conversationColumns + ` FROM conversations
  WHERE owner = ? AND (updated_at, num) > (?, ?) AND (updated_at, num) < (?, ?) ORDER BY updated_at, num LIMIT ?`
	listConversationsDown = `SELECT ` + conversationColumns + ` FROM conversations
  WHERE owner = ? AND (updated_at, num) > (?, ?) AND (updated_at, num) < (?, ?) ORDER BY updated_at DESC, num DESC LIMIT ?`
	selectConversationKey = `SELECT updated_at, num FROM conversations WHERE id = ? AND owner = ?`

	insertConversation = `INSERT INTO conversations (num, id, owner, created_at, updated_at, version, next_seq, message_count, usage,
  has_settings, title, title_set, user, model, forked_conversation, forked_item, cost) VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	updateConversation = `UPDATE conversations SET updated_at = ?, title = ?, title_set = ?, model = ?, has_settings = ?, version = version + 1, quiet_versions = quiet_versions + ?
  WHERE num = ? AND version = ?`
	deleteConversation = `DELETE FROM conversations WHERE num = ?`

	selectState = `SELECT num, version, version - quiet_versions, next_seq, active_response FROM conversations WHERE id = ? AND owner = ?`
	advance     = `UPDATE conversations SET version = version + 1, quiet_versions = quiet_versions + ?, next_seq = ?, message_count = message_count + ?,
  updated_at = coalesce(?, updated_at), title = CASE title WHEN '' THEN ? ELSE title END WHERE num = ?`
)

// maxNum is the largest conversation number whose items' positions fit an integer of SQLite.
const maxNum = 1<<(63-seqBits) - 1

// conversationRow is a conversation and what only the store knows of it.
type conversationRow struct {
	chat.Conversation
	num         int64
	hasSettings bool
}

// bytes is about what a page's bound counts of a conversation.
func (c *conversationRow) bytes() int {
	n := len(c.Title) + len(c.Instructions) + len(c.Params.ResponseFormat)
	for k, v := range c.Metadata {
		n += len(k) + len(v)
	}
	return n
}

func scanConversation(s *stmt, a *arena, c *conversationRow) error {
	c.num, c.ID, c.Owner = s.getInt(), s.getText(a), s.getText(a)
	c.CreatedAt, c.UpdatedAt, c.Version, c.ContextVersion = s.getTime(), s.getTime(), s.getInt(), s.getInt()
	s.skip(1)
	c.MessageCount = s.getInt()
	usage, err := decodeUsage(s.getRaw(a))
	if usage != nil {
		c.Usage = *usage
	}
	c.hasSettings = s.getBool()
	c.ActiveResponse, c.Title, c.TitleSet, c.User, c.Model = s.getText(a), s.getText(a), s.getBool(), s.getText(a), s.getText(a)
	if from, item := s.getText(a), s.getText(a); from != "" {
		c.ForkedFrom = &chat.Fork{ConversationID: from, ItemID: item}
	}
	if err != nil {
		return err
	}
	c.Cost, err = decodeCost(s.getRaw(a))
	return err
}

// conversation reads one with all its settings.
func (c *conn) conversation(owner, id string, a *arena) (*conversationRow, error) {
	s := c.prepare(selectConversation).text(id).text(owner)
	found, err := s.next()
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, chat.ConversationNotFound()
	}
	defer s.reset()
	row := &conversationRow{}
	if err := scanConversation(s, a, row); err != nil {
		return nil, err
	}
	return row, c.settings(row, a)
}

// CreateConversation implements chat.Store.
func (s *Store) CreateConversation(ctx context.Context, owner string, claim *chat.Claim, c *chat.Conversation, items []chat.Item, recs ...audit.Record) error {
	set, err := encodeSettings(c)
	if err != nil {
		return err
	}
	rows, err := encodeItems(c.ID, items)
	if err != nil {
		return err
	}
	if err := s.writer.submit(ctx, set.bytes()+itemBytes(items), func(t *tx) error {
		if err := t.unclaimed(owner, claim); err != nil {
			return err
		}
		if len(items) == 0 {
			return t.create(owner, claim, c, &set, rows, recs)
		}
		return t.atomically(func() error { return t.create(owner, claim, c, &set, rows, recs) })
	}); err != nil {
		return err
	}
	c.Owner, c.Version, c.ContextVersion, c.MessageCount = owner, 1, 1, int64(len(items))
	return nil
}

func (t *tx) create(owner string, claim *chat.Claim, c *chat.Conversation, set *settings, items []itemRow, recs []audit.Record) error {
	num, err := t.insertConversation(owner, c, 0, int64(len(items)), set)
	if err != nil {
		return err
	}
	if err := t.insertItems(num, 1, items); err != nil {
		return err
	}
	if err := t.claim(owner, claim); err != nil {
		return err
	}
	return t.seal(recs)
}

// insertConversation writes a conversation of so many items, at a number or, where that is 0, at the next one.
func (t *tx) insertConversation(owner string, c *chat.Conversation, num, count int64, set *settings) (int64, error) {
	s := t.prepare(insertConversation)
	if num == 0 {
		s.null()
	} else {
		s.int(num)
	}
	s.text(c.ID).text(owner).ms(c.CreatedAt).ms(c.UpdatedAt).int(count + 1).int(count).
		total(c.Usage).bool(set.any()).text(c.Title).bool(c.TitleSet).opt(c.User).opt(c.Model)
	if f := c.ForkedFrom; f != nil {
		s.text(f.ConversationID).opt(f.ItemID)
	} else {
		s.null().null()
	}
	if err := t.write(s.cost(c.Cost)); err != nil {
		return 0, err
	}
	num = t.LastInsertRowID()
	if num > maxNum {
		return 0, numbersUsedUp()
	}
	t.touch(num)
	if err := t.saveSettings(num, set, false); err != nil {
		return 0, err
	}
	return num, t.savePairs(owner, num, nil, c.Metadata)
}

// Conversation implements chat.Store.
func (s *Store) Conversation(ctx context.Context, owner, id string) (chat.Conversation, error) {
	var row *conversationRow
	err := s.readers.read(ctx, func(c *conn) error {
		return c.snapshot(func() (err error) {
			row, err = c.conversation(owner, id, &arena{})
			return err
		})
	})
	if err != nil {
		return chat.Conversation{}, err
	}
	return row.Conversation, nil
}

// Conversations implements chat.Store.
func (s *Store) Conversations(ctx context.Context, owner string, query chat.Query) (chat.List[chat.Hit], error) {
	if !query.Plain() {
		return s.find(ctx, owner, &query)
	}
	var list chat.List[chat.Hit]
	p := query.Page
	err := s.readers.read(ctx, func(c *conn) error {
		return c.snapshot(func() error {
			w, err := conversationWindow(c, owner, p)
			if err != nil {
				return err
			}
			sql := listConversationsUp
			if w.down {
				sql = listConversationsDown
			}
			q := c.prepare(sql).text(owner).int(w.lo.time).int(w.lo.num).int(w.hi.time).int(w.hi.num).int(int64(w.limit) + 1)
			a, row := &arena{}, &conversationRow{}
			list, err = collect(q, w, p.MaxBytes, func(v *chat.Hit) (int, error) {
				*row = conversationRow{}
				if err := scanConversation(q, a, row); err != nil {
					return 0, err
				}
				err := c.settings(row, a)
				v.Conversation = row.Conversation
				return row.bytes(), err
			})
			return err
		})
	})
	return list, err
}

func conversationWindow(c *conn, owner string, p chat.Page) (window, error) {
	return newWindow(p, func(id string) (key, error) {
		q := c.prepare(selectConversationKey).text(id).text(owner)
		found, err := q.next()
		if err != nil {
			return key{}, err
		}
		k := key{}
		if found {
			k = key{time: q.getInt(), num: q.getInt()}
			q.reset()
		}
		switch placed := id == p.After && !p.AfterActivity.IsZero(); {
		case placed:
			k.time = p.AfterActivity.UnixMilli()
			if !found && p.Desc {
				// Of those of the same millisecond one may come twice, and none is left out.
				k.num = math.MaxInt64
			}
		case !found:
			return key{}, chat.InvalidCursor()
		}
		return k, nil
	})
}

// UpdateConversation implements chat.Store. change runs in the caller's goroutine, on what a reader saw; if that has
// changed when the writer comes to it, everything is done again.
func (s *Store) UpdateConversation(ctx context.Context, owner, id string, version int64, change func(*chat.Conversation) error, recs ...audit.Record) (chat.Conversation, error) {
	for {
		var row *conversationRow
		if err := s.readers.read(ctx, func(c *conn) error {
			return c.snapshot(func() (err error) {
				row, err = c.conversation(owner, id, &arena{})
				return err
			})
		}); err != nil {
			return chat.Conversation{}, err
		}
		if version != 0 && row.Version != version {
			return chat.Conversation{}, chat.VersionMismatch()
		}
		changed := row.Conversation
		if err := change(&changed); err != nil {
			return chat.Conversation{}, err
		}
		next := row.Conversation
		next.Title, next.TitleSet, next.Model, next.Instructions = changed.Title, changed.TitleSet, changed.Model, changed.Instructions
		next.Params, next.Metadata, next.UpdatedAt = changed.Params, changed.Metadata, kept(changed.UpdatedAt)
		set, err := encodeSettings(&next)
		if err != nil {
			return chat.Conversation{}, err
		}
		quiet := next.Model == row.Model && next.Instructions == row.Instructions && reflect.DeepEqual(next.Params, row.Params)
		err = s.writer.submit(ctx, set.bytes(), func(t *tx) error { return t.updateConversation(row, &next, &set, quiet, recs) })
		if err == nil {
			next.Version++
			if !quiet {
				next.ContextVersion++
			}
			return next, nil
		}
		if !errors.Is(err, chat.ErrStale) {
			return chat.Conversation{}, err
		}
	}
}

// updateConversation writes a conversation's settings; quiet says that no prompt is made from what has changed.
func (t *tx) updateConversation(row *conversationRow, next *chat.Conversation, set *settings, quiet bool, recs []audit.Record) error {
	s := t.prepare(updateConversation).ms(next.UpdatedAt).text(next.Title).bool(next.TitleSet).opt(next.Model).bool(set.any()).bool(quiet).int(row.num).int(row.Version)
	if err := t.exec(s); err != nil {
		return err
	}
	if t.Changes() == 0 {
		return chat.ErrStale
	}
	t.wrote = true
	if err := t.saveSettings(row.num, set, row.hasSettings); err != nil {
		return err
	}
	if err := t.savePairs(row.Owner, row.num, row.Metadata, next.Metadata); err != nil {
		return err
	}
	if next.Title != row.Title {
		if err := t.retitle(row.num, next.Title); err != nil {
			return err
		}
	}
	return t.seal(recs)
}

// kept is a time as it will be read back.
func kept(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// state is what decides whether a conversation can be changed.
type state struct {
	num, version, contextVersion, nextSeq int64
	// active is the response that holds the lock, or empty.
	active string
}

func (c *conn) state(owner, id string) (state, error) {
	s := c.prepare(selectState).text(id).text(owner)
	found, err := s.next()
	if err != nil {
		return state{}, err
	}
	if !found {
		return state{}, chat.ConversationNotFound()
	}
	defer s.reset()
	return state{num: s.getInt(), version: s.getInt(), contextVersion: s.getInt(), nextSeq: s.getInt(), active: s.getText(&arena{})}, nil
}

// unlocked is the state of a conversation on which no response runs.
func (t *tx) unlocked(owner, id string) (state, error) {
	c, err := t.state(owner, id)
	if err == nil && c.active != "" {
		err = chat.Locked()
	}
	return c, err
}

// advance raises a conversation's version, with added items more and nextSeq behind the last of them. at is its new
// time of activity, or zero; quiet says that no prompt is made from what has changed.
func (t *tx) advance(c state, quiet bool, nextSeq, added int64, at time.Time, title string) error {
	return t.write(t.prepare(advance).bool(quiet).int(nextSeq).int(added).time(at).text(title).int(c.num))
}

// DeleteConversation implements chat.Store. The row goes at once, and with it every way to the items and responses;
// they themselves are purged later.
func (s *Store) DeleteConversation(ctx context.Context, owner, id string, version int64, orphan string, recs ...audit.Record) error {
	err := s.writer.submitVital(ctx, 0, func(t *tx) error {
		c, err := t.state(owner, id)
		if err != nil {
			return err
		}
		if version != 0 && c.version != version {
			return chat.VersionMismatch()
		}
		if c.active != "" && c.active != orphan {
			return chat.Locked()
		}
		if err := t.write(t.prepare(insertPurge).int(c.num).text(id)); err != nil {
			return err
		}
		if err := t.deletePairs(owner, c.num); err != nil {
			return err
		}
		if err := t.write(t.prepare(deleteConversation).int(c.num)); err != nil {
			return err
		}
		return t.seal(recs)
	})
	if err == nil {
		s.purger.poke()
	}
	return err
}
