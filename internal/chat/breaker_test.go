package chat_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-llm/parley/internal/breaker"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// outage is a failure that is not retried, so that each prompt is one attempt.
func outage() *llm.Error {
	return &llm.Error{Fault: fault.New(fault.Upstream, "upstream_stream_truncated", "The model's answer broke off before its end."), HTTPStatus: 200, Outage: true}
}

// heldBack is a world whose model small has failed ten times in a row. It then answers by the scripts, in a bubble.
func heldBack(t *testing.T, scripts ...script) (w *world, conv string) {
	t.Helper()
	w = newWorld(t, append(slices.Repeat([]script{fails(outage(), "Hel")}, 10), scripts...)...)
	w.Breakers = &breaker.Set{}
	conv = w.conversation(chat.Conversation{})
	for range 10 {
		if _, err := w.ask(conv, "hi"); code(err) != "upstream_stream_truncated" {
			t.Fatalf("got %v", err)
		}
	}
	return w, conv
}

// refused asks for what must be refused before anything begins.
func (w *world) refused(conv string) *fault.Error {
	w.t.Helper()
	before, calls := len(w.records(conv)), len(w.provider.calls())
	_, err := w.respond(conv, user("is anybody there?"))
	if code(err) != chat.CodeUpstreamUnavailable {
		w.t.Fatalf("got %v", err)
	}
	list, err2 := w.Items(w.t.Context(), caller.Owner, conv, chat.Page{Limit: 100})
	if err2 != nil || slices.ContainsFunc(list.Data, func(it chat.Item) bool { return string(it.Content) == `"is anybody there?"` }) {
		w.t.Errorf("the question is stored: %v", err2)
	}
	if len(w.records(conv)) != before || len(w.provider.calls()) != calls {
		w.t.Error("something was begun")
	}
	return fault.Of(err)
}

func TestAModelThatFailedTenTimesIsLeftAloneForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, conv := heldBack(t, says("I am back."))
		calls := w.provider.calls()
		// What the store takes of the time, which is any where it repeats transactions, is taken from the ten seconds, too.
		failed := calls[len(calls)-1].at
		left := func(want time.Duration) {
			t.Helper()
			before := time.Until(failed.Add(10 * time.Second))
			f := w.refused(conv)
			after := time.Until(failed.Add(10 * time.Second))
			if f.Kind != fault.Unavailable || before > want || f.RetryAfter > before || f.RetryAfter < after {
				t.Errorf("%v to %v before the ten seconds are over: %+v, to be tried again in %v", before, after, f, f.RetryAfter)
			}
		}
		left(10 * time.Second)
		time.Sleep(time.Until(failed.Add(9 * time.Second)))
		left(time.Second)
		time.Sleep(time.Until(failed.Add(10*time.Second + time.Millisecond)))
		if r := w.mustAsk(conv, "and now?"); r.Attempts != 1 {
			t.Errorf("got %+v", r)
		}
		w.mustAsk(conv, "still?")
		w.verify()
	})
}

func TestOnePromptIsTheTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		silent := func(ctx context.Context, yield func(llm.Event, error) bool) {
			<-release
			says("I am back.")(ctx, yield)
		}
		w, conv := heldBack(t, silent)
		time.Sleep(10*time.Second + time.Millisecond)
		other := w.conversation(chat.Conversation{})
		run, err := w.respond(conv, user("and now?"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if f := w.refused(other); f.RetryAfter != time.Second {
			t.Errorf("beside the trial: %+v", f)
		}
		close(release)
		if _, err := run.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.mustAsk(other, "and here?")
		w.verify()
	})
}

func TestATrialIsOverWhenItsAnswerBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w, conv := heldBack(t, until(release, "Well", "."), says("ok"))
		time.Sleep(10*time.Second + time.Millisecond)
		run := w.stream(conv, user("and now?"))
		begun(t, run)
		w.mustAsk(w.conversation(chat.Conversation{}), "and here?")
		close(release)
		if _, err := run.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		w.verify()
	})
}

func TestATrialThatDoesNotBeginLeavesTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, conv := heldBack(t, says("I am back."))
		time.Sleep(10*time.Second + time.Millisecond)
		w.store.inject(true, "Begin", errDisk)
		if _, err := w.respond(conv, user("and now?")); code(err) != "audit_unavailable" {
			t.Fatalf("got %v", err)
		}
		w.mustAsk(conv, "and now?")
		w.verify()
	})
}

func TestAModelThatIsHeldBackIsNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, append(slices.Repeat([]script{fails(outage(), "Hel")}, 8), fails(&llm.Error{
			Fault: fault.New(fault.Upstream, "upstream_failed", "The model's provider failed."), HTTPStatus: 500, Retryable: true, Outage: true,
		}))...)
		w.Breakers = &breaker.Set{}
		conv := w.conversation(chat.Conversation{})
		for range 8 {
			_, _ = w.ask(conv, "hi")
		}
		if _, err := w.ask(conv, "hi"); code(err) != "upstream_failed" || len(w.provider.calls()) != 10 {
			t.Errorf("%d calls, %v", len(w.provider.calls()), err)
		}
		_ = w.refused(conv)
		w.verify()
	})
}

func TestWhatIsNoOutageHoldsNothingBack(t *testing.T) {
	for name, e := range map[string]*llm.Error{
		"a refusal":               {Fault: fault.New(fault.Invalid, "upstream_rejected", "No."), HTTPStatus: 400},
		"a rate limit":            {Fault: fault.New(fault.RateLimited, "upstream_rate_limited", "Slow down."), HTTPStatus: 429},
		"an answer without sense": {Fault: fault.New(fault.Upstream, "upstream_failed", "It is not an answer."), HTTPStatus: 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, append(slices.Repeat([]script{fails(e)}, 25), says("ok"))...)
				w.Breakers = &breaker.Set{}
				conv := w.conversation(chat.Conversation{})
				for range 25 {
					_, _ = w.ask(conv, "hi")
				}
				w.mustAsk(conv, "hi")
			})
		})
	}
}

func TestAnotherModelTakesTheTurnOfOneThatIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, conv := heldBack(t)
		other := withOthers(w, says("I am here."))
		before := len(w.records(conv))
		r := w.mustAsk(conv, "hi")
		if r.Model != "backup/b" || r.Provider != "backup" || r.FallbackFrom != "small" || r.Attempts != 1 {
			t.Errorf("answered by %s of %s in the place of %q after %d attempts", r.Model, r.Provider, r.FallbackFrom, r.Attempts)
		}
		if len(w.provider.calls()) != 10 || len(other.calls()) != 1 {
			t.Errorf("%d and %d calls", len(w.provider.calls()), len(other.calls()))
		}
		records := w.records(conv)[before:]
		if got := attempts(records); !slices.Equal(got, []string{"1 backup/b ", "1 backup/b completed"}) {
			t.Errorf("recorded %q", got)
		}
		for _, rec := range records {
			if rec.Provider != "backup" || rec.UpstreamHost != "backup.test" {
				t.Errorf("recorded %s at %s", rec.Provider, rec.UpstreamHost)
			}
		}
		w.verify()
	})
}

func TestAPromptIsRefusedWhenEveryModelThatCouldTakeItIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, conv := heldBack(t)
		other := withOthers(w, fails(outage(), "Hel"))
		for _, model := range []string{"backup/b", "backup/c"} {
			for range 10 {
				run, err := w.Respond(t.Context(), chat.Request{Caller: caller, ConversationID: conv, Model: model, Input: []chat.Item{user("hi")}})
				if err != nil {
					t.Fatal(err)
				}
				_, _ = run.Wait(t.Context())
			}
		}
		_ = w.refused(conv)
		if len(other.calls()) != 20 {
			t.Errorf("%d calls", len(other.calls()))
		}
		w.verify()
	})
}
