package anthropic

import (
	"crypto/rand"
	"encoding/json"
	"errors"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/rawjson"
	"github.com/parley-llm/parley/internal/sse"
	"github.com/parley-llm/parley/internal/upstream"
)

// maxCalls bounds the tool calls of one answer.
const maxCalls = 1024

var (
	errTooManyCalls = errors.New("the answer has too many tool calls")
	errNamelessCall = errors.New("the answer has a tool call without a name")
	errStrayInput   = errors.New("the answer has input for a tool call that has not begun")
)

// answer is the upstream.Reader of one message.
type answer struct {
	*upstream.Exchange

	// origin is that of the block of thinking that comes next.
	origin   string
	model    string
	stop     string
	usage    *usage
	complete bool

	// calls are the open tool calls by the index of their block, nil for those of a server tool, which are not ours to
	// tell of; begun counts all of ours.
	calls map[int]*call
	begun int

	// thinking is the open block of thinking, nil where there is none.
	thinking *thinking
}

// thinking is a block of thinking that is coming, by its index; its text is told as it comes.
type thinking struct {
	index           int
	kind, signature string
}

// call is a tool call that is coming.
type call struct {
	index int
	// input is what its start says, which counts where no pieces follow; fed says that they do.
	input json.RawMessage
	fed   bool
}

// Whole takes an answer that came in one piece.
func (a *answer) Whole(body []byte) *llm.Error {
	var m message
	err := json.Unmarshal(body, &m)
	if !rawjson.Empty(m.Error) || m.Type == "error" {
		return a.Reported(body)
	}
	switch {
	case err != nil:
		return a.Unusable("the answer is not JSON of the expected shape", body)
	case m.StopReason == "":
		return a.Unusable("the answer has no stop reason", body)
	}
	a.model, a.stop, a.usage = m.Model, m.StopReason, m.Usage
	for i := range m.Content {
		if err := a.start(i, &m.Content[i]); err != nil {
			return a.Unusable(err.Error(), body)
		}
		a.end(i)
	}
	a.complete = true
	return nil
}

// Event takes one event of a stream. Types that are not known are passed over, as the protocol asks of its clients.
func (a *answer) Event(ev sse.Event) (done bool, failure *llm.Error) {
	var e event
	err := json.Unmarshal(ev.Data, &e)
	if e.Type == "error" || string(ev.Type) == "error" || !rawjson.Empty(e.Error) {
		return true, a.Reported(ev.Data)
	}
	if err != nil {
		return true, a.Unusable("an event is not JSON of the expected shape", ev.Data)
	}
	switch e.Type {
	case "message_start":
		if e.Message != nil {
			a.model, a.usage = e.Message.Model, e.Message.Usage
		}
	case "content_block_start":
		err = a.start(e.Index, &e.ContentBlock)
	case "content_block_delta":
		err = a.piece(e.Index, &e.Delta)
	case "content_block_stop":
		a.end(e.Index)
	case "message_delta":
		if e.Delta.StopReason != "" {
			a.stop = e.Delta.StopReason
		}
		a.usage = a.usage.with(e.Usage)
	case "message_stop":
		return a.stopped(ev.Data)
	}
	if err != nil {
		return true, a.Unusable(err.Error(), ev.Data)
	}
	return false, nil
}

// stopped takes the end marker, which is none without a stop reason before it.
func (a *answer) stopped(data []byte) (done bool, failure *llm.Error) {
	if a.stop == "" {
		return true, a.Unusable("the answer has no stop reason", data)
	}
	a.thought()
	for index := range a.calls {
		a.end(index)
	}
	a.complete = true
	return true, nil
}

// Complete reports whether the end marker has come.
func (a *answer) Complete() bool { return a.complete }

// Finished is the end of the answer.
func (a *answer) Finished() llm.Finished {
	return upstream.Finished(finishReason(a.stop), a.model, a.usage.tokens())
}

// start takes the beginning of a block, or all of it.
func (a *answer) start(index int, b *block) error {
	a.thought()
	switch b.Type {
	case "text":
		a.Text(b.Text)
	case kindThinking:
		a.thinking = &thinking{index, kindThinking, b.Signature}
		a.Reasoning(b.Thinking)
	case kindRedacted:
		a.thinking = &thinking{index: index, kind: kindRedacted}
		_ = json.Unmarshal(b.Data, &a.thinking.signature) // without data it cannot be sent back
	default:
		return a.call(index, b)
	}
	return nil
}

// thought takes the end of a block of thinking, if one is open. One without a signature cannot be sent back.
func (a *answer) thought() {
	if t := a.thinking; t != nil && t.signature != "" {
		k := kept{t.kind, a.origin, t.signature}
		a.Emit(llm.ReasoningEncrypted{Content: k.seal()})
		a.origin = k.next()
	}
	a.thinking = nil
}

func (a *answer) call(index int, b *block) error {
	if a.begun == maxCalls || len(a.calls) == maxCalls {
		return errTooManyCalls
	}
	if a.calls == nil {
		a.calls = map[int]*call{}
	}
	if b.Type != "tool_use" {
		a.calls[index] = nil
		return nil
	}
	if b.Name == "" {
		return errNamelessCall
	}
	a.calls[index] = &call{index: a.begun, input: b.Input}
	if b.ID == "" {
		// An output refers to its call by the id, so that there must be one.
		b.ID = "toolu_" + rand.Text()
	}
	a.Emit(llm.ToolCallStarted{Index: a.begun, CallID: b.ID, Name: b.Name})
	a.begun++
	return nil
}

// piece takes a piece of a block. Citations are not kept.
func (a *answer) piece(index int, d *delta) error {
	switch d.Type {
	case "text_delta":
		a.Text(d.Text)
	case "thinking_delta":
		a.Reasoning(d.Thinking)
	case "signature_delta":
		if t := a.thinking; t != nil && t.index == index {
			t.signature = d.Signature
		}
	case "input_json_delta":
		c, open := a.calls[index]
		switch {
		case !open:
			return errStrayInput
		case c != nil && d.PartialJSON != "":
			c.fed = true
			a.Emit(llm.ToolCallDelta{Index: c.index, Arguments: d.PartialJSON})
		}
	}
	return nil
}

// end takes the end of a block. A call whose input came with its start, or that has none, has its arguments told here.
func (a *answer) end(index int) {
	if t := a.thinking; t != nil && t.index == index {
		a.thought()
	}
	c := a.calls[index]
	delete(a.calls, index)
	if c == nil || c.fed {
		return
	}
	arguments := "{}"
	if !rawjson.Empty(c.input) {
		arguments = string(c.input)
	}
	a.Emit(llm.ToolCallDelta{Index: c.index, Arguments: arguments})
}
