package storetest

import (
	"encoding/json"
	"errors"
	"strconv"
	"sync"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

func ptr[T any](v T) *T { return &v }

// full is a conversation with everything set.
func (w *world) full() chat.Conversation {
	at := w.now()
	return chat.Conversation{
		ID: w.id("conv_"), Owner: owner, Title: "Grüße <&> 你好", TitleSet: true, User: "user-1", Model: "gpt", Instructions: "Be brief.\nAlways.",
		Params: llm.Params{
			Temperature: ptr(0.0), TopP: ptr(0.5), MaxOutputTokens: ptr(int64(7)), Stop: []string{"a<b", "\u2028"}, Seed: ptr(int64(-1)),
			PresencePenalty: ptr(-2.0), FrequencyPenalty: ptr(1.5), ResponseFormat: json.RawMessage(`{"type":"text","x":"<>&"}`), Truncation: "auto",
		},
		Metadata: map[string]string{"k": "v", "": "", "ключ": "<&>"}, ForkedFrom: &chat.Fork{ConversationID: "conv_x", ItemID: "msg_x"},
		Cost:      &chat.Cost{AmountMicros: 3, PriceVersion: "list 1", Estimated: true},
		CreatedAt: at, UpdatedAt: w.now(),
	}
}

var conversationCases = []testCase{
	{"a new conversation comes back as it was given", func(w *world) {
		c := w.full()
		want := c
		w.ok(w.CreateConversation(w.ctx, owner, nil, &c, nil))
		want.Version, want.ContextVersion, want.CreatedAt, want.UpdatedAt = 1, 1, kept(c.CreatedAt), kept(c.UpdatedAt)
		w.equal(w.read(owner, c.ID), want)
		w.equal(c.Version, int64(1))
		w.equal(c.MessageCount, int64(0))
	}},
	{"a plain conversation comes back plain", func(w *world) {
		at := w.now()
		c := chat.Conversation{ID: w.id("conv_"), Owner: owner, CreatedAt: at, UpdatedAt: at}
		w.ok(w.CreateConversation(w.ctx, owner, nil, &c, nil))
		w.equal(w.read(owner, c.ID), chat.Conversation{ID: c.ID, Owner: owner, Version: 1, ContextVersion: 1, CreatedAt: kept(at), UpdatedAt: kept(at)})
	}},
	{"a conversation begins with its first items, in order", func(w *world) {
		c := chat.Conversation{ID: w.id("conv_"), Owner: owner, CreatedAt: w.now(), UpdatedAt: w.now()}
		items := w.messages(3)
		w.ok(w.CreateConversation(w.ctx, owner, nil, &c, items))
		w.equal(c.MessageCount, int64(3))
		w.equal(seqs(items), []int64{1, 2, 3})
		stored := w.items(c.ID)
		w.equal(ids(stored), ids(items))
		w.equal(seqs(stored), []int64{1, 2, 3})
		w.equal(w.read(owner, c.ID).MessageCount, int64(3))
		w.equal(stored[0].ConversationID, c.ID)
	}},
	{"a conversation whose items cannot all be stored is not stored at all", func(w *world) {
		c := chat.Conversation{ID: w.id("conv_"), Owner: owner, CreatedAt: w.now(), UpdatedAt: w.now()}
		items := w.messages(3)
		items[2].ID = items[0].ID
		rec := w.record(audit.KindRead, nil)
		w.fault(w.CreateConversation(w.ctx, owner, nil, &c, items, rec), fault.Conflict, chat.CodeDuplicateID)
		_, err := w.Conversation(w.ctx, owner, c.ID)
		w.fault(err, fault.NotFound, chat.CodeConversationNotFound)
		w.equal(w.recorded(rec.ID), false)
	}},
	{"an id that was chosen twice is refused, and the first keeps it", func(w *world) {
		first := w.conversation(w.messages(1)...)
		second := chat.Conversation{ID: first.ID, Owner: owner, Title: "second", CreatedAt: w.now(), UpdatedAt: w.now()}
		w.fault(w.CreateConversation(w.ctx, owner, nil, &second, nil), fault.Conflict, chat.CodeDuplicateID)
		w.equal(w.read(owner, first.ID), first)
	}},
	{"a change is returned as it is stored, one version on", func(w *world) {
		c := w.conversation()
		full := w.full()
		at := w.now()
		got, err := w.UpdateConversation(w.ctx, owner, c.ID, c.Version, func(c *chat.Conversation) error {
			c.Title, c.TitleSet, c.Model, c.Instructions, c.Params, c.Metadata, c.UpdatedAt = full.Title, true, full.Model, full.Instructions, full.Params, full.Metadata, at
			return nil
		})
		w.ok(err)
		w.equal(got, w.read(owner, c.ID))
		w.equal(got.Version, c.Version+1)
		w.equal(got.Params, full.Params)
		w.equal(got.Metadata, full.Metadata)
		w.equal(got.UpdatedAt, kept(at))
	}},
	{"a change can take every setting away again", func(w *world) {
		c := w.full()
		w.ok(w.CreateConversation(w.ctx, owner, nil, &c, nil))
		_, err := w.UpdateConversation(w.ctx, owner, c.ID, 0, func(c *chat.Conversation) error {
			c.Title, c.TitleSet, c.Model, c.Instructions, c.Params, c.Metadata = "", false, "", "", llm.Params{}, nil
			return nil
		})
		w.ok(err)
		got := w.read(owner, c.ID)
		w.equal([]any{got.Title, got.TitleSet, got.Model, got.Instructions, got.Params, len(got.Metadata)}, []any{"", false, "", "", llm.Params{}, 0})
	}},
	{"a change of anything else is not taken", func(w *world) {
		c := w.conversation(w.messages(2)...)
		got, err := w.UpdateConversation(w.ctx, owner, c.ID, 0, func(c *chat.Conversation) error {
			c.ID, c.Owner, c.User, c.MessageCount, c.Version, c.ActiveResponse, c.Usage.TotalTokens = "x", other, "x", 9, 77, "resp_x", 5
			c.ForkedFrom = &chat.Fork{ConversationID: "x"}
			return nil
		})
		w.ok(err)
		c.Version++
		w.equal(got, c)
		w.equal(w.read(owner, c.ID), c)
	}},
	{"an error from a change comes back as it is, and nothing is written", func(w *world) {
		c := w.conversation()
		refused := errors.New("refused")
		rec := w.record(audit.KindRead, nil)
		_, err := w.UpdateConversation(w.ctx, owner, c.ID, 0, func(c *chat.Conversation) error {
			c.Title = "changed"
			return refused
		}, rec)
		if err != refused { //nolint:errorlint // the very error is promised
			w.t.Fatalf("got %v", err)
		}
		w.equal(w.read(owner, c.ID), c)
		w.equal(w.recorded(rec.ID), false)
	}},
	{"a change to a version that is not the current one is refused", func(w *world) {
		c := w.conversation()
		title := func(c *chat.Conversation) error { c.Title = "changed"; return nil }
		for _, version := range []int64{c.Version + 1, 99} {
			_, err := w.UpdateConversation(w.ctx, owner, c.ID, version, title)
			w.fault(err, fault.Precondition, chat.CodeVersionMismatch)
		}
		_, err := w.UpdateConversation(w.ctx, owner, c.ID, c.Version, title)
		w.ok(err)
		_, err = w.UpdateConversation(w.ctx, owner, c.ID, c.Version, title)
		w.fault(err, fault.Precondition, chat.CodeVersionMismatch)
	}},
	{"of changes made at one time none is lost", func(w *world) {
		c := w.conversation()
		const writers = 16
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				_, err := w.UpdateConversation(w.ctx, owner, c.ID, 0, func(c *chat.Conversation) error {
					n, _ := strconv.Atoi(c.Metadata["n"])
					c.Metadata = map[string]string{"n": strconv.Itoa(n + 1)}
					return nil
				})
				if err != nil {
					w.t.Error(err)
				}
			})
		}
		group.Wait()
		got := w.read(owner, c.ID)
		w.equal(got.Metadata["n"], strconv.Itoa(writers))
		w.equal(got.Version, c.Version+writers)
	}},
	{"of changes by the same version made at one time exactly one takes effect", func(w *world) {
		c := w.conversation()
		results := make([]error, 16)
		var group sync.WaitGroup
		for i := range results {
			group.Go(func() {
				_, results[i] = w.UpdateConversation(w.ctx, owner, c.ID, c.Version, func(c *chat.Conversation) error {
					c.Title = strconv.Itoa(i)
					return nil
				})
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
	}},
	{"what does not exist is not found", func(w *world) {
		w.equal(len(w.missing(owner, "conv_none", "msg_none", "resp_none")), 0)
	}},
	{"an empty store is ready and has no conversations", func(w *world) {
		w.ok(w.Ready(w.ctx))
		list, err := w.Conversations(w.ctx, owner, chat.Query{Page: chat.Page{Limit: 20, Desc: true}})
		w.ok(err)
		w.equal(len(list.Data), 0)
		w.equal(list.HasMore, false)
	}},
}
