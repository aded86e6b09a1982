package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// oddities are contents that a store which looks into them would change.
var oddities = []string{
	`""`, `"plain"`, "\"\x01\x7f\"", `"\u0000\ud800 \/ \u00e9 é 漢 🙂"`, ` [ { "type" : "text" , "text":"a" } ] `, `[{"b":1.0,"a":1e400,"a":"twice"}]`,
	`"<&>` + "\u2028" + `"`, `null`,
}

var itemCases = []testCase{
	{"appended items stand at the end, and the conversation says so", func(w *world) {
		c := w.conversation(w.messages(2)...)
		items := w.messages(2)
		w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "not taken", items))
		w.equal(seqs(items), []int64{3, 4})
		w.equal(items[0].ConversationID, c.ID)
		stored := w.items(c.ID)
		w.equal(seqs(stored), []int64{1, 2, 3, 4})
		w.equal(ids(stored[2:]), ids(items))
		got := w.read(owner, c.ID)
		w.equal([]any{got.Version, got.MessageCount, got.Title}, []any{c.Version + 1, int64(4), "a title"})
		w.equal(got.UpdatedAt, kept(items[1].CreatedAt))
	}},
	{"a conversation without a title takes the one that comes with an item", func(w *world) {
		c := chat.Conversation{ID: w.id("conv_"), Owner: owner, CreatedAt: w.now(), UpdatedAt: w.now()}
		w.ok(w.CreateConversation(w.ctx, owner, nil, &c, nil))
		w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(1)))
		w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "the first", w.messages(1)))
		w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "the second", w.messages(1)))
		w.equal(w.read(owner, c.ID).Title, "the first")
	}},
	{"an item comes back as it was given, to the byte and the millisecond", func(w *world) {
		c := w.conversation()
		usage := &llm.Usage{InputTokens: 1, OutputTokens: 2, TotalTokens: 3, CachedTokens: 4, ReasoningTokens: 5}
		items := []chat.Item{
			w.message(llm.User, "plain"),
			{
				ID: "own id, 好", Item: llm.Item{Type: llm.TypeMessage, Role: llm.Assistant, Content: json.RawMessage(`[]`)}, Status: chat.ItemIncomplete,
				Model: "gpt", Usage: usage, ResponseID: "resp_x", Output: true, Metadata: map[string]string{"k": "<&>"},
				CreatedAt: w.now(), EditedAt: w.now(), Version: 3, Excluded: true,
			},
			w.item(llm.Item{Type: "from_the_future", Data: json.RawMessage(`{ "type":"from_the_future", "x":[1, 2.50, {"y":null}] }`)}),
		}
		w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "", items))
		want := slices.Clone(items)
		for i := range want {
			want[i].CreatedAt = kept(want[i].CreatedAt)
		}
		want[1].EditedAt = kept(want[1].EditedAt)
		w.equal(w.items(c.ID), want)
		one, err := w.Item(w.ctx, owner, c.ID, "own id, 好")
		w.ok(err)
		w.equal(one, want[1])
	}},
	{"content is kept byte for byte", func(w *world) {
		c := w.conversation()
		var items []chat.Item
		for _, content := range append(oddities, `"`+strings.Repeat("x", 1<<20)+`"`) {
			items = append(items, w.item(llm.Item{Type: llm.TypeMessage, Role: llm.User, Content: json.RawMessage(content)}),
				w.item(llm.Item{Type: "other", Data: json.RawMessage(content)}))
		}
		w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "", items))
		for i, got := range w.items(c.ID) {
			if !bytes.Equal(got.Content, items[i].Content) || !bytes.Equal(got.Data, items[i].Data) {
				w.t.Errorf("item %d: got %.100q and %.100q", i, got.Content, got.Data)
			}
		}
	}},
	{"an id that is in the conversation already is refused, with all that came with it", func(w *world) {
		c := w.conversation(w.messages(2)...)
		taken := w.items(c.ID)[0].ID
		before := w.read(owner, c.ID)
		for _, place := range []int{0, 1, 2} {
			items := w.messages(3)
			items[place].ID = taken
			rec := w.record(audit.KindRead, nil)
			w.fault(w.AppendItems(w.ctx, owner, nil, c.ID, "", items, rec), fault.Conflict, chat.CodeDuplicateID)
			w.equal(w.recorded(rec.ID), false)
		}
		single := w.messages(1)
		single[0].ID = taken
		w.fault(w.AppendItems(w.ctx, owner, nil, c.ID, "", single), fault.Conflict, chat.CodeDuplicateID)
		w.equal(w.read(owner, c.ID), before)
		w.equal(len(w.items(c.ID)), 2)
	}},
	{"two conversations may hold items of the same id", func(w *world) {
		first := w.conversation(w.messages(1)...)
		it := w.items(first.ID)[0]
		second := w.conversation()
		it.Content = json.RawMessage(`"second"`)
		w.ok(w.AppendItems(w.ctx, owner, nil, second.ID, "", []chat.Item{it}))
		got, err := w.Item(w.ctx, owner, second.ID, it.ID)
		w.ok(err)
		w.equal(string(got.Content), `"second"`)
		got, err = w.Item(w.ctx, owner, first.ID, it.ID)
		w.ok(err)
		w.equal(string(got.Content), `"message 1"`)
	}},
	{"what is appended at one time is all there, each with its own seq", func(w *world) {
		c := w.conversation()
		const writers, each = 16, 5
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				for range each {
					if err := w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(2)); err != nil {
						w.t.Error(err)
					}
				}
			})
		}
		group.Wait()
		items := w.items(c.ID)
		for i := range items {
			if items[i].Seq != int64(i)+1 {
				w.t.Fatalf("place %d has seq %d", i, items[i].Seq)
			}
		}
		w.equal(len(items), writers*each*2)
		got := w.read(owner, c.ID)
		w.equal([]int64{got.MessageCount, got.Version}, []int64{writers * each * 2, c.Version + writers*each})
	}},
	{"an edit is returned as it is stored, one version on, and moves the conversation", func(w *world) {
		c := w.conversation(w.messages(3)...)
		it := w.items(c.ID)[1]
		at := w.now()
		rec := w.record(audit.KindMessageEdited, func(r *audit.Record) { r.ConversationID, r.ItemID = c.ID, it.ID })
		got, err := w.UpdateItem(w.ctx, owner, c.ID, it.ID, it.Version, func(it *chat.Item) error {
			it.Content, it.Metadata, it.EditedAt = json.RawMessage(`"edited"`), map[string]string{"k": "v"}, at
			return nil
		}, rec)
		w.ok(err)
		want := it
		want.Content, want.Metadata, want.EditedAt, want.Version = json.RawMessage(`"edited"`), map[string]string{"k": "v"}, kept(at), it.Version+1
		w.equal(got, want)
		stored, err := w.Item(w.ctx, owner, c.ID, it.ID)
		w.ok(err)
		w.equal(stored, want)
		after := w.read(owner, c.ID)
		w.equal([]any{after.Version, after.UpdatedAt, after.MessageCount}, []any{c.Version + 1, kept(at), int64(3)})
		w.equal(w.recorded(rec.ID), true)
	}},
	{"an edit of anything but content and metadata is not taken", func(w *world) {
		c := w.conversation(w.messages(1)...)
		it := w.items(c.ID)[0]
		_, err := w.UpdateItem(w.ctx, owner, c.ID, it.ID, 0, func(it *chat.Item) error {
			it.ID, it.Seq, it.Role, it.Type, it.Version, it.Excluded, it.ConversationID, it.Status = "x", 9, llm.System, "x", 9, true, "x", chat.ItemIncomplete
			it.EditedAt = w.now()
			return nil
		})
		w.ok(err)
		got := w.items(c.ID)[0]
		it.Version, it.EditedAt = 2, got.EditedAt
		w.equal(got, it)
	}},
	{"an edit that is refused, stale or of nothing changes nothing", func(w *world) {
		c := w.conversation(w.messages(1)...)
		it := w.items(c.ID)[0]
		refused := errors.New("refused")
		rec := w.record(audit.KindMessageEdited, nil)
		_, err := w.UpdateItem(w.ctx, owner, c.ID, it.ID, 0, func(*chat.Item) error { return refused }, rec)
		if err != refused { //nolint:errorlint // the very error is promised
			w.t.Fatalf("got %v", err)
		}
		edit := func(it *chat.Item) error { it.Content = json.RawMessage(`"edited"`); return nil }
		_, err = w.UpdateItem(w.ctx, owner, c.ID, it.ID, it.Version+1, edit, rec)
		w.fault(err, fault.Precondition, chat.CodeVersionMismatch)
		_, err = w.UpdateItem(w.ctx, owner, c.ID, "msg_none", 0, edit, rec)
		w.fault(err, fault.NotFound, chat.CodeMessageNotFound)
		w.equal(w.items(c.ID), []chat.Item{it})
		w.equal(w.read(owner, c.ID), c)
		w.equal(w.recorded(rec.ID), false)
	}},
	{"of edits by the same version made at one time exactly one takes effect", func(w *world) {
		c := w.conversation(w.messages(1)...)
		it := w.items(c.ID)[0]
		results := make([]error, 16)
		var group sync.WaitGroup
		for i := range results {
			group.Go(func() {
				_, results[i] = w.UpdateItem(w.ctx, owner, c.ID, it.ID, it.Version, func(it *chat.Item) error { it.EditedAt = w.now(); return nil })
			})
		}
		group.Wait()
		won := 0
		for _, err := range results {
			if err == nil {
				won++
			} else {
				w.fault(err, fault.Precondition, chat.CodeVersionMismatch)
			}
		}
		w.equal(won, 1)
		w.equal(w.items(c.ID)[0].Version, it.Version+1)
	}},
	{"a deleted item is gone, and its place is never taken again", func(w *world) {
		c := w.conversation(w.messages(3)...)
		items := w.items(c.ID)
		rec := w.record(audit.KindMessageDeleted, nil)
		w.ok(w.DeleteItem(w.ctx, owner, c.ID, items[2].ID, items[2].Version, rec))
		w.equal(w.recorded(rec.ID), true)
		_, err := w.Item(w.ctx, owner, c.ID, items[2].ID)
		w.fault(err, fault.NotFound, chat.CodeMessageNotFound)
		after := w.read(owner, c.ID)
		w.equal([]int64{after.Version, after.MessageCount}, []int64{c.Version + 1, 2})
		w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(1)))
		w.equal(seqs(w.items(c.ID)), []int64{1, 2, 4})
	}},
	{"a deletion that is stale or of nothing changes nothing", func(w *world) {
		c := w.conversation(w.messages(1)...)
		it := w.items(c.ID)[0]
		rec := w.record(audit.KindMessageDeleted, nil)
		w.fault(w.DeleteItem(w.ctx, owner, c.ID, it.ID, it.Version+1, rec), fault.Precondition, chat.CodeVersionMismatch)
		w.fault(w.DeleteItem(w.ctx, owner, c.ID, "msg_none", 0, rec), fault.NotFound, chat.CodeMessageNotFound)
		w.equal(w.read(owner, c.ID), c)
		w.equal(w.recorded(rec.ID), false)
	}},
	{"what its caller has given up is not done", func(w *world) {
		c := w.conversation(w.messages(1)...)
		gone, cancel := context.WithCancel(w.ctx)
		cancel()
		rec := w.record(audit.KindRead, nil)
		w.equal(fault.Of(w.AppendItems(gone, owner, nil, c.ID, "", w.messages(1), rec)).Kind, fault.Canceled)
		_, err := w.Items(gone, owner, c.ID, chat.Page{Limit: 1})
		w.equal(fault.Of(err).Kind, fault.Canceled)
		w.equal(w.read(owner, c.ID), c)
		w.equal(w.recorded(rec.ID), false)
	}},
}
