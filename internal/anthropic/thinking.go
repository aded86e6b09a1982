package anthropic

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash"
	"strings"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/rawjson"
)

// A model that calls a tool goes on from its thinking when the tool's output comes, so its thinking blocks go back to it, unchanged
// and with their signatures, until the user speaks again. What is kept for that is one opaque text, an item's encrypted_content:
//
//	KIND.ORIGIN.SIGNATURE
//
// KIND is the block's type, and ORIGIN a digest of what the block was an answer to: host, model, system prompt, tools, messages, and the
// blocks of thinking ahead of it in the same answer. A block is sent only behind just that. So no other model or provider gets it; and newer
// models refuse the whole request when something ahead of a block has changed, as it does when a message is edited, the window moves on, or
// other tools are offered.
//
// https://platform.claude.com/docs/en/build-with-claude/thinking
// https://platform.claude.com/docs/en/build-with-claude/preserved-thinking
const (
	kindThinking = "thinking"
	kindRedacted = "redacted_thinking"
)

// kept is a thinking block as it is kept. Its text is elsewhere; signature is a redacted block's data.
type kept struct{ kind, origin, signature string }

func (k *kept) seal() string { return k.kind + "." + k.origin + "." + k.signature }

// next is the origin of the block that comes next in the same answer.
func (k *kept) next() string {
	sum := sha256.Sum256([]byte(k.seal()))
	return hex.EncodeToString(sum[:])
}

// unseal reads what seal wrote, as a JSON string. Other encrypted content, another provider's perhaps, is none.
func unseal(raw []byte) (k kept, ok bool) {
	var sealed string
	if json.Unmarshal(raw, &sealed) != nil {
		return kept{}, false
	}
	parts := strings.SplitN(sealed, ".", 3)
	if len(parts) != 3 || parts[0] != kindThinking && parts[0] != kindRedacted {
		return kept{}, false
	}
	return kept{parts[0], parts[1], parts[2]}, true
}

// append writes the block; data is the reasoning step with its text.
func (k *kept) append(dst, data []byte) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(append(dst, k.kind...), '"')
	if k.kind == kindRedacted {
		return append(rawjson.AppendString(rawjson.AppendName(dst, "data"), k.signature), '}')
	}
	var text []byte
	for part := range rawjson.Elements(rawjson.Member(data, "content")) {
		text = rawjson.Member(part, "text")
		break
	}
	dst = append(rawjson.AppendName(dst, "thinking"), rawjson.OrEmpty(text)...)
	return append(rawjson.AppendString(rawjson.AppendName(dst, "signature"), k.signature), '}')
}

// origin makes the digest of what stands ahead of an answer. Messages may be added bit by bit.
type origin struct{ hash hash.Hash }

// newOrigin begins with all but the messages; system and tools are the elements of those lists.
func newOrigin(host string, model, system, tools []byte) *origin {
	o := &origin{sha256.New()}
	for _, part := range [][]byte{[]byte(host), model, system, tools} {
		_, _ = o.hash.Write(binary.AppendUvarint(nil, uint64(len(part)))) // a hash never fails
		_, _ = o.hash.Write(part)
	}
	return o
}

func (o *origin) add(messages []byte) { _, _ = o.hash.Write(messages) }

// sum is the digest of what has been added so far.
func (o *origin) sum() string { return hex.EncodeToString(o.hash.Sum(nil)) }

// originOf is the digest of the request that Encode wrote.
func originOf(host string, body []byte) string {
	var model, system, tools, messages []byte
	for name, value := range rawjson.Members(body) {
		switch name {
		case "model":
			model = value
		case "system":
			system = elements(value)
		case "tools":
			tools = elements(value)
		case "messages":
			messages = elements(value)
		}
	}
	o := newOrigin(host, model, system, tools)
	o.add(messages)
	return o.sum()
}

// elements is what stands between the brackets of a list.
func elements(list []byte) []byte {
	if len(list) < len("[]") {
		return nil
	}
	return list[1 : len(list)-1]
}

// loop is where the items begin that belong to the turn in which the model is: those behind the last turn of the user that brings
// no tool's output.
func loop(items []llm.Item) int {
	begin, before := 0, 0
	said, brought := false, false // in the user's turn: that it is open, and that it has an output
	for i := range items {
		item := &items[i]
		output := item.Type == llm.TypeFunctionCallOutput
		switch {
		case output, item.Type == llm.TypeMessage && item.Role == llm.User:
			if !said {
				said, brought, before = true, false, begin
			}
			if brought = brought || output; brought {
				begin = before
			} else {
				begin = i + 1
			}
		case item.Type == llm.TypeFunctionCall, item.Type == llm.TypeMessage && item.Role == llm.Assistant:
			said = false
		}
	}
	return begin
}
