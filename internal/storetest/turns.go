package storetest

import (
	"encoding/json"
	"errors"
	"sync"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// refusedWhileRunning are the changes that a running response locks out.
func (w *world) refusedWhileRunning(c chat.Conversation, item string, rec audit.Record) map[string]error {
	_, updateErr := w.UpdateItem(w.ctx, owner, c.ID, item, 0, func(*chat.Item) error { return nil }, rec)
	t := w.turn(w.read(owner, c.ID), w.message(llm.User, "me too"))
	t.Intent = rec
	return map[string]error{
		"AppendItems": w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(1), rec),
		"UpdateItem":  updateErr,
		"DeleteItem":  w.DeleteItem(w.ctx, owner, c.ID, item, 0, rec),
		"Begin":       w.Begin(w.ctx, owner, t),
	}
}

// edit replaces what a conversation's first message says.
func (w *world) edit(conversationID, content string) error {
	_, err := w.UpdateItem(w.ctx, owner, conversationID, w.items(conversationID)[0].ID, 0, func(it *chat.Item) error {
		it.Content, it.EditedAt = json.RawMessage(content), w.now()
		return nil
	})
	return err
}

var turnCases = []testCase{
	{"a begun response is stored with its question, and holds the conversation", func(w *world) {
		c := chat.Conversation{ID: w.id("conv_"), Owner: owner, CreatedAt: w.now(), UpdatedAt: w.now()}
		w.ok(w.CreateConversation(w.ctx, owner, nil, &c, w.messages(2)))
		c = w.read(owner, c.ID)
		t := w.turn(c, w.message(llm.User, "first"), w.message(llm.User, "second"))
		t.Response.Truncated = 2
		want := t.Response
		w.ok(w.Begin(w.ctx, owner, t))
		w.equal(seqs(t.Input), []int64{3, 4})

		got, err := w.Response(w.ctx, owner, t.Response.ID)
		w.ok(err)
		want.CreatedAt = kept(want.CreatedAt)
		w.equal(got, want)
		items := w.items(c.ID)
		w.equal(ids(items[2:]), want.Input)
		w.equal([]any{items[2].ResponseID, items[2].Output, items[2].Excluded}, []any{want.ID, false, false})
		after := w.read(owner, c.ID)
		w.equal([]any{after.ActiveResponse, after.Version, after.MessageCount, after.Title}, []any{want.ID, c.Version + 1, int64(4), "from the prompt"})
		w.equal(w.recorded(t.Intent.ID), true)
	}},
	{"an ended response is stored with its answer, and gives the conversation back", func(w *world) {
		c := w.conversation(w.messages(1)...)
		t := w.begin(c)
		begun := w.read(owner, c.ID)
		usage := &llm.Usage{InputTokens: 10, OutputTokens: 20, TotalTokens: 30, CachedTokens: 4, ReasoningTokens: 5}
		reasoning := w.item(llm.Item{Type: llm.TypeReasoning, Data: json.RawMessage(`{"type":"reasoning","summary":[]}`)})
		answer := w.message(llm.Assistant, "an answer")
		answer.Usage = usage
		e := w.ending(t, chat.Incomplete, reasoning, answer, w.call("1"))
		e.Response.Usage, e.Response.FinishReason, e.Response.Attempts = usage, "length", 2
		e.Response.Cost, e.Response.Truncated = &chat.Cost{AmountMicros: 12, PriceVersion: "list 1"}, 4
		e.Response.StartedAt, e.Response.FirstTokenAt = w.now(), w.now()
		w.ok(w.End(w.ctx, owner, e))
		w.equal(seqs(e.Response.Output), []int64{3, 4, 5})

		got, err := w.Response(w.ctx, owner, t.Response.ID)
		w.ok(err)
		want := e.Response
		want.CreatedAt, want.StartedAt = kept(want.CreatedAt), kept(want.StartedAt)
		want.FirstTokenAt, want.CompletedAt = kept(want.FirstTokenAt), kept(want.CompletedAt)
		for i := range want.Output {
			want.Output[i].CreatedAt = kept(want.Output[i].CreatedAt)
		}
		w.equal(got, want)
		w.equal(w.items(c.ID)[2:], want.Output)
		after := w.read(owner, c.ID)
		w.equal([]any{after.ActiveResponse, after.Version, after.MessageCount, after.Usage}, []any{"", begun.Version + 1, int64(5), *usage})
		w.equal(w.recorded(e.Outcome.ID), true)
	}},
	{"the usage of a conversation is the sum of its responses'", func(w *world) {
		c := w.conversation()
		for i, usage := range []*llm.Usage{{InputTokens: 1, OutputTokens: 2, TotalTokens: 3}, nil, {InputTokens: 10, OutputTokens: 20, TotalTokens: 30, CachedTokens: 1}} {
			e := w.ending(w.begin(w.read(owner, c.ID)), []chat.Status{chat.Completed, chat.Completed, chat.Failed}[i])
			e.Response.Usage = usage
			w.ok(w.End(w.ctx, owner, e))
		}
		w.equal(w.read(owner, c.ID).Usage, llm.Usage{InputTokens: 11, OutputTokens: 22, TotalTokens: 33, CachedTokens: 1})
	}},
	{"the cost of a conversation is the sum of its responses' that are known", func(w *world) {
		c := w.conversation()
		costs := []*chat.Cost{nil, {AmountMicros: 7, PriceVersion: "list 1"}, {AmountMicros: 1 << 40, PriceVersion: "list 2", Estimated: true}, nil, {PriceVersion: ""}}
		sums := []*chat.Cost{nil, costs[1], {AmountMicros: 1<<40 + 7, PriceVersion: "list 2", Estimated: true}, {AmountMicros: 1<<40 + 7, PriceVersion: "list 2", Estimated: true}, {AmountMicros: 1<<40 + 7, Estimated: true}}
		for i, cost := range costs {
			e := w.ending(w.begin(w.read(owner, c.ID)), chat.Completed)
			e.Response.Cost = cost
			w.ok(w.End(w.ctx, owner, e))
			r, err := w.Response(w.ctx, owner, e.Response.ID)
			w.ok(err)
			w.equal(r.Cost, cost)
			w.equal(w.read(owner, c.ID).Cost, sums[i])
		}
	}},
	{"while a response runs, messages cannot be added, edited or deleted and no other can begin", func(w *world) {
		c := w.conversation(w.messages(1)...)
		item := w.items(c.ID)[0].ID
		w.begin(c)
		before, items := w.read(owner, c.ID), w.items(c.ID)
		rec := w.record(audit.KindRead, nil)
		for name, err := range w.refusedWhileRunning(c, item, rec) {
			f := fault.Of(err)
			if err == nil || f.Kind != fault.Conflict || f.Code != chat.CodeConversationLocked {
				w.t.Errorf("%s: got %v", name, err)
			}
		}
		w.equal(w.read(owner, c.ID), before)
		w.equal(w.items(c.ID), items)
		w.equal(w.recorded(rec.ID), false)
	}},
	{"while a response runs, the conversation's settings can be changed", func(w *world) {
		c := w.conversation()
		t := w.begin(c)
		got, err := w.UpdateConversation(w.ctx, owner, c.ID, 0, func(c *chat.Conversation) error { c.Title = "changed"; return nil })
		w.ok(err)
		w.equal([]any{got.Title, got.ActiveResponse}, []any{"changed", t.Response.ID})
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed, w.message(llm.Assistant, "an answer"))))
		after := w.read(owner, c.ID)
		w.equal([]any{after.Title, after.ActiveResponse, after.MessageCount}, []any{"changed", "", int64(2)})
	}},
	{"whoever has seen the end can begin the next turn", func(w *world) {
		c := w.conversation()
		for range 3 {
			w.answered(c.ID)
		}
		w.equal(seqs(w.items(c.ID)), upTo(1, 6))
	}},
	{"a turn on a conversation whose prompt would be another by now is stale", func(w *world) {
		c := w.conversation(w.messages(2)...)
		setting := func(change func(c *chat.Conversation)) func() error {
			return func() error {
				_, err := w.UpdateConversation(w.ctx, owner, c.ID, 0, func(c *chat.Conversation) error { change(c); return nil })
				return err
			}
		}
		changes := map[string]func() error{
			"a message":    func() error { return w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(1)) },
			"a model":      setting(func(c *chat.Conversation) { c.Model += "x" }),
			"instructions": setting(func(c *chat.Conversation) { c.Instructions += "x" }),
			"a parameter":  setting(func(c *chat.Conversation) { c.Params.Stop = append(c.Params.Stop, "x") }),
			"all settings": setting(func(c *chat.Conversation) { c.Title, c.Model = c.Title+"x", c.Model+"x" }),
			"an edit":      func() error { return w.edit(c.ID, `"edited"`) },
			"a deletion":   func() error { return w.DeleteItem(w.ctx, owner, c.ID, w.items(c.ID)[1].ID, 0) },
			"a whole turn": func() error { w.answered(c.ID); return nil },
			"an edit behind a title": func() error {
				w.ok(setting(func(c *chat.Conversation) { c.Title += "x" })())
				return w.edit(c.ID, `"edited anew"`)
			},
		}
		for name, change := range changes {
			read := w.read(owner, c.ID)
			w.ok(change())
			changed, items := w.read(owner, c.ID), w.items(c.ID)
			t := w.turn(read, w.message(llm.User, "late"))
			if err := w.Begin(w.ctx, owner, t); !errors.Is(err, chat.ErrStale) {
				w.t.Errorf("after %s: got %v", name, err)
			}
			w.equal(w.read(owner, c.ID), changed)
			w.equal(w.items(c.ID), items)
			w.equal(w.recorded(t.Intent.ID), false)
			_, err := w.Response(w.ctx, owner, t.Response.ID)
			w.fault(err, fault.NotFound, chat.CodeResponseNotFound)
		}
	}},
	{"what no prompt is made from may change before a turn begins", func(w *world) {
		changes := map[string]func(c chat.Conversation) error{
			"the title": func(c chat.Conversation) error {
				_, err := w.UpdateConversation(w.ctx, owner, c.ID, 0, func(c *chat.Conversation) error { c.SetTitle("changed"); return nil })
				return err
			},
			"the metadata": func(c chat.Conversation) error {
				_, err := w.UpdateConversation(w.ctx, owner, c.ID, 0, func(c *chat.Conversation) error {
					c.Metadata = map[string]string{"k": "another"}
					return nil
				})
				return err
			},
			"a message's metadata": func(c chat.Conversation) error {
				_, err := w.UpdateItem(w.ctx, owner, c.ID, w.items(c.ID)[0].ID, 0, func(it *chat.Item) error {
					it.Metadata, it.EditedAt = map[string]string{"k": "v"}, w.now()
					return nil
				})
				return err
			},
			"a title that a model made": func(c chat.Conversation) error {
				return w.End(w.ctx, owner, w.titled(w.beginAside(c), "a better title"))
			},
		}
		for name, change := range changes {
			c := w.full()
			c.TitleSet = false
			w.ok(w.CreateConversation(w.ctx, owner, nil, &c, w.messages(1)))
			read := w.read(owner, c.ID)
			w.ok(change(read))
			changed := w.read(owner, c.ID)
			w.equal([]int64{changed.Version, changed.ContextVersion}, []int64{read.Version + 1, read.ContextVersion})
			late := w.turn(read, w.message(llm.User, "a question"))
			if err := w.Begin(w.ctx, owner, late); err != nil {
				w.t.Fatalf("after %s: %v", name, err)
			}
			w.equal(w.read(owner, c.ID).Title, changed.Title)
		}
	}},
	{"what a prompt is made from is another after each begin and each end, by one", func(w *world) {
		for _, status := range []chat.Status{chat.Completed, chat.Incomplete, chat.Failed} {
			c := w.conversation()
			t := w.begin(c)
			w.equal(w.read(owner, c.ID).ContextVersion, c.ContextVersion+1)
			w.ok(w.AppendEvents(w.ctx, owner, t.Response.ID, chat.Batched{Steps: []byte("steps"), LastEvent: 2000}))
			w.ok(w.End(w.ctx, owner, w.ending(t, status, w.message(llm.Assistant, "an answer"), w.message(llm.Assistant, "more"))))
			w.equal(w.read(owner, c.ID).ContextVersion, c.ContextVersion+2)
		}
	}},
	{"of turns begun at one time exactly one begins", func(w *world) {
		c := w.conversation()
		const contenders = 32
		turns := make([]*chat.Turn, contenders)
		results := make([]error, contenders)
		for i := range turns {
			turns[i] = w.turn(c, w.message(llm.User, "me"))
		}
		var group sync.WaitGroup
		for i := range turns {
			group.Go(func() { results[i] = w.Begin(w.ctx, owner, turns[i]) })
		}
		group.Wait()
		var won []string
		for i, err := range results {
			switch {
			case err == nil:
				won = append(won, turns[i].Response.ID)
			case errors.Is(err, chat.ErrStale):
			default:
				w.fault(err, fault.Conflict, chat.CodeConversationLocked)
			}
			w.equal(w.recorded(turns[i].Intent.ID), err == nil)
		}
		w.equal(won, []string{w.read(owner, c.ID).ActiveResponse})
		w.equal(len(w.items(c.ID)), 1)
	}},
	{"a turn whose items cannot all be stored does not begin", func(w *world) {
		c := w.conversation(w.messages(1)...)
		taken := w.items(c.ID)[0].ID
		for n := 1; n <= 3; n++ {
			t := w.turn(c, w.messages(n)...)
			t.Input[n-1].ID = taken
			w.fault(w.Begin(w.ctx, owner, t), fault.Conflict, chat.CodeDuplicateID)
			w.equal(w.recorded(t.Intent.ID), false)
			_, err := w.Response(w.ctx, owner, t.Response.ID)
			w.fault(err, fault.NotFound, chat.CodeResponseNotFound)
		}
		w.equal(w.read(owner, c.ID), c)
		w.equal(len(w.items(c.ID)), 1)
	}},
	{"a response that is begun twice is refused the second time", func(w *world) {
		c, second := w.conversation(), w.conversation()
		t := w.begin(c)
		again := w.turn(second, w.message(llm.User, "again"))
		again.Response.ID = t.Response.ID
		w.fault(w.Begin(w.ctx, owner, again), fault.Conflict, chat.CodeDuplicateID)
		w.equal(w.read(owner, second.ID), second)
		w.equal(len(w.items(second.ID)), 0)
	}},
	{"a response ends once", func(w *world) {
		c := w.conversation()
		t := w.begin(c)
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed, w.message(llm.Assistant, "an answer"))))
		before, items := w.read(owner, c.ID), w.items(c.ID)
		for _, status := range []chat.Status{chat.Completed, chat.Failed, chat.Interrupted} {
			e := w.ending(t, status, w.message(llm.Assistant, "another answer"))
			w.fault(w.End(w.ctx, owner, e), fault.Conflict, chat.CodeResponseEnded)
			w.equal(w.recorded(e.Outcome.ID), false)
		}
		w.equal(w.read(owner, c.ID), before)
		w.equal(w.items(c.ID), items)
	}},
	{"of ends at one time exactly one is written", func(w *world) {
		c := w.conversation()
		t := w.begin(c)
		ends := make([]*chat.Ending, 8)
		results := make([]error, len(ends))
		for i := range ends {
			ends[i] = w.ending(t, chat.Completed, w.message(llm.Assistant, "an answer"))
		}
		var group sync.WaitGroup
		for i := range ends {
			group.Go(func() { results[i] = w.End(w.ctx, owner, ends[i]) })
		}
		group.Wait()
		won := 0
		for i, err := range results {
			if err == nil {
				won++
			} else {
				w.fault(err, fault.Conflict, chat.CodeResponseEnded)
			}
			w.equal(w.recorded(ends[i].Outcome.ID), err == nil)
		}
		w.equal(won, 1)
		w.equal(len(w.items(c.ID)), 2)
	}},
	{"an end that is refused can be tried again", func(w *world) {
		c := w.conversation(w.messages(1)...)
		t := w.begin(c)
		for n := 1; n <= 2; n++ {
			e := w.ending(t, chat.Completed, w.messages(n)...)
			e.Response.Output[n-1].ID = t.Response.Input[0]
			w.fault(w.End(w.ctx, owner, e), fault.Conflict, chat.CodeDuplicateID)
			w.equal(w.recorded(e.Outcome.ID), false)
			w.equal(w.read(owner, c.ID).ActiveResponse, t.Response.ID)
		}
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed, w.message(llm.Assistant, "an answer"))))
		w.equal(seqs(w.items(c.ID)), upTo(1, 3))
	}},
	{"a response that does not exist can be neither continued nor ended", func(w *world) {
		t := w.turn(w.conversation())
		w.fault(w.NextAttempt(w.ctx, owner, &t.Response), fault.NotFound, chat.CodeResponseNotFound)
		w.fault(w.End(w.ctx, owner, w.ending(t, chat.Failed)), fault.NotFound, chat.CodeResponseNotFound)
	}},
	{"a further attempt leaves the outcome of the last and the intent of the next", func(w *world) {
		c := w.conversation()
		t := w.begin(c)
		r := t.Response
		outcome := w.attempt(audit.KindOutcome, &r)
		r.Attempts = 2
		intent := w.attempt(audit.KindIntent, &r)
		w.ok(w.NextAttempt(w.ctx, owner, &r, outcome, intent))
		w.equal([]bool{w.recorded(outcome.ID), w.recorded(intent.ID)}, []bool{true, true})
		got, err := w.Response(w.ctx, owner, r.ID)
		w.ok(err)
		w.equal([]any{got.Attempts, got.Status}, []any{2, chat.InProgress})
		w.equal(w.read(owner, c.ID).ActiveResponse, r.ID)

		t.Response.Attempts = 2
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Failed)))
		late := w.attempt(audit.KindIntent, &r)
		w.fault(w.NextAttempt(w.ctx, owner, &r, late), fault.Conflict, chat.CodeResponseEnded)
		w.equal(w.recorded(late.ID), false)
	}},
	{"a further attempt may be another model's", func(w *world) {
		t := w.begin(w.conversation())
		r := t.Response
		r.Attempts, r.Model, r.Provider, r.Host, r.FallbackFrom = 2, "other/model-2", "other", "other.test", r.Model
		w.ok(w.NextAttempt(w.ctx, owner, &r, w.attempt(audit.KindOutcome, &t.Response), w.attempt(audit.KindIntent, &r)))
		got, err := w.Response(w.ctx, owner, r.ID)
		w.ok(err)
		w.equal([]any{got.Attempts, got.Model, got.Provider, got.Host, got.FallbackFrom}, []any{2, "other/model-2", "other", "other.test", t.Response.Model})
		orphans, err := w.Orphans(w.ctx)
		w.ok(err)
		w.equal([]any{orphans[0].Model, orphans[0].Provider, orphans[0].Host}, []any{"other/model-2", "other", "other.test"})
	}},
	{"a response leaves out the messages that were deleted since", func(w *world) {
		c := w.conversation()
		t := w.turn(c, w.message(llm.User, "first"), w.message(llm.User, "second"))
		w.ok(w.Begin(w.ctx, owner, t))
		w.ok(w.End(w.ctx, owner, w.ending(t, chat.Completed, w.message(llm.Assistant, "one"), w.message(llm.Assistant, "two"))))
		items := w.items(c.ID)
		w.ok(w.DeleteItem(w.ctx, owner, c.ID, items[0].ID, 0))
		w.ok(w.DeleteItem(w.ctx, owner, c.ID, items[3].ID, 0))
		w.ok(w.AppendItems(w.ctx, owner, nil, c.ID, "", w.messages(1)))
		got, err := w.Response(w.ctx, owner, t.Response.ID)
		w.ok(err)
		w.equal(got.Input, []string{items[1].ID})
		w.equal(got.Output, items[2:3])
	}},
	{"the responses that run are orphans to whoever opens the store, those that ended are not", func(w *world) {
		done, first, second := w.conversation(), w.conversation(w.messages(1)...), w.conversationOf(other)
		w.answered(done.ID)
		mine, theirs := w.begin(first), w.begin(second)
		orphans, err := w.Orphans(w.ctx)
		w.ok(err)
		var got []chat.Response
		for _, t := range []*chat.Turn{mine, theirs} {
			want, err := w.Response(w.ctx, t.Response.Owner, t.Response.ID)
			w.ok(err)
			got = append(got, want)
		}
		w.equal(orphans, got)
		for _, r := range orphans {
			w.ok(w.End(w.ctx, r.Owner, w.ending(&chat.Turn{Response: r}, chat.Interrupted)))
		}
		orphans, err = w.Orphans(w.ctx)
		w.ok(err)
		w.equal(len(orphans), 0)
		w.equal(w.read(owner, first.ID).ActiveResponse, "")
	}},
}
