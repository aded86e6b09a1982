package chat_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// everything writes output of every kind, its pieces in an order that providers do send.
func everything(_ context.Context, yield func(llm.Event, error) bool) {
	for _, ev := range []llm.Event{
		llm.Started{HTTPStatus: 200},
		llm.ReasoningDelta{Text: "Let me "},
		llm.ReasoningDelta{Text: "think. \n"},
		llm.ReasoningEncrypted{Content: "EqQB/+=="},
		llm.ReasoningEncrypted{Content: "hidden \"é\""},
		llm.ReasoningDelta{Text: "So."},
		llm.ReasoningEncrypted{},
		llm.TextDelta{Text: "It is "},
		llm.TextDelta{Text: "21 °C, "},
		llm.TextDelta{Text: ""},
		llm.RefusalDelta{Text: "but I can"},
		llm.RefusalDelta{Text: "not say \"more\"."},
		llm.TextDelta{Text: "\x00\u2028Still."},
		llm.ToolCallStarted{Index: 0, CallID: "call_1", Name: "weather"},
		llm.ToolCallStarted{Index: 3, CallID: "call_2", Name: ""},
		llm.ToolCallDelta{Index: 3, Arguments: `{"city":`},
		llm.ToolCallDelta{Index: 0, Arguments: `{}`},
		llm.ToolCallDelta{Index: 3, Arguments: `"Łódź"}`},
		llm.ReasoningDelta{Text: "Done."},
		llm.ReasoningEncrypted{Content: "EqQC"},
		llm.TextDelta{Text: "Bye"},
		llm.Finished{FinishReason: "stop", Usage: &llm.Usage{InputTokens: 5, OutputTokens: 50, TotalTokens: 55}},
	} {
		if !yield(ev, nil) {
			return
		}
	}
}

// many writes n words.
func many(n int) script {
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprintf("w%d ", i)
	}
	return says(words...)
}

// told is what of an event a reader gets to know.
func told(ev chat.Event) chat.Event {
	r, ok := ev.(*chat.ResponseEvent)
	if !ok {
		return ev
	}
	copied := *r
	copied.Response.LastEvent = 0
	return &copied
}

// sameFrom holds what a reader is given against the events that one was given who has read from the start.
func sameFrom(t *testing.T, name string, got, all []numbered, from int) {
	t.Helper()
	want := all[min(from, len(all)):]
	if len(got) != len(want) {
		t.Fatalf("%s: from %d on there are %d events, want %d", name, from, len(got), len(want))
	}
	for i := range got {
		if got[i].number != want[i].number || !reflect.DeepEqual(told(got[i].Event), told(want[i].Event)) {
			t.Fatalf("%s: event %d is\n%#v, want number %d\n%#v", name, got[i].number, got[i].Event, want[i].number, want[i].Event)
		}
	}
}

func TestAStreamIsReadOnFromEveryEvent(t *testing.T) {
	for name, s := range map[string]script{
		"everything": everything, "nothing": says(), "incomplete": ends("length", "half a "), "failed": fails(upstreamError(false), "half a "), "failed at once": fails(upstreamError(false)),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, s)
			run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
			all := collect(t, run.Reader())
			r, _ := run.Wait(t.Context())
			for i, ev := range all {
				if ev.number != i {
					t.Fatalf("event %d has the number %d", i, ev.number)
				}
			}
			read := func(when string) {
				for from := range len(all) + 2 {
					sameFrom(t, when, collect(t, w.events(r.ID, from)), all, from)
				}
			}
			read("after the end")
			w.Drain(t.Context())
			if err := w.store.Close(); err != nil {
				t.Fatal(err)
			}
			w.open()
			read("after a restart")
		})
	}
}

func TestAStreamIsReadOnWhileItRuns(t *testing.T) {
	// More than are reserved at first, and more than one batch.
	const words = 3000
	release := make(chan struct{})
	w := newWorld(t, func(ctx context.Context, yield func(llm.Event, error) bool) {
		many(words)(ctx, func(ev llm.Event, err error) bool {
			if _, end := ev.(llm.Finished); end {
				<-release
			}
			return yield(ev, err)
		})
	})
	conv := w.conversation(chat.Conversation{})
	run := w.stream(conv, user("hi"))
	id := run.Response().ID
	other := w.beside()
	type reading struct {
		from int
		got  chan []numbered
	}
	var readings []reading
	for _, from := range []int{0, 1, 2, 3, 500, 999, 1000, 1001, 2500, 5000} {
		for _, s := range []*chat.Service{w.Service, other} {
			sub, err := s.Events(t.Context(), caller.Owner, id, from)
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
			r := reading{from, make(chan []numbered, 1)}
			readings = append(readings, r)
			go func() { r.got <- collect(t, sub) }()
		}
	}
	close(release)
	all := collect(t, run.Reader())
	if len(all) != words+8 {
		t.Fatalf("%d events", len(all))
	}
	for _, r := range readings {
		sameFrom(t, "while it runs", <-r.got, all, r.from)
	}
	if r, err := w.store.Response(t.Context(), caller.Owner, id); err != nil || r.LastEvent != len(all)-1 {
		t.Errorf("the last event is stored as %d, %v", r.LastEvent, err)
	}
}

// beside is another service on the same database, as another process is where that can be.
func (w *world) beside() *chat.Service {
	w.t.Helper()
	store := w.another()
	s := &chat.Service{
		Store: store, Audit: store, Router: w.Router, DefaultModel: w.DefaultModel, Masker: w.Masker, Log: w.Log, Now: w.Now, NewID: w.NewID,
		Pseudonym: w.Pseudonym, AuditMaxChars: w.AuditMaxChars, UpstreamTimeout: w.UpstreamTimeout, UpstreamConcurrency: w.UpstreamConcurrency,
	}
	return s
}

// logged waits until the event log has a text, where a service can see it that does not make the response.
func (w *world) logged(beside *chat.Service, run *chat.Run) {
	w.t.Helper()
	sub, err := beside.Events(w.t.Context(), caller.Owner, run.Begun().ID, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer sub.Close()
	for {
		b, err := sub.Take(w.t.Context())
		if err != nil || b.Ended {
			w.t.Fatal("the response ended without a text", err)
		}
		if slices.ContainsFunc(b.Events, func(ev chat.Event) bool { return ev.Type() == "response.output_text.delta" }) {
			return
		}
		<-sub.C
	}
}

func TestACrashLeavesWhatWasLoggedOneJumpAndOneEnd(t *testing.T) {
	w := newWorld(t, until(nil, "Half an answer to jane.doe@example.com"))
	conv := w.conversation(chat.Conversation{})
	run := w.stream(conv, user("hi"))
	crashed := w.beside()
	w.logged(crashed, run)
	if n, err := w.recover(crashed); n != 1 || err != nil {
		t.Fatalf("%d recovered, %v", n, err)
	}
	id := run.Response().ID
	r, err := crashed.Response(t.Context(), caller.Owner, id)
	if err != nil || r.Status != chat.Interrupted || len(r.Output) != 1 || string(r.Output[0].Content) != `"Half an answer to jane.doe@example.com"` || r.Output[0].Status != chat.ItemIncomplete {
		t.Fatalf("%+v, %v", r, err)
	}
	for from := range 1002 {
		sub, err := crashed.Events(t.Context(), caller.Owner, id, from)
		if err != nil {
			t.Fatal(err)
		}
		got := collect(t, sub)
		want := []int{0, 1, 2, 3, 4, 1000}
		for len(want) > 0 && want[0] < from {
			want = want[1:]
		}
		if len(got) != len(want) {
			t.Fatalf("from %d on: %d events, want %v", from, len(got), want)
		}
		for i := range got {
			if got[i].number != want[i] || (got[i].number == 1000) != (got[i].Type() == chat.EventFailed) {
				t.Fatalf("from %d on: event %d is %s, want %d", from, got[i].number, got[i].Type(), want[i])
			}
		}
	}
	records := w.records(conv)
	last := records[len(records)-1]
	if last.Status != "unknown_after_crash" || len(last.Payloads) != 1 || last.Payloads[0].Text != "Half an answer to [MASKED_EMAIL]" {
		t.Errorf("the outcome is %+v", last)
	}
	// Nothing of it is in the next prompt, which may begin at once.
	w.provider.scripts = append(w.provider.scripts, says("ok"))
	if _, err := w.respondBy(crashed, conv, "again"); err != nil {
		t.Fatal(err)
	}
	if sent := w.provider.calls()[1]; len(sent.Messages) != 1 {
		t.Errorf("sent %q", sent.Messages)
	}
	run.Abandon()
	w.Drain(canceled())
}

func canceled() context.Context {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	return ctx
}

func (w *world) respondBy(s *chat.Service, conv, text string) (chat.Response, error) {
	run, err := s.Respond(w.t.Context(), chat.Request{Caller: caller, ConversationID: conv, Input: []chat.Item{user(text)}})
	if err != nil {
		return chat.Response{}, err
	}
	return run.Wait(w.t.Context())
}

func TestACrashAheadOfTheFirstBatchLeavesTheBeginning(t *testing.T) {
	w := newWorld(t, says("never"))
	conv := w.conversation(chat.Conversation{})
	orphaned := w.orphan(conv, "resp_orphan")
	w.orphanLog(orphaned, 1000, "resp_orphan")
	if n, err := w.recover(w.Service); n != 1 || err != nil {
		t.Fatalf("%d recovered, %v", n, err)
	}
	var got []string
	for _, ev := range collect(t, w.events("resp_orphan", 0)) {
		got = append(got, fmt.Sprint(ev.number, " ", ev.Type()))
	}
	if want := "0 response.created 1 response.in_progress 1000 response.failed"; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// orphanLog gives a response an event log in which nothing is.
func (w *world) orphanLog(store chat.Store, last int, response string) {
	w.t.Helper()
	if err := store.AppendEvents(w.t.Context(), caller.Owner, response, chat.Batched{LastEvent: last}); err != nil {
		w.t.Fatal(err)
	}
}

func TestAReaderThatIsTooSlowIsCutOffAndReadsOn(t *testing.T) {
	w := newWorld(t, func(_ context.Context, yield func(llm.Event, error) bool) {
		text := strings.Repeat("x", 64<<10)
		yield(llm.Started{HTTPStatus: 200}, nil)
		for range 40 {
			if !yield(llm.TextDelta{Text: text}, nil) {
				return
			}
		}
		yield(llm.Finished{FinishReason: "stop"}, nil)
	})
	run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
	ctx, read := context.WithCancel(t.Context())
	_, err := run.Wait(ctx)
	if read(); err != nil {
		t.Fatal(err)
	}
	slow := run.Reader()
	b, err := slow.Take(t.Context())
	if err != nil || !b.Cut || b.First != 0 || len(b.Events) != 0 {
		t.Fatalf("%+v, %v", b, err)
	}
	slow.Close()
	if all := w.readFrom(run, b.First); len(all) != 48 {
		t.Errorf("%d events", len(all))
	}
}

func TestALogThatCannotBeWrittenGoesWithTheEnd(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "a ", "b"))
	tried := make(chan struct{})
	w.store.hook["AppendEvents"] = func() { close(tried) }
	w.store.inject(true, "AppendEvents", errDisk, errDisk)
	run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
	<-tried
	close(release)
	all := collect(t, run.Reader())
	if _, err := run.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameFrom(t, "from the log", collect(t, w.events(run.Response().ID, 0)), all, 0)
}

func TestAWholeAnswerHasEventsOnceItHasEnded(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "Hello", " there"))
	conv := w.conversation(chat.Conversation{})
	run, err := w.respond(conv, user("hi"))
	if err != nil {
		t.Fatal(err)
	}
	id := run.Response().ID
	for _, s := range []*chat.Service{w.Service, w.beside()} {
		if _, err := s.Events(t.Context(), caller.Owner, id, 0); code(err) != chat.CodeNotStreamed || fault.Of(err).Kind != fault.Conflict {
			t.Errorf("while it runs: %v", err)
		}
	}
	close(release)
	if _, err := run.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := "response.created response.in_progress response.output_item.added response.content_part.added response.output_text.delta " +
		"response.output_text.done response.content_part.done response.output_item.done response.completed"
	var got []string
	for _, ev := range w.readFrom(run, 0) {
		got = append(got, ev.Type())
		if text, ok := ev.(*chat.TextEvent); ok && text.Text != "Hello there" {
			t.Errorf("the text is %q", text.Text)
		}
	}
	if strings.Join(got, " ") != want {
		t.Errorf("got %s", got)
	}
}

func TestTheEventsOfAStoredAnswerAreThoseOfAStream(t *testing.T) {
	w := newWorld(t, everything)
	run, err := w.respond(w.conversation(chat.Conversation{}), user("hi"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var done []string
	for _, ev := range w.readFrom(run, 0) {
		if thought, ok := ev.(*chat.ReasoningEvent); ok && !thought.Done && thought.Text == "" {
			t.Error("a piece of reasoning is empty")
		}
		if item, ok := ev.(*chat.ItemEvent); ok && item.Done {
			done = append(done, string(item.Item.Content)+string(item.Item.Data))
			if !reflect.DeepEqual(item.Item, r.Output[item.OutputIndex]) {
				t.Errorf("item %d is\n%+v, stored is\n%+v", item.OutputIndex, item.Item, r.Output[item.OutputIndex])
			}
		}
	}
	if len(done) != len(r.Output) || len(done) != 8 {
		t.Errorf("%d items are done: %s", len(done), done)
	}
}

func TestALogThatIsGoneSaysSo(t *testing.T) {
	for name, lose := range map[string]func(w *world, conv string, r *chat.Response){
		"a day is over": func(w *world, _ string, r *chat.Response) {
			w.Now = func() time.Time { return r.CompletedAt.Add(24*time.Hour + time.Second) }
		},
		"a message was edited": func(w *world, conv string, r *chat.Response) {
			if _, err := w.UpdateItem(w.t.Context(), caller, conv, r.Output[0].ID, 0, func(it *chat.Item) error { it.Content = []byte(`"no"`); return nil }); err != nil {
				w.t.Fatal(err)
			}
		},
		"a message was deleted": func(w *world, conv string, r *chat.Response) {
			if err := w.DeleteItem(w.t.Context(), caller, conv, r.Output[0].ID, 0); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, says("Hello"))
			conv := w.conversation(chat.Conversation{})
			run := w.stream(conv, user("hi"))
			read(t, run)
			r, _ := run.Wait(t.Context())
			// Until it has left, the run itself has the events.
			w.Drain(t.Context())
			w.events(r.ID, 0)
			lose(w, conv, &r)
			if _, err := w.Events(t.Context(), caller.Owner, r.ID, 0); code(err) != chat.CodeEventLogExpired || fault.Of(err).Kind != fault.Gone {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestEventsAreTheOwners(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "Hello"))
	run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
	id := run.Response().ID
	ask := func() {
		if _, err := w.Events(t.Context(), "another", id, 0); code(err) != chat.CodeResponseNotFound {
			t.Errorf("got %v", err)
		}
	}
	ask()
	close(release)
	read(t, run)
	ask()
}
