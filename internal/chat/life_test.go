package chat_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

func TestDrainWaitsForRunsAndRefusesNewPrompts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newWorld(t, until(release, "slow"))
		conv, late := w.conversation(chat.Conversation{}), w.conversation(chat.Conversation{})
		run := w.stream(conv, user("hi"))
		drained := make(chan struct{})
		go func() { w.Drain(t.Context()); close(drained) }()
		synctest.Wait()
		if reasons := w.Ready(t.Context()); reasons["server"] == nil {
			t.Errorf("a draining server is ready: %v", reasons)
		}
		if _, err := w.respond(late, user("late")); code(err) != "draining" || fault.Of(err).RetryAfter == 0 {
			t.Errorf("got %v", err)
		}
		close(release)
		<-drained
		if r, err := run.Wait(t.Context()); err != nil || r.Status != chat.Completed {
			t.Errorf("the run ended %s, %v", r.Status, err)
		}
	})
}

func TestDrainDoesNotWaitForAPromptThatAsksForItsModel(t *testing.T) {
	w := newWorld(t, says("never"))
	conv := w.conversation(chat.Conversation{})
	asked := make(chan struct{})
	w.DefaultModel = func(ctx context.Context) (string, error) {
		close(asked)
		<-ctx.Done()
		return "", fault.Wrap(context.Cause(ctx), fault.Canceled, "canceled", "The request was given up.")
	}
	refused := make(chan error, 1)
	go func() {
		_, err := w.respond(conv, user("hi"))
		refused <- err
	}()
	<-asked
	w.Drain(t.Context())
	if err := <-refused; code(err) != "draining" {
		t.Errorf("got %v", err)
	}
	if recs := w.records(conv); len(recs) != 0 {
		t.Errorf("recorded %+v", recs)
	}
}

func TestDrainInterruptsWhatDoesNotEndInTime(t *testing.T) {
	w := newWorld(t, until(nil, "partial"))
	conv := w.conversation(chat.Conversation{})
	run := w.stream(conv, user("hi"))
	begun(t, run)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.Drain(ctx)
	r, err := run.Wait(t.Context())
	if r.Status != chat.Interrupted || code(err) != "interrupted" {
		t.Errorf("the run ended %s, %v", r.Status, err)
	}
	if recs := w.records(conv); len(recs) != 2 || recs[1].Status != "interrupted" {
		t.Errorf("recorded %+v", recs)
	}
	w.verify()
}

func TestTheNumberOfRunningResponsesIsBounded(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "slow"))
	w.UpstreamConcurrency = 1
	run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
	other := w.conversation(chat.Conversation{})
	if _, err := w.respond(other, user("hi")); code(err) != "overloaded" {
		t.Errorf("got %v", err)
	}
	if items, err := w.Items(t.Context(), caller.Owner, other, chat.Page{Limit: 1}); err != nil || len(items.Data) != 0 {
		t.Errorf("a refused prompt was stored: %v %v", items, err)
	}
	close(release)
	if _, err := run.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Drain(t.Context())
}

func TestAfterACrashAResponseIsInterruptedAndItsConversationUsable(t *testing.T) {
	w := newWorld(t, until(nil, "lost"), says("ok"))
	conv := w.conversation(chat.Conversation{})
	w.orphan(conv, "resp_lost")
	n, err := w.recover(w.Service)
	if err != nil || n != 1 {
		t.Fatalf("recovered %d, %v", n, err)
	}
	r, err := w.Response(t.Context(), caller.Owner, "resp_lost")
	if err != nil || r.Status != chat.Interrupted || r.Error.Code != "interrupted" || r.CompletedAt.IsZero() {
		t.Errorf("stored %+v, %v", r, err)
	}
	if recs := w.records(conv); len(recs) != 2 || recs[1].Status != "unknown_after_crash" {
		t.Errorf("recorded %+v", recs)
	}
	w.provider.scripts = []script{says("ok")}
	w.mustAsk(conv, "again")
	if got := w.provider.calls()[0].Messages; len(got) != 1 {
		t.Errorf("the interrupted question is in the context: %q", got)
	}
	w.verify()
}

func TestModelsAreListedUnderTheIDsThatPromptsName(t *testing.T) {
	w := newWorld(t, says("ok"))
	w.Router.Endpoints = append(w.Router.Endpoints, llm.Endpoint{Name: "down", Provider: &down{}})
	models, unavailable := w.Models(t.Context())
	var ids []string
	for _, m := range models {
		ids = append(ids, m.ID)
		if e, _, ok := w.Router.Route(m.ID); !ok || e.Name != m.Provider {
			t.Errorf("%s is listed for %s and routed to %s", m.ID, m.Provider, e.Name)
		}
	}
	if len(ids) != 4 || ids[0] != "small" || ids[2] != "other/small" {
		t.Errorf("listed %q", ids)
	}
	if len(unavailable) != 1 || unavailable[0] != (chat.Unavailable{Provider: "down", Code: "upstream_auth"}) {
		t.Errorf("unavailable: %+v", unavailable)
	}
}

type down struct{ provider }

func (*down) Models(context.Context) ([]llm.Model, error) {
	return nil, &llm.Error{Fault: fault.Wrap(errors.New("wrong key"), fault.Upstream, "upstream_auth", "The provider refused our key.")}
}

func TestAResponseThatIsStoppedBeforeItsModelIsCalledWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, says("never"))
		conv := w.conversation(chat.Conversation{})
		release := make(chan struct{})
		w.store.hook["Begin"] = func() { <-release }
		ended, drained := make(chan error, 1), make(chan struct{})
		go func() {
			run, err := w.respond(conv, user("hi"))
			if err == nil {
				_, err = run.Wait(t.Context())
			}
			ended <- err
		}()
		synctest.Wait()
		now, cancel := context.WithCancel(t.Context())
		cancel()
		go func() { w.Drain(now); close(drained) }()
		synctest.Wait()
		close(release)
		<-drained
		if err := <-ended; code(err) != "interrupted" {
			t.Errorf("got %v", err)
		}
		if recs := w.records(conv); len(recs) != 2 || recs[1].Status != "not_sent" || len(w.provider.calls()) != 0 {
			t.Errorf("recorded %+v", recs)
		}
		w.verify()
	})
}

func TestNoMoreCallsRunAtOnceThanThereArePlacesAndNoPlaceIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places, rounds, prompts = 4, 3, 20
		var mu sync.Mutex
		running, most := 0, 0
		count := func(by int) {
			mu.Lock()
			defer mu.Unlock()
			running += by
			most = max(most, running)
		}
		ends := []script{says("ok"), fails(upstreamError(false)), fails(outage(), "Hel"), func(context.Context, func(llm.Event, error) bool) { panic("a provider's fault") }}
		// The calls of a round end when all its prompts have come, however long the store takes for those.
		gates := make([]chan struct{}, rounds)
		for i := range gates {
			gates[i] = make(chan struct{})
		}
		var scripts []script
		for n := range rounds * places {
			scripts = append(scripts, func(ctx context.Context, yield func(llm.Event, error) bool) {
				count(1)
				defer count(-1)
				<-gates[n/places]
				ends[n%len(ends)](ctx, yield)
			})
		}
		w := newWorld(t, scripts...)
		w.UpstreamConcurrency = places
		for _, gate := range gates {
			var runs []*chat.Run
			for range prompts {
				conv := w.conversation(chat.Conversation{})
				run, err := w.respond(conv, user("hi"))
				switch {
				case err == nil:
					runs = append(runs, run)
				case code(err) != chat.CodeOverloaded || len(w.records(conv)) != 0:
					t.Errorf("got %v and %d records", err, len(w.records(conv)))
				}
			}
			if len(runs) != places {
				t.Errorf("%d prompts found a place, want %d", len(runs), places)
			}
			close(gate)
			for _, run := range runs {
				_, _ = run.Wait(t.Context())
			}
			synctest.Wait()
		}
		if most != places {
			t.Errorf("%d calls at once", most)
		}
	})
}
