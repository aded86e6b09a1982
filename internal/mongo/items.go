package mongo

import (
	"bytes"
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

// AppendItems implements chat.Store.
func (s *Store) AppendItems(ctx context.Context, owner string, claim *chat.Claim, conversationID, title string, items []chat.Item, recs ...audit.Record) error {
	var docs []itemDoc
	landed := func(ctx context.Context) (bool, error) {
		if len(docs) == 0 {
			return false, nil
		}
		return s.exists(ctx, s.items(), append(byID(docs[0].ID), elem("k", docs[0].K), elem("seq", docs[0].Seq)))
	}
	return s.claiming(ctx, owner, claim, recs, landed, func(ctx context.Context) error {
		d, err := s.unlocked(ctx, owner, conversationID)
		if err != nil {
			return err
		}
		docs = encodeItems(d.K, owner, conversationID, d.Next, items)
		if err := bounded(nil, docs); err != nil {
			return err
		}
		if err := s.insertItems(ctx, docs); err != nil {
			return err
		}
		added := int64(len(items))
		a := advanced().add("next", added).add("count", added).active(lastCreated(items), d.Age)
		if d.Title == "" && title != "" {
			a.title(title)
		}
		return s.advance(ctx, d, a)
	})
}

func lastCreated(items []chat.Item) time.Time {
	if len(items) == 0 {
		return time.Time{}
	}
	return items[len(items)-1].CreatedAt
}

// itemDoc reads an item of a conversation; superseded ones are none.
func (s *Store) itemDoc(ctx context.Context, k, id string) (*itemDoc, error) {
	var d itemDoc
	err := s.items().FindOne(ctx, append(byID(itemKey(k, id)), elem("k", k), visible)).Decode(&d)
	if missing(err) {
		return nil, chat.MessageNotFound()
	}
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// Item implements chat.Store.
func (s *Store) Item(ctx context.Context, owner, conversationID, id string) (it chat.Item, err error) {
	err = s.snapshot(ctx, func(ctx context.Context) error {
		c, err := s.conversationDoc(ctx, owner, conversationID)
		if err != nil {
			return err
		}
		d, err := s.itemDoc(ctx, c.K, id)
		if err != nil {
			return err
		}
		it = d.item(conversationID)
		return nil
	})
	return it, err
}

// Items implements chat.Store.
func (s *Store) Items(ctx context.Context, owner, conversationID string, p chat.Page) (page chat.List[chat.Item], err error) {
	err = s.snapshot(ctx, func(ctx context.Context) error {
		c, err := s.conversationDoc(ctx, owner, conversationID)
		if err != nil {
			return err
		}
		w, err := newWindow("seq", p, func(id string) (any, error) { return s.itemSeq(ctx, c.K, id) })
		if err != nil {
			return err
		}
		page, err = collect(ctx, s.items(), bson.D{elem("k", c.K), visible}, w, withoutTerms, func(d *itemDoc, it *chat.Item) (int, error) {
			*it = d.item(conversationID)
			return d.size(), nil
		})
		return err
	})
	return page, err
}

var withoutTerms = bson.D{{Key: "terms", Value: 0}}

// itemSeq is where an item stands. A page may go on behind one that was superseded meanwhile.
func (s *Store) itemSeq(ctx context.Context, k, id string) (any, error) {
	var d struct {
		Seq int64 `bson:"seq"`
	}
	err := s.items().FindOne(ctx, append(byID(itemKey(k, id)), elem("k", k)), options.FindOne().SetProjection(bson.D{{Key: "seq", Value: 1}})).Decode(&d)
	if missing(err) {
		return nil, chat.InvalidCursor()
	}
	return d.Seq, err
}

// UpdateItem implements chat.Store, in the manner of UpdateConversation.
func (s *Store) UpdateItem(ctx context.Context, owner, conversationID, id string, version int64, change func(*chat.Item) error, recs ...audit.Record) (chat.Item, error) {
	var result chat.Item
	err := s.change(ctx, recs, nil, func(ctx context.Context) error {
		c, err := s.conversationDoc(ctx, owner, conversationID)
		if err != nil {
			return err
		}
		d, err := s.itemDoc(ctx, c.K, id)
		switch {
		case err != nil:
			return err
		case c.Active != nil:
			return chat.Locked()
		case version != 0 && d.Version != version:
			return chat.VersionMismatch()
		}
		it := d.item(conversationID)
		changed := it
		if err := change(&changed); err != nil {
			return &ownError{err}
		}
		edited := !bytes.Equal(it.Content, changed.Content)
		it.Content, it.Metadata, it.EditedAt = changed.Content, changed.Metadata, time.Time{}
		if !changed.EditedAt.IsZero() {
			it.EditedAt = kept(changed.EditedAt)
		}
		if err := boundedBytes(len(it.Content)); err != nil {
			return err
		}
		a := (&advance{inc: bson.D{elem("version", 1)}}).opt("content", []byte(it.Content), len(it.Content) == 0).
			opt("meta", encodeMeta(it.Metadata), len(it.Metadata) == 0).opt("edited", it.EditedAt, it.EditedAt.IsZero())
		if edited {
			t := termsOf(chat.SearchText(&it))
			a.opt("terms", t, len(t) == 0)
		}
		if _, err := s.items().UpdateOne(ctx, append(byID(d.ID), elem("k", d.K)), a.update()); err != nil {
			return err
		}
		result = it
		result.Version++
		moved := advanced().active(it.EditedAt, c.Age)
		if !edited {
			moved.add("quiet", 1)
		} else if err := s.deleteLogOf(ctx, d); err != nil {
			return err
		}
		return s.advance(ctx, c, moved)
	})
	if err != nil {
		return chat.Item{}, err
	}
	return result, nil
}

// DeleteItem implements chat.Store.
func (s *Store) DeleteItem(ctx context.Context, owner, conversationID, id string, version int64, recs ...audit.Record) error {
	return s.change(ctx, recs, nil, func(ctx context.Context) error {
		c, err := s.unlocked(ctx, owner, conversationID)
		if err != nil {
			return err
		}
		d, err := s.itemDoc(ctx, c.K, id)
		if err != nil {
			return err
		}
		if version != 0 && d.Version != version {
			return chat.VersionMismatch()
		}
		if _, err := s.items().DeleteOne(ctx, append(byID(d.ID), elem("k", d.K))); err != nil {
			return err
		}
		if err := s.deleteLogOf(ctx, d); err != nil {
			return err
		}
		return s.advance(ctx, c, advanced().add("count", -1))
	})
}

// deleteLogOf removes the event log of the response that wrote an item in this conversation; a fork's items name those of its source.
func (s *Store) deleteLogOf(ctx context.Context, d *itemDoc) error {
	if !d.Output || d.Response == "" {
		return nil
	}
	response := key(d.Owner, d.Response)
	ours, err := s.exists(ctx, s.responses(), append(byID(response), elem("k", d.K)))
	if err != nil || !ours {
		return err
	}
	_, err = s.events().DeleteMany(ctx, bson.D{elem("r", response)})
	return err
}
