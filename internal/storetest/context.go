package storetest

import (
	"strings"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// script makes items from letters: u a user's message, a an assistant's, s the system's, c1 a call, o1 its output.
func (w *world) script(script string) []chat.Item {
	var items []chat.Item
	for _, word := range strings.Fields(script) {
		switch word[0] {
		case 'u':
			items = append(items, w.message(llm.User, word))
		case 'a':
			items = append(items, w.message(llm.Assistant, word))
		case 's':
			items = append(items, w.message(llm.System, word))
		case 'c':
			items = append(items, w.call(word[1:]))
		case 'o':
			items = append(items, w.output(word[1:]))
		}
	}
	return items
}

// window is the context of n items as positions in the script, from 1.
func (w *world) window(conversationID string, n int) []int64 {
	w.t.Helper()
	_, items, err := w.Context(w.ctx, owner, conversationID, n)
	w.ok(err)
	return seqs(items)
}

// sent is of items what a context holds of them.
func sent(items []chat.Item) []chat.Item {
	for i, it := range items {
		items[i] = chat.Item{ConversationID: it.ConversationID, ID: it.ID, Seq: it.Seq, Item: it.Item, Output: it.Output, ResponseID: it.ResponseID}
	}
	return items
}

func upTo(from, to int64) []int64 {
	list := []int64{}
	for ; from <= to; from++ {
		list = append(list, from)
	}
	return list
}

var contextCases = []testCase{
	{"the context is the conversation and all its items, in order", func(w *world) {
		c := w.conversation(w.messages(5)...)
		w.answered(c.ID)
		got, items, err := w.Context(w.ctx, owner, c.ID, 0)
		w.ok(err)
		w.equal(got, w.read(owner, c.ID))
		w.equal([]any{items[5].ResponseID == items[6].ResponseID, items[5].Output, items[6].Output}, []any{true, false, true})
		w.equal(items, sent(w.items(c.ID)))
	}},
	{"the context of an empty conversation is empty", func(w *world) {
		c := w.full()
		w.ok(w.CreateConversation(w.ctx, owner, nil, &c, nil))
		for _, n := range []int{0, 1, 10} {
			got, items, err := w.Context(w.ctx, owner, c.ID, n)
			w.ok(err)
			w.equal(got, w.read(owner, c.ID))
			w.equal(len(items), 0)
		}
	}},
	{"a window of n items holds the newest, and grows back to a user's message", func(w *world) {
		c := w.conversation(w.script("u a u a a s u a")...)
		for _, want := range []struct {
			n    int
			from int64
		}{{1, 7}, {2, 7}, {3, 3}, {5, 3}, {6, 3}, {7, 1}, {8, 1}, {9, 1}, {1000, 1}} {
			w.equal(w.window(c.ID, want.n), upTo(want.from, 8))
		}
	}},
	{"a window without a user's message goes back to the start", func(w *world) {
		c := w.conversation(w.script("s a a a")...)
		w.equal(w.window(c.ID, 1), upTo(1, 4))
	}},
	{"a window never parts a tool call from its output", func(w *world) {
		c := w.conversation(w.script("u a u c1 c2 o2 o1 a")...)
		for n := 1; n <= 6; n++ {
			w.equal(w.window(c.ID, n), upTo(3, 8))
		}
		late := w.conversation(w.script("u a u c1 u a u o1 a")...)
		w.equal(w.window(late.ID, 1), upTo(3, 9))
		w.equal(w.window(late.ID, 3), upTo(3, 9))
	}},
	{"an output whose call is gone does not blow the window up", func(w *world) {
		c := w.conversation(w.script("u c1 u a u o1 a")...)
		w.ok(w.DeleteItem(w.ctx, owner, c.ID, w.items(c.ID)[1].ID, 0))
		w.equal(w.window(c.ID, 1), upTo(5, 7))
	}},
	{"the turn of a failed or interrupted response leaves the context and stays visible", func(w *world) {
		for _, status := range []chat.Status{chat.Failed, chat.Interrupted} {
			c := w.conversation(w.messages(2)...)
			t := w.begin(c)
			e := w.ending(t, status, w.message(llm.Assistant, "half an"))
			w.ok(w.End(w.ctx, owner, e))
			items := w.items(c.ID)
			w.equal(seqs(items), upTo(1, 4))
			w.equal([]bool{items[0].Excluded, items[1].Excluded, items[2].Excluded, items[3].Excluded}, []bool{false, false, true, true})
			w.equal(w.window(c.ID, 0), upTo(1, 2))
			w.equal(w.window(c.ID, 2), upTo(1, 2))
			w.equal(w.read(owner, c.ID).MessageCount, int64(4))
		}
	}},
	{"the turn of a cancelled or incomplete response stays in the context", func(w *world) {
		for _, status := range []chat.Status{chat.Cancelled, chat.Incomplete} {
			c := w.conversation(w.messages(2)...)
			w.ok(w.End(w.ctx, owner, w.ending(w.begin(c), status, w.message(llm.Assistant, "half an"))))
			w.equal(w.window(c.ID, 0), upTo(1, 4))
		}
	}},
	{"what left the context does not count in a window", func(w *world) {
		c := w.conversation(w.script("u a u a")...)
		w.ok(w.End(w.ctx, owner, w.ending(w.begin(c), chat.Failed)))
		w.equal(w.window(c.ID, 2), upTo(3, 4))
		w.equal(w.window(c.ID, 3), upTo(1, 4))
	}},
	{"the context of a locked conversation says who holds it", func(w *world) {
		c := w.conversation()
		t := w.begin(c)
		got, items, err := w.Context(w.ctx, owner, c.ID, 0)
		w.ok(err)
		w.equal(got.ActiveResponse, t.Response.ID)
		w.equal(ids(items), t.Response.Input)
	}},
}
