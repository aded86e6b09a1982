package chat_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

func TestACancelledResponseKeepsWhatHasCome(t *testing.T) {
	w := newWorld(t, until(nil, "Half "), says("whole"))
	conv := w.conversation(chat.Conversation{})
	run := w.stream(conv, user("hi"))
	begun(t, run)
	r, err := w.Cancel(t.Context(), caller.Owner, run.Response().ID)
	if err != nil || r.Status != chat.Cancelled || len(r.Output) != 1 || string(r.Output[0].Content) != `"Half "` || r.Error != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	if again, err := w.Cancel(t.Context(), caller.Owner, r.ID); err != nil || again.Status != chat.Cancelled || !again.CompletedAt.Equal(r.CompletedAt) {
		t.Errorf("again: %+v, %v", again, err)
	}
	events := w.readFrom(run, 0)
	if last := events[len(events)-1]; last.Type() != chat.EventIncomplete {
		t.Errorf("the last event is %s", last.Type())
	}
	// It stays in the context, and the next turn may begin at once.
	w.mustAsk(conv, "go on")
	if got, want := w.provider.calls()[1].Messages, []string{`user "hi"`, `assistant "Half "`, `user "go on"`}; !slices.Equal(got, want) {
		t.Errorf("sent %q", got)
	}
	records := w.records(conv)
	if records[1].Status != "cancelled" || len(records) != 4 {
		t.Errorf("%+v", records[1])
	}
	w.verify()
}

func TestAWholeResponseIsCancelledToo(t *testing.T) {
	w := newWorld(t, until(nil, "Half "))
	run, err := w.respond(w.conversation(chat.Conversation{}), user("hi"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Cancel(t.Context(), caller.Owner, run.Response().ID); err != nil {
		t.Fatal(err)
	}
	if r, err := run.Wait(t.Context()); err != nil || r.Status != chat.Cancelled {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestAToolCallThatWasCutShortIsNotAnswered(t *testing.T) {
	w := newWorld(t, func(ctx context.Context, yield func(llm.Event, error) bool) {
		_ = yield(llm.Started{HTTPStatus: 200}, nil) && yield(llm.TextDelta{Text: "Let me see."}, nil) &&
			yield(llm.ToolCallStarted{CallID: "call_1", Name: "weather"}, nil) && yield(llm.ToolCallDelta{Arguments: `{"ci`}, nil)
		<-ctx.Done()
	}, says("ok"))
	conv := w.conversation(chat.Conversation{})
	run := w.stream(conv, user("hi"))
	begun(t, run)
	if _, err := w.Cancel(t.Context(), caller.Owner, run.Response().ID); err != nil {
		t.Fatal(err)
	}
	w.mustAsk(conv, "never mind")
	if got, want := w.provider.calls()[1].Messages, []string{`user "hi"`, `assistant "Let me see."`, `user "never mind"`}; !slices.Equal(got, want) {
		t.Errorf("sent %q", got)
	}
}

func TestCancellingWhatHasEndedOrIsAnothers(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "Hello"))
	run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
	id := run.Response().ID
	if _, err := w.Cancel(t.Context(), "another", id); code(err) != chat.CodeResponseNotFound {
		t.Errorf("another's: %v", err)
	}
	close(release)
	read(t, run)
	if r, err := w.Cancel(t.Context(), caller.Owner, id); err != nil || r.Status != chat.Completed {
		t.Errorf("%s, %v", r.Status, err)
	}
	if _, err := w.Cancel(t.Context(), caller.Owner, "resp_none"); code(err) != chat.CodeResponseNotFound {
		t.Errorf("none: %v", err)
	}
}

func TestACancelThatTakesLongAnswersWithWhatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, dialled := make(chan struct{}), make(chan struct{})
		w := newWorld(t, signals(dialled, func(_ context.Context, yield func(llm.Event, error) bool) {
			yield(llm.Started{HTTPStatus: 200}, nil)
			<-release
		}))
		run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
		<-dialled
		began := time.Now()
		r, err := w.Cancel(t.Context(), caller.Owner, run.Response().ID)
		if took := time.Since(began); err != nil || r.Status != chat.InProgress || took != 5*time.Second {
			t.Errorf("%s after %v, %v", r.Status, took, err)
		}
		close(release)
		read(t, run)
		w.verify()
	})
}

func TestABackgroundResponse(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "Hello"))
	conv := w.conversation(chat.Conversation{})
	run, err := w.Respond(t.Context(), chat.Request{Caller: caller, ConversationID: conv, Input: []chat.Item{user("hi")}, Background: true})
	if err != nil {
		t.Fatal(err)
	}
	if r := run.Begun(); r.Status != chat.Queued {
		t.Errorf("it began as %s", r.Status)
	}
	id := run.Response().ID
	if r, err := w.Response(t.Context(), caller.Owner, id); err != nil || r.Status != chat.InProgress {
		t.Errorf("then it is %s, %v", r.Status, err)
	}
	close(release)
	types := ""
	for _, ev := range w.readFrom(run, 0)[:4] {
		types += ev.Type() + " "
	}
	if types != "response.created response.queued response.in_progress response.output_item.added " {
		t.Errorf("it begins with %s", types)
	}
	if r, err := w.Response(t.Context(), caller.Owner, id); err != nil || r.Status != chat.Completed {
		t.Errorf("in the end it is %s, %v", r.Status, err)
	}
	if !w.provider.calls()[0].Stream {
		t.Error("the provider was not asked for a stream")
	}
	w.verify()
}

func TestOfAnUnstoredResponseOnlyTheAuditRecordsStay(t *testing.T) {
	w := newWorld(t, says("one"), says("two"), says("three"))
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, "first")
	before, err := w.Conversation(t.Context(), caller.Owner, conv)
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range []bool{false, true} {
		run, err := w.Respond(t.Context(), chat.Request{Caller: caller, ConversationID: conv, Input: []chat.Item{user("aside")}, Unstored: true, Stream: stream})
		if err != nil {
			t.Fatal(err)
		}
		id := run.Response().ID
		if _, err := w.Response(t.Context(), caller.Owner, id); code(err) != chat.CodeResponseNotFound {
			t.Errorf("while it runs: %v", err)
		}
		r, err := run.Wait(t.Context())
		if err != nil || r.Status != chat.Completed || len(r.Output) != 1 || r.Output[0].ID == "" || len(r.Input) != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		if stream {
			if events := read(t, run); len(events) != 9 {
				t.Errorf("%d events", len(events))
			}
		}
		if _, err := w.Response(t.Context(), caller.Owner, id); code(err) != chat.CodeResponseNotFound {
			t.Errorf("after its end: %v", err)
		}
		if _, err := w.Events(t.Context(), caller.Owner, id, 0); code(err) != chat.CodeResponseNotFound {
			t.Errorf("its events: %v", err)
		}
	}
	if got, want := w.provider.calls()[2].Messages, []string{`user "first"`, `assistant "one"`, `user "aside"`}; !slices.Equal(got, want) {
		t.Errorf("sent %q", got)
	}
	after, err := w.Conversation(t.Context(), caller.Owner, conv)
	if err != nil || after.Version != before.Version || after.MessageCount != 2 || after.Usage != before.Usage {
		t.Errorf("the conversation is %+v, %v", after, err)
	}
	if list, err := w.Responses(t.Context(), caller.Owner, conv, chat.Page{Limit: 10}); err != nil || len(list.Data) != 1 {
		t.Errorf("%d responses, %v", len(list.Data), err)
	}
	if records := w.records(conv); len(records) != 6 || records[5].Status != "completed" || records[5].Payloads[0].Text != "three" {
		t.Errorf("%d records", len(records))
	}
	w.verify()
}

func TestAnUnstoredResponseEndsWithItsReader(t *testing.T) {
	w := newWorld(t, until(nil, "Half "))
	conv := w.conversation(chat.Conversation{})
	run, err := w.Respond(t.Context(), chat.Request{Caller: caller, ConversationID: conv, Input: []chat.Item{user("aside")}, Unstored: true, Stream: true})
	if err != nil {
		t.Fatal(err)
	}
	begun(t, run)
	run.Abandon()
	if r, err := run.Wait(t.Context()); err != nil || r.Status != chat.Cancelled {
		t.Errorf("%s, %v", r.Status, err)
	}
	w.Drain(t.Context())
	if records := w.records(conv); len(records) != 2 || records[1].Status != "cancelled" {
		t.Errorf("%+v", records)
	}
}

func TestAnUnstoredResponseNeedsNoLock(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "Hello"), says("aside"))
	conv := w.conversation(chat.Conversation{})
	run := w.stream(conv, user("hi"))
	begun(t, run)
	aside, err := w.Respond(t.Context(), chat.Request{Caller: caller, ConversationID: conv, Input: []chat.Item{user("aside")}, Unstored: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := aside.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What the running turn has stored so far is not part of it.
	if got, want := w.provider.calls()[1].Messages, []string{`user "aside"`}; !slices.Equal(got, want) {
		t.Errorf("sent %q", got)
	}
	close(release)
	w.readFrom(run, 0)
	w.verify()
}

func TestAnUnstoredResponseThatACrashBrokeOffHasAnOutcome(t *testing.T) {
	w := newWorld(t, until(nil, "Half "))
	conv := w.conversation(chat.Conversation{})
	run, err := w.Respond(t.Context(), chat.Request{Caller: caller, ConversationID: conv, Input: []chat.Item{user("aside")}, Unstored: true, Stream: true})
	if err != nil {
		t.Fatal(err)
	}
	begun(t, run)
	for _, want := range []int{1, 0} {
		if n, err := w.recover(w.beside()); n != want || err != nil {
			t.Fatalf("%d recovered, %v", n, err)
		}
	}
	if records := w.records(conv); len(records) != 2 || records[1].Status != "unknown_after_crash" {
		t.Errorf("%+v", records)
	}
	run.Abandon()
	w.Drain(t.Context())
}
