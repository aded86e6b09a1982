package mongo

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// sentFields are what a prompt sends of an item.
var sentFields = bson.D{elem("id", 1), elem("seq", 1), elem("type", 1), elem("role", 1), elem("content", 1), elem("data", 1), elem("output", 1), elem("response", 1)}

// sent is an item as a context holds it.
func (d *itemDoc) sent(conversationID string) chat.Item {
	return chat.Item{
		ConversationID: conversationID, ID: d.Name, Seq: d.Seq, Output: d.Output, ResponseID: d.Response,
		Item: llm.Item{Type: d.Type, Role: llm.Role(d.Role), Content: d.Content, Data: d.Data},
	}
}

// contextBatch is how many items come in one answer.
const contextBatch = 200

// Context implements chat.Store.
func (s *Store) Context(ctx context.Context, owner, conversationID string, n int) (c chat.Conversation, items []chat.Item, err error) {
	err = s.snapshot(ctx, func(ctx context.Context) error {
		d, err := s.conversationDoc(ctx, owner, conversationID)
		if err != nil {
			return err
		}
		if c, err = d.conversation(); err != nil {
			return err
		}
		items, err = s.sent(ctx, d, d.Next, n)
		return err
	})
	if err != nil {
		return chat.Conversation{}, nil, err
	}
	return c, items, nil
}

// LastTurn implements chat.Store.
func (s *Store) LastTurn(ctx context.Context, owner, conversationID string, n int) (c chat.Conversation, history, input []chat.Item, err error) {
	err = s.snapshot(ctx, func(ctx context.Context) error {
		d, err := s.conversationDoc(ctx, owner, conversationID)
		if err != nil {
			return err
		}
		if c, err = d.conversation(); err != nil || d.Active != nil {
			return err
		}
		if input, err = s.lastInput(ctx, d); err != nil {
			return err
		}
		history, err = s.sent(ctx, d, input[0].Seq, n)
		return err
	})
	if err != nil {
		return chat.Conversation{}, nil, nil, err
	}
	return c, history, input, nil
}

func (s *Store) lastInput(ctx context.Context, c *conversationDoc) (input []chat.Item, err error) {
	o := options.Find().SetSort(bson.D{elem("seq", -1)}).SetBatchSize(batch).SetProjection(withoutTerms)
	err = s.backwards(ctx, bson.D{elem("k", c.K), visible}, o, func(next func() (*itemDoc, error)) error {
		input, err = chat.LastInput(func(it *chat.Item) (bool, error) {
			d, err := next()
			if d == nil || err != nil {
				return false, err
			}
			*it = d.item(c.Name)
			return true, nil
		})
		return err
	})
	return input, err
}

// sent reads the items below end that a prompt sends, the newest n or, where n is 0, all.
func (s *Store) sent(ctx context.Context, c *conversationDoc, end int64, n int) (items []chat.Item, err error) {
	filter := bson.D{elem("k", c.K), elem("seq", bson.D{elem("$lt", end)}), elem("out", 0)}
	o := options.Find().SetProjection(sentFields).SetBatchSize(int32(contextBatch))
	if n == 0 {
		items = make([]chat.Item, 0, c.Count)
		err = each(ctx, s.items(), filter, o.SetSort(bson.D{elem("seq", 1)}), func(d *itemDoc) (bool, error) {
			items = append(items, d.sent(c.Name))
			return true, nil
		})
		return items, err
	}
	err = s.backwards(ctx, filter, o.SetSort(bson.D{elem("seq", -1)}), func(next func() (*itemDoc, error)) error {
		items, err = chat.Newest(n, int(min(int64(n), c.Count)), func(it *chat.Item) (bool, error) {
			d, err := next()
			if d == nil || err != nil {
				return false, err
			}
			*it = d.sent(c.Name)
			return true, nil
		})
		return err
	})
	return items, err
}

// backwards lends a function that returns the next item found, or nil behind the last.
func (s *Store) backwards(ctx context.Context, filter bson.D, o *options.FindOptionsBuilder, use func(next func() (*itemDoc, error)) error) (err error) {
	cursor, err := s.items().Find(ctx, filter, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeCursor(ctx, cursor)) }()
	return use(func() (*itemDoc, error) {
		if !cursor.Next(ctx) {
			return nil, cursor.Err()
		}
		d := &itemDoc{}
		return d, cursor.Decode(d)
	})
}

// closeCursor lets the server forget a cursor, also where nobody waits any more.
func closeCursor(ctx context.Context, cursor *driver.Cursor) error {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return cursor.Close(closing)
}
