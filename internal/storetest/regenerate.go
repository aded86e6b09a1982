package storetest

import (
	"errors"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// again is the start of a response that runs a conversation's last turn again, as it stands now.
func (w *world) again(conversationID string) *chat.Turn {
	w.t.Helper()
	c, _, input, err := w.LastTurn(w.ctx, owner, conversationID, 0)
	w.ok(err)
	t := w.turn(c, input...)
	t.Regenerate = true
	return t
}

func (w *world) beginAgain(conversationID string) *chat.Turn {
	w.t.Helper()
	t := w.again(conversationID)
	w.ok(w.Begin(w.ctx, owner, t))
	return t
}

// regenerated runs the last turn again to an end and returns the response as it is stored.
func (w *world) regenerated(conversationID string, status chat.Status, output ...chat.Item) chat.Response {
	w.t.Helper()
	t := w.beginAgain(conversationID)
	w.ok(w.End(w.ctx, owner, w.ending(t, status, output...)))
	r, err := w.Response(w.ctx, owner, t.Response.ID)
	w.ok(err)
	return r
}

// lastTurn is what LastTurn returns, as places.
func (w *world) lastTurn(conversationID string, n int) (history, input []int64) {
	w.t.Helper()
	_, h, in, err := w.LastTurn(w.ctx, owner, conversationID, n)
	w.ok(err)
	return seqs(h), seqs(in)
}

var regenerateCases = []testCase{
	{"the last turn is the input of the response at the end, and what a prompt sends ahead of it", func(w *world) {
		c := w.conversation(w.script("u a")...)
		w.answered(c.ID)
		t := w.turn(w.read(owner, c.ID), w.message(llm.User, "one"), w.message(llm.User, "two"))
		w.ok(w.Begin(w.ctx, owner, t))
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed, w.call("1"), w.message(llm.Assistant, "an answer"))))
		got, history, input, err := w.LastTurn(w.ctx, owner, c.ID, 0)
		w.ok(err)
		items := w.items(c.ID)
		w.equal(got, w.read(owner, c.ID))
		w.equal(input, items[4:6])
		w.equal(history, sent(items[:4]))
		for n, want := range map[int]int64{1: 3, 2: 3, 3: 1, 4: 1, 9: 1} {
			history, input := w.lastTurn(c.ID, n)
			w.equal(history, upTo(want, 4))
			w.equal(input, []int64{5, 6})
		}
	}},
	{"the last turn of a failed response is its input, which is out of the context", func(w *world) {
		c := w.conversation(w.script("u a")...)
		w.ok(w.End(w.ctx, owner, w.ending(w.begin(c), chat.Failed, w.message(llm.Assistant, "half an"))))
		history, input := w.lastTurn(c.ID, 0)
		w.equal([][]int64{history, input}, [][]int64{{1, 2}, {3}})
	}},
	{"a conversation that does not end with a turn has nothing to regenerate", func(w *world) {
		stored := w.conversation(w.script("u a")...)
		added := w.conversation()
		w.answered(added.ID)
		w.ok(w.AppendItems(w.ctx, owner, nil, added.ID, "", w.messages(1)))
		asked := w.conversation()
		w.answered(asked.ID)
		w.ok(w.DeleteItem(w.ctx, owner, asked.ID, w.items(asked.ID)[0].ID, 0))
		for _, id := range []string{w.conversation().ID, stored.ID, added.ID, asked.ID} {
			_, _, _, err := w.LastTurn(w.ctx, owner, id, 0)
			w.fault(err, fault.Invalid, chat.CodeNothingToRegenerate)
		}
		// What was added can be taken away again, and a turn can do without its output.
		w.ok(w.DeleteItem(w.ctx, owner, added.ID, w.items(added.ID)[2].ID, 0))
		w.ok(w.DeleteItem(w.ctx, owner, added.ID, w.items(added.ID)[1].ID, 0))
		history, input := w.lastTurn(added.ID, 0)
		w.equal([][]int64{history, input}, [][]int64{{}, {1}})
	}},
	{"of a conversation on which a response runs only the conversation is told", func(w *world) {
		c := w.conversation()
		t := w.begin(c)
		got, history, input, err := w.LastTurn(w.ctx, owner, c.ID, 0)
		w.ok(err)
		w.equal([]any{got.ActiveResponse, len(history), len(input)}, []any{t.Response.ID, 0, 0})
	}},
	{"a turn that begins again adds no items and holds the conversation", func(w *world) {
		c := w.conversation()
		w.answered(c.ID)
		before, items := w.read(owner, c.ID), w.items(c.ID)
		t := w.beginAgain(c.ID)
		w.equal(t.OutputSeq, int64(3))
		w.equal(w.items(c.ID), items)
		after := w.read(owner, c.ID)
		w.equal([]any{after.ActiveResponse, after.Version, after.MessageCount}, []any{t.Response.ID, before.Version + 1, before.MessageCount})
		r, err := w.Response(w.ctx, owner, t.Response.ID)
		w.ok(err)
		w.equal([]any{r.Input, len(r.Output), r.Status}, []any{[]string{items[0].ID}, 0, chat.InProgress})
		w.equal(w.recorded(t.Intent.ID), true)
		w.fault(w.Begin(w.ctx, owner, w.turn(after, w.message(llm.User, "me too"))), fault.Conflict, chat.CodeConversationLocked)
	}},
	{"a new turn says where its output begins, too", func(w *world) {
		c := w.conversation(w.messages(3)...)
		t := w.turn(c, w.messages(2)...)
		w.ok(w.Begin(w.ctx, owner, t))
		w.equal(t.OutputSeq, int64(6))
	}},
	{"a new answer supersedes the old output, which its response still has", func(w *world) {
		for _, status := range []chat.Status{chat.Completed, chat.Incomplete} {
			c := w.conversation(w.messages(2)...)
			t := w.turn(c, w.message(llm.User, "one"), w.message(llm.User, "two"))
			w.ok(w.Begin(w.ctx, owner, t))
			w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed, w.message(llm.Assistant, "old"), w.call("1"))))
			old, err := w.Response(w.ctx, owner, t.Response.ID)
			w.ok(err)
			before, items := w.read(owner, c.ID), w.items(c.ID)
			r := w.regenerated(c.ID, status, w.message(llm.Assistant, "new"))

			w.equal(seqs(w.items(c.ID)), []int64{1, 2, 3, 4, 7})
			w.equal(w.window(c.ID, 0), []int64{1, 2, 3, 4, 7})
			after := w.read(owner, c.ID)
			w.equal([]any{after.ActiveResponse, after.Version, after.MessageCount}, []any{"", before.Version + 2, int64(5)})
			input := w.items(c.ID)[2]
			w.equal([]any{input.ResponseID, input.Version, input.Output}, []any{r.ID, items[2].Version + 1, false})
			w.equal([]any{r.Input, ids(r.Output), r.Output[0].Superseded}, []any{ids(items[2:4]), ids(w.items(c.ID)[4:]), false})

			now, err := w.Response(w.ctx, owner, old.ID)
			w.ok(err)
			for i := range old.Output {
				old.Output[i].Superseded = true
			}
			w.equal(now, old)
			list, err := w.Responses(w.ctx, owner, c.ID, chat.Page{Limit: 10})
			w.ok(err)
			w.equal(list.Data, []chat.Response{old, r})
		}
	}},
	{"when the new response is no answer, all stays as it was", func(w *world) {
		for _, status := range []chat.Status{chat.Failed, chat.Interrupted, chat.Cancelled} {
			c := w.conversation(w.messages(2)...)
			w.answered(c.ID)
			before, items := w.read(owner, c.ID), w.items(c.ID)
			r := w.regenerated(c.ID, status, w.message(llm.Assistant, "half an"))
			w.equal(w.items(c.ID), items)
			w.equal(w.window(c.ID, 0), upTo(1, 4))
			after := w.read(owner, c.ID)
			w.equal([]any{after.ActiveResponse, after.MessageCount}, []any{"", before.MessageCount})
			w.equal([]any{r.Status, r.Input, len(r.Output), r.Output[0].Superseded}, []any{status, []string{items[2].ID}, 1, true})
			w.equal(w.regenerated(c.ID, chat.Completed, w.message(llm.Assistant, "new")).Input, r.Input)
			w.equal(seqs(w.items(c.ID)), []int64{1, 2, 3, 6})
		}
	}},
	{"a failed turn that is answered at last is in the context", func(w *world) {
		c := w.conversation(w.messages(2)...)
		w.ok(w.End(w.ctx, owner, w.ending(w.begin(c), chat.Failed, w.message(llm.Assistant, "half an"))))
		w.regenerated(c.ID, chat.Failed, w.message(llm.Assistant, "again half an"))
		w.equal(seqs(w.items(c.ID)), upTo(1, 4))
		w.equal(w.window(c.ID, 0), upTo(1, 2))
		w.regenerated(c.ID, chat.Completed, w.message(llm.Assistant, "an answer"))
		w.equal(seqs(w.items(c.ID)), []int64{1, 2, 3, 6})
		w.equal(w.window(c.ID, 0), []int64{1, 2, 3, 6})
		w.equal(w.read(owner, c.ID).MessageCount, int64(4))
	}},
	{"a turn can be run again and again, and the conversation goes on", func(w *world) {
		c := w.conversation()
		w.answered(c.ID)
		for range 3 {
			w.regenerated(c.ID, chat.Completed, w.message(llm.Assistant, "one"), w.message(llm.Assistant, "two"))
		}
		w.equal(seqs(w.items(c.ID)), []int64{1, 7, 8})
		w.answered(c.ID)
		w.equal(seqs(w.items(c.ID)), []int64{1, 7, 8, 9, 10})
		w.regenerated(c.ID, chat.Completed)
		w.equal(w.window(c.ID, 0), []int64{1, 7, 8, 9})
		w.equal(w.window(c.ID, 2), []int64{1, 7, 8, 9})
		w.equal(w.read(owner, c.ID).MessageCount, int64(4))
	}},
	{"output that was deleted before is not counted when the rest is superseded", func(w *world) {
		c := w.conversation()
		t := w.begin(c)
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed, w.message(llm.Assistant, "one"), w.message(llm.Assistant, "two"))))
		w.ok(w.DeleteItem(w.ctx, owner, c.ID, w.items(c.ID)[1].ID, 0))
		w.regenerated(c.ID, chat.Completed, w.message(llm.Assistant, "new"))
		w.equal([]any{seqs(w.items(c.ID)), w.read(owner, c.ID).MessageCount}, []any{[]int64{1, 4}, int64(2)})
	}},
	{"what was superseded is neither read nor changed, and is a place to go on from", func(w *world) {
		c := w.conversation(w.messages(2)...)
		r := w.answered(c.ID)
		w.regenerated(c.ID, chat.Completed, w.message(llm.Assistant, "new"))
		old := r.Output[0].ID
		_, err := w.Item(w.ctx, owner, c.ID, old)
		w.fault(err, fault.NotFound, chat.CodeMessageNotFound)
		_, err = w.UpdateItem(w.ctx, owner, c.ID, old, 0, func(*chat.Item) error { return nil })
		w.fault(err, fault.NotFound, chat.CodeMessageNotFound)
		w.fault(w.DeleteItem(w.ctx, owner, c.ID, old, 0), fault.NotFound, chat.CodeMessageNotFound)
		fork := chat.Conversation{ID: w.id("conv_"), CreatedAt: w.now(), UpdatedAt: w.now()}
		w.fault(w.ForkConversation(w.ctx, owner, nil, c.ID, old, &fork), fault.NotFound, chat.CodeMessageNotFound)
		for _, page := range []struct {
			p    chat.Page
			want []int64
		}{
			{chat.Page{Limit: 10, After: old}, []int64{5}},
			{chat.Page{Limit: 10, Before: old}, []int64{1, 2, 3}},
			{chat.Page{Limit: 10, After: old, Desc: true}, []int64{3, 2, 1}},
			{chat.Page{Limit: 2, Desc: true}, []int64{5, 3}},
		} {
			list, err := w.Items(w.ctx, owner, c.ID, page.p)
			w.ok(err)
			w.equal(seqs(list.Data), page.want)
		}
	}},
	{"a fork has nothing of what was superseded, and all of a turn that is being run again", func(w *world) {
		c := w.conversation()
		w.answered(c.ID)
		w.regenerated(c.ID, chat.Completed, w.message(llm.Assistant, "new"))
		items := w.items(c.ID)
		w.beginAgain(c.ID)
		fork := w.fork(c.ID, "")
		w.equal(w.items(fork.ID), copied(items, fork.ID))
		w.equal(w.items(w.fork(c.ID, items[1].ID).ID)[1].ID, items[1].ID)
	}},
	{"a fork's last turn can be run again, also where it was cut before its output", func(w *world) {
		c := w.conversation(w.messages(2)...)
		r := w.answered(c.ID)
		items := w.items(c.ID)
		for _, after := range []string{items[2].ID, items[3].ID} {
			fork := w.fork(c.ID, after)
			again := w.regenerated(fork.ID, chat.Completed, w.message(llm.Assistant, "new"))
			w.equal(again.Input, r.Input)
			got := w.items(fork.ID)
			w.equal([]any{len(got), ids(got[:3]), got[2].ResponseID, got[3].ID}, []any{4, ids(items[:3]), again.ID, again.Output[0].ID})
		}
		w.equal(w.items(c.ID), items)
		kept, err := w.Response(w.ctx, owner, r.ID)
		w.ok(err)
		w.equal(kept, r)
	}},
	{"a turn is not begun again on a conversation that has changed since", func(w *world) {
		c := w.conversation()
		w.answered(c.ID)
		t := w.again(c.ID)
		w.ok(w.DeleteItem(w.ctx, owner, c.ID, t.Input[0].ID, 0))
		if err := w.Begin(w.ctx, owner, t); !errors.Is(err, chat.ErrStale) {
			w.t.Errorf("got %v", err)
		}
		w.equal(w.recorded(t.Intent.ID), false)
	}},
	{"a turn that is run again on a conversation that is deleted still has its outcome", func(w *world) {
		c := w.conversation()
		w.answered(c.ID)
		t := w.beginAgain(c.ID)
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, 0, t.Response.ID))
		e := w.ending(t, chat.Completed, w.message(llm.Assistant, "new"))
		w.ok(w.End(w.ctx, owner, e))
		w.equal(w.recorded(e.Outcome.ID), true)
	}},
}
