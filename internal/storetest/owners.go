package storetest

import (
	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// missing calls every method that takes an id and returns the names of those that do not say, in the way that is
// promised, that there is no such thing.
func (w *world) missing(owner, conversation, item, response string) []string {
	w.t.Helper()
	page := chat.Page{Limit: 10}
	c := chat.Conversation{ID: conversation, Owner: owner, Version: 1, ContextVersion: 1}
	t := w.turn(c, w.message(llm.User, "hi"))
	t.Response.Owner = owner
	changeConversation := func(*chat.Conversation) error { w.t.Error("a conversation was shown"); return nil }
	changeItem := func(*chat.Item) error { w.t.Error("an item was shown"); return nil }
	type result struct {
		name string
		err  error
		code string
	}
	var results []result
	add := func(name, code string, err error) { results = append(results, result{name, err, code}) }

	_, err := w.Conversation(w.ctx, owner, conversation)
	add("Conversation", chat.CodeConversationNotFound, err)
	_, err = w.UpdateConversation(w.ctx, owner, conversation, 0, changeConversation, w.record(audit.KindRead, nil))
	add("UpdateConversation", chat.CodeConversationNotFound, err)
	add("DeleteConversation", chat.CodeConversationNotFound, w.DeleteConversation(w.ctx, owner, conversation, 0, ""))
	add("DeleteConversation by version", chat.CodeConversationNotFound, w.DeleteConversation(w.ctx, owner, conversation, 1, ""))
	fork := chat.Conversation{ID: w.id("conv_"), CreatedAt: w.now(), UpdatedAt: w.now()}
	add("ForkConversation", chat.CodeConversationNotFound, w.ForkConversation(w.ctx, owner, nil, conversation, "", &fork))
	add("ForkConversation behind an item", chat.CodeConversationNotFound, w.ForkConversation(w.ctx, owner, nil, conversation, item, &fork))
	add("AppendItems", chat.CodeConversationNotFound, w.AppendItems(w.ctx, owner, nil, conversation, "", w.messages(1)))
	_, err = w.Item(w.ctx, owner, conversation, item)
	add("Item", chat.CodeConversationNotFound, err)
	_, err = w.Items(w.ctx, owner, conversation, page)
	add("Items", chat.CodeConversationNotFound, err)
	_, err = w.UpdateItem(w.ctx, owner, conversation, item, 0, changeItem)
	add("UpdateItem", chat.CodeConversationNotFound, err)
	add("DeleteItem", chat.CodeConversationNotFound, w.DeleteItem(w.ctx, owner, conversation, item, 0))
	_, _, err = w.Context(w.ctx, owner, conversation, 0)
	add("Context", chat.CodeConversationNotFound, err)
	_, _, err = w.Context(w.ctx, owner, conversation, 5)
	add("Context of 5", chat.CodeConversationNotFound, err)
	_, _, _, err = w.LastTurn(w.ctx, owner, conversation, 0)
	add("LastTurn", chat.CodeConversationNotFound, err)
	add("Begin", chat.CodeConversationNotFound, w.Begin(w.ctx, owner, t))
	add("BeginAside", chat.CodeConversationNotFound, w.BeginAside(w.ctx, owner, nil, &t.Response, t.Intent))
	_, err = w.Responses(w.ctx, owner, conversation, page)
	add("Responses", chat.CodeConversationNotFound, err)
	_, err = w.Response(w.ctx, owner, response)
	add("Response", chat.CodeResponseNotFound, err)

	var wrong []string
	for _, r := range results {
		if f := fault.Of(r.err); r.err == nil || f.Kind != fault.NotFound || f.Code != r.code {
			wrong = append(wrong, r.name)
			w.t.Errorf("%s: got %v, want %s", r.name, r.err, r.code)
		}
	}
	return wrong
}

var ownerCases = []testCase{
	{"another owner's ids behave like ids that do not exist", func(w *world) {
		c := w.conversation(w.messages(2)...)
		items := w.items(c.ID)
		r := w.answered(c.ID)
		before := w.read(owner, c.ID)
		w.equal(len(w.missing(other, c.ID, items[0].ID, r.ID)), 0)
		w.equal(w.read(owner, c.ID), before)
		w.equal(len(w.items(c.ID)), 4)
	}},
	{"another owner's running response can be neither continued nor ended", func(w *world) {
		t := w.begin(w.conversation())
		e := w.ending(t, chat.Completed)
		w.fault(w.NextAttempt(w.ctx, other, &t.Response, w.record(audit.KindRead, nil)), fault.NotFound, chat.CodeResponseNotFound)
		w.fault(w.End(w.ctx, other, e), fault.NotFound, chat.CodeResponseNotFound)
		w.equal(w.recorded(e.Outcome.ID), false)
		r, err := w.Response(w.ctx, owner, t.Response.ID)
		w.ok(err)
		w.equal(r.Status, chat.InProgress)
	}},
	{"a list holds an owner's own conversations", func(w *world) {
		mine, theirs := w.conversation(), w.conversationOf(other)
		list, err := w.Conversations(w.ctx, owner, chat.Query{Page: chat.Page{Limit: 10}})
		w.ok(err)
		w.equal(conversations(list), []chat.Conversation{mine})
		list, err = w.Conversations(w.ctx, other, chat.Query{Page: chat.Page{Limit: 10}})
		w.ok(err)
		w.equal(conversations(list), []chat.Conversation{theirs})
	}},
	{"two owners may choose the same ids, and each sees its own", func(w *world) {
		at := w.now()
		it := w.message(llm.User, "mine")
		mine := chat.Conversation{ID: w.id("conv_"), Owner: owner, Title: "mine", CreatedAt: at, UpdatedAt: at}
		w.ok(w.CreateConversation(w.ctx, owner, nil, &mine, []chat.Item{it}))
		theirs := mine
		theirs.Owner, theirs.Title = other, "theirs"
		w.ok(w.CreateConversation(w.ctx, other, nil, &theirs, []chat.Item{it}))
		w.equal(w.read(owner, mine.ID).Title, "mine")
		w.equal(w.read(other, mine.ID).Title, "theirs")
		w.ok(w.DeleteConversation(w.ctx, other, mine.ID, 0, ""))
		w.equal(w.read(owner, mine.ID).Title, "mine")
		w.equal(ids(w.items(mine.ID)), []string{it.ID})
	}},
	{"another owner's ids are no cursors", func(w *world) {
		c, theirs := w.conversation(w.messages(2)...), w.conversationOf(other, w.messages(2)...)
		list, err := w.Items(w.ctx, other, theirs.ID, chat.Page{Limit: 1})
		w.ok(err)
		_, err = w.Items(w.ctx, owner, c.ID, chat.Page{Limit: 1, After: list.Data[0].ID})
		w.fault(err, fault.Invalid, chat.CodeInvalidCursor)
		_, err = w.Conversations(w.ctx, owner, chat.Query{Page: chat.Page{Limit: 1, After: theirs.ID}})
		w.fault(err, fault.Invalid, chat.CodeInvalidCursor)
		rec := w.record(audit.KindRead, func(r *audit.Record) { r.Owner = other })
		w.ok(w.Append(w.ctx, rec))
		_, _, err = w.Records(w.ctx, owner, audit.Query{Limit: 1, After: rec.ID})
		w.fault(err, fault.Invalid, chat.CodeInvalidCursor)
	}},
}
