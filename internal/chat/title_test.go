package chat_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// ended tells of responses that have ended, in their order.
type ended chan chat.Response

func (ended) Attempt(string, string, time.Duration) {}

func (e ended) Response(r *chat.Response) { e <- *r }

// next waits until another response has ended.
func (e ended) next(t *testing.T) chat.Response {
	t.Helper()
	select {
	case r := <-e:
		return r
	case <-t.Context().Done():
		t.Fatal("no response has ended")
		return chat.Response{}
	}
}

// signals closes begun when the script begins.
func signals(begun chan<- struct{}, s script) script {
	return func(ctx context.Context, yield func(llm.Event, error) bool) {
		close(begun)
		s(ctx, yield)
	}
}

func newTitledWorld(t *testing.T, scripts ...script) (*world, ended) {
	t.Helper()
	w := newWorld(t, scripts...)
	e := make(ended, 16)
	w.ModelTitles, w.Observer = true, e
	return w, e
}

func (w *world) title(conv string) string {
	w.t.Helper()
	c, err := w.Conversation(w.t.Context(), caller.Owner, conv)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Title
}

// settled drains the service, after which no title is being made any more, and returns the number of calls.
func (w *world) settled() int {
	w.t.Helper()
	w.Drain(w.t.Context())
	return len(w.provider.calls())
}

func TestTheModelIsAskedForATitleAfterTheFirstTurn(t *testing.T) {
	w, e := newTitledWorld(t, says("Lisbon."), says("\"Portugal's capital\"\nI hope it helps."), says("Madrid."))
	conv := w.conversation(chat.Conversation{User: "jane", Instructions: "Be brief.", Params: llm.Params{Stop: []string{"x"}}})
	first := w.mustAsk(conv, "What is the capital of Portugal? I am jane@example.com")
	if got := w.title(conv); got != "What is the capital of Portugal? I am jane@example.com" && got != "Portugal's capital" {
		t.Errorf("at once the title is %q", got)
	}
	e.next(t)
	aside := e.next(t)
	if got := w.title(conv); got != "Portugal's capital" {
		t.Errorf("the title is %q", got)
	}
	call := w.provider.calls()[1]
	if !slices.Equal(call.Messages, []string{`user "User: What is the capital of Portugal? I am jane@example.com\n\nAssistant: Lisbon."`}) ||
		call.Instructions == "Be brief." || call.Params.Stop != nil || *call.Params.MaxOutputTokens != 256 || call.Stream {
		t.Errorf("sent %+v", call)
	}
	w.mustAsk(conv, "And of Spain?")
	records := w.records(conv)
	if len(records) != 6 {
		t.Fatalf("%d records", len(records))
	}
	intent, outcome := records[2], records[3]
	if intent.Kind != audit.KindIntent || outcome.Kind != audit.KindOutcome || intent.ResponseID != aside.ID || outcome.ResponseID != aside.ID ||
		aside.ID == first.ID || intent.User != "u_j" || outcome.Status != "completed" || outcome.Usage == nil {
		t.Errorf("%+v\n%+v", intent, outcome)
	}
	if got := intent.Payloads[0].Text; got != "User: What is the capital of Portugal? I am [MASKED_EMAIL]\n\nAssistant: Lisbon." {
		t.Errorf("the audit log says %q", got)
	}
	if r, err := w.Response(t.Context(), caller.Owner, aside.ID); err != nil || r.Status != chat.Completed || len(r.Output) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	list, err := w.Responses(t.Context(), caller.Owner, conv, chat.Page{Limit: 10})
	if err != nil || len(list.Data) != 2 {
		t.Errorf("%d responses, %v", len(list.Data), err)
	}
	if n := w.settled(); n != 3 {
		t.Errorf("%d calls", n)
	}
	w.verify()
}

func TestNoTitleIsAskedForWhereThereIsOneOrNoneIsWanted(t *testing.T) {
	for name, prepare := range map[string]func(w *world) string{
		"the title was given":        func(w *world) string { return w.conversation(chat.Conversation{Title: "hello"}) },
		"titles are not the model's": func(w *world) string { w.ModelTitles = false; return w.conversation(chat.Conversation{}) },
		"half the places are taken":  func(w *world) string { w.UpstreamConcurrency = 1; return w.conversation(chat.Conversation{}) },
		"it is not the first turn": func(w *world) string {
			w.ModelTitles = false
			conv := w.conversation(chat.Conversation{})
			w.mustAsk(conv, "hello")
			w.provider.sent = nil
			w.ModelTitles = true
			return conv
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := newTitledWorld(t, says("hi"), says("wrong"))
			conv := prepare(w)
			w.mustAsk(conv, "hello")
			if n := w.settled(); n != 1 {
				t.Errorf("%d calls", n)
			}
			if got := w.title(conv); got != "hello" {
				t.Errorf("the title is %q", got)
			}
		})
	}
}

func TestATurnThatFailsIsNotTheFirst(t *testing.T) {
	w, e := newTitledWorld(t, fails(upstreamError(false)), says("hi"), says("Greeting"))
	conv := w.conversation(chat.Conversation{})
	if _, err := w.ask(conv, "hello"); err == nil {
		t.Fatal("it did not fail")
	}
	w.mustAsk(conv, "hello again")
	for range 3 {
		e.next(t)
	}
	if got := w.title(conv); got != "Greeting" {
		t.Errorf("the title is %q", got)
	}
}

func TestATitleThatSomebodySetsMeanwhileStays(t *testing.T) {
	release, begun := make(chan struct{}), make(chan struct{})
	w, e := newTitledWorld(t, says("hi"), signals(begun, until(release, "Model's ", "title")), says("still here"))
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, "hello")
	e.next(t)
	<-begun
	// The call for the title goes on: the conversation is not locked by it.
	w.mustAsk(conv, "are you there?")
	e.next(t)
	if _, err := w.UpdateConversation(t.Context(), caller, conv, 0, func(c *chat.Conversation) error { c.SetTitle("mine"); return nil }); err != nil {
		t.Fatal(err)
	}
	close(release)
	if r := e.next(t); r.Status != chat.Completed {
		t.Errorf("the title's response is %s", r.Status)
	}
	if got := w.title(conv); got != "mine" {
		t.Errorf("the title is %q", got)
	}
	w.verify()
}

func TestATitleThatFailsOrIsEmptyLeavesTheStart(t *testing.T) {
	for name, s := range map[string]script{
		"an error": fails(upstreamError(true)), "nothing": says(), "quotes": says(`""`), "too long": ends("length", "A title that is "), "only a thought": says("<think>What", "?</think>\n"),
	} {
		t.Run(name, func(t *testing.T) {
			w, e := newTitledWorld(t, says("hi"), s)
			conv := w.conversation(chat.Conversation{})
			w.mustAsk(conv, "hello")
			e.next(t)
			e.next(t)
			if got := w.title(conv); got != "hello" {
				t.Errorf("the title is %q", got)
			}
			if n := w.settled(); n != 2 {
				t.Errorf("%d calls", n)
			}
			w.verify()
		})
	}
}

func TestATitleIsAskedForOnceAlsoIfNoneCame(t *testing.T) {
	w, e := newTitledWorld(t, says("hi"), says(), says("hi"), says("hi"), says("hi"))
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, "hello")
	e.next(t)
	e.next(t)
	for range 3 {
		w.mustAsk(conv, "hello again")
	}
	if n := w.settled(); n != 5 {
		t.Errorf("%d calls, want four answers and one title", n)
	}
}

func TestALongExchangeIsCutForATitle(t *testing.T) {
	w, e := newTitledWorld(t, says(strings.Repeat("é", 3000)), says("Long"))
	w.AuditMaxChars = 10_000
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, strings.Repeat("x", 1990)+" jane.doe@example.com")
	e.next(t)
	e.next(t)
	if got := len(w.provider.calls()[1].Messages[0]); got > 6100 {
		t.Errorf("%d bytes were sent", got)
	}
	// The address was cut in two in what was sent, and is masked all the same.
	if got := w.records(conv)[2].Payloads[0].Text; strings.Contains(got, "jane") {
		t.Errorf("the audit log says %q", got)
	}
}

func TestShuttingDownGivesUpOnTitles(t *testing.T) {
	begun := make(chan struct{})
	w, e := newTitledWorld(t, says("hi"), signals(begun, until(nil, "Half a ")))
	conv := w.conversation(chat.Conversation{})
	run := w.stream(conv, user("hello"))
	read(t, run)
	e.next(t)
	<-begun
	w.Drain(t.Context())
	if r := e.next(t); r.Status != chat.Interrupted {
		t.Errorf("the title's response is %s", r.Status)
	}
	if got := w.title(conv); got != "hello" {
		t.Errorf("the title is %q", got)
	}
	w.verify()
}

func TestATitleThatACrashBrokeOffHasAnOutcome(t *testing.T) {
	begun := make(chan struct{})
	w, e := newTitledWorld(t, says("hi"), signals(begun, until(nil, "Half a ")))
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, "hello")
	e.next(t)
	<-begun
	if n, err := w.recover(w.beside()); n != 1 || err != nil {
		t.Fatalf("%d recovered, %v", n, err)
	}
	records := w.records(conv)
	if last := records[len(records)-1]; len(records) != 4 || last.Status != "unknown_after_crash" || last.ResponseID != records[2].ResponseID {
		t.Errorf("%+v", records)
	}
	w.Drain(t.Context())
}
