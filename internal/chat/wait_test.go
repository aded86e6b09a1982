package chat_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// wait prompts with the patience to wait, in a goroutine, and returns once it waits.
func (w *world) wait(ctx context.Context, conv, text string) <-chan error {
	begun := make(chan error, 1)
	go func() {
		_, err := w.Respond(ctx, chat.Request{Caller: caller, ConversationID: conv, Input: []chat.Item{user(text)}, Wait: true})
		begun <- err
	}()
	synctest.Wait()
	return begun
}

func TestPromptsThatWaitBeginInTheOrderInWhichTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newWorld(t, until(release, "slow"))
		w.UpstreamConcurrency = 1
		conv, other := w.conversation(chat.Conversation{}), w.conversation(chat.Conversation{})
		w.stream(conv, user("0"))
		var waiting []<-chan error
		for i := 1; i <= 10; i++ {
			waiting = append(waiting, w.wait(t.Context(), conv, fmt.Sprint(i)))
		}
		if _, err := w.respond(other, user("full")); code(err) != chat.CodeOverloaded {
			t.Errorf("got %v", err)
		}
		close(release)
		for _, begun := range waiting {
			if err := <-begun; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		var asked []string
		for i, call := range w.provider.calls() {
			if len(call.Messages) != 2*i+1 {
				t.Errorf("call %d had %d messages", i, len(call.Messages))
			}
			asked = append(asked, strings.TrimPrefix(call.Messages[len(call.Messages)-1], "user "))
		}
		if want := []string{`"0"`, `"1"`, `"2"`, `"3"`, `"4"`, `"5"`, `"6"`, `"7"`, `"8"`, `"9"`, `"10"`}; !slices.Equal(asked, want) {
			t.Errorf("asked %v", asked)
		}
		w.Drain(t.Context())
	})
}

func TestAPromptWaitsForHalfAMinuteAndHoldsNoPlaceMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newWorld(t, until(release, "slow"), says("quick"))
		w.UpstreamConcurrency = 2
		conv, other := w.conversation(chat.Conversation{}), w.conversation(chat.Conversation{})
		w.stream(conv, user("hi"))
		began := time.Now()
		waiting := []<-chan error{w.wait(t.Context(), conv, "one"), w.wait(t.Context(), conv, "two")}
		w.mustAsk(other, "there is room")
		for _, begun := range waiting {
			if err := <-begun; code(err) != chat.CodeConversationLocked || fault.Of(err).RetryAfter == 0 || time.Since(began) != 30*time.Second {
				t.Errorf("got %v after %v", err, time.Since(began))
			}
		}
		close(release)
		w.Drain(t.Context())
	})
}

func TestWaitingEndsWithTheClientAndWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newWorld(t, until(release, "slow"))
		conv := w.conversation(chat.Conversation{})
		w.stream(conv, user("hi"))
		ctx, leave := context.WithCancel(t.Context())
		first := w.wait(t.Context(), conv, "first")
		gone := w.wait(ctx, conv, "gone")
		last := w.wait(t.Context(), conv, "last")
		leave()
		if err := <-gone; fault.Of(err).Kind != fault.Canceled {
			t.Errorf("got %v", err)
		}
		drained := make(chan struct{})
		go func() { w.Drain(t.Context()); close(drained) }()
		for _, begun := range []<-chan error{first, last} {
			if err := <-begun; code(err) != "draining" {
				t.Errorf("got %v", err)
			}
		}
		close(release)
		<-drained
	})
}

func TestAClientThatLeavesTheQueueHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newWorld(t, until(release, "slow"), says("quick"))
		conv := w.conversation(chat.Conversation{})
		w.stream(conv, user("hi"))
		ctx, leave := context.WithCancel(t.Context())
		first, second := w.wait(ctx, conv, "first"), w.wait(t.Context(), conv, "second")
		leave()
		if err := <-first; err == nil {
			t.Error("it has begun")
		}
		close(release)
		if err := <-second; err != nil {
			t.Error(err)
		}
		w.Drain(t.Context())
	})
}

func TestTooManyMayNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newWorld(t, until(release, "slow"))
		conv := w.conversation(chat.Conversation{})
		w.stream(conv, user("hi"))
		ctx, leave := context.WithCancel(t.Context())
		waiting := make([]<-chan error, 256)
		for i := range waiting {
			waiting[i] = w.wait(ctx, conv, "hi")
		}
		began := time.Now()
		if err := <-w.wait(t.Context(), conv, "one too many"); code(err) != chat.CodeConversationLocked || time.Since(began) != 0 {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		leave()
		for _, begun := range waiting {
			if err := <-begun; err == nil {
				t.Error("one has begun")
			}
		}
		close(release)
		w.Drain(t.Context())
	})
}

func TestAPromptWaitsForAResponseThatNobodyMakesHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, says("Hello"))
		conv := w.conversation(chat.Conversation{})
		elsewhere := w.orphan(conv, "resp_elsewhere")
		begun := w.wait(t.Context(), conv, "hi")
		// What it then takes the store to begin is another matter.
		beginning := make(chan time.Time, 1)
		w.store.hookNext("Begin", func() { beginning <- time.Now() })
		time.Sleep(5 * time.Second)
		r, err := w.store.Response(t.Context(), caller.Owner, "resp_elsewhere")
		if err != nil {
			t.Fatal(err)
		}
		r.Status, r.CompletedAt = chat.Cancelled, time.Now()
		outcome := audit.Record{
			ID: w.NewID(chat.PrefixAudit), Time: r.CompletedAt, Kind: audit.KindOutcome, Owner: r.Owner, ConversationID: conv, ResponseID: r.ID, Attempt: 1,
		}
		if err := elsewhere.End(t.Context(), caller.Owner, &chat.Ending{Response: r, Outcome: outcome}); err != nil {
			t.Fatal(err)
		}
		ended := time.Now()
		if err := <-begun; err != nil {
			t.Fatal(err)
		}
		if after := (<-beginning).Sub(ended); after > 100*time.Millisecond {
			t.Errorf("it begins %v after the other's end", after)
		}
		w.Drain(t.Context())
	})
}

func TestAPromptThatWaitsForNothingBeginsAtOnce(t *testing.T) {
	w := newWorld(t, says("Hello"))
	conv := w.conversation(chat.Conversation{})
	for range 3 {
		run, err := w.Respond(t.Context(), chat.Request{Caller: caller, ConversationID: conv, Input: []chat.Item{user("hi")}, Wait: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := run.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Respond(t.Context(), chat.Request{Caller: caller, ConversationID: "conv_none", Input: []chat.Item{user("hi")}, Wait: true}); code(err) != chat.CodeConversationNotFound {
		t.Errorf("got %v", err)
	}
}
