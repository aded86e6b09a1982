package storetest

import (
	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

type reopenCase struct {
	name string
	run  func(w *world, reopen func())
}

var reopenCases = []reopenCase{
	{"what was acknowledged is there after a restart", func(w *world, reopen func()) {
		c := w.full()
		w.ok(w.CreateConversation(w.ctx, owner, nil, &c, w.messages(3)))
		r := w.answered(c.ID)
		rec := w.fullRecord()
		w.ok(w.Append(w.ctx, rec))
		conversation, items := w.read(owner, c.ID), w.items(c.ID)
		record, err := w.Record(w.ctx, owner, rec.ID)
		w.ok(err)
		reopen()
		w.equal(w.read(owner, c.ID), conversation)
		w.equal(w.items(c.ID), items)
		response, err := w.Response(w.ctx, owner, r.ID)
		w.ok(err)
		w.equal(response, r)
		again, err := w.Record(w.ctx, owner, rec.ID)
		w.ok(err)
		w.equal(again, record)
		w.ok(w.Ready(w.ctx))
	}},
	{"a response that ran at a restart is an orphan, and its conversation is usable once it has ended", func(w *world, reopen func()) {
		c := w.conversation(w.messages(1)...)
		t := w.begin(c)
		reopen()
		orphans, err := w.Orphans(w.ctx)
		w.ok(err)
		w.equal(len(orphans), 1)
		r := orphans[0]
		w.equal([]any{r.ID, r.Owner, r.ConversationID, r.Attempts, r.Input}, []any{t.Response.ID, owner, c.ID, 1, t.Response.Input})
		w.fault(w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(1)), fault.Conflict, chat.CodeConversationLocked)
		e := w.ending(&chat.Turn{Response: r}, chat.Interrupted)
		w.ok(w.End(w.ctx, owner, e))
		w.answered(c.ID)
		w.equal(w.window(c.ID, 0), []int64{1, 3, 4})
	}},
	{"a turn that was run again at a restart keeps its old output, and can be run again", func(w *world, reopen func()) {
		c := w.conversation(w.messages(1)...)
		w.answered(c.ID)
		items := w.items(c.ID)
		t := w.beginAgain(c.ID)
		reopen()
		orphans, err := w.Orphans(w.ctx)
		w.ok(err)
		w.equal(len(orphans), 1)
		w.equal([]any{orphans[0].ID, orphans[0].Input}, []any{t.Response.ID, ids(items[1:2])})
		w.ok(w.End(w.ctx, owner, w.ending(&chat.Turn{Response: orphans[0]}, chat.Interrupted)))
		w.equal(w.items(c.ID), items)
		w.regenerated(c.ID, chat.Completed, w.message(llm.Assistant, "new"))
		w.equal(w.window(c.ID, 0), []int64{1, 2, 4})
		reopen()
		w.equal(w.window(c.ID, 0), []int64{1, 2, 4})
	}},
	{"a response aside that ran at a restart is an orphan too, and ends without a title", func(w *world, reopen func()) {
		c := w.conversation(w.messages(1)...)
		r := w.beginAside(c)
		reopen()
		orphans, err := w.Orphans(w.ctx)
		w.ok(err)
		w.equal(len(orphans), 1)
		w.equal([]any{orphans[0].ID, len(orphans[0].Input)}, []any{r.ID, 0})
		e := w.ending(&chat.Turn{Response: orphans[0]}, chat.Interrupted)
		w.ok(w.End(w.ctx, owner, e))
		w.equal(w.recorded(e.Outcome.ID), true)
		w.equal(w.read(owner, c.ID), c)
	}},
	{"deleted conversations stay deleted, also those that a restart interrupted", func(w *world, reopen func()) {
		c := w.conversation(w.messages(1000)...)
		w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(1000)))
		running := w.conversation()
		t := w.begin(running)
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, 0, ""))
		w.ok(w.DeleteConversation(w.ctx, owner, running.ID, 0, t.Response.ID))
		reopen()
		w.equal(len(w.missing(owner, c.ID, "msg_x", t.Response.ID)), 0)
		w.equal(len(w.missing(owner, running.ID, "msg_x", t.Response.ID)), 0)
		orphans, err := w.Orphans(w.ctx)
		w.ok(err)
		w.equal(len(orphans), 1)
		e := w.ending(&chat.Turn{Response: orphans[0]}, chat.Interrupted)
		w.ok(w.End(w.ctx, owner, e))
		w.equal(w.recorded(e.Outcome.ID), true)
	}},
	{"a key that was taken is taken after a restart, and what it stands for is there", func(w *world, reopen func()) {
		t := w.turn(w.conversation(), w.message(llm.User, "a question"))
		t.Claim = w.claim(t.Response.ID)
		w.ok(w.Begin(w.ctx, owner, t))
		reopen()
		w.holds(owner, t.Claim, t.Claim)
		w.equal(w.response(t.Claim.ResourceID).Status, chat.InProgress)
	}},
	{"a fork is there after a restart", func(w *world, reopen func()) {
		source := w.long(2100)
		c := w.fork(source.ID, "")
		items := w.items(c.ID)
		reopen()
		w.equal(w.read(owner, c.ID), c)
		w.equal(w.items(c.ID), items)
	}},
	{"places of deleted items are not taken again after a restart", func(w *world, reopen func()) {
		c := w.conversation(w.messages(2)...)
		w.ok(w.DeleteItem(w.ctx, owner, c.ID, w.items(c.ID)[1].ID, 0))
		reopen()
		w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "", []chat.Item{w.message(llm.User, "new")}))
		w.equal(seqs(w.items(c.ID)), []int64{1, 3})
	}},
	{"records go on after a restart, and those from before are found among them", func(w *world, reopen func()) {
		var want []string
		for range 3 {
			rec := w.record(audit.KindRead, nil)
			w.ok(w.Append(w.ctx, rec))
			want = append(want, rec.ID)
			reopen()
		}
		w.equal(w.recordIDs(owner, audit.Query{Asc: true}), want)
	}},
	{"what was written right ahead of a restart is searched and filtered after it", func(w *world, reopen func()) {
		id := w.filed(func(c *chat.Conversation) { c.Title, c.Metadata = "written", map[string]string{"k": "v"} }, w.message(llm.User, "needle"))
		reopen()
		w.equal(w.finds("written needle"), []string{id})
		w.equal(w.found(chat.Query{Metadata: map[string]string{"k": "v"}}), []string{id})
		w.ok(w.AppendItems(w.ctx, owner, nil, id, "", []chat.Item{w.message(llm.User, "pin")}))
		reopen()
		w.equal(w.finds("needle pin"), []string{id})
	}},
}
