package chat

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// toolItems makes items of words: "call:a" and "output:a" are a call and its output, others messages by that role. A word
// behind a slash names the response that wrote the item.
func toolItems(words string) []Item {
	var items []Item
	for _, word := range strings.Fields(words) {
		var it Item
		word, it.ResponseID, it.Output = strings.Cut(word, "/")
		kind, id, isTool := strings.Cut(word, ":")
		switch {
		case !isTool:
			it.Item = llm.Item{Type: llm.TypeMessage, Role: llm.Role(word), Content: json.RawMessage(`"x"`)}
		case kind == "call":
			it.Item = llm.Item{Type: llm.TypeFunctionCall, Data: json.RawMessage(`{"call_id":"` + id + `"}`)}
		default:
			it.Item = llm.Item{Type: llm.TypeFunctionCallOutput, Data: json.RawMessage(`{"call_id":"` + id + `"}`)}
		}
		it.ID = word
		items = append(items, it)
	}
	return items
}

func TestToolCallsAndTheirOutputsGoTogether(t *testing.T) {
	for _, test := range []struct {
		name, history, input string
		sent, code           string
	}{
		{"no tools", "user assistant/1", "user", "user assistant", ""},
		{"a call that the prompt answers", "user call:a/1", "output:a", "user call:a", ""},
		{"calls that the prompt answers in any order", "user call:a/1 call:b/1", "output:b output:a user", "user call:a call:b", ""},
		{"a call of the prompt itself", "", "user call:a output:a", "", ""},
		{"an answered call", "user call:a/1 output:a assistant/2", "user", "user call:a output:a assistant", ""},
		{"the same call id twice, each answered", "call:a/1 output:a call:a/2 output:a", "user", "call:a output:a call:a output:a", ""},

		{"a call without its output", "user call:a/1", "user", "", CodeToolOutputMissing},
		{"one of two", "user call:a/1 call:b/1", "output:b", "", CodeToolOutputMissing},
		{"a call with a message by the user behind it", "user call:a/1 user", "user", "", CodeToolOutputMissing},
		{"a call with a message of its own response behind it", "user call:a/1 assistant/1", "user", "", CodeToolOutputMissing},
		{"a call of the prompt without its output", "call:a/1 output:a", "call:c", "", CodeToolOutputMissing},
		{"an output for a call that never was", "user assistant/1", "output:x", "", CodeToolCallMissing},
		{"an output ahead of its call", "", "output:a call:a", "", CodeToolCallMissing},
		{"a second output", "call:a/1 output:a", "output:a", "", CodeToolCallMissing},
		{"a message by a tool that names no call", "user call:a/1", "tool", "", CodeToolCallMissing},

		{"a call that was deleted", "user output:a assistant/2", "user", "user assistant", ""},
		{"an output that was deleted, and the model had answered", "user call:a/1 assistant/2", "user", "user assistant", ""},
		{"an output that was deleted, and the model had called again", "user call:a/1 call:b/2 output:b", "user", "user call:b output:b", ""},
		{"stored by hand, and an output deleted", "user call:a assistant", "user", "user assistant", ""},
		{"stored by hand, side by side", "user call:a call:b output:a output:b", "user", "user call:a call:b output:a output:b", ""},
		{"a stored message by a tool that names no call", "user tool assistant/1", "user", "user assistant", ""},
		{"an output again", "call:a/1 output:a output:a", "user", "call:a output:a", ""},
		{"a deleted output is no call that waits", "user call:a/1 assistant/2", "output:a", "", CodeToolCallMissing},
	} {
		t.Run(test.name, func(t *testing.T) {
			history := toolItems(test.history)
			sent, err := matchTools(history, toolItems(test.input))
			if test.code != "" {
				if f := fault.Of(err); err == nil || f.Kind != fault.Invalid || f.Code != test.code {
					t.Errorf("got %v, want %s", err, test.code)
				}
				return
			}
			var ids []string
			for i := range sent {
				ids = append(ids, sent[i].ID)
			}
			if got := strings.Join(ids, " "); err != nil || got != test.sent {
				t.Errorf("%q goes to the model, %v; want %q", got, err, test.sent)
			}
		})
	}
}
