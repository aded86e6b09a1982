package openai

import (
	"crypto/rand"
	"errors"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/upstream"
)

// maxCalls bounds the tool calls of one answer.
const maxCalls = 1024

var (
	errTooManyCalls = errors.New("the answer has too many tool calls")
	errNamelessCall = errors.New("the answer has a tool call without a name")
)

// answer turns what a provider says, piece by piece or at once, into events.
type answer struct {
	*upstream.Exchange
	// heard is the piece that is being taken.
	heard completion

	model  string
	finish string
	usage  *llm.Usage

	calls []*callDraft
	// byIndex finds a call by the provider's index, which need not be ours.
	byIndex map[int]*callDraft
}

// callDraft is a tool call that is coming. It is announced once its name is known.
type callDraft struct {
	index     int
	id, name  string
	arguments string
	announced bool
}

// say takes a message or a piece of one.
func (a *answer) say(m *message) error {
	reasoning := m.ReasoningContent
	if reasoning == "" {
		reasoning = m.Reasoning
	}
	if reasoning != "" {
		a.Emit(llm.ReasoningDelta{Text: string(reasoning)})
	}
	a.Text(string(m.Content))
	if m.Refusal != "" {
		a.Emit(llm.RefusalDelta{Text: string(m.Refusal)})
	}
	for i := range m.ToolCalls {
		if err := a.call(&m.ToolCalls[i]); err != nil {
			return err
		}
	}
	return nil
}

// call takes a tool call or a piece of one.
func (a *answer) call(piece *toolCall) error {
	d := a.draft(piece)
	if d == nil {
		if len(a.calls) == maxCalls {
			return errTooManyCalls
		}
		d = &callDraft{index: len(a.calls)}
		a.calls = append(a.calls, d)
	}
	if piece.Index != nil {
		if a.byIndex == nil {
			a.byIndex = map[int]*callDraft{}
		}
		a.byIndex[*piece.Index] = d
	}
	if d.id == "" {
		d.id = piece.ID
	}
	if d.name == "" {
		d.name = piece.Function.Name
	}
	d.arguments += string(piece.Function.Arguments)
	a.announce(d)
	return nil
}

// draft finds the call that a piece belongs to, nil where it begins a new one. Some servers give every call of an answer
// the same index, or none; a further call is then known by its own id and name.
func (a *answer) draft(piece *toolCall) *callDraft {
	var d *callDraft
	switch {
	case piece.Index != nil:
		d = a.byIndex[*piece.Index]
	case len(a.calls) > 0:
		d = a.calls[len(a.calls)-1]
	}
	if d == nil || d.name == "" || piece.Function.Name == "" {
		return d
	}
	if piece.ID != "" && piece.ID != d.id || piece.ID == "" && piece.Index == nil {
		return nil
	}
	return d
}

// announce tells of a call, once its name is known, and of the arguments that have come since.
func (a *answer) announce(d *callDraft) {
	if d.name == "" {
		return
	}
	if !d.announced {
		d.announced = true
		if d.id == "" {
			// An output refers to its call by the id, so that there must be one.
			d.id = "call_" + rand.Text()
		}
		a.Emit(llm.ToolCallStarted{Index: d.index, CallID: d.id, Name: d.name})
	}
	if d.arguments != "" {
		a.Emit(llm.ToolCallDelta{Index: d.index, Arguments: d.arguments})
		d.arguments = ""
	}
}

// named reports that every call could be announced.
func (a *answer) named() error {
	for _, d := range a.calls {
		if !d.announced {
			return errNamelessCall
		}
	}
	return nil
}
