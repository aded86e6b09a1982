package crashtest

import (
	"cmp"
	"context"
	"slices"

	"github.com/parley-llm/parley/api"
)

func seen(m *api.Message) Message {
	s := Message{ID: m.ID, Seq: m.Seq, Text: m.Text()}
	if m.ResponseID != nil {
		s.Response = *m.ResponseID
	}
	return s
}

func (c *client) create(ctx context.Context) error {
	texts := make([]Message, c.random.IntN(4))
	body := api.NewConversation{Messages: make([]api.NewMessage, len(texts))}
	for i := range texts {
		texts[i].Text = Text(c.random)
		body.Messages[i] = api.NewMessage{Role: "user", Content: api.Text(texts[i].Text)}
	}
	return c.call(ctx, Entry{Op: OpCreate, Messages: texts}, func(ctx context.Context, _ int64) (Entry, error) {
		conv, err := c.api.CreateConversation(ctx, body)
		if err == nil {
			c.adopt(conv.ID)
		}
		return Entry{Conversation: conv.ID}, err
	})
}

// adopt makes a new conversation one of the client's own, or one of those that all share and nobody deletes from.
func (c *client) adopt(id string) {
	l := c.load
	l.touch(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.alone && len(l.shared) < cmp.Or(l.Shared, fewShared) && !slices.Contains(l.shared, id) {
		l.shared = append(l.shared, id)
		return
	}
	c.own = append(c.own, id)
}

func (c *client) append(ctx context.Context, conv string) error {
	text := Text(c.random)
	return c.call(ctx, Entry{Op: OpAppend, Conversation: conv, Messages: []Message{{Text: text}}}, func(ctx context.Context, _ int64) (Entry, error) {
		m, err := c.api.CreateMessage(ctx, conv, api.NewMessage{Role: "user", Content: api.Text(text)})
		return Entry{Messages: []Message{seen(&m)}}, err
	})
}

func (c *client) prompt(ctx context.Context, conv string) error {
	text := Text(c.random)
	return c.call(ctx, Entry{Op: OpPrompt, Conversation: conv, Messages: []Message{{Text: text}}}, func(ctx context.Context, _ int64) (Entry, error) {
		r, err := c.api.Respond(ctx, conv, api.NewResponse{Prompt: api.Text(text)})
		return asked(&r), err
	})
}

// asked is what is known of a response.
func asked(r *api.Response) Entry {
	e := Entry{Response: r.ID, Status: r.Status}
	if r.Error != nil {
		e.Failure = r.Error.Code
	}
	for _, id := range r.Input {
		e.Messages = append(e.Messages, Message{ID: id})
	}
	for i := range r.Output {
		e.Output = append(e.Output, seen(&r.Output[i]))
	}
	return e
}

func (c *client) stream(ctx context.Context, conv string) error {
	text := Text(c.random)
	return c.call(ctx, Entry{Op: OpStream, Conversation: conv, Messages: []Message{{Text: text}}}, func(ctx context.Context, call int64) (last Entry, err error) {
		for ev, err := range c.api.Stream(ctx, conv, api.NewResponse{Prompt: api.Text(text)}) {
			if err != nil {
				return last, err
			}
			if ev.Response != nil {
				last = asked(ev.Response)
			}
			if ev.Type == api.EventCreated {
				created := last
				created.Call, created.Client, created.Op, created.State = call, c.number, OpStream, Created
				c.load.History.Note(created)
			}
		}
		return last, nil
	})
}

// background has a response run in the background and, as often as not, cancels it.
func (c *client) background(ctx context.Context, conv string) error {
	text, id := Text(c.random), ""
	err := c.call(ctx, Entry{Op: OpBackground, Conversation: conv, Messages: []Message{{Text: text}}}, func(ctx context.Context, _ int64) (Entry, error) {
		r, err := c.api.Respond(ctx, conv, api.NewResponse{Prompt: api.Text(text), Background: true})
		id = r.ID
		return asked(&r), err
	})
	if err != nil {
		return err
	}
	c.running[conv] = id
	if c.random.IntN(2) == 0 {
		return nil
	}
	return c.call(ctx, Entry{Op: OpCancel, Conversation: conv, Response: id}, func(ctx context.Context, _ int64) (Entry, error) {
		r, err := c.api.Cancel(ctx, id)
		return asked(&r), err
	})
}

// read reads all messages of a conversation, into into where that is not nil.
func (c *client) read(ctx context.Context, conv string, into *[]Message) error {
	return c.call(ctx, Entry{Op: OpRead, Conversation: conv}, func(ctx context.Context, _ int64) (Entry, error) {
		var list []Message
		for m, err := range c.api.AllMessages(ctx, conv, api.ListQuery{Limit: 100}) {
			if err != nil {
				return Entry{}, err
			}
			list = append(list, seen(&m))
		}
		if into != nil {
			*into = list
		}
		return Entry{Messages: list}, nil
	})
}

// choose reads a conversation of the client's own and chooses a message; none where there is none.
func (c *client) choose(ctx context.Context, conv string) (list []Message, i int, err error) {
	if err := c.read(ctx, conv, &list); err != nil || len(list) == 0 {
		return nil, 0, err
	}
	return list, c.random.IntN(len(list)), nil
}

func (c *client) fork(ctx context.Context, conv string) error {
	list, i, err := c.choose(ctx, conv)
	if list == nil {
		return err
	}
	// A turn that runs may not be copied whole.
	if ran := slices.IndexFunc(list, func(m Message) bool { return m.Response != "" && m.Response == c.running[conv] }); ran >= 0 && ran <= i {
		if i = ran - 1; i < 0 {
			return nil
		}
	}
	copied := make([]Message, i+1)
	for k := range copied {
		copied[k].Text = list[k].Text
	}
	return c.call(ctx, Entry{Op: OpFork, Source: conv, Messages: copied}, func(ctx context.Context, _ int64) (Entry, error) {
		fork, err := c.api.ForkConversation(ctx, conv, api.ForkConversation{After: list[i].ID})
		if err == nil {
			c.own = append(c.own, fork.ID)
			c.load.touch(fork.ID)
		}
		return Entry{Conversation: fork.ID}, err
	})
}

func (c *client) edit(ctx context.Context, conv string) error {
	list, i, err := c.choose(ctx, conv)
	if list == nil {
		return err
	}
	m := list[i]
	m.Text = Text(c.random)
	return c.call(ctx, Entry{Op: OpEdit, Conversation: conv, Messages: []Message{m}}, func(ctx context.Context, _ int64) (Entry, error) {
		_, err := c.api.UpdateMessage(ctx, conv, m.ID, 0, api.MessagePatch{Content: api.Text(m.Text)})
		return Entry{}, err
	})
}

func (c *client) delete(ctx context.Context, conv string) error {
	list, i, err := c.choose(ctx, conv)
	if list == nil {
		return err
	}
	return c.call(ctx, Entry{Op: OpDelete, Conversation: conv, Messages: []Message{list[i]}}, func(ctx context.Context, _ int64) (Entry, error) {
		return Entry{}, c.api.DeleteMessage(ctx, conv, list[i].ID, 0)
	})
}

func (c *client) deleteConversation(ctx context.Context, conv string) error {
	err := c.call(ctx, Entry{Op: OpDeleteConversation, Conversation: conv}, func(ctx context.Context, _ int64) (Entry, error) {
		return Entry{}, c.api.DeleteConversation(ctx, conv, 0)
	})
	if err == nil {
		c.own = slices.DeleteFunc(c.own, func(id string) bool { return id == conv })
	}
	return err
}
