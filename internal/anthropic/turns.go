package anthropic

import (
	"bytes"
	"encoding/json"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/rawjson"
)

// turns writes items as messages. In this protocol user and assistant take turns: what one of them says in a row, with
// the calls or the outputs of tools, is one message, so that a turn is held back until the other begins.
type turns struct {
	// dst are the finished messages, system the blocks of the system prompt.
	dst, system []byte

	// role is whose turn is open, blocks what it holds. results are the outputs of tools, which must stand first.
	role            llm.Role
	blocks, results []byte
	// spoken is how many bytes of the blocks count: thinking that nothing follows is no message.
	spoken int

	// origin is of the request's beginning and those of the messages that are in the digest, of which there are added bytes.
	origin *origin
	added  int
	// expected is the origin of the next block of thinking in the open turn, empty ahead of the first.
	expected string
}

// instruct adds a text to the system prompt.
func (t *turns) instruct(text string) error {
	var err error
	t.system, err = appendContent(t.system, rawjson.AppendString(nil, text), systemPart)
	return err
}

func (t *turns) add(item *llm.Item) (err error) {
	switch item.Type {
	case llm.TypeMessage:
		return t.message(item.Role, item.Content)
	case llm.TypeFunctionCall:
		t.open(llm.Assistant)
		t.blocks = appendCall(comma(t.blocks), item.Data)
		t.spoken = len(t.blocks)
	case llm.TypeFunctionCallOutput:
		t.open(llm.User)
		t.results, err = appendOutput(comma(t.results), item.Data)
	case llm.TypeReasoning:
		// It is not needed but where think sends it.
	default:
		err = unsupported()
	}
	return err
}

func (t *turns) message(role llm.Role, content json.RawMessage) (err error) {
	switch role {
	case llm.System, llm.Developer:
		t.system, err = appendContent(t.system, content, systemPart)
	case llm.User, llm.Assistant:
		t.open(role)
		before := len(t.blocks)
		if t.blocks, err = appendContent(t.blocks, content, appendPart); len(t.blocks) > before {
			t.spoken = len(t.blocks)
		}
	case llm.Tool:
		// A tool's message does not say which call it answers.
		err = unsupported()
	default:
		err = unsupported()
	}
	return err
}

// think adds a step of reasoning as the block that it came as, if what stands ahead of it is just what the block was an answer to.
func (t *turns) think(data []byte) {
	k, ok := unseal(rawjson.Member(data, "encrypted_content"))
	if !ok {
		return
	}
	t.open(llm.Assistant)
	if t.expected == "" {
		t.origin.add(t.dst[t.added:])
		t.added = len(t.dst)
		t.expected = t.origin.sum()
	}
	if t.expected == k.origin {
		t.blocks = k.append(comma(t.blocks), data)
		t.expected = k.next()
	}
}

func (t *turns) open(role llm.Role) {
	if t.role != role {
		t.flush()
		t.role = role
	}
}

// flush writes the open turn, unless it says nothing: the protocol has no empty messages.
func (t *turns) flush() {
	t.blocks = t.blocks[:t.spoken]
	if len(t.results) > 0 && len(t.blocks) > 0 {
		t.results = append(t.results, ',')
	}
	if content := append(t.results, t.blocks...); len(content) > 0 {
		t.dst = append(comma(t.dst), `{"role":"`...)
		t.dst = append(t.dst, t.role...)
		t.dst = appendList(append(t.dst, `","content":`...), content)
		t.dst = append(t.dst, '}')
	}
	t.blocks, t.results, t.spoken, t.expected = t.blocks[:0], t.results[:0], 0, ""
}

// comma separates what comes from what is there.
func comma(list []byte) []byte {
	if len(list) > 0 {
		list = append(list, ',')
	}
	return list
}

func appendCall(dst, data []byte) []byte {
	dst = append(dst, `{"type":"tool_use","id":`...)
	dst = appendID(dst, rawjson.Member(data, "call_id"))
	dst = append(dst, `,"name":`...)
	dst = append(dst, rawjson.OrEmpty(rawjson.Member(data, "name"))...)
	dst = append(dst, `,"input":`...)
	dst = appendInput(dst, rawjson.Member(data, "arguments"))
	return append(dst, '}')
}

// appendID appends a call's id in the letters that this protocol takes: calls may have been made by another provider.
func appendID(dst, id []byte) []byte {
	dst = append(dst, '"')
	for _, c := range bytes.Trim(id, `"`) {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			c = '_'
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// appendInput appends a call's arguments, a JSON text in a string, as the object that they are here. A model may have
// written something else; that is then shown to it under a name.
func appendInput(dst, arguments []byte) []byte {
	text := arguments
	var s string
	if json.Unmarshal(arguments, &s) == nil {
		text = bytes.TrimSpace([]byte(s))
	}
	switch {
	case len(text) == 0:
		return append(dst, '{', '}')
	case text[0] == '{' && json.Valid(text):
		return append(dst, text...)
	}
	dst = append(dst, `{"arguments":`...)
	return append(append(dst, arguments...), '}')
}

func appendOutput(dst, data []byte) ([]byte, error) {
	dst = append(dst, `{"type":"tool_result","tool_use_id":`...)
	dst = appendID(dst, rawjson.Member(data, "call_id"))
	output := rawjson.Member(data, "output")
	if len(output) > 0 && output[0] != '"' && output[0] != '[' {
		// Another JSON value is not provided for here; its text is.
		output = rawjson.AppendString(nil, string(output))
	}
	content, err := appendContent(nil, output, appendPart)
	if err != nil {
		return nil, err
	}
	if len(content) > 0 {
		dst = appendList(rawjson.AppendName(dst, "content"), content)
	}
	return append(dst, '}'), nil
}

func unsupported() *fault.Error {
	return fault.New(fault.Invalid, "unsupported_item", "The conversation holds something of a type that cannot be sent to this model's provider.")
}
