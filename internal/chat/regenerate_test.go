package chat_test

import (
	"slices"
	"testing"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

func (w *world) regenerate(conv string, stream bool) (*chat.Run, error) {
	return w.Respond(w.t.Context(), chat.Request{Caller: caller, ConversationID: conv, Regenerate: true, Stream: stream})
}

func (w *world) texts(conv string) []string {
	w.t.Helper()
	list, err := w.Items(w.t.Context(), caller.Owner, conv, chat.Page{Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	var texts []string
	for _, it := range list.Data {
		texts = append(texts, string(it.Content))
	}
	return texts
}

func TestARegeneratedTurnSendsItsInputAgainAndReplacesItsAnswer(t *testing.T) {
	w := newWorld(t, says("one"), says("two"), says("three"))
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, "first")
	old := w.mustAsk(conv, "second")
	run, err := w.regenerate(conv, true)
	if err != nil {
		t.Fatal(err)
	}
	events := read(t, run)
	r, err := run.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{`user "first"`, `assistant "one"`, `user "second"`}; !slices.Equal(w.provider.calls()[2].Messages, want) {
		t.Errorf("sent %v", w.provider.calls()[2].Messages)
	}
	if got := w.texts(conv); !slices.Equal(got, []string{`"first"`, `"one"`, `"second"`, `"three"`}) {
		t.Errorf("the conversation is %v", got)
	}
	if !slices.Equal(r.Input, old.Input) || r.Output[0].Seq != 5 {
		t.Errorf("input %v, output at %d", r.Input, r.Output[0].Seq)
	}
	for _, e := range events {
		if it, ok := e.(*chat.ItemEvent); ok && it.Item.Seq != 5 {
			t.Errorf("%s says seq %d", e.Type(), it.Item.Seq)
		}
	}
	records := w.records(conv)
	if got := records[len(records)-2].Payloads[0].Text; len(records) != 6 || got != "second" {
		t.Errorf("%d records, the last prompt is %q", len(records), got)
	}
	w.verify()
}

func TestARegeneratedTurnCountsOnlyWhatIsAheadOfItAsContext(t *testing.T) {
	w := newWorld(t, says("x"))
	conv := w.conversation(chat.Conversation{})
	for _, text := range []string{"first", "second", "third"} {
		w.mustAsk(conv, text)
	}
	w.ContextMessages = 1
	run, err := w.regenerate(conv, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.provider.calls()[3].Messages; !slices.Equal(got, []string{`user "second"`, `assistant "x"`, `user "third"`}) {
		t.Errorf("sent %v", got)
	}
}

func TestWhatIsRegeneratedIsReadAnewWhenTheConversationHasChanged(t *testing.T) {
	w := newWorld(t, says("x"))
	conv := w.conversation(chat.Conversation{})
	first := w.mustAsk(conv, "typo of jane@example.com")
	w.store.hook["Begin"] = func() {
		_, err := w.UpdateItem(t.Context(), caller, conv, first.Input[0], 0, func(it *chat.Item) error {
			it.Content = []byte(`"corrected"`)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	run, err := w.regenerate(conv, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.provider.calls()[1].Messages; !slices.Equal(got, []string{`user "corrected"`}) {
		t.Errorf("sent %v", got)
	}
	records := w.records(conv)
	if got := records[len(records)-2].Payloads[0].Text; got != "corrected" {
		t.Errorf("the audit log says %q", got)
	}

	w.store.hook["Begin"] = func() {
		if _, err := w.AppendItems(t.Context(), caller, conv, []chat.Item{message(llm.User, "another")}); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.regenerate(conv, false); code(err) != chat.CodeNothingToRegenerate {
		t.Errorf("got %v", err)
	}
	if n := len(w.provider.calls()); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestARunningTurnCannotBeRegenerated(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "one"), says("two"))
	conv := w.conversation(chat.Conversation{})
	run := w.stream(conv, user("first"))
	begun(t, run)
	if _, err := w.regenerate(conv, false); code(err) != chat.CodeConversationLocked {
		t.Errorf("got %v", err)
	}
	close(release)
	if _, err := run.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAFailedRegenerationLeavesTheOldAnswer(t *testing.T) {
	w := newWorld(t, says("one"), fails(upstreamError(false), "half"), says("three"))
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, "first")
	run, err := w.regenerate(conv, true)
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Wait(t.Context())
	if err == nil || r.Status != chat.Failed {
		t.Fatalf("%s, %v", r.Status, err)
	}
	if got := w.texts(conv); !slices.Equal(got, []string{`"first"`, `"one"`}) {
		t.Errorf("the conversation is %v", got)
	}
	stored, err := w.Response(t.Context(), caller.Owner, r.ID)
	if err != nil || len(stored.Output) != 1 || string(stored.Output[0].Content) != `"half"` {
		t.Errorf("%+v, %v", stored, err)
	}
	w.mustAsk(conv, "second")
	if got := w.provider.calls()[2].Messages; !slices.Equal(got, []string{`user "first"`, `assistant "one"`, `user "second"`}) {
		t.Errorf("sent %v", got)
	}
	w.verify()
}
