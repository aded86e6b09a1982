package chat_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// picky is a provider that can express nothing.
type picky struct{ *provider }

func (picky) Encode(*llm.Request) ([]byte, error) {
	return nil, fault.New(fault.Invalid, "unsupported_item", "It cannot be sent.")
}

// withOthers adds the providers "picky" and "backup" to a world, and lets their models take over from the default one.
func withOthers(w *world, scripts ...script) *provider {
	other := &provider{scripts: scripts}
	r := w.Router
	r.Endpoints = append(r.Endpoints, llm.Endpoint{Name: "picky", Provider: picky{other}}, llm.Endpoint{Name: "backup", Host: "backup.test", Provider: other})
	r.Fallbacks = map[string][]string{r.Full("small"): {"picky/a", "backup/b", "backup/c"}}
	return other
}

// attempts says of each record who was asked and how it ended.
func attempts(records []audit.Record) []string {
	var all []string
	for _, r := range records {
		all = append(all, fmt.Sprintf("%d %s %s", r.Attempt, r.Model, r.Status))
	}
	return all
}

func TestAnotherModelTakesOverWhenTheAttemptsAtOneHaveFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails(upstreamError(true)))
		other := withOthers(w, fails(upstreamError(true)), fails(upstreamError(true)), fails(upstreamError(true)), says("I am here."))
		conv := w.conversation(chat.Conversation{})
		r := w.mustAsk(conv, "hi")
		if r.Model != "backup/c" || r.Provider != "backup" || r.FallbackFrom != "small" || r.Attempts != 7 || r.Output[0].Model != "backup/c" {
			t.Errorf("answered by %s of %s in the place of %q after %d attempts", r.Model, r.Provider, r.FallbackFrom, r.Attempts)
		}
		if len(w.provider.calls()) != 3 || len(other.calls()) != 4 {
			t.Errorf("%d and %d calls", len(w.provider.calls()), len(other.calls()))
		}
		var want []string
		for i, model := range []string{"small", "small", "small", "backup/b", "backup/b", "backup/b", "backup/c"} {
			status := "failed"
			if i == 6 {
				status = "completed"
			}
			want = append(want, fmt.Sprintf("%d %s ", i+1, model), fmt.Sprintf("%d %s %s", i+1, model, status))
		}
		if got := attempts(w.records(conv)); !slices.Equal(got, want) {
			t.Errorf("recorded %q, want %q", got, want)
		}
		w.verify()
	})
}

func TestTheIntentOfAFallbackCommitsToItsOwnBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := upstreamError(false)
		e.NotSent = true
		w := newWorld(t, fails(e))
		withOthers(w, says("ok"))
		w.Router.Endpoints[len(w.Router.Endpoints)-1].Provider = shouting{w.Router.Endpoints[len(w.Router.Endpoints)-1].Provider}
		conv := w.conversation(chat.Conversation{})
		w.mustAsk(conv, "hi")
		records := w.records(conv)
		context := func(r audit.Record) audit.Payload {
			i := slices.IndexFunc(r.Payloads, func(p audit.Payload) bool { return p.Part == audit.PartContext })
			return r.Payloads[i]
		}
		first, second := context(records[0]), context(records[2])
		if second.Chars != first.Chars+1 || first.Items != second.Items || records[2].UpstreamHost != "backup.test" || records[2].Payloads[0].Text != records[0].Payloads[0].Text {
			t.Errorf("got %+v and %+v", records[0], records[2])
		}
		w.verify()
	})
}

// shouting is a provider with an encoding of its own.
type shouting struct{ llm.Provider }

func (s shouting) Encode(req *llm.Request) ([]byte, error) {
	body, err := s.Provider.Encode(req)
	return append(body, ' '), err
}

func TestWhichFailuresLetAnotherModelTakeOver(t *testing.T) {
	failure := func(kind fault.Kind, change func(*llm.Error)) *llm.Error {
		e := &llm.Error{Fault: fault.New(kind, "upstream_failed", "It failed.")}
		if change != nil {
			change(e)
		}
		return e
	}
	notSent := func(e *llm.Error) { e.NotSent = true }
	longWait := upstreamError(true)
	longWait.RetryAfter = 20 * time.Second
	for _, test := range []struct {
		name  string
		err   *llm.Error
		words []string
		takes bool
		calls int
	}{
		{"a server's error", upstreamError(true), nil, true, 3},
		{"a rate limit with a long wait", longWait, nil, true, 1},
		{"a quota that is used up", failure(fault.RateLimited, nil), nil, true, 1},
		{"a time limit", failure(fault.Timeout, nil), nil, true, 1},
		{"a server that cannot be reached", failure(fault.Upstream, notSent), nil, true, 1},
		{"a wrong key", failure(fault.Upstream, nil), nil, false, 1},
		{"a rejected request", failure(fault.Invalid, nil), nil, false, 1},
		{"an unknown model", failure(fault.NotFound, nil), nil, false, 1},
		{"a call that was cancelled", failure(fault.Canceled, notSent), nil, false, 1},
		{"an answer that had begun", upstreamError(true), []string{"Hel"}, false, 1},
		{"a time limit in an answer", failure(fault.Timeout, nil), []string{"Hel"}, false, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, fails(test.err, test.words...))
				other := withOthers(w, says("ok"))
				conv := w.conversation(chat.Conversation{})
				_, err := w.ask(conv, "hi")
				if (err == nil) != test.takes || len(w.provider.calls()) != test.calls || len(other.calls()) > 0 != test.takes {
					t.Errorf("%d and %d calls, %v", len(w.provider.calls()), len(other.calls()), err)
				}
				w.verify()
			})
		})
	}
}

func TestTheLastFailureIsToldWhenNoModelIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails(upstreamError(true)))
		withOthers(w, fails(&llm.Error{Fault: fault.New(fault.RateLimited, "upstream_rate_limited", "Slow down.")}))
		conv := w.conversation(chat.Conversation{})
		_, err := w.ask(conv, "hi")
		if code(err) != "upstream_rate_limited" {
			t.Errorf("got %v", err)
		}
		list, listErr := w.Responses(t.Context(), caller.Owner, conv, chat.Page{Limit: 1})
		if r := list.Data[0]; listErr != nil || r.Status != chat.Failed || r.Model != "backup/c" || r.FallbackFrom != "small" || r.Attempts != 5 {
			t.Errorf("got %+v, %v", list, listErr)
		}
		w.verify()
	})
}

func TestAModelIsNotAskedWhenItsIntentCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := upstreamError(false)
		e.NotSent = true
		w := newWorld(t, fails(e))
		other := withOthers(w, says("never"))
		conv := w.conversation(chat.Conversation{})
		w.store.inject(true, "NextAttempt", errDisk)
		_, err := w.ask(conv, "hi")
		if code(err) != "audit_unavailable" || len(other.calls()) != 0 {
			t.Errorf("%d calls, %v", len(other.calls()), err)
		}
		if got := attempts(w.records(conv)); !slices.Equal(got, []string{"1 small ", "1 small failed"}) {
			t.Errorf("recorded %q", got)
		}
		w.verify()
	})
}

func TestAModelWithoutAListFailsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails(upstreamError(true)))
		other := withOthers(w, says("never"))
		conv := w.conversation(chat.Conversation{Model: "large"})
		if _, err := w.ask(conv, "hi"); code(err) != "upstream_failed" || len(other.calls()) != 0 {
			t.Errorf("%d calls, %v", len(other.calls()), err)
		}
		if strings.Contains(fmt.Sprint(attempts(w.records(conv))), "backup") {
			t.Error("another model is recorded")
		}
		w.verify()
	})
}
