package mongo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/search"
)

// conversationDoc is a conversation. Its _id is owner/id; K is the key of all that hangs on it, and is another when the id is used again.
type conversationDoc struct {
	ID       string    `bson:"_id"`
	K        string    `bson:"k"`
	Owner    string    `bson:"o"`
	Name     string    `bson:"id"`
	Title    string    `bson:"title,omitempty"`
	TitleSet bool      `bson:"title_set,omitempty"`
	User     string    `bson:"user,omitempty"`
	Model    string    `bson:"model,omitempty"`
	Instr    []byte    `bson:"instructions,omitempty"`
	Params   []byte    `bson:"params,omitempty"`
	Meta     []pair    `bson:"meta,omitempty"`
	Terms    []string  `bson:"terms,omitempty"` // of the title
	Count    int64     `bson:"count"`
	Usage    usageDoc  `bson:"usage"`
	Cost     *costDoc  `bson:"cost,omitempty"`
	Fork     *forkDoc  `bson:"fork,omitempty"`
	Created  time.Time `bson:"created"`
	Updated  time.Time `bson:"updated"`
	// Age orders conversations by when they were made, Act by Updated and then Age.
	Age string `bson:"age"`
	Act string `bson:"act"`
	// Rev is the version, and rises by one with every change; Quiet counts those that no prompt is made from.
	Rev   int64 `bson:"rev"`
	Quiet int64 `bson:"quiet"`
	// Next is the seq of the next item.
	Next   int64    `bson:"next"`
	Active *lockDoc `bson:"active,omitempty"`
	Op     string   `bson:"op,omitempty"`
}

// lockDoc says which response holds a conversation, and by which change of the conversation it got it.
type lockDoc struct {
	ID     string `bson:"id"`
	Holder string `bson:"holder"`
	Fence  int64  `bson:"fence"`
}

type forkDoc struct {
	Conversation string `bson:"conversation"`
	Item         string `bson:"item,omitempty"`
}

// pair is one of metadata, which is a list because the names of fields may not hold all that keys may.
type pair struct {
	K string `bson:"k"`
	V string `bson:"v"`
}

type usageDoc struct {
	Input     int64 `bson:"input"`
	Output    int64 `bson:"output"`
	Total     int64 `bson:"total"`
	Cached    int64 `bson:"cached"`
	Reasoning int64 `bson:"reasoning"`
}

type costDoc struct {
	Micros    int64  `bson:"micros"`
	Prices    string `bson:"prices,omitempty"`
	Estimated bool   `bson:"estimated,omitempty"`
}

func encodeUsage(u *llm.Usage) usageDoc {
	return usageDoc{u.InputTokens, u.OutputTokens, u.TotalTokens, u.CachedTokens, u.ReasoningTokens}
}

func (d *usageDoc) usage() llm.Usage {
	return llm.Usage{InputTokens: d.Input, OutputTokens: d.Output, TotalTokens: d.Total, CachedTokens: d.Cached, ReasoningTokens: d.Reasoning}
}

// optUsage are token counts that may be unknown.
func optUsage(u *llm.Usage) *usageDoc {
	if u == nil {
		return nil
	}
	d := encodeUsage(u)
	return &d
}

func (d *usageDoc) opt() *llm.Usage {
	if d == nil {
		return nil
	}
	u := d.usage()
	return &u
}

func encodeCost(c *chat.Cost) *costDoc {
	if c == nil {
		return nil
	}
	return &costDoc{c.AmountMicros, c.PriceVersion, c.Estimated}
}

func (d *costDoc) cost() *chat.Cost {
	if d == nil {
		return nil
	}
	return &chat.Cost{AmountMicros: d.Micros, PriceVersion: d.Prices, Estimated: d.Estimated}
}

func encodeMeta(m map[string]string) []pair {
	var list []pair
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, pair{k, m[k]})
	}
	return list
}

func decodeMeta(list []pair) map[string]string {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]string, len(list))
	for _, p := range list {
		m[p.K] = p.V
	}
	return m
}

// encodeParams is nil for params without any. It leaves <, > and & as they are: what came as JSON is to stay readable.
func encodeParams(p *llm.Params) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("encoding params: %w", err)
	}
	raw := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if string(raw) == "{}" {
		return nil, nil
	}
	return raw, nil
}

// termsOf are those of a text as they are searched for.
func termsOf(text string) []string { return strings.Fields(search.Terms(text)) }

// encodeConversation makes the document of a new conversation with so many items.
func encodeConversation(owner string, c *chat.Conversation, count int64) (*conversationDoc, error) {
	params, err := encodeParams(&c.Params)
	if err != nil {
		return nil, err
	}
	d := &conversationDoc{
		ID: key(owner, c.ID), K: newKey(), Owner: owner, Name: c.ID, Title: c.Title, TitleSet: c.TitleSet, User: c.User, Model: c.Model,
		Instr: []byte(c.Instructions), Params: params, Meta: encodeMeta(c.Metadata), Terms: termsOf(c.Title), Count: count, Usage: encodeUsage(&c.Usage),
		Cost: encodeCost(c.Cost), Created: kept(c.CreatedAt), Updated: kept(c.UpdatedAt), Age: newAge(), Rev: 1, Next: count + 1,
	}
	d.Act = activity(d.Updated, d.Age)
	if f := c.ForkedFrom; f != nil {
		d.Fork = &forkDoc{f.ConversationID, f.ItemID}
	}
	return d, nil
}

func (d *conversationDoc) conversation() (chat.Conversation, error) {
	c := chat.Conversation{
		ID: d.Name, Owner: d.Owner, Title: d.Title, TitleSet: d.TitleSet, User: d.User, Model: d.Model, Instructions: string(d.Instr),
		Metadata: decodeMeta(d.Meta), MessageCount: d.Count, Usage: d.Usage.usage(), Cost: d.Cost.cost(), CreatedAt: d.Created, UpdatedAt: d.Updated,
		Version: d.Rev, ContextVersion: d.Rev - d.Quiet,
	}
	if d.Fork != nil {
		c.ForkedFrom = &chat.Fork{ConversationID: d.Fork.Conversation, ItemID: d.Fork.Item}
	}
	if d.Active != nil {
		c.ActiveResponse = d.Active.ID
	}
	if d.Params != nil {
		if err := json.Unmarshal(d.Params, &c.Params); err != nil {
			return chat.Conversation{}, fmt.Errorf("reading a conversation's params: %w", err)
		}
	}
	return c, nil
}

// size is about what a page's bound counts of a conversation.
func (d *conversationDoc) size() int {
	n := len(d.Title) + len(d.Instr) + len(d.Params)
	for _, p := range d.Meta {
		n += len(p.K) + len(p.V)
	}
	return n
}

// atRev is the filter for a conversation as it was read. Within its transaction it cannot be another any more; it says what the change rests on.
func (d *conversationDoc) atRev() bson.D {
	return bson.D{{Key: "_id", Value: d.ID}, {Key: "k", Value: d.K}, {Key: "rev", Value: d.Rev}}
}

// conversationDoc reads one.
func (s *Store) conversationDoc(ctx context.Context, owner, id string) (*conversationDoc, error) {
	var d conversationDoc
	err := s.conversations().FindOne(ctx, byID(key(owner, id))).Decode(&d)
	if missing(err) {
		return nil, chat.ConversationNotFound()
	}
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// unlocked reads a conversation on which no response runs.
func (s *Store) unlocked(ctx context.Context, owner, id string) (*conversationDoc, error) {
	d, err := s.conversationDoc(ctx, owner, id)
	if err == nil && d.Active != nil {
		return nil, chat.Locked()
	}
	return d, err
}

// advance is the update of a conversation by one change, to which more may be added.
type advance struct {
	set, inc, unset bson.D
}

// advanced begins the update: one version on.
func advanced() *advance { return &advance{inc: bson.D{{Key: "rev", Value: 1}}} }

func (a *advance) with(field string, value any) *advance {
	a.set = append(a.set, bson.E{Key: field, Value: value})
	return a
}

func (a *advance) add(field string, n int64) *advance {
	if n != 0 {
		a.inc = append(a.inc, bson.E{Key: field, Value: n})
	}
	return a
}

func (a *advance) without(field string) *advance {
	a.unset = append(a.unset, bson.E{Key: field, Value: 1})
	return a
}

// opt sets a field, or removes it where the value is empty.
func (a *advance) opt(field string, value any, empty bool) *advance {
	if empty {
		return a.without(field)
	}
	return a.with(field, value)
}

// active moves the conversation in the list.
func (a *advance) active(at time.Time, age string) *advance {
	if at.IsZero() {
		return a
	}
	at = kept(at)
	return a.with("updated", at).with("act", activity(at, age))
}

// title sets the title and what it is searched by.
func (a *advance) title(title string) *advance {
	t := termsOf(title)
	return a.opt("title", title, title == "").opt("terms", t, len(t) == 0)
}

func (a *advance) update() bson.D {
	u := bson.D{}
	if len(a.inc) > 0 {
		u = append(u, bson.E{Key: "$inc", Value: a.inc})
	}
	if len(a.set) > 0 {
		u = append(u, bson.E{Key: "$set", Value: a.set})
	}
	if len(a.unset) > 0 {
		u = append(u, bson.E{Key: "$unset", Value: a.unset})
	}
	return u
}

// advance writes a change of a conversation that was read in the same transaction.
func (s *Store) advance(ctx context.Context, d *conversationDoc, a *advance) error {
	res, err := s.conversations().UpdateOne(ctx, d.atRev(), a.update())
	if err != nil {
		return err
	}
	if res.MatchedCount == 0 {
		return errMoved
	}
	return nil
}
