package chat

import (
	"encoding/json"
	"time"

	"github.com/parley-llm/parley/internal/llm"
)

// reply assembles what a model writes into output items and tells of it in events.
//
// Items come in the order in which they began. A message or a reasoning step closes when another item begins, a reasoning step
// also with its encrypted content; tool calls stay open until the end, because some providers interleave their arguments.
type reply struct {
	emit func(...Event)
	// publish, if set, tells in one piece what emit has put into step of one event of the provider: a batch of the event log that ended within
	// would count events that its steps do not make.
	publish  func(...Event)
	step     []Event
	newID    func(prefix string) string
	now      func() time.Time
	response *Response
	// sheds: once the texts have become large they are let go of, and events that repeat them are logged ones. shed: they were. written is how
	// long they are.
	sheds, shed bool
	written     int
	// seq is the place of the first output item. Nothing else can be added while the turn runs, so the output's
	// places are known before they are stored.
	seq int64

	drafts []*draft
	// open is the message or the reasoning step that is being written.
	open  *draft
	calls map[int]*draft
}

// draft is an output item that is being written.
type draft struct {
	index  int
	item   Item
	parts  []*draftPart
	callID string
	name   string
	args   []byte
	// encrypted is what a reasoning step's provider wants back with it.
	encrypted string
	closed    bool
	// stored is the item as a store has it, where the events are made from that.
	stored *Item
}

type draftPart struct {
	kind PartKind
	text []byte
}

// add takes one event of the provider.
func (r *reply) add(ev llm.Event) {
	switch ev := ev.(type) {
	case llm.TextDelta:
		r.text(PartText, ev.Text)
	case llm.RefusalDelta:
		r.text(PartRefusal, ev.Text)
	case llm.ReasoningDelta:
		r.reasoning(ev.Text)
	case llm.ReasoningEncrypted:
		r.encrypted(ev.Content)
	case llm.ToolCallStarted:
		r.call(ev.Index, ev.CallID, ev.Name)
	case llm.ToolCallDelta:
		r.arguments(ev.Index, ev.Arguments)
	}
	if r.publish != nil && len(r.step) > 0 {
		r.publish(r.step...)
		clear(r.step)
		r.step = r.step[:0]
	}
}

func (r *reply) text(kind PartKind, text string) {
	d := r.open
	if d == nil || d.item.Type != llm.TypeMessage {
		d = r.beginMessage()
	}
	if n := len(d.parts); n == 0 || d.parts[n-1].kind != kind {
		if n > 0 {
			r.endPart(d, n-1)
		}
		d.parts = append(d.parts, &draftPart{kind: kind})
		r.emit(&PartEvent{ItemID: d.item.ID, OutputIndex: d.index, ContentIndex: n, Kind: kind})
	}
	r.write(&d.parts[len(d.parts)-1].text, text)
	r.emit(&TextEvent{ItemID: d.item.ID, OutputIndex: d.index, ContentIndex: len(d.parts) - 1, Kind: kind, Text: text})
}

func (r *reply) reasoning(text string) {
	d := r.open
	if d == nil || d.item.Type != llm.TypeReasoning {
		d = r.beginReasoning()
	}
	r.write(&d.parts[0].text, text)
	r.emit(&ReasoningEvent{ItemID: d.item.ID, OutputIndex: d.index, Text: text})
}

// encrypted closes the reasoning step that is being written, or makes one of its own.
func (r *reply) encrypted(content string) {
	if content == "" {
		return
	}
	d := r.open
	if d == nil || d.item.Type != llm.TypeReasoning {
		d = r.beginReasoning()
	}
	d.encrypted = content
	r.close(d, ItemCompleted)
	r.open = nil
}

func (r *reply) beginMessage() *draft {
	r.open = r.begin(llm.TypeMessage, PrefixMessage)
	return r.open
}

func (r *reply) beginReasoning() *draft {
	d := r.begin(llm.TypeReasoning, PrefixReasoning)
	d.parts = []*draftPart{{}}
	r.open = d
	return d
}

func (r *reply) call(index int, callID, name string) {
	d := r.begin(llm.TypeFunctionCall, PrefixFunctionCall)
	d.callID, d.name = callID, name
	if r.calls == nil {
		r.calls = map[int]*draft{}
	}
	r.calls[index] = d
	d.item.Data = d.data()
	r.emit(&ItemEvent{OutputIndex: d.index, Item: d.item, CallID: callID, Name: name})
}

func (r *reply) arguments(index int, arguments string) {
	d := r.calls[index]
	if d == nil {
		return
	}
	r.write(&d.args, arguments)
	r.emit(&ArgumentsEvent{ItemID: d.item.ID, OutputIndex: d.index, Name: d.name, Arguments: arguments})
}

// write adds to a text.
func (r *reply) write(text *[]byte, more string) {
	r.written += len(more)
	if r.sheds && !r.shed && r.written > largeAnswer {
		r.shed = true
		for _, d := range r.drafts {
			d.item.Content, d.item.Data, d.args, d.encrypted = nil, nil, nil, ""
			for _, p := range d.parts {
				p.text = nil
			}
		}
	}
	if !r.shed {
		*text = append(*text, more...)
	}
}

// begin opens an item behind the others and closes the message or reasoning step that was being written.
func (r *reply) begin(itemType, prefix string) *draft {
	if r.open != nil {
		r.close(r.open, ItemCompleted)
		r.open = nil
	}
	d := &draft{index: len(r.drafts), item: Item{
		ID: r.newID(prefix), ConversationID: r.response.ConversationID, Seq: r.seq + int64(len(r.drafts)), ResponseID: r.response.ID, Output: true,
		Item: llm.Item{Type: itemType}, Status: ItemInProgress, Model: r.response.Model, CreatedAt: r.now(), Version: 1,
	}}
	r.drafts = append(r.drafts, d)
	if itemType == llm.TypeFunctionCall {
		return d
	}
	d.item.Item = d.content()
	r.emit(&ItemEvent{OutputIndex: d.index, Item: d.item})
	return d
}

// end closes every item that is still open.
func (r *reply) end(status ItemStatus) {
	for _, d := range r.drafts {
		r.close(d, status)
	}
}

func (r *reply) close(d *draft, status ItemStatus) {
	if d.closed {
		return
	}
	d.closed = true
	d.item.Status = status
	if r.shed {
		r.closeShed(d)
		return
	}
	if d.stored != nil {
		d.item = *d.stored
	} else {
		d.item.Item = d.content()
	}
	switch d.item.Type {
	case llm.TypeFunctionCall:
		r.emit(&ArgumentsEvent{Done: true, ItemID: d.item.ID, OutputIndex: d.index, Name: d.name, Arguments: string(d.args)})
	case llm.TypeReasoning:
		r.emit(&ReasoningEvent{Done: true, ItemID: d.item.ID, OutputIndex: d.index, Text: string(d.parts[0].text)})
	default:
		if n := len(d.parts); n > 0 {
			r.endPart(d, n-1)
		}
	}
	r.emit(&ItemEvent{Done: true, OutputIndex: d.index, Item: d.item, EncryptedContent: d.encrypted})
}

// closeShed tells as many events as close does.
func (r *reply) closeShed(d *draft) {
	switch {
	case d.item.Type != llm.TypeMessage:
		r.emit(&logged{})
	case len(d.parts) > 0:
		r.endPart(d, len(d.parts)-1)
	}
	r.emit(&logged{encrypted: d.encrypted})
	d.encrypted = ""
}

func (r *reply) endPart(d *draft, index int) {
	if r.shed {
		r.emit(&logged{}, &logged{})
		return
	}
	p := d.parts[index]
	text := string(p.text)
	r.emit(
		&TextEvent{Done: true, ItemID: d.item.ID, OutputIndex: d.index, ContentIndex: index, Kind: p.kind, Text: text},
		&PartEvent{Done: true, ItemID: d.item.ID, OutputIndex: d.index, ContentIndex: index, Kind: p.kind, Text: text},
	)
}

// items are the output as it stands, each with its content.
func (r *reply) items() []Item {
	items := make([]Item, len(r.drafts))
	for i, d := range r.drafts {
		items[i] = d.item
	}
	return items
}

// content is the item in the shape that is stored.
func (d *draft) content() llm.Item {
	item := llm.Item{Type: d.item.Type}
	switch d.item.Type {
	case llm.TypeMessage:
		item.Role, item.Content = llm.Assistant, d.message()
	default:
		item.Data = d.data()
	}
	return item
}

// message is a message's content: a string where it is text alone, else its parts.
func (d *draft) message() json.RawMessage {
	if len(d.parts) == 0 {
		return json.RawMessage(`""`)
	}
	if len(d.parts) == 1 && d.parts[0].kind == PartText {
		return quote(string(d.parts[0].text))
	}
	content := []byte{'['}
	for i, p := range d.parts {
		if i > 0 {
			content = append(content, ',')
		}
		field := `"text"`
		if p.kind == PartRefusal {
			field = `"refusal"`
		}
		content = append(content, `{"type":"`+string(p.kind)+`",`+field+`:`...)
		content = append(content, quote(string(p.text))...)
		content = append(content, '}')
	}
	return append(content, ']')
}

// data is a function call or a reasoning step as the Responses API writes it, without id and status.
func (d *draft) data() json.RawMessage {
	if d.item.Type == llm.TypeReasoning {
		text := ""
		if len(d.parts) > 0 {
			text = string(d.parts[0].text)
		}
		data := append([]byte(`{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":`), quote(text)...)
		data = append(data, `}]`...)
		if d.encrypted != "" {
			data = append(append(data, `,"encrypted_content":`...), quote(d.encrypted)...)
		}
		return append(data, '}')
	}
	data := append([]byte(`{"type":"function_call","call_id":`), quote(d.callID)...)
	data = append(append(data, `,"name":`...), quote(d.name)...)
	data = append(append(data, `,"arguments":`...), quote(string(d.args))...)
	return append(data, '}')
}
