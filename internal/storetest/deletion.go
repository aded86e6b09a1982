package storetest

import (
	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

var deletionCases = []testCase{
	{"a deleted conversation is gone with its items and responses at once", func(w *world) {
		kept := w.conversation(w.messages(2)...)
		c := w.conversation(w.messages(3)...)
		r := w.answered(c.ID)
		item := w.items(c.ID)[0].ID
		rec := w.record(audit.KindConversationDeleted, func(r *audit.Record) { r.ConversationID = c.ID })
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, w.read(owner, c.ID).Version, "", rec))
		w.equal(len(w.missing(owner, c.ID, item, r.ID)), 0)
		list, err := w.Conversations(w.ctx, owner, chat.Query{Page: chat.Page{Limit: 10}})
		w.ok(err)
		w.equal(conversations(list), []chat.Conversation{kept})
		w.equal(len(w.items(kept.ID)), 2)
		w.equal(w.recorded(rec.ID), true)
	}},
	{"a deletion by a version that is not the current one is refused", func(w *world) {
		c := w.conversation()
		rec := w.record(audit.KindConversationDeleted, nil)
		w.fault(w.DeleteConversation(w.ctx, owner, c.ID, c.Version+1, "", rec), fault.Precondition, chat.CodeVersionMismatch)
		w.equal(w.read(owner, c.ID), c)
		w.equal(w.recorded(rec.ID), false)
	}},
	{"audit records outlive their conversation", func(w *world) {
		c := w.conversation()
		t := w.begin(c)
		e := w.ending(t, chat.Completed)
		w.ok(w.End(w.ctx, owner, e))
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, 0, ""))
		recs, _, err := w.Records(w.ctx, owner, audit.Query{ConversationID: c.ID, Limit: 10, Asc: true})
		w.ok(err)
		w.equal(len(recs), 2)
		w.equal([]string{recs[0].ID, recs[1].ID}, []string{t.Intent.ID, e.Outcome.ID})
	}},
	{"the id of a deleted conversation can be used again, and nothing of the old one shows", func(w *world) {
		c := w.conversation(w.messages(3)...)
		r := w.answered(c.ID)
		items := w.items(c.ID)
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, 0, ""))
		again := chat.Conversation{ID: c.ID, Owner: owner, CreatedAt: w.now(), UpdatedAt: w.now()}
		w.ok(w.CreateConversation(w.ctx, owner, nil, &again, items[:1]))
		w.equal(ids(w.items(c.ID)), []string{items[0].ID})
		_, err := w.Response(w.ctx, owner, r.ID)
		w.fault(err, fault.NotFound, chat.CodeResponseNotFound)
		list, err := w.Responses(w.ctx, owner, c.ID, chat.Page{Limit: 10})
		w.ok(err)
		w.equal(len(list.Data), 0)
	}},
	{"a conversation of thousands of messages is deleted like any other", func(w *world) {
		c := w.conversation(w.messages(1000)...)
		for range 2 {
			w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(1000)))
		}
		neighbour := w.conversation(w.messages(3)...)
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, 0, ""))
		_, err := w.Items(w.ctx, owner, c.ID, chat.Page{Limit: 10})
		w.fault(err, fault.NotFound, chat.CodeConversationNotFound)
		for range 10 {
			w.ok(w.AppendItems(w.ctx, owner, nil, neighbour.ID, "", w.messages(1)))
		}
		w.equal(seqs(w.items(neighbour.ID)), upTo(1, 13))
	}},
	{"a conversation on which a response runs is not deleted", func(w *world) {
		c := w.conversation(w.messages(1)...)
		t := w.begin(c)
		begun := w.read(owner, c.ID)
		rec := w.record(audit.KindConversationDeleted, nil)
		for _, orphan := range []string{"", "resp_other"} {
			for _, version := range []int64{0, begun.Version} {
				w.fault(w.DeleteConversation(w.ctx, owner, c.ID, version, orphan, rec), fault.Conflict, chat.CodeConversationLocked)
			}
			w.fault(w.DeleteConversation(w.ctx, owner, c.ID, c.Version, orphan, rec), fault.Precondition, chat.CodeVersionMismatch)
		}
		w.equal(w.read(owner, c.ID), begun)
		w.equal(w.recorded(rec.ID), false)
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Cancelled)))
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, begun.Version+1, "", rec))
	}},
	{"an orphan does not hinder the deletion that names it", func(w *world) {
		c := w.conversation(w.messages(1)...)
		t := w.begin(c)
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, w.read(owner, c.ID).Version, t.Response.ID))
		_, err := w.Conversation(w.ctx, owner, c.ID)
		w.fault(err, fault.NotFound, chat.CodeConversationNotFound)
	}},
	{"an end whose conversation is gone still writes its outcome, once", func(w *world) {
		c := w.conversation(w.messages(1)...)
		t := w.begin(c)
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, 0, t.Response.ID))
		e := w.ending(t, chat.Cancelled, w.message(llm.Assistant, "half an"))
		w.ok(w.End(w.ctx, owner, e))
		w.equal(w.recorded(e.Outcome.ID), true)
		_, err := w.Conversation(w.ctx, owner, c.ID)
		w.fault(err, fault.NotFound, chat.CodeConversationNotFound)
		_, err = w.Response(w.ctx, owner, t.Response.ID)
		w.fault(err, fault.NotFound, chat.CodeResponseNotFound)
		again := w.ending(t, chat.Failed)
		if err := w.End(w.ctx, owner, again); err == nil {
			w.t.Error("the response ended a second time")
		}
		w.equal(w.recorded(again.Outcome.ID), false)
	}},
	{"a running response whose conversation is gone can make a further attempt", func(w *world) {
		c := w.conversation()
		t := w.begin(c)
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, 0, t.Response.ID))
		r := t.Response
		outcome := w.attempt(audit.KindOutcome, &r)
		r.Attempts = 2
		intent := w.attempt(audit.KindIntent, &r)
		w.ok(w.NextAttempt(w.ctx, owner, &r, outcome, intent))
		w.equal([]bool{w.recorded(outcome.ID), w.recorded(intent.ID)}, []bool{true, true})
	}},
	{"an orphan whose conversation is gone is still listed, with its name, until it has an outcome", func(w *world) {
		c := w.conversation()
		t := w.begin(c)
		w.ok(w.DeleteConversation(w.ctx, owner, c.ID, 0, t.Response.ID))
		orphans, err := w.Orphans(w.ctx)
		w.ok(err)
		w.equal(len(orphans), 1)
		w.equal([]string{orphans[0].ID, orphans[0].ConversationID}, []string{t.Response.ID, c.ID})
		e := w.ending(&chat.Turn{Response: orphans[0]}, chat.Interrupted)
		w.ok(w.End(w.ctx, owner, e))
		w.equal(w.recorded(e.Outcome.ID), true)
		orphans, err = w.Orphans(w.ctx)
		w.ok(err)
		w.equal(len(orphans), 0)
	}},
}
