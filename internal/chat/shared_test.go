package chat_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// taken is a store whose responses another process may take over.
type taken struct {
	*faulty
	// by is told of each end of a response that was taken over, which is refused.
	by atomic.Pointer[func()]
}

func (*taken) Renew(context.Context, []chat.Running) ([]chat.Running, error) { return nil, nil }
func (*taken) UntilLapse() (time.Duration, bool)                             { return 0, false }
func (*taken) RequestCancel(context.Context, string, string) error           { return nil }
func (*taken) CancelRequests(context.Context) ([]chat.Running, error)        { return nil, nil }
func (s *taken) Runs(ctx context.Context, owner, id string) (bool, error) {
	r, err := s.Response(ctx, owner, id)
	return !r.Status.Terminal(), err
}

func (s *taken) AppendEvents(ctx context.Context, owner, id string, b chat.Batched) error {
	if s.by.Load() != nil {
		return chat.ResponseEndedAlready()
	}
	return s.faulty.AppendEvents(ctx, owner, id, b)
}

func (s *taken) End(ctx context.Context, owner string, e *chat.Ending) error {
	if by := s.by.Load(); by != nil {
		(*by)()
		return chat.ResponseEndedAlready()
	}
	return s.faulty.End(ctx, owner, e)
}

// newShared is a world whose store several processes share; recover ends what runs, as another one of them does that has taken it over.
func newShared(t *testing.T, scripts ...script) (w *world, store *taken, recover func()) {
	t.Helper()
	w = newWorld(t, scripts...)
	other := w.beside()
	store = &taken{faulty: w.store}
	w.Store = store
	return w, store, func() {
		if n, err := w.recover(other); n != 1 || err != nil {
			t.Errorf("recovered %d, %v", n, err)
		}
	}
}

func TestTheReaderOfAResponseThatWasTakenOverGetsTheEndThatIsStored(t *testing.T) {
	release := make(chan struct{})
	w, store, recover := newShared(t, until(release, "early", " late"))
	conv := w.conversation(chat.Conversation{})
	run := w.stream(conv, user("hi"))
	id := run.Response().ID
	w.logged(w.beside(), run)
	here := run.Reader()
	var got []numbered
	for len(got) < 5 {
		b, err := here.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, ev := range b.Events {
			got = append(got, numbered{ev, b.First + i})
		}
		<-here.C
	}
	// It is taken over, and ended only after its holder has tried to.
	refused := make(chan struct{})
	by := func() { close(refused) }
	store.by.Store(&by)
	close(release)
	<-refused
	if r := run.Response(); r.Status.Terminal() {
		t.Errorf("told as %s before any end is stored", r.Status)
	}
	recover()
	r, err := run.Wait(t.Context())
	got = append(got, collect(t, here)...)
	if r.Status != chat.Interrupted || code(err) != "interrupted" || fault.Of(err).ResponseID != id {
		t.Errorf("whoever waits gets %s, %v", r.Status, err)
	}
	sameFrom(t, "taken over", collect(t, w.events(id, 0)), got, 0)
	if last := got[len(got)-1]; last.Type() != "response.failed" || last.number != 1000 {
		t.Errorf("the last event is %d, a %s", last.number, last.Type())
	}
	records := w.records(conv)
	if len(records) != 2 || records[1].Kind != audit.KindOutcome || records[1].Status != "unknown_after_crash" {
		t.Errorf("recorded is %+v", records)
	}
}

func TestAnAnswerThatIsNotStoredIsNotCompleteWhereItWasTakenOver(t *testing.T) {
	w, store, recover := newShared(t, says("Hello"))
	conv := w.conversation(chat.Conversation{})
	store.by.Store(&recover)
	run, err := w.Respond(t.Context(), chat.Request{Caller: caller, ConversationID: conv, Input: []chat.Item{user("hi")}, Stream: true, Unstored: true})
	if err != nil {
		t.Fatal(err)
	}
	events := collect(t, run.Reader())
	if r, err := run.Wait(t.Context()); r.Status != chat.Interrupted || code(err) != "interrupted" || events[len(events)-1].Type() != "response.failed" {
		t.Errorf("it ended as %s, %v; the last event is %s", r.Status, err, events[len(events)-1].Type())
	}
}

func TestAnEndWhoseAnswerWasLostIsOnesOwn(t *testing.T) {
	w, _, _ := newShared(t, says("Hello"))
	conv := w.conversation(chat.Conversation{})
	w.store.inject(false, "End", errDisk)
	if r, err := w.ask(conv, "hi"); err != nil || r.Status != chat.Completed {
		t.Errorf("ended as %s, %v", r.Status, err)
	}
}

func TestAStreamThatIsSentAgainToAnotherProcessIsFollowedThere(t *testing.T) {
	for name, req := range map[string]chat.Request{"streamed": {Stream: true}, "in the background": {Background: true}} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			w := newWorld(t, until(release, "Hello", " there"))
			other := w.beside()
			req.ConversationID, req.Input, req.Caller = w.conversation(chat.Conversation{}), []chat.Item{user("hi")}, keyed("k", "a")
			first, err := w.Respond(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			again := req
			again.Caller = keyed("k", "a")
			// It is let go only once the other one is followed.
			run, err := other.Respond(t.Context(), again)
			if err != nil || !again.Caller.Idempotency.Replayed || run.Response().ID != first.Response().ID || run.Response().Status.Terminal() {
				t.Fatalf("sent again: %+v, %v", run, err)
			}
			sub, err := other.EventsAgain(t.Context(), again.Caller, run)
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
			close(release)
			got := collect(t, sub)
			sameFrom(t, "on another process", got, collect(t, w.events(first.Response().ID, 0)), 0)
			if last := got[len(got)-1]; last.Type() != "response.completed" {
				t.Errorf("the last event is %s", last.Type())
			}
			if n := len(w.provider.calls()); n != 1 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

func TestWhatCannotBeEndedKeepsNothingElseFromBeingEnded(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		w.orphan(w.conversation(chat.Conversation{}), fmt.Sprint("resp_", i))
	}
	w.store.inject(true, "End", errDisk)
	if n, err := w.recover(w.Service); n != 2 || !errors.Is(err, errDisk) {
		t.Errorf("recovered %d, %v", n, err)
	}
	if n, err := w.recover(w.Service); n != 1 || err != nil {
		t.Errorf("then recovered %d, %v", n, err)
	}
}

func TestWhoFollowsAnotherProcessLooksNowAndThen(t *testing.T) {
	release := make(chan struct{})
	w, _, _ := newShared(t, until(release, "early", " late"))
	run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
	w.logged(w.beside(), run)
	sub, err := w.beside().Events(t.Context(), caller.Owner, run.Begun().ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	// Where this test itself is held up it may be time to look again; not each time.
	const looks = 20
	again := 0
	for range looks {
		for {
			b, err := sub.Take(t.Context())
			if err != nil || b.Ended {
				t.Fatal("the response ended", err)
			}
			if len(b.Events) == 0 {
				break
			}
			<-sub.C
		}
		select {
		case <-sub.C:
			again++
		default:
			<-sub.C
		}
	}
	if again == looks {
		t.Error("who finds nothing looks again at once")
	}
	close(release)
	collect(t, sub)
}

func TestABatchThatWasReadThoughItsWriterDoesNotKnowIsWrittenAgainAsItIs(t *testing.T) {
	for name, beforeTheEnd := range map[string]bool{"with the end": false, "before the end": true} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			w := newWorld(t, until(release, "early", " late"))
			written, again := make(chan struct{}), make(chan struct{})
			w.store.hook["AppendEvents done"] = func() {
				w.store.hookNext("AppendEvents done", func() { close(again) })
				close(written)
			}
			w.store.inject(false, "AppendEvents", errDisk)
			run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
			<-written
			there, err := w.beside().Events(t.Context(), caller.Owner, run.Begun().ID, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer there.Close()
			b, err := there.Take(t.Context())
			if err != nil || len(b.Events) != 5 {
				t.Fatalf("read are %d events, %v", len(b.Events), err)
			}
			if beforeTheEnd {
				<-again
			}
			close(release)
			all := collect(t, run.Reader())
			sameFrom(t, "on another process", collect(t, there), all, 5)
			sameFrom(t, "from the log", collect(t, w.events(run.Begun().ID, 0)), all, 0)
		})
	}
}
