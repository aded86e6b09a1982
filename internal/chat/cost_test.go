package chat_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

var priced = llm.ModelInfo{Prices: &llm.Prices{Version: "list 1", Input: 1_000_000, CachedInput: 500_000, Output: 2_000_000}}

// silent answers with words and reports no usage.
func silent(words ...string) script {
	return func(_ context.Context, yield func(llm.Event, error) bool) {
		yield(llm.Started{HTTPStatus: 200}, nil)
		for _, w := range words {
			yield(llm.TextDelta{Text: w}, nil)
		}
		yield(llm.Finished{FinishReason: "stop"}, nil)
	}
}

func (w *world) outcome(conv string) audit.Record {
	w.t.Helper()
	recs := w.records(conv)
	if len(recs) == 0 || recs[len(recs)-1].Kind != audit.KindOutcome {
		w.t.Fatalf("the last of %d records is no outcome", len(recs))
	}
	return recs[len(recs)-1]
}

func TestWhatATurnCostIsOnItsResponseItsConversationAndItsOutcome(t *testing.T) {
	w := newWorld(t, says("one", "two"))
	w.catalog["small"] = priced
	conv := w.conversation(chat.Conversation{})
	r := w.mustAsk(conv, "hello")
	// Five tokens in and two out.
	if want := (chat.Cost{AmountMicros: 9, PriceVersion: "list 1"}); r.Cost == nil || *r.Cost != want {
		t.Errorf("the response cost %+v, want %+v", r.Cost, want)
	}
	out := w.outcome(conv)
	if want := (audit.Cost{AmountMicros: 9, Currency: "USD", PriceVersion: "list 1"}); out.Cost == nil || *out.Cost != want || out.UsageSource != audit.UsageProvider {
		t.Errorf("the outcome says %+v by %s", out.Cost, out.UsageSource)
	}
	w.mustAsk(conv, "again")
	c, err := w.Conversation(t.Context(), caller.Owner, conv)
	if err != nil || c.Cost == nil || c.Cost.AmountMicros != 18 {
		t.Errorf("the conversation cost %+v, %v", c.Cost, err)
	}
	w.verify()
}

func TestAModelWithoutAPriceHasNoCost(t *testing.T) {
	w := newWorld(t, says("one"))
	conv := w.conversation(chat.Conversation{})
	if r := w.mustAsk(conv, "hello"); r.Cost != nil {
		t.Errorf("it cost %+v", r.Cost)
	}
	if out := w.outcome(conv); out.Cost != nil {
		t.Errorf("the outcome says %+v", out.Cost)
	}
}

func TestATotalIsNoLessThanWhatItIsTheTotalOf(t *testing.T) {
	for _, test := range []struct{ total, want int64 }{{0, 12}, {3, 12}, {-1, 12}, {12, 12}, {15, 15}} {
		w := newWorld(t, func(_ context.Context, yield func(llm.Event, error) bool) {
			if yield(llm.Started{HTTPStatus: 200}, nil) && yield(llm.TextDelta{Text: "x"}, nil) {
				yield(llm.Finished{FinishReason: "stop", Usage: &llm.Usage{InputTokens: 5, OutputTokens: 7, TotalTokens: test.total}}, nil)
			}
		})
		if r := w.mustAsk(w.conversation(chat.Conversation{}), "hi"); r.Usage.TotalTokens != test.want {
			t.Errorf("a total of %d became %d, want %d", test.total, r.Usage.TotalTokens, test.want)
		}
	}
}

func TestUsageThatAProviderLeavesOutIsEstimated(t *testing.T) {
	w := newWorld(t, says("first"), silent("three ", "words ", "here"))
	w.catalog["small"] = priced
	conv := w.conversation(chat.Conversation{Instructions: "Be brief."})
	w.mustAsk(conv, "one two")
	r := w.mustAsk(conv, "three four five")
	// 3 for the prompt, 4 and two words of instructions, then 4 for each message and 2, 1 and 3 words.
	want := llm.Usage{InputTokens: 27, OutputTokens: 3, TotalTokens: 30}
	if r.Usage == nil || *r.Usage != want {
		t.Errorf("used %+v, want %+v", r.Usage, want)
	}
	if r.Cost == nil || !r.Cost.Estimated || r.Cost.AmountMicros != 33 {
		t.Errorf("it cost %+v", r.Cost)
	}
	out := w.outcome(conv)
	if out.UsageSource != audit.UsageEstimated || out.Usage == nil || out.Usage.TotalTokens != 30 || out.Cost == nil || !out.Cost.Estimated {
		t.Errorf("the outcome says %+v, %s, %+v", out.Usage, out.UsageSource, out.Cost)
	}
	c, err := w.Conversation(t.Context(), caller.Owner, conv)
	if err != nil || c.Cost == nil || !c.Cost.Estimated || c.Usage.OutputTokens != 4 {
		t.Errorf("the conversation: %+v, %+v, %v", c.Usage, c.Cost, err)
	}
}

func TestTheEstimateOfATurnThatIsRunAgainCountsWhatWasSentAgain(t *testing.T) {
	w := newWorld(t, silent("a much longer answer than the one that ", "takes its place, and no part of any prompt"), silent("short"), fails(upstreamError(false)), silent("at last"))
	conv := w.conversation(chat.Conversation{})
	first := w.mustAsk(conv, "one two")
	again := func() chat.Response {
		t.Helper()
		run, err := w.regenerate(conv, false)
		if err != nil {
			t.Fatal(err)
		}
		r, err := run.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := again(); r.Usage == nil || r.Usage.InputTokens != first.Usage.InputTokens {
		t.Errorf("used %+v, at first %+v", r.Usage, first.Usage)
	}
	if _, err := w.ask(conv, "three four"); err == nil {
		t.Fatal("that was to fail")
	}
	// The first turn, its answer and the question: 3, and 4 and the words of each.
	if r := again(); r.Usage == nil || r.Usage.InputTokens != 3+4+2+4+1+4+2 {
		t.Errorf("after a failure: used %+v", r.Usage)
	}
}

func TestAnAnswerThatBrokeOffHasUsedWhatCameAndARefusalNothing(t *testing.T) {
	w := newWorld(t, fails(upstreamError(false), "two ", "words"), fails(upstreamError(false)))
	w.catalog["small"] = priced
	conv := w.conversation(chat.Conversation{})
	if r, err := w.ask(conv, "hello"); err == nil || r.Usage == nil || r.Usage.OutputTokens != 2 || r.Cost == nil || !r.Cost.Estimated {
		t.Errorf("broken off: %v, %+v, %+v", err, r.Usage, r.Cost)
	}
	if r, err := w.ask(conv, "hello"); err == nil || r.Usage != nil || r.Cost != nil {
		t.Errorf("refused: %v, %+v, %+v", err, r.Usage, r.Cost)
	}
}

func TestAnEstimateCountsTextAndTakesTheRestByItsKind(t *testing.T) {
	part := func(raw string) chat.Item {
		return chat.Item{Item: llm.Item{Type: llm.TypeMessage, Role: llm.User, Content: json.RawMessage(raw)}}
	}
	data := func(itemType, raw string) chat.Item {
		return chat.Item{Item: llm.Item{Type: itemType, Data: json.RawMessage(raw)}}
	}
	long := make([]byte, 6000)
	for i := range long {
		long[i] = 'A'
	}
	for _, c := range []struct {
		sentence string
		items    []chat.Item
		want     int64
	}{
		{"a text", []chat.Item{user("one two")}, 2 + 4},
		{"text parts", []chat.Item{part(`[{"type":"text","text":"one two"},{"type":"refusal","refusal":"three"}]`)}, 3 + 4},
		{"a picture, whatever its size", []chat.Item{part(`[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + string(long) + `"}}]`)}, 1000 + 4},
		{"a file, by its size", []chat.Item{part(`[{"type":"file","file":{"file_data":"` + string(long) + `"}}]`)}, 60 + 4},
		{
			"a tool call and its output",
			[]chat.Item{
				data(llm.TypeFunctionCall, `{"type":"function_call","call_id":"1","name":"f","arguments":"{\"a\": 1}"}`),
				data(llm.TypeFunctionCallOutput, `{"type":"function_call_output","call_id":"1","output":"it is one"}`), user("so"),
			},
			3 + 4 + 3 + 4 + 1 + 4,
		},
		{"reasoning, which is not sent", []chat.Item{data(llm.TypeReasoning, `{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"a b c"}]}`), user("so")}, 1 + 4},
	} {
		w := newWorld(t, silent())
		conv := w.conversation(chat.Conversation{})
		run, err := w.respond(conv, c.items...)
		if err != nil {
			t.Fatal(c.sentence, err)
		}
		r, err := run.Wait(t.Context())
		if err != nil || r.Usage.InputTokens != c.want+3 {
			t.Errorf("%s: %d tokens, want %d (%v)", c.sentence, r.Usage.InputTokens, c.want+3, err)
		}
	}
}

func TestReasoningThatCameIsAmongTheOutput(t *testing.T) {
	w := newWorld(t, func(_ context.Context, yield func(llm.Event, error) bool) {
		yield(llm.Started{HTTPStatus: 200}, nil)
		yield(llm.ReasoningDelta{Text: "let me see"}, nil)
		yield(llm.TextDelta{Text: "four words it is"}, nil)
		yield(llm.Finished{FinishReason: "stop"}, nil)
	})
	r := w.mustAsk(w.conversation(chat.Conversation{}), "hello")
	if r.Usage.ReasoningTokens != 3 || r.Usage.OutputTokens != 7 {
		t.Errorf("used %+v", r.Usage)
	}
}
