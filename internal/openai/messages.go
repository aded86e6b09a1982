package openai

import (
	"bytes"
	"encoding/json"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/rawjson"
)

// messages writes items as chat messages. What the assistant says and the calls that go with it are one message in this
// protocol and several items in ours, so the assistant's message is held back until something else follows.
type messages struct {
	dst     []byte
	dialect dialect
	begun   bool

	// held: an assistant's message is waiting. said is its content, nil where it has only calls.
	held  bool
	said  json.RawMessage
	calls []json.RawMessage
}

func (m *messages) add(item *llm.Item) error {
	switch item.Type {
	case llm.TypeMessage:
		if item.Role == llm.Assistant {
			m.say(item.Content)
			return nil
		}
		m.flush()
		m.message(m.role(item.Role), item.Content)
	case llm.TypeFunctionCall:
		m.held = true
		m.calls = append(m.calls, item.Data)
	case llm.TypeFunctionCallOutput:
		m.flush()
		m.output(item.Data)
	case llm.TypeReasoning:
		// A model's reasoning is not sent back in this protocol.
	default:
		return fault.New(fault.Invalid, "unsupported_item", "The conversation holds an item of a type that cannot be sent to this model's provider.")
	}
	return nil
}

func (m *messages) role(r llm.Role) llm.Role {
	if r == llm.Developer && !m.dialect.developerRole {
		return llm.System
	}
	return r
}

// begin starts a message: the comma is its business.
func (m *messages) begin() {
	if m.begun {
		m.dst = append(m.dst, ',')
	}
	m.begun = true
}

func (m *messages) message(role llm.Role, content json.RawMessage) {
	m.begin()
	m.dst = append(m.dst, `{"role":`...)
	m.dst = rawjson.AppendString(m.dst, string(role))
	m.dst = append(m.dst, `,"content":`...)
	m.dst = appendContent(m.dst, content)
	m.dst = append(m.dst, '}')
}

func (m *messages) say(content json.RawMessage) {
	if m.said != nil {
		m.flush()
	}
	if len(content) == 0 {
		content = json.RawMessage(`""`)
	}
	m.held, m.said = true, content
}

// flush writes the assistant's message that has been held back.
func (m *messages) flush() {
	if !m.held {
		return
	}
	m.begin()
	m.dst = append(m.dst, `{"role":"assistant","content":`...)
	if m.said == nil {
		m.dst = append(m.dst, `null`...)
	} else {
		m.dst = appendContent(m.dst, m.said)
	}
	for i, call := range m.calls {
		if i == 0 {
			m.dst = append(m.dst, `,"tool_calls":[`...)
		} else {
			m.dst = append(m.dst, ',')
		}
		m.call(call)
	}
	if len(m.calls) > 0 {
		m.dst = append(m.dst, ']')
	}
	m.dst = append(m.dst, '}')
	m.held, m.said, m.calls = false, nil, m.calls[:0]
}

func (m *messages) call(data json.RawMessage) {
	m.dst = append(m.dst, `{"id":`...)
	m.dst = append(m.dst, rawjson.OrEmpty(rawjson.Member(data, "call_id"))...)
	m.dst = append(m.dst, `,"type":"function","function":{"name":`...)
	m.dst = append(m.dst, rawjson.OrEmpty(rawjson.Member(data, "name"))...)
	m.dst = append(m.dst, `,"arguments":`...)
	m.dst = appendArguments(m.dst, rawjson.Member(data, "arguments"))
	m.dst = append(m.dst, '}', '}')
}

// appendArguments appends a call's arguments, a JSON text in a string. Servers parse it, so nothing at all becomes an empty object.
func appendArguments(dst, arguments []byte) []byte {
	switch {
	case arguments == nil, string(arguments) == `""`:
		return append(dst, `"{}"`...)
	case arguments[0] == '"':
		return append(dst, arguments...)
	default:
		return rawjson.AppendString(dst, string(arguments))
	}
}

func (m *messages) output(data json.RawMessage) {
	m.begin()
	m.dst = append(m.dst, `{"role":"tool","tool_call_id":`...)
	m.dst = append(m.dst, rawjson.OrEmpty(rawjson.Member(data, "call_id"))...)
	m.dst = append(m.dst, `,"content":`...)
	output := rawjson.Member(data, "output")
	switch {
	case output == nil:
		m.dst = append(m.dst, `""`...)
	case output[0] == '"' || output[0] == '[':
		m.dst = appendContent(m.dst, output)
	default:
		// Another JSON value is not provided for here; its text is.
		m.dst = rawjson.AppendString(m.dst, string(output))
	}
	m.dst = append(m.dst, '}')
}

// appendContent appends a message's content. One text alone is sent as a string, since not every server takes parts.
func appendContent(dst []byte, content json.RawMessage) []byte {
	content = bytes.TrimSpace(content)
	if len(content) == 0 || content[0] != '[' {
		return append(dst, rawjson.OrEmpty(content)...)
	}
	if text := onlyText(content); text != nil {
		return append(dst, text...)
	}
	dst = append(dst, '[')
	first := true
	for part := range rawjson.Elements(content) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendPart(dst, part)
	}
	return append(dst, ']')
}

// onlyText is the text of a content that is one text part and says nothing besides, else nil.
func onlyText(content json.RawMessage) []byte {
	var text []byte
	n := 0
	for part := range rawjson.Elements(content) {
		if n++; n > 1 {
			return nil
		}
		for name, value := range rawjson.Members(part) {
			switch name {
			case "text":
				if value[0] != '"' {
					return nil
				}
				text = value
			case "type":
				if !isText(string(value)) {
					return nil
				}
			case "annotations", "logprobs":
			default:
				return nil
			}
		}
	}
	return text
}

func isText(kind string) bool {
	return kind == `"text"` || kind == `"input_text"` || kind == `"output_text"`
}

// appendPart turns a part of the Responses API into one of the chat protocol. Parts that are neither are passed as they came.
func appendPart(dst, part []byte) []byte {
	switch kind := string(rawjson.Member(part, "type")); {
	case isText(kind):
		return appendTyped(dst, `{"type":"text"`, part, "type", "annotations", "logprobs")
	case kind == `"input_image"`:
		dst = append(dst, `{"type":"image_url","image_url":{"url":`...)
		dst = append(dst, rawjson.OrEmpty(rawjson.Member(part, "image_url"))...)
		if detail := rawjson.Member(part, "detail"); detail != nil {
			dst = append(dst, `,"detail":`...)
			dst = append(dst, detail...)
		}
		return append(dst, '}', '}')
	case kind == `"input_file"`:
		dst = append(dst, `{"type":"file","file":`...)
		dst = rawjson.AppendWithout(dst, part, "type")
		return append(dst, '}')
	default:
		return append(dst, part...)
	}
}

// appendTyped appends an object that begins as given and goes on with the members of another, without some of them.
func appendTyped(dst []byte, begin string, object []byte, without ...string) []byte {
	dst = append(dst, begin...)
	at := len(dst)
	dst = rawjson.AppendWithout(dst, object, without...)
	if len(dst) == at+len("{}") {
		return append(dst[:at], '}')
	}
	dst[at] = ','
	return dst
}
