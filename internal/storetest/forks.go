package storetest

import (
	"strconv"
	"sync"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// fork copies a conversation and returns the copy as it is stored.
func (w *world) fork(source, after string) chat.Conversation {
	w.t.Helper()
	at := w.now()
	c := chat.Conversation{ID: w.id("conv_"), CreatedAt: at, UpdatedAt: at}
	w.ok(w.ForkConversation(w.ctx, owner, nil, source, after, &c))
	stored := w.read(owner, c.ID)
	c.CreatedAt, c.UpdatedAt = kept(c.CreatedAt), kept(c.UpdatedAt)
	w.equal(c, stored)
	return stored
}

// copied are items as a fork has them.
func copied(items []chat.Item, conversationID string) []chat.Item {
	list := make([]chat.Item, len(items))
	for i, it := range items {
		it.ConversationID, it.Seq = conversationID, int64(i+1)
		list[i] = it
	}
	return list
}

// long is a conversation of n items, more than a store may copy at once.
func (w *world) long(n int) chat.Conversation {
	w.t.Helper()
	c := w.conversation()
	for n > 0 {
		part := min(n, 1000)
		w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(part)))
		n -= part
	}
	return w.read(owner, c.ID)
}

var forkCases = []testCase{
	{"a fork has the source's settings and items, has used and cost nothing, and says where it comes from", func(w *world) {
		source := w.full()
		w.ok(w.CreateConversation(w.ctx, owner, nil, &source, w.script("u a s u")))
		t := w.begin(w.read(owner, source.ID))
		answer := w.message(llm.Assistant, "an answer")
		answer.Usage, answer.Metadata = &llm.Usage{InputTokens: 1, TotalTokens: 1}, map[string]string{"k": "<v>"}
		e := w.ending(t, chat.Completed, answer, w.call("1"))
		e.Response.Usage = &llm.Usage{InputTokens: 1, TotalTokens: 1}
		w.ok(w.End(w.ctx, owner, e))
		w.ok(w.AppendItems(w.ctx, owner, nil, source.ID, "", []chat.Item{w.output("1")}))
		items, before := w.items(source.ID), w.read(owner, source.ID)

		c := w.fork(source.ID, "")
		want := before
		want.ID, want.CreatedAt, want.UpdatedAt, want.Usage, want.Cost = c.ID, c.CreatedAt, c.UpdatedAt, llm.Usage{}, nil
		want.Version, want.ContextVersion = 1, 1
		want.ForkedFrom = &chat.Fork{ConversationID: source.ID, ItemID: items[len(items)-1].ID}
		w.equal(c, want)
		w.equal(w.items(c.ID), copied(items, c.ID))
		w.equal(w.read(owner, source.ID), before)
		w.equal(w.items(source.ID), items)
		list, err := w.Responses(w.ctx, owner, c.ID, chat.Page{Limit: 10})
		w.ok(err)
		w.equal(len(list.Data), 0)
	}},
	{"a fork ends with the item that it is cut behind", func(w *world) {
		source := w.conversation(w.messages(5)...)
		items := w.items(source.ID)
		for i := range items {
			c := w.fork(source.ID, items[i].ID)
			w.equal(w.items(c.ID), copied(items[:i+1], c.ID))
			w.equal([]any{c.MessageCount, *c.ForkedFrom}, []any{int64(i + 1), chat.Fork{ConversationID: source.ID, ItemID: items[i].ID}})
		}
	}},
	{"a cut between a tool call and its output leaves the call unanswered", func(w *world) {
		source := w.conversation(w.script("u c1 c2 o1 o2 a")...)
		items := w.items(source.ID)
		for i := 1; i <= 4; i++ {
			w.equal(w.window(w.fork(source.ID, items[i-1].ID).ID, 0), upTo(1, int64(i)))
		}
	}},
	{"a fork may have a title of its own", func(w *world) {
		source := w.conversation()
		c := chat.Conversation{ID: w.id("conv_"), Title: "its own", TitleSet: true, CreatedAt: w.now(), UpdatedAt: w.now()}
		w.ok(w.ForkConversation(w.ctx, owner, nil, source.ID, "", &c))
		stored := w.read(owner, c.ID)
		w.equal([]any{stored.Title, stored.TitleSet, w.read(owner, source.ID).Title}, []any{"its own", true, "a title"})
	}},
	{"a fork of an empty conversation is empty", func(w *world) {
		source := w.conversation()
		c := w.fork(source.ID, "")
		w.equal([]any{c.MessageCount, *c.ForkedFrom, len(w.items(c.ID))}, []any{int64(0), chat.Fork{ConversationID: source.ID}, 0})
	}},
	{"a fork and its source go on apart, and a fork can be forked", func(w *world) {
		source := w.conversation(w.messages(2)...)
		items := w.items(source.ID)
		c := w.fork(source.ID, "")
		_, err := w.UpdateItem(w.ctx, owner, c.ID, items[0].ID, 0, func(it *chat.Item) error { it.Content = items[1].Content; it.EditedAt = w.now(); return nil })
		w.ok(err)
		w.ok(w.DeleteItem(w.ctx, owner, c.ID, items[1].ID, 0))
		r := w.answered(c.ID)
		w.equal(seqs(w.items(c.ID)), []int64{1, 3, 4})
		w.equal(w.items(source.ID), items)
		again := w.fork(c.ID, "")
		w.equal(w.items(again.ID), copied(w.items(c.ID), again.ID))
		w.equal(*again.ForkedFrom, chat.Fork{ConversationID: c.ID, ItemID: r.Output[0].ID})
		w.ok(w.DeleteConversation(w.ctx, owner, source.ID, 0, ""))
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, 0, ""))
		w.equal(seqs(w.items(again.ID)), upTo(1, 3))
	}},
	{"what left the context of the source is out of a fork's too, and visible", func(w *world) {
		source := w.conversation(w.messages(2)...)
		w.ok(w.End(w.ctx, owner, w.ending(w.begin(source), chat.Failed, w.message(llm.Assistant, "half an"))))
		items := w.items(source.ID)
		c := w.fork(source.ID, items[3].ID)
		w.equal(w.items(c.ID), copied(items, c.ID))
		w.equal(w.window(c.ID, 0), upTo(1, 2))
	}},
	{"while a response runs, a fork has what was there ahead of its turn", func(w *world) {
		source := w.conversation(w.messages(2)...)
		items := w.items(source.ID)
		t := w.begin(source)
		c := w.fork(source.ID, "")
		w.equal(w.items(c.ID), copied(items, c.ID))
		w.equal(c.ActiveResponse, "")
		w.equal(w.items(w.fork(source.ID, items[0].ID).ID)[0].ID, items[0].ID)
		fresh := chat.Conversation{ID: w.id("conv_"), CreatedAt: w.now(), UpdatedAt: w.now()}
		w.fault(w.ForkConversation(w.ctx, owner, nil, source.ID, t.Response.Input[0], &fresh), fault.Conflict, chat.CodeConversationLocked)
		w.answered(c.ID)
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed, w.message(llm.Assistant, "an answer"))))
		w.equal(w.read(owner, w.fork(source.ID, "").ID).MessageCount, int64(4))
	}},
	{"a cut behind a message of another conversation, or of none, is refused", func(w *world) {
		source, second := w.conversation(w.messages(2)...), w.conversation(w.messages(2)...)
		theirs := w.conversationOf(other, w.messages(1)...)
		list, err := w.Items(w.ctx, other, theirs.ID, chat.Page{Limit: 1})
		w.ok(err)
		gone := w.items(source.ID)[1].ID
		w.ok(w.DeleteItem(w.ctx, owner, source.ID, gone, 0))
		for _, after := range []string{w.items(second.ID)[0].ID, list.Data[0].ID, "msg_none", gone} {
			c := chat.Conversation{ID: w.id("conv_"), CreatedAt: w.now(), UpdatedAt: w.now()}
			w.fault(w.ForkConversation(w.ctx, owner, nil, source.ID, after, &c), fault.NotFound, chat.CodeMessageNotFound)
			_, err := w.Conversation(w.ctx, owner, c.ID)
			w.fault(err, fault.NotFound, chat.CodeConversationNotFound)
		}
	}},
	{"a fork of thousands of messages has them all, in order", func(w *world) {
		source := w.long(3210)
		items := w.items(source.ID)
		c := w.fork(source.ID, "")
		w.equal(w.items(c.ID), copied(items, c.ID))
		c = w.fork(source.ID, items[2000].ID)
		w.equal(w.items(c.ID), copied(items[:2001], c.ID))
		w.answered(c.ID)
		w.equal(w.read(owner, c.ID).MessageCount, int64(2003))
	}},
	{"a fork that cannot be completed leaves nothing", func(w *world) {
		for _, n := range []int{2, 2500} {
			source, taken := w.long(n), w.conversation(w.messages(1)...)
			rec := w.record(audit.KindRead, nil)
			c := chat.Conversation{ID: taken.ID, CreatedAt: w.now(), UpdatedAt: w.now()}
			w.fault(w.ForkConversation(w.ctx, owner, nil, source.ID, "", &c, rec), fault.Conflict, chat.CodeDuplicateID)
			w.equal(w.read(owner, taken.ID), taken)
			w.equal(len(w.items(taken.ID)), 1)
			w.equal(w.recorded(rec.ID), false)
			w.equal(len(w.items(w.fork(source.ID, "").ID)), n)
		}
	}},
	{"a fork and its record stand or fall together", func(w *world) {
		source := w.conversation(w.messages(2)...)
		first, second := w.record(audit.KindRead, nil), w.record(audit.KindRead, nil)
		w.ok(w.Append(w.ctx, first))
		c := chat.Conversation{ID: w.id("conv_"), CreatedAt: w.now(), UpdatedAt: w.now()}
		if err := w.ForkConversation(w.ctx, owner, nil, source.ID, "", &c, first); err == nil {
			w.t.Error("took effect without its record")
		}
		_, err := w.Conversation(w.ctx, owner, c.ID)
		w.fault(err, fault.NotFound, chat.CodeConversationNotFound)
		w.ok(w.ForkConversation(w.ctx, owner, nil, source.ID, "", &c, second))
		w.equal(w.recorded(second.ID), true)
	}},
	{"a fork is the conversation as it was at one moment", func(w *world) {
		source := w.long(2500)
		items := w.items(source.ID)
		stop := make(chan struct{})
		var group sync.WaitGroup
		group.Go(func() {
			// The first message always has the number of the last one, or the next.
			for n := 0; ; n++ {
				for _, it := range []chat.Item{items[0], items[len(items)-1]} {
					_, err := w.UpdateItem(w.ctx, owner, source.ID, it.ID, 0, func(it *chat.Item) error {
						it.Metadata = map[string]string{"n": strconv.Itoa(n)}
						it.EditedAt = w.now()
						return nil
					})
					if err != nil {
						w.t.Error(err)
					}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		for range 3 {
			at := w.now()
			c := chat.Conversation{ID: w.id("conv_"), CreatedAt: at, UpdatedAt: at}
			if err := w.ForkConversation(w.ctx, owner, nil, source.ID, "", &c); err != nil {
				w.t.Error(err)
				continue
			}
			got := w.items(c.ID)
			first, _ := strconv.Atoi(got[0].Metadata["n"])
			last, _ := strconv.Atoi(got[len(got)-1].Metadata["n"])
			if first != last && first != last+1 {
				w.t.Errorf("the first message is of change %d, the last of %d", first, last)
			}
		}
		close(stop)
		group.Wait()
	}},
	{"a source that is deleted meanwhile is copied whole or not at all", func(w *world) {
		source := w.long(2500)
		var group sync.WaitGroup
		group.Go(func() {
			if err := w.DeleteConversation(w.ctx, owner, source.ID, 0, ""); err != nil {
				w.t.Error(err)
			}
		})
		c := chat.Conversation{ID: w.id("conv_"), CreatedAt: w.now(), UpdatedAt: w.now()}
		err := w.ForkConversation(w.ctx, owner, nil, source.ID, "", &c)
		group.Wait()
		if err != nil {
			w.fault(err, fault.NotFound, chat.CodeConversationNotFound)
			return
		}
		w.equal(len(w.items(c.ID)), 2500)
	}},
}
