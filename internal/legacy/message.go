package legacy

import (
	"fmt"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// items makes the items of a conversation of its messages: one of each, but for a message that also calls functions.
func (c *converter) items(conv *chat.Conversation, source any, messages bson.A) ([]chat.Item, error) {
	m := &itemMaker{converter: c, conv: conv, source: source, calls: map[string]string{}}
	for i, e := range messages {
		doc, ok := asDocument(e)
		if !ok {
			return nil, fmt.Errorf("message %d is no document", i+1)
		}
		m.index, m.parts = i, 0
		if err := m.message(doc); err != nil {
			return nil, fmt.Errorf("message %d: %w", i+1, err)
		}
	}
	return m.made, nil
}

type itemMaker struct {
	*converter
	conv   *chat.Conversation
	source any
	made   []chat.Item
	// index is the message's place; parts counts the items made of it.
	index, parts int
	// calls are those that wait for their output: the id by the name of the function.
	calls map[string]string
}

func (m *itemMaker) message(doc bson.D) error {
	d := m.converter.message.document(doc)
	roleName, found := take(d, "role", text)
	if !found {
		return fmt.Errorf("it has no role; if the field is called otherwise, name it by --map FIELD=role")
	}
	role, known := m.roles[strings.ToLower(roleName)]
	if !known {
		// A role is the word of a program, no text of a user; still it is not repeated at any length.
		return fmt.Errorf("the role %.32q is not known; say what it means by --map %.32s=assistant, or user, system, tool", roleName, roleName)
	}
	it := chat.Item{Model: first(take(d, "model", text)), CreatedAt: m.conv.CreatedAt}
	if created, found := take(d, "created_at", when); found {
		it.CreatedAt = created
	}
	content := first(take(d, "content", anything))
	var calls []chat.Item
	if role == llm.Assistant {
		calls = m.functionCalls(d)
	}
	switch {
	case role == llm.Tool:
		it.Item = m.output(d, content)
	default:
		it.Item = llm.Item{Type: llm.TypeMessage, Role: role, Content: contentOf(content)}
	}
	k := &keeper{note: m.note, where: "messages."}
	k.metadata(d)
	k.rest(d, "")
	it.Metadata = k.pairs
	if len(calls) == 0 || content != nil && string(it.Content) != `""` {
		m.add(it)
	}
	for _, call := range calls {
		call.CreatedAt, call.Model = it.CreatedAt, it.Model
		m.add(call)
	}
	return nil
}

// add gives an item its id.
func (m *itemMaker) add(it chat.Item) {
	prefix := chat.PrefixMessage
	if it.Type != llm.TypeMessage {
		prefix = chat.PrefixFunctionCall
	}
	part := "/" + strconv.Itoa(m.index) + "/" + strconv.Itoa(m.parts)
	it.ID, _ = m.id(prefix, m.source, part)
	m.parts++
	m.made = append(m.made, it)
}

// functionCalls are the calls that a message of the assistant makes, in the old spelling and the new one.
func (m *itemMaker) functionCalls(d *document) []chat.Item {
	var items []chat.Item
	add := func(id string, function bson.D) bool {
		name, _ := value(function, "name")
		arguments, _ := value(function, "arguments")
		called, ok := text(name)
		if !ok || called == "" {
			return false
		}
		given := shown(arguments)
		if arguments == nil {
			given = "{}"
		}
		m.calls[called], m.calls[id] = id, id
		data := bson.D{
			{Key: "type", Value: llm.TypeFunctionCall},
			{Key: "call_id", Value: id},
			{Key: "name", Value: called},
			{Key: "arguments", Value: given},
		}
		items = append(items, chat.Item{Item: llm.Item{Type: llm.TypeFunctionCall, Data: appendJSON(nil, data)}})
		return true
	}
	take(d, "function_call", func(v any) (bool, bool) {
		function, ok := asDocument(v)
		return ok, ok && add(m.callID(0), function)
	})
	take(d, "tool_calls", func(v any) (bool, bool) {
		list, ok := asArray(v)
		for i, e := range list {
			call, isCall := asDocument(e)
			function, _ := value(call, "function")
			doc, isFunction := asDocument(function)
			id, hasID := text(first(value(call, "id")))
			if !hasID || id == "" {
				id = m.callID(i + 1)
			}
			ok = isCall && isFunction && add(id, doc) && ok
		}
		return ok, ok
	})
	return items
}

// callID is the id of a call that was given none.
func (m *itemMaker) callID(n int) string {
	return fmt.Sprintf("call_%d_%d", m.index+1, n)
}

// output is what a function has returned: that of a call that waits, else a message by a tool, which is kept and sent to no model.
func (m *itemMaker) output(d *document, content any) llm.Item {
	call := ""
	for _, name := range []string{"tool_call_id", "name"} {
		take(d, name, func(v any) (string, bool) {
			id, _ := text(v)
			waiting, waits := m.calls[id]
			if waits {
				call = waiting
			}
			return "", waits
		})
	}
	if call == "" {
		return llm.Item{Type: llm.TypeMessage, Role: llm.Tool, Content: contentOf(content)}
	}
	for name, waiting := range m.calls {
		if waiting == call {
			delete(m.calls, name)
		}
	}
	said := ""
	if content != nil {
		said = shown(content)
	}
	data := bson.D{{Key: "type", Value: llm.TypeFunctionCallOutput}, {Key: "call_id", Value: call}, {Key: "output", Value: said}}
	return llm.Item{Type: llm.TypeFunctionCallOutput, Data: appendJSON(nil, data)}
}

// contentOf is a message's content: a text, or parts as they came.
func contentOf(v any) []byte {
	if v == nil {
		return quote("")
	}
	if parts, ok := asArray(v); ok && len(parts) > 0 && allDocuments(parts) {
		return appendJSON(nil, parts)
	}
	return quote(shown(v))
}

func allDocuments(parts bson.A) bool {
	for _, e := range parts {
		doc, ok := asDocument(e)
		if _, typed := value(doc, "type"); !ok || !typed {
			return false
		}
	}
	return true
}

func first[T any](v T, _ bool) T { return v }
