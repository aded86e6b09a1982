package chat_test

import (
	"context"
	"encoding/json"
	"errors"
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

func TestASecondPromptIsSentWithTheConversationBeforeIt(t *testing.T) {
	w := newWorld(t, says("Hello", " Ada"), says("You said hi"))
	conv := w.conversation(chat.Conversation{Instructions: "Be brief"})
	r := w.mustAsk(conv, "hi")
	if r.Status != chat.Completed || string(r.Output[0].Content) != `"Hello Ada"` || r.FinishReason != "stop" || r.Usage.TotalTokens != 7 {
		t.Errorf("unexpected response %+v", r)
	}
	w.mustAsk(conv, "what did I say?")
	second := w.provider.calls()[1]
	want := []string{`user "hi"`, `assistant "Hello Ada"`, `user "what did I say?"`}
	if second.Instructions != "Be brief" || !slices.Equal(second.Messages, want) {
		t.Errorf("sent %q after %q", second.Messages, second.Instructions)
	}
	c, err := w.Conversation(t.Context(), caller.Owner, conv)
	if err != nil || c.MessageCount != 4 || c.Usage.InputTokens != 10 || c.Title != "hi" || c.ActiveResponse != "" {
		t.Errorf("the conversation shows %+v, %v", c, err)
	}
}

func TestAContextWindowSendsOnlyTheNewestMessages(t *testing.T) {
	w := newWorld(t, says("one"), says("two"), says("three"))
	w.ContextMessages = 2
	conv := w.conversation(chat.Conversation{})
	for _, text := range []string{"1", "2", "3"} {
		w.mustAsk(conv, text)
	}
	if got, want := w.provider.calls()[2].Messages, []string{`user "2"`, `assistant "two"`, `user "3"`}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestAFailedTurnStaysVisibleAndLeavesTheContext(t *testing.T) {
	w := newWorld(t, says("fine"), fails(upstreamError(false), "half an ans"), says("ok"))
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, "first")
	_, err := w.ask(conv, "broken")
	f, _ := errors.AsType[*fault.Error](err)
	if f == nil || f.Code != "upstream_failed" || f.ResponseID == "" {
		t.Fatalf("got %v", err)
	}
	r, err := w.Response(t.Context(), caller.Owner, f.ResponseID)
	if err != nil || r.Status != chat.Failed || r.Error.Code != "upstream_failed" || string(r.Output[0].Content) != `"half an ans"` || r.Output[0].Status != chat.ItemIncomplete {
		t.Errorf("stored %+v, %v", r, err)
	}
	w.mustAsk(conv, "again")
	if got, want := w.provider.calls()[2].Messages, []string{`user "first"`, `assistant "fine"`, `user "again"`}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	items, err := w.Items(t.Context(), caller.Owner, conv, chat.Page{Limit: 100})
	if err != nil || len(items.Data) != 6 {
		t.Errorf("%d items are visible, want 6 (%v)", len(items.Data), err)
	}
	w.verify()
}

func TestTheIntentIsDurableBeforeTheProviderIsCalled(t *testing.T) {
	var w *world
	var conv string
	w = newWorld(t, func(ctx context.Context, yield func(llm.Event, error) bool) {
		recs := w.records(conv)
		if len(recs) != 1 || recs[0].Kind != audit.KindIntent || recs[0].UpstreamHost != "llm.test" {
			t.Errorf("at the time of the call the log holds %+v", recs)
		}
		says("ok")(ctx, yield)
	})
	conv = w.conversation(chat.Conversation{User: "ada"})
	w.mustAsk(conv, "I am jane.doe@example.com")
	recs := w.records(conv)
	if len(recs) != 2 {
		t.Fatalf("%d records, want an intent and an outcome", len(recs))
	}
	intent, outcome := recs[0], recs[1]
	if p := intent.Payloads[0]; p.Part != audit.PartPrompt || p.Text != "I am [MASKED_EMAIL]" {
		t.Errorf("the prompt was kept as %+v", p)
	}
	if p := intent.Payloads[1]; p.Part != audit.PartContext || p.Items != 1 || p.Stored || p.Text != "" {
		t.Errorf("the context was kept as %+v", p)
	}
	if intent.User != "u_a" || intent.Attempt != 1 || intent.RequestID != "req_test" || intent.Model != "small" || intent.Provider != "test" {
		t.Errorf("intent %+v", intent)
	}
	if outcome.Kind != audit.KindOutcome || outcome.Status != "completed" || outcome.HTTPStatus != 200 || outcome.FinishReason != "stop" ||
		outcome.Usage.OutputTokens != 1 || outcome.DurationMS == nil || outcome.FirstTokenMS == nil || outcome.Payloads[0].Text != "ok" {
		t.Errorf("outcome %+v", outcome)
	}
	if counts := intent.Mask.Counts; len(counts) != 1 || counts[0].Entity != "EMAIL" || counts[0].N != 1 {
		t.Errorf("counts %+v", counts)
	}
	w.verify()
}

func TestNoModelIsCalledWhenTheIntentCannotBeWritten(t *testing.T) {
	w := newWorld(t, says("never"))
	conv := w.conversation(chat.Conversation{})
	w.store.inject(true, "Begin", errDisk)
	if _, err := w.respond(conv, user("hi")); code(err) != "audit_unavailable" {
		t.Errorf("got %v", err)
	}
	if n := len(w.provider.calls()); n != 0 {
		t.Errorf("%d calls were made without a record", n)
	}
	w.mustAsk(conv, "the conversation is usable at once")
}

func TestOnlyOneTurnRunsAtATime(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "slow"), says("next"))
	conv := w.conversation(chat.Conversation{})
	run := w.stream(conv, user("one"))
	_, err := w.respond(conv, user("two"))
	if code(err) != chat.CodeConversationLocked {
		t.Errorf("a second turn got %v", err)
	}
	if _, err := w.AppendItems(t.Context(), caller, conv, []chat.Item{user("x")}); code(err) != chat.CodeConversationLocked {
		t.Errorf("a new message got %v", err)
	}
	if _, err := w.UpdateConversation(t.Context(), caller, conv, 0, func(c *chat.Conversation) error { c.Title = "new"; return nil }); err != nil {
		t.Errorf("a title got %v", err)
	}
	close(release)
	if _, err := run.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.mustAsk(conv, "two")
}

func TestATurnIsPreparedAnewWhenTheConversationChangedMeanwhile(t *testing.T) {
	w := newWorld(t, says("ok"))
	conv := w.conversation(chat.Conversation{})
	w.store.hook["Begin"] = func() {
		if _, err := w.AppendItems(t.Context(), caller, conv, []chat.Item{user("squeezed in")}); err != nil {
			t.Error(err)
		}
	}
	w.mustAsk(conv, "hi")
	if got, want := w.provider.calls()[0].Messages, []string{`user "squeezed in"`, `user "hi"`}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestATitleThatNeverRestsKeepsNoTurnFromBeginning(t *testing.T) {
	w := newWorld(t, says("ok"))
	conv := w.conversation(chat.Conversation{})
	tries := 0
	var retitle func()
	retitle = func() {
		tries++
		_, err := w.UpdateConversation(t.Context(), caller, conv, 0, func(c *chat.Conversation) error {
			c.SetTitle(strings.Repeat("x", tries))
			c.Metadata = map[string]string{"try": c.Title}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		w.store.hook["Begin"] = retitle
	}
	w.store.hook["Begin"] = retitle
	w.mustAsk(conv, "hi")
	if tries != 1 {
		t.Errorf("it took %d tries", tries)
	}
}

func TestAnAttemptThatMayBeRepeatedIsAndEachHasItsPairOfRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails(upstreamError(true)), fails(upstreamError(true)), says("at last"))
		conv := w.conversation(chat.Conversation{})
		r := w.mustAsk(conv, "hi")
		if r.Attempts != 3 || string(r.Output[0].Content) != `"at last"` {
			t.Errorf("got %+v", r)
		}
		var got []string
		for _, rec := range w.records(conv) {
			got = append(got, string(rec.Kind)+" "+string(rune('0'+rec.Attempt))+" "+rec.Status)
		}
		want := []string{"llm.intent 1 ", "llm.outcome 1 failed", "llm.intent 2 ", "llm.outcome 2 failed", "llm.intent 3 ", "llm.outcome 3 completed"}
		if !slices.Equal(got, want) {
			t.Errorf("recorded %q, want %q", got, want)
		}
		failed := w.records(conv)[1]
		if failed.ErrorCode != "upstream_failed" || failed.HTTPStatus != 500 || failed.Payloads[0].Text != "quota of [MASKED_EMAIL] exceeded" {
			t.Errorf("the failed attempt is recorded as %+v", failed)
		}
		w.verify()
	})
}

func TestAttemptsEndWithTheThirdOrWithAnErrorThatStays(t *testing.T) {
	longWait := upstreamError(true)
	longWait.RetryAfter = time.Hour
	for _, test := range []struct {
		name  string
		err   *llm.Error
		calls int
	}{
		{"three failures", upstreamError(true), 3},
		{"an error that stays", upstreamError(false), 1},
		{"a wait that is too long", longWait, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, fails(test.err))
				conv := w.conversation(chat.Conversation{})
				_, err := w.ask(conv, "hi")
				if code(err) != "upstream_failed" || len(w.provider.calls()) != test.calls {
					t.Errorf("%d calls, %v", len(w.provider.calls()), err)
				}
				w.verify()
			})
		})
	}
}

func TestTheProvidersRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := upstreamError(true)
		e.RetryAfter = 7 * time.Second
		w := newWorld(t, fails(e), says("ok"))
		conv := w.conversation(chat.Conversation{})
		began := time.Now()
		w.mustAsk(conv, "hi")
		if waited := time.Since(began); waited < 7*time.Second {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestAFailureIsPassedOnAtOnceWhenTheWaitGoesBeyondTheTimeThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := upstreamError(true)
		e.RetryAfter = 20 * time.Second
		w := newWorld(t, fails(e), says("never"))
		w.UpstreamTimeout = 15 * time.Second
		var ending time.Time
		w.store.hookNext("End", func() { ending = time.Now() })
		if _, err := w.ask(w.conversation(chat.Conversation{}), "hi"); code(err) != "upstream_failed" || len(w.provider.calls()) != 1 {
			t.Errorf("%d calls, %v", len(w.provider.calls()), err)
		}
		if waited := ending.Sub(w.provider.calls()[0].at); waited != 0 {
			t.Errorf("ended after %v", waited)
		}
	})
}

func TestNoFurtherAttemptIsMadeWhenItsIntentCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails(upstreamError(true)), says("never"))
		conv := w.conversation(chat.Conversation{})
		w.store.inject(true, "NextAttempt", errDisk)
		_, err := w.ask(conv, "hi")
		if code(err) != "audit_unavailable" || len(w.provider.calls()) != 1 {
			t.Errorf("%d calls, %v", len(w.provider.calls()), err)
		}
		w.verify()
	})
}

func TestAnEndThatCannotBeStoredIsTriedUntilItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, says("kept"))
		conv := w.conversation(chat.Conversation{})
		w.store.inject(true, "End", errDisk, errDisk, errDisk)
		if r := w.mustAsk(conv, "hi"); r.Status != chat.Completed {
			t.Errorf("got %+v", r)
		}
		w.mustAsk(conv, "and on")
		w.verify()
	})
}

func TestAClientIsToldWhenTheEndCannotBeStoredAndTheLockIsReleasedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, says("lost"), says("ok"))
		conv := w.conversation(chat.Conversation{})
		w.store.inject(true, "End", slices.Repeat([]error{errDisk}, 20)...)
		r, err := w.ask(conv, "hi")
		if code(err) != chat.CodeStoreUnavailable || r.Status != chat.Interrupted {
			t.Fatalf("got %+v, %v", r, err)
		}
		w.Drain(t.Context())
		stored, err := w.Response(t.Context(), caller.Owner, r.ID)
		if err != nil || stored.Status != chat.Interrupted || stored.Error.Code != chat.CodeStoreUnavailable {
			t.Errorf("stored %+v, %v", stored, err)
		}
		w.verify()
	})
}

func TestAnEndThatFailedAndYetTookEffectIsNotDoneTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, says("once"))
		conv := w.conversation(chat.Conversation{})
		w.store.inject(false, "End", errDisk)
		if r := w.mustAsk(conv, "hi"); r.Status != chat.Completed {
			t.Errorf("got %+v", r)
		}
		if n := len(w.records(conv)); n != 2 {
			t.Errorf("%d records, want 2", n)
		}
		w.verify()
	})
}

func TestHowAnAnswerEndsDecidesTheStatus(t *testing.T) {
	broken := func(_ context.Context, yield func(llm.Event, error) bool) {
		_ = yield(llm.Started{HTTPStatus: 200}, nil) && yield(llm.TextDelta{Text: "par"}, nil)
	}
	panics := func(context.Context, func(llm.Event, error) bool) { panic("a provider's bug") }
	for _, test := range []struct {
		name   string
		script script
		status chat.Status
		code   string
	}{
		{"its token limit", ends("length", "cut"), chat.Incomplete, ""},
		{"the provider's filter", ends("content_filter", "x"), chat.Incomplete, ""},
		{"no end marker", broken, chat.Failed, "upstream_stream_truncated"},
		{"a panic", panics, chat.Failed, "internal"},
		{"an error that is none of the vocabulary", func(_ context.Context, yield func(llm.Event, error) bool) { yield(nil, errors.New("odd")) }, chat.Failed, "internal"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.script)
			conv := w.conversation(chat.Conversation{})
			r, err := w.ask(conv, "hi")
			if r.Status != test.status || code(err) != test.code {
				t.Errorf("%s, %v", r.Status, err)
			}
			if recs := w.records(conv); len(recs) != 2 || recs[1].Status != string(test.status) || recs[1].ErrorCode != test.code {
				t.Errorf("recorded %+v", recs)
			}
			w.verify()
		})
	}
}

func TestAReaderThatLeavesDoesNotEndTheRunAndALateOneSeesAllOfIt(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "one ", "two ", "three"))
	conv := w.conversation(chat.Conversation{})
	ctx, leave := context.WithCancel(t.Context())
	run, err := w.Respond(ctx, chat.Request{Caller: caller, ConversationID: conv, Input: []chat.Item{user("count")}, Stream: true})
	if err != nil {
		t.Fatal(err)
	}
	leave()
	if _, err := run.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left was told %v", err)
	}
	close(release)
	all := read(t, run)
	var types []string
	text := ""
	for _, e := range all {
		types = append(types, e.Type())
		if d, ok := e.(*chat.TextEvent); ok && !d.Done {
			text += d.Text
		}
	}
	want := "response.created response.in_progress response.output_item.added response.content_part.added" +
		strings.Repeat(" response.output_text.delta", 3) +
		" response.output_text.done response.content_part.done response.output_item.done response.completed"
	if got := strings.Join(types, " "); got != want || text != "one two three" {
		t.Errorf("%s\nwith %q", got, text)
	}
	r, err := w.Response(t.Context(), caller.Owner, run.Response().ID)
	if err != nil || string(r.Output[0].Content) != `"one two three"` {
		t.Errorf("stored %+v, %v", r, err)
	}
	for _, e := range all {
		if it, ok := e.(*chat.ItemEvent); ok && it.Item.Seq != r.Output[0].Seq {
			t.Errorf("%s says seq %d, stored is %d", e.Type(), it.Item.Seq, r.Output[0].Seq)
		}
	}
	if tail := w.readFrom(run, 5); len(tail) != len(all)-5 {
		t.Errorf("a reader from event 5 got %d of %d", len(tail), len(all))
	}
	if last := all[len(all)-1].(*chat.ResponseEvent); last.Response.Status != chat.Completed || len(last.Response.Output) != 1 {
		t.Errorf("the terminal event carries %+v", last.Response)
	}
}

func TestARequestOverridesTheConversationsSettings(t *testing.T) {
	w := newWorld(t, says("ok"))
	warm, cool, tokens := 1.5, 0.2, int64(9)
	conv := w.conversation(chat.Conversation{Model: "kept", Instructions: "Be brief", Params: llm.Params{Temperature: &warm, Stop: []string{"."}}})
	instructions := "Be long"
	run, err := w.Respond(t.Context(), chat.Request{
		Caller: caller, ConversationID: conv, Input: []chat.Item{user("hi")}, Model: "other/big", Instructions: &instructions,
		Params: llm.Params{Temperature: &cool, MaxOutputTokens: &tokens},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Wait(t.Context())
	if err != nil || r.Model != "other/big" || r.Provider != "other" || r.Host != "other.test" {
		t.Errorf("got %+v, %v", r, err)
	}
	call := w.provider.calls()[0]
	if call.Instructions != "Be long" || *call.Params.Temperature != cool || *call.Params.MaxOutputTokens != 9 || call.Params.Stop[0] != "." {
		t.Errorf("sent %+v", call)
	}
	if r := w.mustAsk(conv, "and now"); r.Model != "kept" {
		t.Errorf("the conversation's model gave way to %q", r.Model)
	}
}

func TestAToolCallMustBeAnsweredBeforeTheNextTurn(t *testing.T) {
	w := newWorld(t, func(_ context.Context, yield func(llm.Event, error) bool) {
		_ = yield(llm.Started{HTTPStatus: 200}, nil) &&
			yield(llm.ToolCallStarted{CallID: "call_1", Name: "mail"}, nil) &&
			yield(llm.ToolCallDelta{Arguments: `{"to":"jane.doe@example.com"}`}, nil) &&
			yield(llm.Finished{FinishReason: "tool_calls"}, nil)
	}, says("sent"))
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, "mail Jane")
	if _, err := w.respond(conv, user("and?")); code(err) != "tool_output_missing" {
		t.Errorf("got %v", err)
	}
	output := chat.Item{Item: llm.Item{Type: llm.TypeFunctionCallOutput, Data: json.RawMessage(`{"type":"function_call_output","call_id":"call_1","output":"sent to jane.doe@example.com"}`)}}
	run, err := w.respond(conv, output)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, rec := range w.records(conv) {
		for _, p := range rec.Payloads {
			if strings.Contains(p.Text, "jane") {
				t.Errorf("%s keeps %q", rec.Kind, p.Text)
			}
			if p.Part == audit.PartToolCall && !json.Valid([]byte(p.Text)) {
				t.Errorf("masked arguments are no JSON: %q", p.Text)
			}
		}
	}
	w.verify()
}

func TestAnAuditLogThatKeepsNoTextStillKeepsTheRecords(t *testing.T) {
	w := newWorld(t, says("ok"))
	w.AuditMaxChars = 0
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, "hi")
	recs := w.records(conv)
	if len(recs) != 2 || len(recs[0].Payloads) != 1 || recs[0].Payloads[0].Stored || len(recs[1].Payloads) != 0 {
		t.Errorf("recorded %+v", recs)
	}
	w.verify()
}

func TestAMaskedTextIsCutToItsLimit(t *testing.T) {
	w := newWorld(t, says("0123456789"))
	w.AuditMaxChars = 4
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, "abcdefgh")
	recs := w.records(conv)
	if recs[0].Payloads[0].Text != "efgh" || recs[1].Payloads[0].Text != "0123" {
		t.Errorf("kept %q and %q", recs[0].Payloads[0].Text, recs[1].Payloads[0].Text)
	}
}
