package chat

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/parley-llm/parley/internal/llm"
)

// An event log holds the steps that a response's events are made from, not the events: what a step does not say follows
// from those ahead of it. A step is a byte that says what it is and its fields: strings with their length ahead of them,
// numbers as varints. A store keeps them in batches and knows nothing of all this.
//
// The numbers that events have follow from the steps, so a change to what reply makes of them needs a new stepBegun.
const (
	stepBegun     = 'b' // model, provider, host, the model it fell back from, the items left out, the place of the output, 1 where it runs in the background
	stepMessage   = 'm' // id, time: an output item begins
	stepReasoning = 'r' // id, time
	stepCall      = 'c' // id, time, call id, name
	stepText      = 't' // text, of the message that is being written
	stepRefusal   = 'f' // text
	stepThought   = 'k' // text, of the reasoning step
	stepEncrypted = 'e' // encrypted content, of the reasoning step, which closes with it
	stepArguments = 'a' // output index, text
)

var errSteps = errors.New("an event log is damaged")

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// appendBegun writes the step that every log begins with: what the first events say of the response, which another model that
// takes over changes.
func appendBegun(dst []byte, r *Response, outputSeq int64) []byte {
	dst = append(dst, stepBegun)
	dst = appendString(dst, r.Model)
	dst = appendString(dst, r.Provider)
	dst = appendString(dst, r.Host)
	dst = appendString(dst, r.FallbackFrom)
	dst = binary.AppendUvarint(dst, uint64(r.Truncated)) //nolint:gosec // a count
	dst = binary.AppendUvarint(dst, uint64(outputSeq))   //nolint:gosec // a place
	background := uint64(0)
	if r.Status == Queued {
		background = 1
	}
	return binary.AppendUvarint(dst, background)
}

// appendStep writes the step that an event is, or nothing where it follows from those ahead of it.
func appendStep(dst []byte, ev Event) []byte {
	switch ev := ev.(type) {
	case *TextEvent:
		if ev.Done {
			return dst
		}
		kind := byte(stepText)
		if ev.Kind == PartRefusal {
			kind = stepRefusal
		}
		return appendString(append(dst, kind), ev.Text)
	case *ReasoningEvent:
		if ev.Done {
			return dst
		}
		return appendString(append(dst, stepThought), ev.Text)
	case *ArgumentsEvent:
		if ev.Done {
			return dst
		}
		dst = binary.AppendUvarint(append(dst, stepArguments), uint64(ev.OutputIndex)) //nolint:gosec // an index
		return appendString(dst, ev.Arguments)
	case *ItemEvent:
		switch {
		case !ev.Done:
			return appendItemStep(dst, ev)
		case ev.EncryptedContent != "":
			return appendString(append(dst, stepEncrypted), ev.EncryptedContent)
		}
		return dst
	case *logged:
		if ev.encrypted != "" {
			return appendString(append(dst, stepEncrypted), ev.encrypted)
		}
		return dst
	default:
		return dst
	}
}

func appendItemStep(dst []byte, ev *ItemEvent) []byte {
	kind := byte(stepMessage)
	switch ev.Item.Type {
	case llm.TypeReasoning:
		kind = stepReasoning
	case llm.TypeFunctionCall:
		kind = stepCall
	}
	dst = appendString(append(dst, kind), ev.Item.ID)
	dst = binary.AppendVarint(dst, ev.Item.CreatedAt.UnixMilli())
	if kind == stepCall {
		dst = appendString(appendString(dst, ev.CallID), ev.Name)
	}
	return dst
}

// stepReader takes the fields of steps one after the other. After an error all are zero.
type stepReader struct {
	rest []byte
	err  error
}

func (r *stepReader) kind() byte {
	k := r.rest[0]
	r.rest = r.rest[1:]
	return k
}

func (r *stepReader) number() int64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > 1<<62 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return int64(n)
}

func (r *stepReader) time() time.Time {
	ms, size := binary.Varint(r.rest)
	if size <= 0 {
		r.fail()
		return time.Time{}
	}
	r.rest = r.rest[size:]
	return time.UnixMilli(ms).UTC()
}

func (r *stepReader) text() string {
	n := r.number()
	if n > int64(len(r.rest)) {
		r.fail()
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *stepReader) fail() { r.rest, r.err = nil, errSteps }

// player makes the events of a response anew from its log. It is for one goroutine.
type player struct {
	reply    reply
	response Response // as the log's readers know it; its Output is left out
	events   []Event  // made and not taken
	next     int      // the number of the first of them
	from     int      // events ahead of the one of this number are made and not kept
	id       string   // of the item that begins
	at       time.Time
	err      error
}

func newPlayer(r *Response) *player {
	p := &player{response: *r}
	p.response.Output = nil
	p.reply = reply{
		response: &p.response,
		emit:     p.keep,
		newID:    func(string) string { return p.id },
		now:      func() time.Time { return p.at },
	}
	return p
}

func (p *player) keep(events ...Event) {
	if skipped := min(max(p.from-p.next, 0), len(events)); len(p.events) == 0 && skipped > 0 {
		p.next += skipped
		events = events[skipped:]
	}
	p.events = append(p.events, events...)
}

// skip lets go of the events ahead of the one of that number.
func (p *player) skip(number int) {
	p.drop(min(max(number-p.next, 0), len(p.events)))
}

// drop lets go of n events, of which the last ones would otherwise lie in memory until there are others.
func (p *player) drop(n int) {
	p.next += n
	if p.events = p.events[n:]; len(p.events) == 0 {
		p.events = nil
	}
}

// take returns the events that were made since the last call, up to one that has to be replayed, and the number of the first of them.
func (p *player) take() (events []Event, first int) {
	n := slices.IndexFunc(p.events, isLogged)
	if n < 0 {
		n = len(p.events)
	}
	events, first = p.events[:n:n], p.next
	p.drop(n)
	return events, first
}

// play makes the events of some more steps.
func (p *player) play(batch []byte) error {
	r := stepReader{rest: batch}
	for len(r.rest) > 0 && r.err == nil {
		p.step(&r)
	}
	p.err = errors.Join(p.err, r.err)
	return p.err
}

func (p *player) step(r *stepReader) {
	switch kind := r.kind(); kind {
	case stepBegun:
		p.begun(r)
	case stepMessage, stepReasoning, stepCall:
		p.item(r, kind)
	case stepText:
		p.delta(r, llm.TextDelta{Text: r.text()})
	case stepRefusal:
		p.delta(r, llm.RefusalDelta{Text: r.text()})
	case stepThought:
		p.delta(r, llm.ReasoningDelta{Text: r.text()})
	case stepEncrypted:
		p.delta(r, llm.ReasoningEncrypted{Content: r.text()})
	case stepArguments:
		p.delta(r, llm.ToolCallDelta{Index: int(r.number()), Arguments: r.text()})
	default:
		r.fail()
	}
}

func (p *player) delta(r *stepReader, ev llm.Event) {
	if r.err == nil {
		p.reply.add(ev)
	}
}

func (p *player) begun(r *stepReader) {
	begun := p.response.begun()
	begun.Model, begun.Provider, begun.Host, begun.FallbackFrom, begun.Truncated = r.text(), r.text(), r.text(), r.text(), int(r.number())
	p.reply.seq = r.number()
	if background := r.number() == 1; r.err == nil {
		p.reply.emit(beginning(begun, background)...)
	}
}

func (p *player) item(r *stepReader, kind byte) {
	p.id, p.at = r.text(), r.time()
	callID, name := "", ""
	if kind == stepCall {
		callID, name = r.text(), r.text()
	}
	switch {
	case r.err != nil:
	case kind == stepCall:
		// A step names its call by the place among the output's items.
		p.reply.add(llm.ToolCallStarted{Index: len(p.reply.drafts), CallID: callID, Name: name})
	case kind == stepReasoning:
		p.reply.beginReasoning()
	default:
		p.reply.beginMessage()
	}
}

// end makes what a response that has ended tells of its end; what was made before is taken. The last event has the number that r
// has for it. What ended by itself closed its items first; where that does not lead to that number, the server died, and the
// last event stands alone. It reports false where the response is not one that was interrupted: then some of its log is not there any more.
func (p *player) end(r *Response) bool {
	p.reply.end(r.Status.item())
	if p.next+len(p.events) != r.LastEvent {
		if r.Status != Interrupted {
			return false
		}
		p.next, p.events = r.LastEvent, nil
	}
	if p.reply.shed {
		p.events = append(p.events, &logged{})
		return true
	}
	final := *r
	final.Output = p.output(r)
	p.events = append(p.events, &ResponseEvent{Name: r.Status.event(), Response: final})
	return true
}

// output is what the model wrote, as the log has it.
func (p *player) output(r *Response) []Item {
	items := p.reply.items()
	for i := range items {
		items[i].Output = true
		items[i].Excluded = r.Status.LeavesContext()
	}
	setUsage(items, r.Usage)
	return items
}

// stored makes the events of a response that was made in one piece, from its items: each text is one delta.
func (p *player) stored(r *Response) {
	p.reply.emit(beginning(r.begun(), false)...)
	for i := range r.Output {
		p.storedItem(&r.Output[i])
	}
	p.reply.end(r.Status.item())
	p.events = append(p.events, &ResponseEvent{Name: r.Status.event(), Response: *r})
}

func (p *player) storedItem(it *Item) {
	p.id, p.at = it.ID, it.CreatedAt
	index := len(p.reply.drafts)
	p.reply.seq = it.Seq - int64(index)
	switch it.Type {
	case llm.TypeFunctionCall:
		var call struct {
			CallID    string `json:"call_id"`
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
		}
		_ = json.Unmarshal(it.Data, &call) // reply wrote it
		p.reply.add(llm.ToolCallStarted{Index: index, CallID: call.CallID, Name: call.Name})
		p.reply.add(llm.ToolCallDelta{Index: index, Arguments: call.Arguments})
	case llm.TypeReasoning:
		p.reply.beginReasoning()
		var step struct {
			Content json.RawMessage `json:"content"`
		}
		_ = json.Unmarshal(it.Data, &step)
		for _, part := range textParts(step.Content) {
			if part.text != "" {
				p.reply.add(llm.ReasoningDelta{Text: part.text})
			}
		}
	default:
		p.reply.beginMessage()
		p.storedContent(it.Content)
	}
	p.reply.drafts[index].stored = it
}

func (p *player) storedContent(content json.RawMessage) {
	parts := textParts(content)
	if len(content) > 0 && content[0] == '"' {
		parts = []textPart{{kind: string(PartText), text: unquote(content), known: true}}
	}
	for _, part := range parts {
		switch {
		case !part.known:
		case part.kind == string(PartRefusal):
			p.reply.add(llm.RefusalDelta{Text: part.text})
		default:
			p.reply.add(llm.TextDelta{Text: part.text})
		}
	}
}
