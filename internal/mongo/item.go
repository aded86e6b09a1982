package mongo

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// itemDoc is an item. Its _id is k/id, K being its conversation's key; content and data are bytes, as they came.
type itemDoc struct {
	ID       string    `bson:"_id"`
	K        string    `bson:"k"`
	Owner    string    `bson:"o"`
	Name     string    `bson:"id"`
	Seq      int64     `bson:"seq"`
	Type     string    `bson:"type"`
	Role     string    `bson:"role,omitempty"`
	Content  []byte    `bson:"content,omitempty"`
	Data     []byte    `bson:"data,omitempty"`
	Status   string    `bson:"status"`
	Model    string    `bson:"model,omitempty"`
	Usage    *usageDoc `bson:"usage,omitempty"`
	Response string    `bson:"response,omitempty"`
	Output   bool      `bson:"output,omitempty"`
	Meta     []pair    `bson:"meta,omitempty"`
	Created  time.Time `bson:"created"`
	Edited   time.Time `bson:"edited,omitempty"`
	Version  int64     `bson:"version"`
	Out      int       `bson:"out"`
	Terms    []string  `bson:"terms,omitempty"`
}

// What Out says; 0 is an item that is in the context.
const (
	outExcluded   = 1
	outSuperseded = 2
)

// visible are the items that are messages of their conversation.
var visible = elem("out", bson.D{{Key: "$lt", Value: outSuperseded}})

func elem(field string, value any) bson.E { return bson.E{Key: field, Value: value} }

// between is the condition that seq is from from on and below to.
func between(from, to int64) bson.E {
	return elem("seq", bson.D{{Key: "$gte", Value: from}, {Key: "$lt", Value: to}})
}

// encodeItems makes documents of items from seq on, and sets the items' Seq and ConversationID.
func encodeItems(k, owner, conversationID string, seq int64, items []chat.Item) []itemDoc {
	docs := make([]itemDoc, len(items))
	for i := range items {
		it := &items[i]
		it.ConversationID, it.Seq = conversationID, seq+int64(i)
		d := &docs[i]
		*d = itemDoc{
			ID: itemKey(k, it.ID), K: k, Owner: owner, Name: it.ID, Seq: it.Seq, Type: it.Type, Role: string(it.Role), Content: it.Content, Data: it.Data,
			Status: string(it.Status), Model: it.Model, Usage: optUsage(it.Usage), Response: it.ResponseID, Output: it.Output, Meta: encodeMeta(it.Metadata),
			Created: kept(it.CreatedAt), Version: it.Version,
		}
		if !it.EditedAt.IsZero() {
			d.Edited = kept(it.EditedAt)
		}
		if it.Excluded {
			d.Out = outExcluded
		}
		if it.Superseded {
			d.Out = outSuperseded
		} else {
			d.Terms = termsOf(chat.SearchText(it))
		}
	}
	return docs
}

func (d *itemDoc) item(conversationID string) chat.Item {
	return chat.Item{
		ID: d.Name, ConversationID: conversationID, Seq: d.Seq,
		Item:   llm.Item{Type: d.Type, Role: llm.Role(d.Role), Content: d.Content, Data: d.Data},
		Status: chat.ItemStatus(d.Status), Model: d.Model, Usage: d.Usage.opt(), ResponseID: d.Response, Output: d.Output, Metadata: decodeMeta(d.Meta),
		CreatedAt: d.Created, EditedAt: d.Edited, Version: d.Version, Excluded: d.Out == outExcluded, Superseded: d.Out == outSuperseded,
	}
}

// size is what a page's bound counts of an item.
func (d *itemDoc) size() int { return len(d.Content) + len(d.Data) }

// insertItems stores what encodeItems made.
func (s *Store) insertItems(ctx context.Context, docs []itemDoc) error {
	if len(docs) == 0 {
		return nil
	}
	_, err := s.items().InsertMany(ctx, docs)
	return err
}

// maxText is how large the text of one document may be. MongoDB's documents end at 16 MiB, and its terms and all else come on top.
const maxText = 14 << 20

// bounded refuses what would not fit its documents.
func bounded(d *conversationDoc, items []itemDoc) error {
	if d != nil {
		if err := boundedBytes(len(d.Instr) + len(d.Params)); err != nil {
			return err
		}
	}
	for i := range items {
		if err := boundedBytes(items[i].size()); err != nil {
			return err
		}
	}
	return nil
}

// codeMessageTooLarge is of a message that no document of the database can hold.
const codeMessageTooLarge = "message_too_large"

func boundedBytes(n int) error {
	if n > maxText {
		return fault.Newf(fault.TooLarge, codeMessageTooLarge, "One message, or one conversation's instructions, can have %d bytes in this server's database.", maxText)
	}
	return nil
}
