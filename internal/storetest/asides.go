package storetest

import (
	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// beginAside begins a response that is no turn of a conversation.
func (w *world) beginAside(c chat.Conversation) chat.Response {
	w.t.Helper()
	t := w.turn(c)
	w.ok(w.BeginAside(w.ctx, c.Owner, nil, &t.Response, t.Intent))
	w.equal(w.recorded(t.Intent.ID), true)
	return t.Response
}

// titled is the end of a response aside that brings a title.
func (w *world) titled(r chat.Response, title string) *chat.Ending {
	e := w.ending(&chat.Turn{Response: r}, chat.Completed, w.message(llm.Assistant, title))
	e.Response.Usage = &llm.Usage{InputTokens: 5, OutputTokens: 1, TotalTokens: 6}
	e.Title = title
	return e
}

var asideCases = []testCase{
	{"a response aside changes nothing of its conversation, which goes on meanwhile", func(w *world) {
		c := w.conversation(w.messages(2)...)
		r := w.beginAside(c)
		w.equal(w.read(owner, c.ID), c)
		w.equal(len(w.items(c.ID)), 2)
		turn := w.answered(c.ID)
		w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(1)))
		before := w.read(owner, c.ID)
		e := w.ending(&chat.Turn{Response: r}, chat.Failed, w.message(llm.Assistant, "half a"))
		w.ok(w.End(w.ctx, owner, e))
		w.equal(w.read(owner, c.ID), before)
		w.equal(seqs(w.items(c.ID)), upTo(1, 5))
		w.equal(w.window(c.ID, 0), upTo(1, 5))
		w.equal(w.recorded(e.Outcome.ID), true)
		list, err := w.Responses(w.ctx, owner, c.ID, chat.Page{Limit: 10})
		w.ok(err)
		w.equal(list.Data, []chat.Response{turn})
	}},
	{"a response aside ends with a title for its conversation, and is found by its id", func(w *world) {
		c := w.conversation(w.messages(2)...)
		r := w.beginAside(c)
		w.answered(c.ID)
		before := w.read(owner, c.ID)
		w.equal(w.finds("title"), []string{c.ID})
		e := w.titled(r, "a better name")
		w.ok(w.End(w.ctx, owner, e))
		want := before
		want.Title, want.TitleSet, want.Version = "a better name", true, before.Version+1
		w.equal(w.read(owner, c.ID), want)
		w.equal([][]string{w.finds("better name"), w.finds("title")}, [][]string{{c.ID}, {}})
		got, err := w.Response(w.ctx, owner, r.ID)
		w.ok(err)
		w.equal([]any{got.Status, len(got.Input), len(got.Output), *got.Usage}, []any{chat.Completed, 0, 0, *e.Response.Usage})
		w.fault(w.End(w.ctx, owner, w.titled(r, "another")), fault.Conflict, chat.CodeResponseEnded)
	}},
	{"a title that was set is not replaced, and one that was taken away is", func(w *world) {
		for _, title := range []string{"chosen", "a title"} {
			c := w.conversation()
			r := w.beginAside(c)
			set, err := w.UpdateConversation(w.ctx, owner, c.ID, 0, func(c *chat.Conversation) error { c.SetTitle(title); return nil })
			w.ok(err)
			e := w.titled(r, "a better title")
			w.ok(w.End(w.ctx, owner, e))
			w.equal(w.read(owner, c.ID), set)
			w.equal(w.recorded(e.Outcome.ID), true)
		}
		c := w.full()
		w.ok(w.CreateConversation(w.ctx, owner, nil, &c, nil))
		r := w.beginAside(w.read(owner, c.ID))
		_, err := w.UpdateConversation(w.ctx, owner, c.ID, 0, func(c *chat.Conversation) error { c.SetTitle(""); return nil })
		w.ok(err)
		w.ok(w.End(w.ctx, owner, w.titled(r, "a better title")))
		w.equal(w.read(owner, c.ID).Title, "a better title")
	}},
	{"a title from the first message is one that nobody has set", func(w *world) {
		c := chat.Conversation{ID: w.id("conv_"), Owner: owner, CreatedAt: w.now(), UpdatedAt: w.now()}
		w.ok(w.CreateConversation(w.ctx, owner, nil, &c, nil))
		w.answered(c.ID)
		got := w.read(owner, c.ID)
		w.equal([]any{got.Title, got.TitleSet}, []any{"from the prompt", false})
	}},
	{"a response aside runs while a turn does, and ends when its conversation is gone", func(w *world) {
		c := w.conversation()
		turn := w.begin(c)
		r := w.beginAside(c)
		w.ok(w.End(w.ctx, owner, w.titled(r, "a better title")))
		w.equal(w.read(owner, c.ID).ActiveResponse, turn.Response.ID)
		last := w.beginAside(c)
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, 0, turn.Response.ID))
		e := w.titled(last, "too late")
		w.ok(w.End(w.ctx, owner, e))
		w.equal(w.recorded(e.Outcome.ID), true)
	}},
	{"an attempt aside has one intent", func(w *world) {
		c := w.conversation()
		r := w.beginAside(c)
		if err := w.BeginAside(w.ctx, owner, nil, &r, w.attempt(audit.KindIntent, &r)); err == nil {
			w.t.Error("it began twice")
		}
	}},
}
