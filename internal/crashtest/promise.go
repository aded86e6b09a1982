package crashtest

import (
	"fmt"
	"slices"
	"time"
)

// Promise is what a history says that a server must hold. Messages that one client alone changes are known exactly; what
// was sent and not answered may have happened or not.
type Promise struct {
	conversations map[string]*conversation
	// sent are all texts that a server can have got, and asked the calls that reached the model.
	sent  map[string]bool
	asked []Entry
	// questions are the prompts by their texts.
	questions map[string]question
	// Violations are contradictions within the history: a read that did not show what was acknowledged.
	Violations []string
}

// question is where a prompt was sent, and the response to it, as far as that is known.
type question struct{ conversation, response string }

type conversation struct {
	id string
	// may: it may be gone. gone: it must be.
	may, gone bool
	// copied is how many messages a fork began with.
	copied    int64
	messages  []*promised
	byID      map[string]*promised
	responses map[string]*answer
}

// promised is a message that was acknowledged.
type promised struct {
	id, response string
	seq          int64
	client       int
	// texts are what it may say; more than one where an edit got no answer.
	texts     []string
	may, gone bool
}

// answer is a response.
type answer struct {
	id string
	// asked: its question was acknowledged.
	asked bool
	// logged: it keeps its events.
	logged bool
	// whole: its end was acknowledged too, with this status and this output.
	whole  bool
	status string
	text   string
	// untold: it is one whose end could not be stored, of whose output nothing was told; the event log may have some.
	untold bool
	// touched: one of its messages was edited or deleted since, or may have been.
	touched bool
}

// Promised replays a history. Up to known, what was acknowledged must be there, and so must the intents of the calls that reached
// the model; what was sent up to until may be there. A zero time is the end of the history.
func Promised(entries []Entry, known, until time.Time) *Promise {
	p := &Promise{conversations: map[string]*conversation{}, sent: map[string]bool{}, questions: map[string]question{}}
	calls := map[int64]Entry{}
	for _, e := range entries {
		switch {
		case e.State == Asked:
			if known.IsZero() || e.Time.Before(known) {
				p.asked = append(p.asked, e)
			}
		case e.State == Sent:
			calls[e.Call] = e
			if until.IsZero() || e.Time.Before(until) {
				p.send(e)
			}
		case known.IsZero() || e.Time.Before(known):
			p.answer(calls[e.Call], e)
		default:
			p.learn(calls[e.Call], e)
		}
	}
	return p
}

// learn takes from a late answer by which ids messages and responses go: that is knowledge, and no promise.
func (p *Promise) learn(sent, e Entry) {
	switch c := p.conversations[sent.Conversation]; {
	case c != nil && e.Op == OpRead:
		for _, seen := range e.Messages {
			c.find(seen)
		}
	case e.Response != "" && sent.Op != OpCancel:
		p.questions[sent.Messages[0].Text] = question{sent.Conversation, e.Response}
	default:
	}
}

func (p *Promise) of(id string) *conversation {
	c := p.conversations[id]
	if c == nil {
		c = &conversation{id: id, byID: map[string]*promised{}, responses: map[string]*answer{}}
		p.conversations[id] = c
	}
	return c
}

// send notes what a request may do.
func (p *Promise) send(e Entry) {
	for _, m := range e.Messages {
		p.sent[m.Text] = true
	}
	if e.Op == OpPrompt || e.Op == OpStream || e.Op == OpBackground {
		p.questions[e.Messages[0].Text] = question{conversation: e.Conversation}
	}
	c := p.conversations[e.Conversation]
	if c == nil {
		return
	}
	switch e.Op {
	case OpDeleteConversation:
		c.may = true
	case OpEdit, OpDelete:
		c.touch(e.Messages[0].Response)
		m := c.find(e.Messages[0])
		switch {
		case m == nil:
			// It came later than what must be there.
		case e.Op == OpDelete:
			m.may = true
		default:
			m.texts = append(m.texts, e.Messages[0].Text)
		}
	default:
	}
}

// answer notes what is known of a request by its answer.
func (p *Promise) answer(sent, e Entry) {
	if e.State == Refused {
		p.refuse(sent)
		return
	}
	if e.State == Unknown {
		if e.Response != "" {
			// A response that failed is stored with its question all the same.
			p.asks(sent, e)
		}
		return
	}
	switch e.Op {
	case OpCreate, OpFork:
		c := p.of(e.Conversation)
		if e.Op == OpFork {
			c.copied = int64(len(sent.Messages))
		}
		for _, m := range sent.Messages {
			c.add(Message{Text: m.Text}, e.Client)
		}
	case OpAppend:
		p.of(sent.Conversation).add(Message{ID: e.Messages[0].ID, Seq: e.Messages[0].Seq, Text: sent.Messages[0].Text}, e.Client)
	case OpEdit:
		if m := p.of(sent.Conversation).find(sent.Messages[0]); m != nil {
			m.texts = []string{sent.Messages[0].Text}
		}
	case OpDelete:
		if m := p.of(sent.Conversation).find(sent.Messages[0]); m != nil {
			m.gone = true
		}
	case OpDeleteConversation:
		p.of(sent.Conversation).gone = true
	case OpRead:
		p.read(p.of(sent.Conversation), e)
	default:
		p.asks(sent, e)
	}
}

// refuse takes back what a request might have done.
func (p *Promise) refuse(sent Entry) {
	c := p.conversations[sent.Conversation]
	if c == nil {
		return
	}
	switch sent.Op {
	case OpDeleteConversation:
		c.may = false
	case OpDelete:
		if m := c.find(sent.Messages[0]); m != nil {
			m.may = false
		}
	case OpEdit:
		if m := c.find(sent.Messages[0]); m != nil {
			m.texts = m.texts[:len(m.texts)-1]
		}
	default:
	}
}

func (p *Promise) asks(sent, e Entry) {
	c := p.of(sent.Conversation)
	a := c.response(e.Response)
	if !a.asked && sent.Op != OpCancel {
		a.asked, a.logged = true, sent.Op != OpPrompt
		p.questions[sent.Messages[0].Text] = question{sent.Conversation, e.Response}
		for _, m := range e.Messages {
			c.add(Message{ID: m.ID, Text: sent.Messages[0].Text, Response: e.Response}, e.Client)
		}
	}
	if e.State == Acknowledged && !a.whole {
		a.whole, a.status = true, e.Status
		for _, m := range e.Output {
			a.text += m.Text
			c.add(Message{ID: m.ID, Seq: m.Seq, Text: m.Text, Response: e.Response}, e.Client)
		}
		a.untold = e.Failure == "store_unavailable" && len(e.Output) == 0
	}
}

// read compares what a client saw with what is promised, and takes what it saw for acknowledged.
func (p *Promise) read(c *conversation, e Entry) {
	for _, seen := range e.Messages {
		m := c.find(seen)
		switch {
		case m == nil:
			// Whose it is, and so in which order with others, is not known.
			m = c.add(seen, nobody)
		case m.gone:
			p.Violations = append(p.Violations, fmt.Sprintf("%s: %s was read after its deletion was acknowledged", c.id, seen.ID))
		case !slices.Contains(m.texts, seen.Text):
			p.Violations = append(p.Violations, fmt.Sprintf("%s: %s was read as %q, and is promised as %q", c.id, seen.ID, short(seen.Text), m.texts))
		}
		m.texts, m.may = []string{seen.Text}, false
	}
}

// add notes a message behind those that are known.
func (c *conversation) add(m Message, client int) *promised {
	if known := c.byID[m.ID]; known != nil {
		return known
	}
	said := &promised{id: m.ID, response: m.Response, seq: m.Seq, client: client, texts: []string{m.Text}}
	c.messages = append(c.messages, said)
	if m.ID != "" {
		c.byID[m.ID] = said
	}
	return said
}

// find returns a message by its id or, where that was not known yet, by its text; nil where there is none. It learns the id.
func (c *conversation) find(m Message) *promised {
	if known := c.byID[m.ID]; known != nil {
		return known.learn(m)
	}
	for _, known := range c.messages {
		if known.id == "" && known.texts[0] == m.Text {
			known.id, c.byID[m.ID] = m.ID, known
			return known.learn(m)
		}
	}
	return nil
}

// nobody is the client of what was only seen.
const nobody = -1

func (m *promised) learn(seen Message) *promised {
	if seen.Seq != 0 {
		m.seq = seen.Seq
	}
	if seen.Response != "" {
		m.response = seen.Response
	}
	return m
}

func (c *conversation) response(id string) *answer {
	a := c.responses[id]
	if a == nil {
		a = &answer{id: id}
		c.responses[id] = a
	}
	return a
}

// touch notes that a message of a response is changed.
func (c *conversation) touch(response string) {
	if response != "" {
		c.response(response).touched = true
	}
}

// short is the beginning of a text, for a message about it.
func short(text string) string {
	const most = 40
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}
