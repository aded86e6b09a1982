package chat_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// keyed is a caller whose request comes with a key, and is to be told apart by what it asks for.
func keyed(key, what string) chat.Caller {
	c := caller
	c.Idempotency = &chat.Idempotency{Route: "POST /test", Key: key}
	copy(c.Idempotency.Fingerprint[:], what)
	return c
}

// retry is a caller that sends no key and says how often it has tried.
func retry(count int) chat.Caller {
	c := keyed("", "a")
	c.Idempotency.Retries = count
	return c
}

// as prompts on behalf of a caller.
func (w *world) as(c chat.Caller, req chat.Request) (*chat.Run, error) {
	req.Caller = c
	if req.Input == nil {
		req.Input = []chat.Item{user("hi")}
	}
	return w.Respond(w.t.Context(), req)
}

// askAs makes a whole turn on behalf of a caller.
func (w *world) askAs(c chat.Caller, conv string) (chat.Response, error) {
	w.t.Helper()
	run, err := w.as(c, chat.Request{ConversationID: conv})
	if err != nil {
		return chat.Response{}, err
	}
	return run.Wait(w.t.Context())
}

func TestTheSameKeyPromptsOnceAndGetsTheSameAnswer(t *testing.T) {
	w := newWorld(t, says("Hello", " there"))
	conv := w.conversation(chat.Conversation{})
	first := keyed("k", "a")
	want, err := w.askAs(first, conv)
	if err != nil || first.Idempotency.Replayed {
		t.Fatal(err, first.Idempotency.Replayed)
	}
	for range 3 {
		again := keyed("k", "a")
		got, err := w.askAs(again, conv)
		if err != nil || got.ID != want.ID || len(got.Output) != 1 || string(got.Output[0].Content) != `"Hello there"` || !again.Idempotency.Replayed {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if n := len(w.provider.calls()); n != 1 {
		t.Errorf("%d calls", n)
	}
	if _, err := w.askAs(keyed("k", "b"), conv); code(err) != chat.CodeKeyReused || fault.Of(err).Kind != fault.Invalid {
		t.Errorf("another request with the key got %v", err)
	}
	if got, err := w.askAs(keyed("other", "a"), conv); err != nil || got.ID == want.ID {
		t.Errorf("another key got %+v, %v", got, err)
	}
	w.verify()
}

// eventsAgain are the events that a request gets which was sent before.
func (w *world) eventsAgain(c chat.Caller, run *chat.Run) []numbered {
	w.t.Helper()
	sub, err := w.EventsAgain(w.t.Context(), c, run)
	if err != nil {
		w.t.Fatal(err)
	}
	defer sub.Close()
	return collect(w.t, sub)
}

func TestAReplayedStreamHasTheSameEvents(t *testing.T) {
	w := newWorld(t, says("Hello", " there"))
	conv := w.conversation(chat.Conversation{})
	req := chat.Request{ConversationID: conv, Stream: true}
	first, err := w.as(keyed("k", "a"), req)
	if err != nil {
		t.Fatal(err)
	}
	want := collect(t, first.Reader())
	again := func() []numbered {
		c := keyed("k", "a")
		run, err := w.as(c, req)
		if err != nil || !c.Idempotency.Replayed {
			t.Fatal(err)
		}
		return w.eventsAgain(c, run)
	}
	sameFrom(t, "replayed", again(), want, 0)

	// Until it has left, the run itself has the events.
	w.Drain(t.Context())
	// The edit of an answer removes its event log; what is stored is told all the same.
	answer := first.Response().Output[0].ID
	if _, err := w.UpdateItem(t.Context(), caller, conv, answer, 0, func(it *chat.Item) error { it.Content = []byte(`"Good bye"`); return nil }); err != nil {
		t.Fatal(err)
	}
	text, last := "", ""
	for n, ev := range again() {
		if ev.number != n {
			t.Errorf("event %d has number %d", n, ev.number)
		}
		if d, ok := ev.Event.(*chat.TextEvent); ok && !d.Done {
			text += d.Text
		}
		last = ev.Type()
	}
	if text != "Good bye" || last != chat.EventCompleted {
		t.Errorf("%q, %s", text, last)
	}
}

func TestAKeyOfWhatIsNotStoredIsAnsweredOnce(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "Hello"))
	conv := w.conversation(chat.Conversation{})
	whole, stream := chat.Request{ConversationID: conv, Unstored: true}, chat.Request{ConversationID: conv, Unstored: true, Stream: true}
	first, err := w.as(keyed("whole", "a"), whole)
	if err != nil {
		t.Fatal(err)
	}
	streamed, err := w.as(keyed("stream", "a"), stream)
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.as(keyed("whole", "a"), whole)
	if err != nil || second.Response().ID != first.Response().ID {
		t.Fatalf("while it runs got %v", err)
	}
	again := keyed("stream", "a")
	if run, err := w.as(again, stream); err != nil {
		t.Fatal(err)
	} else if _, err := w.EventsAgain(t.Context(), again, run); code(err) != chat.CodeResultInProgress || again.Idempotency.Replayed {
		t.Errorf("while the stream runs got %v", err)
	}
	close(release)
	for _, run := range []*chat.Run{first, second, streamed} {
		if r, err := run.Wait(t.Context()); err != nil || r.Status != chat.Completed {
			t.Errorf("got %s, %v", r.Status, err)
		}
	}
	for key, req := range map[string]chat.Request{"whole": whole, "stream": stream} {
		if _, err := w.as(keyed(key, "a"), req); code(err) != chat.CodeResultGone {
			t.Errorf("after its end %s got %v", key, err)
		}
	}
	if n := len(w.provider.calls()); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestTheSameKeyWhileItsResponseRunsJoinsIt(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "Hello", " there"))
	conv := w.conversation(chat.Conversation{})
	req := chat.Request{ConversationID: conv, Stream: true}
	first, err := w.as(keyed("k", "a"), req)
	if err != nil {
		t.Fatal(err)
	}
	begun(t, first)
	again := keyed("k", "a")
	second, err := w.as(again, req)
	if err != nil || second.Response().ID != first.Response().ID || !again.Idempotency.Replayed {
		t.Fatalf("got %v, %v", second, err)
	}
	if _, err := w.as(keyed("k", "b"), req); code(err) != chat.CodeKeyReused {
		t.Errorf("another request with the key got %v", err)
	}
	w.UpstreamConcurrency = 1
	if _, err := w.as(keyed("k", "a"), req); err != nil {
		t.Errorf("where the server is full it got %v", err)
	}
	close(release)
	got := w.eventsAgain(again, second)
	if _, err := first.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameFrom(t, "joined", got, collect(t, w.events(first.Response().ID, 0)), 0)
	if n := len(w.provider.calls()); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestAReplayWorksWhileTheServerDrains(t *testing.T) {
	w := newWorld(t, says("Hello"))
	conv := w.conversation(chat.Conversation{})
	want, err := w.askAs(keyed("k", "a"), conv)
	if err != nil {
		t.Fatal(err)
	}
	w.Drain(t.Context())
	if got, err := w.askAs(keyed("k", "a"), conv); err != nil || got.ID != want.ID {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := w.askAs(keyed("new", "a"), conv); code(err) != "draining" {
		t.Errorf("a new key got %v", err)
	}
}

func TestManyDuplicatesAtOnceCallOnce(t *testing.T) {
	w := newWorld(t, says("Hello"))
	const keys, duplicates = 4, 32
	w.UpstreamConcurrency = keys
	var wg sync.WaitGroup
	for k := range keys {
		conv := w.conversation(chat.Conversation{})
		var first atomic.Pointer[string]
		for range duplicates {
			wg.Go(func() {
				r, err := w.askAs(keyed(fmt.Sprint("k", k), "a"), conv)
				if first.CompareAndSwap(nil, &r.ID); err != nil || r.Status != chat.Completed || r.ID != *first.Load() {
					t.Errorf("got %s %s, %v", r.ID, r.Status, err)
				}
			})
		}
	}
	wg.Wait()
	if n := len(w.provider.calls()); n != keys {
		t.Errorf("%d calls for %d keys", n, keys)
	}
	w.verify()
}

func TestAFailureIsReplayedAsItWas(t *testing.T) {
	for _, f := range []*fault.Error{
		fault.New(fault.Upstream, "upstream_failed", "The model's provider failed."),
		fault.New(fault.RateLimited, "upstream_rate_limited", "Too many."),
		fault.New(fault.Invalid, "upstream_rejected", "No."),
		fault.New(fault.NotFound, "model_not_found", "None."),
		fault.New(fault.Timeout, "upstream_timeout", "Late."),
	} {
		w := newWorld(t, fails(&llm.Error{Fault: f}))
		conv := w.conversation(chat.Conversation{})
		_, want := w.askAs(keyed("k", "a"), conv)
		again := keyed("k", "a")
		_, got := w.askAs(again, conv)
		first, second := fault.Of(want), fault.Of(got)
		if code(got) != f.Code || first.Kind != second.Kind || first.Message != second.Message || first.ResponseID != second.ResponseID || second.ResponseID == "" || !again.Idempotency.Replayed {
			t.Errorf("first %+v, then %+v", first, second)
		}
		if n := len(w.provider.calls()); n != 1 {
			t.Errorf("%d calls", n)
		}
	}
}

func TestWhatWasRefusedLeavesItsKeyFree(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "slow"), says("Hello"))
	conv := w.conversation(chat.Conversation{})
	run := w.stream(conv, user("hi"))
	if _, err := w.askAs(keyed("k", "a"), conv); code(err) != chat.CodeConversationLocked {
		t.Fatalf("got %v", err)
	}
	close(release)
	if _, err := run.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.store.inject(true, "Begin", errDisk)
	if _, err := w.askAs(keyed("k", "a"), conv); code(err) != "audit_unavailable" {
		t.Fatalf("got %v", err)
	}
	again := keyed("k", "a")
	if r, err := w.askAs(again, conv); err != nil || r.Status != chat.Completed || again.Idempotency.Replayed {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestABeginThatFailedAndTookEffectIsNotRepeated(t *testing.T) {
	release := make(chan struct{})
	close(release)
	w := newWorld(t, until(release, "Hello"))
	conv := w.conversation(chat.Conversation{})
	w.store.inject(false, "Begin", errDisk)
	if _, err := w.askAs(keyed("k", "a"), conv); code(err) != "audit_unavailable" {
		t.Fatalf("got %v", err)
	}
	// Nobody makes it, and it may not be made again.
	synced := keyed("k", "a")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := w.Respond(ctx, chat.Request{Caller: synced, ConversationID: conv, Input: []chat.Item{user("hi")}}); err == nil || synced.Idempotency.Replayed {
		t.Errorf("got %v", err)
	}
	if n := len(w.provider.calls()); n != 0 {
		t.Errorf("%d calls", n)
	}
}

func TestAfterACrashTheInterruptedResponseIsReplayed(t *testing.T) {
	w := newWorld(t, says("never"))
	conv := w.conversation(chat.Conversation{})
	w.store.inject(false, "Begin", errDisk)
	_, _ = w.askAs(keyed("k", "a"), conv)
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	w.open()
	if n, err := w.recover(w.Service); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	for range 2 {
		again := keyed("k", "a")
		_, err := w.askAs(again, conv)
		if f := fault.Of(err); f.Code != "interrupted" || f.Kind != fault.Unavailable || f.ResponseID == "" || !again.Idempotency.Replayed {
			t.Errorf("got %+v", f)
		}
	}
	if n := len(w.provider.calls()); n != 0 {
		t.Errorf("%d calls", n)
	}
}

func TestAReplayWaitsForARunningResponseButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newWorld(t, until(release, "slow"))
		conv := w.conversation(chat.Conversation{})
		if _, err := w.as(keyed("k", "a"), chat.Request{ConversationID: conv}); err != nil {
			t.Fatal(err)
		}
		wait := func() (chat.Response, error) {
			again := keyed("k", "a")
			run, err := w.as(again, chat.Request{ConversationID: conv})
			if err != nil {
				t.Fatal(err)
			}
			return again.Idempotency.WaitAgain(t.Context(), run)
		}
		began := time.Now()
		if _, err := wait(); code(err) != chat.CodeResultInProgress || fault.Of(err).RetryAfter == 0 || time.Since(began) != 30*time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		time.AfterFunc(10*time.Second, func() { close(release) })
		if r, err := wait(); err != nil || r.Status != chat.Completed {
			t.Errorf("got %s, %v", r.Status, err)
		}
		w.Drain(t.Context())
	})
}

func TestWhatAKeyStandsForMayBeGone(t *testing.T) {
	w := newWorld(t, says("Hello"))
	conv := w.conversation(chat.Conversation{})
	create, add := keyed("create", "a"), keyed("add", "a")
	made, err := w.CreateConversation(t.Context(), create, chat.Conversation{Title: "t"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	again := keyed("create", "a")
	if got, err := w.CreateConversation(t.Context(), again, chat.Conversation{Title: "t"}, nil); err != nil || got.ID != made.ID || !again.Idempotency.Replayed {
		t.Errorf("got %+v, %v", got, err)
	}
	items, err := w.AppendItems(t.Context(), add, conv, []chat.Item{user("one"), user("two"), user("three")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AppendItems(t.Context(), caller, conv, []chat.Item{user("four")}); err != nil {
		t.Fatal(err)
	}
	same, err := w.AppendItems(t.Context(), keyed("add", "a"), conv, []chat.Item{user("one"), user("two"), user("three")})
	if err != nil || len(same) != 3 || same[0].ID != items[0].ID || same[2].ID != items[2].ID {
		t.Errorf("got %+v, %v", same, err)
	}
	if _, err := w.askAs(keyed("ask", "a"), conv); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{conv, made.ID} {
		if err := w.DeleteConversation(t.Context(), caller, id, 0); err != nil {
			t.Fatal(err)
		}
	}
	again = keyed("create", "a")
	_, gone := w.CreateConversation(t.Context(), again, chat.Conversation{Title: "t"}, nil)
	_, goneItem := w.AppendItems(t.Context(), keyed("add", "a"), conv, []chat.Item{user("one"), user("two"), user("three")})
	_, goneResponse := w.askAs(keyed("ask", "a"), conv)
	for _, err := range []error{gone, goneItem, goneResponse} {
		if code(err) != chat.CodeResultGone || fault.Of(err).Kind != fault.Conflict {
			t.Errorf("got %v", err)
		}
	}
	if again.Idempotency.Replayed {
		t.Error("what is gone is called replayed")
	}
}

func TestAForkIsMadeOnce(t *testing.T) {
	w := newWorld(t, says("Hello"))
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, "hi")
	first, err := w.ForkConversation(t.Context(), keyed("k", "a"), conv, "", "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.ForkConversation(t.Context(), keyed("k", "a"), conv, "", "")
	if err != nil || second.ID != first.ID || second.MessageCount != 2 {
		t.Errorf("got %+v, %v", second, err)
	}
}

func TestAKeyStandsForItsRequestForADay(t *testing.T) {
	w := newWorld(t, says("Hello"))
	conv, now := w.conversation(chat.Conversation{}), time.Now()
	w.Now = func() time.Time { return now }
	first, err := w.askAs(keyed("k", "a"), conv)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(chat.ClaimLife - time.Second)
	if r, err := w.askAs(keyed("k", "a"), conv); err != nil || r.ID != first.ID {
		t.Errorf("got %+v, %v", r, err)
	}
	now = now.Add(time.Second)
	if r, err := w.askAs(keyed("k", "b"), conv); err != nil || r.ID == first.ID {
		t.Errorf("after a day got %+v, %v", r, err)
	}
}

func TestAClaimThatCannotBeReadIsNoFreeKey(t *testing.T) {
	w := newWorld(t, says("never"))
	conv := w.conversation(chat.Conversation{})
	w.store.inject(true, "Claim", errDisk)
	if _, err := w.askAs(keyed("k", "a"), conv); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	if n := len(w.provider.calls()); n != 0 {
		t.Errorf("%d calls", n)
	}
}
