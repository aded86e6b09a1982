package legacy

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// sourceID is the metadata that names what something was made from.
const sourceID = "imported_id"

// converter turns documents of the service into what the core keeps. It changes nothing but its notes.
type converter struct {
	conversation, params, message, call names
	roles                               map[string]llm.Role
	// database sets ids apart that are unique in their database only.
	database string
	now      time.Time
	note     func(kept bool, field string)
}

func newConverter(o *Options, note func(kept bool, field string)) *converter {
	c := &converter{
		conversation: ofConversation.names(o.Map), params: ofParams.names(o.Map), message: ofMessage.names(o.Map), call: ofCall.names(o.Map),
		roles: map[string]llm.Role{}, database: o.Database, now: o.Now(), note: note,
	}
	for name, role := range roles {
		c.roles[name] = role
	}
	for from, to := range o.Map {
		if role, known := roles[to]; known {
			c.roles[strings.ToLower(from)] = role
		}
	}
	return c
}

// id is the one that something with a document's _id gets, whenever it is imported; and the time in that _id, or zero.
func (c *converter) id(prefix string, source any, part string) (string, time.Time) {
	name, at := idOf(source)
	unique := name
	if at.IsZero() {
		unique = c.database + "/" + name
	}
	return chat.FixedID(prefix, at, prefix+unique+part), at
}

// convert makes a conversation of a document. An error says what in it cannot be understood.
func (c *converter) convert(doc bson.D) (chat.Conversation, []chat.Item, error) {
	d := c.conversation.document(doc)
	source, found := value(doc, "_id")
	if !found {
		return chat.Conversation{}, nil, fmt.Errorf("it has no _id")
	}
	var conv chat.Conversation
	var at time.Time
	conv.ID, at = c.id(chat.PrefixConversation, source, "")
	k := &keeper{note: c.note, where: "conversations."}
	k.keep(sourceID, cut(shown(source), chat.MaxMetadataValue), "")
	conv.Title, _ = take(d, "title", short(chat.MaxTitle))
	conv.User, _ = take(d, "user", short(chat.MaxUser))
	conv.Model, _ = take(d, "model", text)
	conv.Instructions, _ = take(d, "instructions", text)
	if tokens, found := take(d, "tokens", usage); found {
		conv.Usage = tokens
	}
	created, found := take(d, "created_at", when)
	switch {
	case found:
		conv.CreatedAt = created
	case !at.IsZero():
		conv.CreatedAt = at
	default:
		conv.CreatedAt = c.now
	}
	k.metadata(d)
	if params, found := take(d, "params", asDocument); found {
		c.setParams(&conv, params, k)
	}
	messages, _ := take(d, "messages", asArray)
	items, err := c.items(&conv, source, messages)
	if err != nil {
		return conv, nil, err
	}
	conv.UpdatedAt = conv.CreatedAt
	for i := range items {
		if items[i].CreatedAt.After(conv.UpdatedAt) {
			conv.UpdatedAt = items[i].CreatedAt
		}
	}
	if updated, found := take(d, "updated_at", when); found {
		conv.UpdatedAt = updated
	}
	k.rest(d, "")
	conv.Metadata = k.pairs
	return conv, items, nil
}

// setParams reads the settings of the calls. What a conversation cannot have is left for its metadata.
func (c *converter) setParams(conv *chat.Conversation, doc bson.D, k *keeper) {
	d := c.params.document(doc)
	if model, found := take(d, "model", text); found && conv.Model == "" {
		conv.Model = model
	}
	p := &conv.Params
	p.Temperature = pointer(take(d, "temperature", between(0, 2)))
	p.TopP = pointer(take(d, "top_p", between(0, 1)))
	p.PresencePenalty = pointer(take(d, "presence_penalty", between(-2, 2)))
	p.FrequencyPenalty = pointer(take(d, "frequency_penalty", between(-2, 2)))
	p.Seed = pointer(take(d, "seed", whole))
	p.MaxOutputTokens = pointer(take(d, "max_output_tokens", func(v any) (int64, bool) {
		n, ok := whole(v)
		return n, ok && n >= 1
	}))
	p.Stop, _ = take(d, "stop", stops)
	if format, found := take(d, "response_format", asDocument); found {
		p.ResponseFormat = appendJSON(nil, format)
	}
	k.rest(d, "params.")
}

func pointer[T any](v T, found bool) *T {
	if !found {
		return nil
	}
	return &v
}

func between(low, high float64) func(any) (float64, bool) {
	return func(v any) (float64, bool) {
		n, ok := number(v)
		return n, ok && low <= n && n <= high
	}
}

func short(chars int) func(any) (string, bool) {
	return func(v any) (string, bool) {
		s, ok := text(v)
		if id, isID := v.(bson.ObjectID); isID {
			s, ok = id.Hex(), true
		}
		return s, ok && len([]rune(s)) <= chars
	}
}

func cut(s string, chars int) string {
	if r := []rune(s); len(r) > chars {
		return string(r[:chars])
	}
	return s
}

func stops(v any) ([]string, bool) {
	if s, ok := text(v); ok {
		return []string{s}, s != ""
	}
	list, ok := asArray(v)
	if !ok || len(list) > chat.MaxStop {
		return nil, false
	}
	var all []string
	for _, e := range list {
		s, ok := text(e)
		if !ok || s == "" {
			return nil, false
		}
		all = append(all, s)
	}
	return all, true
}

// usage is a number of tokens in all, or a document as OpenAI reports it.
func usage(v any) (u llm.Usage, ok bool) {
	if n, ok := whole(v); ok && n >= 0 {
		return llm.Usage{TotalTokens: n}, true
	}
	doc, ok := asDocument(v)
	if !ok {
		return u, false
	}
	for _, e := range doc {
		n, isNumber := whole(e.Value)
		if !isNumber || n < 0 {
			continue
		}
		switch plain(e.Key) {
		case "prompt", "prompttokens", "input", "inputtokens":
			u.InputTokens = n
		case "completion", "completiontokens", "output", "outputtokens":
			u.OutputTokens = n
		case "total", "totaltokens":
			u.TotalTokens = n
		}
	}
	if u.TotalTokens == 0 {
		u.TotalTokens = u.InputTokens + u.OutputTokens
	}
	return u, u.TotalTokens > 0 || len(doc) == 0
}

// importedCall makes an entry of the service's audit log into one of the core's.
func (c *converter) importedCall(doc bson.D) (chat.ImportedCall, error) {
	d := c.call.document(doc)
	source, found := value(doc, "_id")
	if !found {
		return chat.ImportedCall{}, fmt.Errorf("it has no _id")
	}
	var call chat.ImportedCall
	var at time.Time
	call.ID, at = c.id(chat.PrefixAudit, source, "")
	call.Time, found = take(d, "created_at", when)
	if !found {
		if call.Time = at; at.IsZero() {
			call.Time = c.now
		}
	}
	if conversation, found := take(d, "conversation_id", anything); found {
		call.ConversationID, _ = c.id(chat.PrefixConversation, conversation, "")
	}
	call.Model, _ = take(d, "model", text)
	call.Prompt, _ = take(d, "prompt", said)
	call.Response, _ = take(d, "response", said)
	// The log has no place for anything else, and it might not be masked.
	d.rest(func(name string, _ any) { c.note(false, "audit_logs."+name) })
	return call, nil
}

// said is what a text, a message or an array of messages says; of anything else its JSON.
func said(v any) (string, bool) {
	switch v := v.(type) {
	case bson.A:
		lines := make([]string, len(v))
		for i, e := range v {
			lines[i], _ = said(e)
		}
		return strings.Join(lines, "\n"), true
	case bson.D:
		for _, name := range []string{"content", "text"} {
			if inner, found := value(v, name); found && inner != nil {
				return said(inner)
			}
		}
	}
	return shown(v), true
}

func value(doc bson.D, name string) (any, bool) {
	for _, e := range doc {
		if e.Key == name {
			return e.Value, true
		}
	}
	return nil, false
}

// quote is a text as the JSON that a message's content is.
func quote(s string) json.RawMessage { return appendString(nil, s) }
