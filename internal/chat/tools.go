package chat

import (
	"encoding/json"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// Codes of prompts whose tool calls and outputs do not go together.
const (
	CodeToolOutputMissing = "tool_output_missing"
	CodeToolCallMissing   = "tool_call_missing"
)

// matchTools sees to it that a model is sent each tool call with its output and no output without its call. What the
// prompt itself does wrongly is refused. What an edit of the history left alone is left out of what is returned, because it
// would have the provider refuse every prompt from then on: an output whose call is gone, a message by a tool that names
// no call, and a call whose output is gone, which is one behind which the model has gone on. A call behind which it has
// not is one that still waits, and a prompt without its output is refused.
func matchTools(history, input []Item) ([]Item, error) {
	if !hasTools(history) && !hasTools(input) {
		return history, nil
	}
	m := toolMatch{open: map[string]int{}, lone: map[int]bool{}}
	for i := range history {
		m.stored(history, i)
	}
	for i := range input {
		if !m.sent(&input[i]) {
			return nil, fault.New(fault.Invalid, CodeToolCallMissing, "The prompt holds a tool's output for which no call is waiting. Send it as a function_call_output with the call_id of a call that has none yet.")
		}
	}
	if len(m.open) > 0 {
		return nil, fault.New(fault.Invalid, CodeToolOutputMissing, "A tool call in the conversation has no output yet. Send its function_call_output with the prompt.")
	}
	if len(m.lone) == 0 {
		return history, nil
	}
	kept := make([]Item, 0, len(history)-len(m.lone))
	for i := range history {
		if !m.lone[i] {
			kept = append(kept, history[i])
		}
	}
	return kept, nil
}

func hasTools(items []Item) bool {
	for i := range items {
		switch it := &items[i]; it.Type {
		case llm.TypeFunctionCall, llm.TypeFunctionCallOutput:
			return true
		case llm.TypeMessage:
			if it.Role == llm.Tool {
				return true
			}
		}
	}
	return false
}

// toolMatch pairs calls and outputs in the order in which they come.
type toolMatch struct {
	// open are the calls that wait for their output, by id: the place in the history, or -1 where the prompt brings them.
	open map[string]int
	// lone are the places in the history that go to no model.
	lone map[int]bool
}

// stored takes the next item of the history.
func (m *toolMatch) stored(history []Item, i int) {
	it := &history[i]
	switch {
	case it.Type == llm.TypeFunctionCall:
		m.goOn(history, it)
		id := CallID(it.Data)
		if _, twice := m.open[id]; twice {
			m.lone[i] = true
			return
		}
		m.open[id] = i
	case it.Type == llm.TypeFunctionCallOutput:
		if id := CallID(it.Data); !m.answer(id) {
			m.lone[i] = true
		}
	case it.Type == llm.TypeMessage && it.Role == llm.Tool:
		m.lone[i] = true
	case it.Output || it.Role == llm.Assistant:
		m.goOn(history, it)
	}
}

// goOn gives up the calls that wait when the model writes something in another turn: their outputs were there and are gone.
func (m *toolMatch) goOn(history []Item, it *Item) {
	for id, at := range m.open {
		if call := &history[at]; call.ResponseID != it.ResponseID || it.Type == llm.TypeMessage && it.ResponseID == "" {
			m.lone[at] = true
			delete(m.open, id)
		}
	}
}

// sent takes the next item of the prompt and reports whether it may stand there.
func (m *toolMatch) sent(it *Item) bool {
	switch {
	case it.Type == llm.TypeFunctionCall:
		m.open[CallID(it.Data)] = -1
	case it.Type == llm.TypeFunctionCallOutput:
		return m.answer(CallID(it.Data))
	case it.Type == llm.TypeMessage && it.Role == llm.Tool:
		return false
	}
	return true
}

// answer closes a call that waits, and reports whether there was one.
func (m *toolMatch) answer(id string) bool {
	_, waits := m.open[id]
	delete(m.open, id)
	return waits
}

// CallID is the id by which a function call and its output know each other, given the Data of either.
func CallID(data json.RawMessage) string {
	var call struct {
		CallID string `json:"call_id"`
	}
	// Data is an object that was validated when it came in; one without the field counts as the call "".
	_ = json.Unmarshal(data, &call)
	return call.CallID
}
