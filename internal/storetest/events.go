package storetest

import (
	"strings"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// streamed begins a turn that has an event log.
func (w *world) streamed(c chat.Conversation) *chat.Turn {
	w.t.Helper()
	t := w.turn(c, w.message(llm.User, "a question"))
	t.Response.Stream, t.Response.LastEvent = true, 1000
	w.ok(w.Begin(w.ctx, owner, t))
	return t
}

func (w *world) append(id string, number int, steps string, last int) {
	w.t.Helper()
	w.ok(w.AppendEvents(w.ctx, owner, id, chat.Batched{Number: number, Steps: []byte(steps), LastEvent: last}))
}

// log reads an event log from a batch on, to its end.
func (w *world) log(id string, from int) (steps []string) {
	w.t.Helper()
	for {
		batches, err := w.EventLog(w.ctx, owner, id, from)
		w.ok(err)
		if len(batches) == 0 {
			return steps
		}
		for _, b := range batches {
			steps = append(steps, string(b))
		}
		from += len(batches)
	}
}

// unstored begins a response of which nothing is kept.
func (w *world) unstored(c chat.Conversation) chat.Response {
	w.t.Helper()
	t := w.turn(c)
	t.Response.Unstored = true
	w.ok(w.BeginAside(w.ctx, owner, nil, &t.Response, t.Intent))
	return t.Response
}

var eventCases = []testCase{
	{"the batches of an event log come back in their order, from any of them on", func(w *world) {
		t := w.streamed(w.conversation())
		id := t.Response.ID
		w.equal(w.log(id, 0), []string(nil))
		w.append(id, 0, "one\x00", 1000)
		w.append(id, 1, "two", 1000)
		w.append(id, 2, "three", 2000)
		w.equal(w.log(id, 0), []string{"one\x00", "two", "three"})
		w.equal(w.log(id, 2), []string{"three"})
		w.equal(w.log(id, 3), []string(nil))
		r, err := w.Response(w.ctx, owner, id)
		w.ok(err)
		w.equal([]any{r.LastEvent, r.Status}, []any{2000, chat.InProgress})
		orphans, err := w.Orphans(w.ctx)
		w.ok(err)
		w.equal(orphans[0].LastEvent, 2000)
	}},
	{"a long event log is read in pieces", func(w *world) {
		id := w.streamed(w.conversation()).Response.ID
		piece := strings.Repeat("x", 60_000)
		for n := range 20 {
			w.append(id, n, piece, 1000)
		}
		first, err := w.EventLog(w.ctx, owner, id, 0)
		w.ok(err)
		if len(first) == 0 || len(first) == 20 {
			w.t.Errorf("%d of 20 batches were read at once", len(first))
		}
		w.equal(len(w.log(id, 0)), 20)
	}},
	{"a batch that is written again takes the place of the first", func(w *world) {
		id := w.streamed(w.conversation()).Response.ID
		w.append(id, 0, "one", 1000)
		w.append(id, 0, "one and more", 1000)
		w.equal(w.log(id, 0), []string{"one and more"})
	}},
	{"a response that waits is in progress with its first batch", func(w *world) {
		t := w.turn(w.conversation(), w.message(llm.User, "a question"))
		t.Response.Stream, t.Response.LastEvent, t.Response.Status = true, 1000, chat.Queued
		w.ok(w.Begin(w.ctx, owner, t))
		status := func() chat.Status {
			r, err := w.Response(w.ctx, owner, t.Response.ID)
			w.ok(err)
			return r.Status
		}
		w.equal(status(), chat.Queued)
		w.append(t.Response.ID, 0, "one", 1000)
		w.equal(status(), chat.InProgress)
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed)))
		w.equal(status(), chat.Completed)
	}},
	{"the end writes the last batches, also one that is there, and the number of the last event", func(w *world) {
		t := w.streamed(w.conversation())
		w.append(t.Response.ID, 0, "one", 1000)
		e := w.ending(t, chat.Completed, w.message(llm.Assistant, "an answer"))
		e.Response.LastEvent, e.Log = 12, []chat.Batched{{Number: 0, Steps: []byte("one")}, {Number: 1, Steps: []byte("two")}}
		w.ok(w.End(w.ctx, owner, e))
		w.equal(w.log(t.Response.ID, 0), []string{"one", "two"})
		r, err := w.Response(w.ctx, owner, t.Response.ID)
		w.ok(err)
		w.equal(r.LastEvent, 12)
		w.fault(w.AppendEvents(w.ctx, owner, t.Response.ID, chat.Batched{Number: 2, Steps: []byte("late")}), fault.Conflict, chat.CodeResponseEnded)
		w.equal(w.log(t.Response.ID, 0), []string{"one", "two"})
	}},
	{"an end that finds its conversation gone writes no events", func(w *world) {
		c := w.conversation()
		t := w.streamed(c)
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, 0, t.Response.ID))
		e := w.ending(t, chat.Cancelled)
		e.Log = []chat.Batched{{Steps: []byte("one")}}
		w.ok(w.End(w.ctx, owner, e))
		w.equal(w.log(t.Response.ID, 0), []string(nil))
	}},
	{"events are their owner's", func(w *world) {
		id := w.streamed(w.conversation()).Response.ID
		w.append(id, 0, "one", 1000)
		w.fault(w.AppendEvents(w.ctx, other, id, chat.Batched{Number: 1, Steps: []byte("two")}), fault.NotFound, chat.CodeResponseNotFound)
		batches, err := w.EventLog(w.ctx, other, id, 0)
		w.ok(err)
		w.equal(len(batches), 0)
		w.fault(w.AppendEvents(w.ctx, owner, "resp_none", chat.Batched{}), fault.NotFound, chat.CodeResponseNotFound)
	}},
	{"an event log goes with the text of a message that it holds", func(w *world) {
		lose := map[string]func(conversation, item string){
			"edited": func(conversation, item string) {
				_, err := w.UpdateItem(w.ctx, owner, conversation, item, 0, func(it *chat.Item) error { it.Content, it.EditedAt = []byte(`"no"`), w.now(); return nil })
				w.ok(err)
			},
			"deleted": func(conversation, item string) { w.ok(w.DeleteItem(w.ctx, owner, conversation, item, 0)) },
		}
		for name, change := range lose {
			c := w.conversation()
			var ids []string
			for range 2 {
				t := w.streamed(w.read(owner, c.ID))
				w.append(t.Response.ID, 0, "one", 1000)
				w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed, w.message(llm.Assistant, "an answer"))))
				ids = append(ids, t.Response.ID)
			}
			items := w.items(c.ID)
			// Of a question it holds nothing, and of other metadata neither.
			change(c.ID, items[0].ID)
			_, err := w.UpdateItem(w.ctx, owner, c.ID, items[1].ID, 0, func(it *chat.Item) error { it.Metadata, it.EditedAt = map[string]string{"a": "b"}, w.now(); return nil })
			w.ok(err)
			w.equal(w.log(ids[0], 0), []string{"one"})
			change(c.ID, items[1].ID)
			w.equal([]any{name, w.log(ids[0], 0), w.log(ids[1], 0)}, []any{name, []string(nil), []string{"one"}})
		}
	}},
	{"what is changed in a fork leaves the log of its source alone", func(w *world) {
		c := w.conversation()
		t := w.streamed(c)
		w.append(t.Response.ID, 0, "one", 1000)
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed, w.message(llm.Assistant, "an answer"))))
		f := chat.Conversation{ID: w.id("conv_"), Owner: owner, CreatedAt: w.now(), UpdatedAt: w.now()}
		w.ok(w.ForkConversation(w.ctx, owner, nil, c.ID, "", &f))
		w.ok(w.DeleteItem(w.ctx, owner, f.ID, w.items(f.ID)[1].ID, 0))
		w.equal(w.log(t.Response.ID, 0), []string{"one"})
	}},
	{"an unstored response is there for its end alone", func(w *world) {
		c := w.conversation(w.messages(2)...)
		r := w.unstored(c)
		_, err := w.Response(w.ctx, owner, r.ID)
		w.fault(err, fault.NotFound, chat.CodeResponseNotFound)
		orphans, err := w.Orphans(w.ctx)
		w.ok(err)
		w.equal([]any{len(orphans), orphans[0].Unstored, len(orphans[0].Input), len(orphans[0].Output)}, []any{1, true, 0, 0})
		r.Attempts = 2
		next := w.attempt(audit.KindIntent, &r)
		w.ok(w.NextAttempt(w.ctx, owner, &r, next))
		e := w.ending(&chat.Turn{Response: r}, chat.Completed, w.message(llm.Assistant, "an answer"))
		w.ok(w.End(w.ctx, owner, e))
		w.equal([]any{w.recorded(next.ID), w.recorded(e.Outcome.ID), w.read(owner, c.ID), len(w.items(c.ID))}, []any{true, true, c, 2})
		orphans, err = w.Orphans(w.ctx)
		w.ok(err)
		w.equal(len(orphans), 0)
		late := w.ending(&chat.Turn{Response: r}, chat.Completed)
		w.fault(w.End(w.ctx, owner, late), fault.NotFound, chat.CodeResponseNotFound)
		w.equal(w.recorded(late.Outcome.ID), false)
	}},
	{"an unstored response whose conversation is gone still has its outcome", func(w *world) {
		c := w.conversation(w.messages(2)...)
		r := w.unstored(c)
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, 0, ""))
		e := w.ending(&chat.Turn{Response: r}, chat.Completed)
		w.ok(w.End(w.ctx, owner, e))
		w.equal(w.recorded(e.Outcome.ID), true)
	}},
	{"an item that is kept from the context at the end stays visible", func(w *world) {
		c := w.conversation()
		t := w.begin(c)
		cut := w.call("1")
		cut.Excluded = true
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Cancelled, w.message(llm.Assistant, "half"), cut)))
		w.equal(len(w.items(c.ID)), 3)
		w.equal(w.window(c.ID, 0), upTo(1, 2))
	}},
}
