package chat_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// A message takes four tokens and its words, a prompt three: a turn of one word each way takes ten. Thirty are free, so two
// such turns and an input of one word fit.
var small = llm.ModelInfo{ContextWindow: 40, MaxOutput: 10}

// texts are what a call carried, without roles and quotes.
func (s sent) texts() string {
	var texts []string
	for _, m := range s.Messages {
		_, text, _ := strings.Cut(m, " ")
		texts = append(texts, strings.Trim(text, `"`))
	}
	return strings.Join(texts, " ")
}

func (w *world) lastSent() sent {
	w.t.Helper()
	calls := w.provider.calls()
	return calls[len(calls)-1]
}

// tooLong is how a provider refuses a prompt; zero numbers are not told.
func tooLong(window, prompt int64) *llm.Error {
	return &llm.Error{
		Fault: fault.New(fault.Invalid, "context_length_exceeded", "The conversation does not fit."), HTTPStatus: 400,
		ContextWindow: window, PromptTokens: prompt,
	}
}

// turns is a conversation of n turns of one word each way.
func (w *world) turns(n int) string {
	w.t.Helper()
	conv := w.conversation(chat.Conversation{})
	for i := range n {
		if err := w.AppendItemsOf(conv, user(fmt.Sprintf("q%d", i+1)), message(llm.Assistant, fmt.Sprintf("a%d", i+1))); err != nil {
			w.t.Fatal(err)
		}
	}
	return conv
}

func (w *world) AppendItemsOf(conv string, items ...chat.Item) error {
	_, err := w.AppendItems(w.t.Context(), caller, conv, items)
	return err
}

func contextItems(rec audit.Record) int {
	for _, p := range rec.Payloads {
		if p.Part == audit.PartContext {
			return p.Items
		}
	}
	return -1
}

func TestTheOldestTurnsAreLeftOutWhenTheConversationOutgrowsTheModel(t *testing.T) {
	w := newWorld(t, says("a1"), says("a2"), says("a3"), says("a4"))
	w.catalog["small"] = small
	conv := w.conversation(chat.Conversation{})
	for i, want := range []struct {
		texts     string
		truncated int
	}{{"q1", 0}, {"q1 a1 q2", 0}, {"q1 a1 q2 a2 q3", 0}, {"q2 a2 q3 a3 q4", 2}} {
		r := w.mustAsk(conv, fmt.Sprintf("q%d", i+1))
		if got := w.lastSent().texts(); got != want.texts || r.Truncated != want.truncated {
			t.Errorf("sent %q without %d, want %q without %d", got, r.Truncated, want.texts, want.truncated)
		}
		stored, err := w.Response(t.Context(), caller.Owner, r.ID)
		if err != nil || stored.Truncated != want.truncated {
			t.Errorf("stored %d, %v", stored.Truncated, err)
		}
	}
	recs := w.records(conv)
	if n := contextItems(recs[len(recs)-2]); n != 5 {
		t.Errorf("the intent speaks of %d items", n)
	}
	w.verify()
}

func TestATurnThatIsTooLongForTheRestIsLeftOutWhole(t *testing.T) {
	w := newWorld(t, says("ok"))
	w.catalog["small"] = small
	conv := w.conversation(chat.Conversation{})
	if err := w.AppendItemsOf(conv, user("q1"), message(llm.Assistant, "short"), message(llm.Assistant, strings.Repeat("long ", 20)), user("q2"), message(llm.Assistant, "a2")); err != nil {
		t.Fatal(err)
	}
	if r := w.mustAsk(conv, "q3"); r.Truncated != 3 || w.lastSent().texts() != "q2 a2 q3" {
		t.Errorf("sent %q without %d", w.lastSent().texts(), r.Truncated)
	}
}

func TestInstructionsAreNeverLeftOut(t *testing.T) {
	w := newWorld(t, says("ok"))
	w.catalog["small"] = small
	conv := w.conversation(chat.Conversation{Instructions: "Be brief."})
	if err := w.AppendItemsOf(conv, message(llm.System, "polite"), user("q1"), message(llm.Assistant, "a1"), message(llm.Developer, "kind"), user("q2"), message(llm.Assistant, "a2")); err != nil {
		t.Fatal(err)
	}
	// Six tokens for the instructions and ten for the messages that instruct: nothing is left for a turn.
	r := w.mustAsk(conv, "q3")
	if got := w.lastSent(); got.texts() != "polite kind q3" || got.Instructions != "Be brief." || r.Truncated != 4 {
		t.Errorf("sent %q, %q without %d", got.Instructions, got.texts(), r.Truncated)
	}
}

func TestWithTruncationDisabledAConversationThatIsTooLongIsRefused(t *testing.T) {
	w := newWorld(t, says("never"))
	w.catalog["small"] = small
	conv := w.turns(3)
	_, err := w.Respond(t.Context(), chat.Request{Caller: caller, ConversationID: conv, Input: []chat.Item{user("q4")}, Params: llm.Params{Truncation: "disabled"}})
	if f := fault.Of(err); f.Kind != fault.Invalid || f.Code != "context_length_exceeded" || f.ResponseID != "" {
		t.Errorf("got %v", err)
	}
	if c, err := w.Conversation(t.Context(), caller.Owner, conv); err != nil || c.MessageCount != 6 || c.ActiveResponse != "" {
		t.Errorf("something began: %+v, %v", c, err)
	}
	if recs := w.records(conv); len(recs) != 0 || len(w.provider.calls()) != 0 {
		t.Errorf("recorded %+v", recs)
	}
}

func TestAPromptThatDoesNotFitByItselfIsRefused(t *testing.T) {
	w := newWorld(t, says("never"))
	w.catalog["small"] = small
	conv := w.turns(1)
	if _, err := w.respond(conv, user(strings.Repeat("word ", 24))); code(err) != "context_length_exceeded" {
		t.Errorf("got %v", err)
	}
	if len(w.provider.calls()) != 0 {
		t.Error("the model was called")
	}
	if _, err := w.respond(conv, user(strings.Repeat("word ", 23))); err != nil {
		t.Errorf("one that just fits was refused: %v", err)
	}
	w.Drain(t.Context())
}

func TestTheAnswersRoomIsWhatTheCallerAsksForAndAtMostHalf(t *testing.T) {
	for most, want := range map[int64]int{1: 0, 4: 2, 10: 2, 1000: 4} {
		w := newWorld(t, says("ok"))
		w.catalog["small"] = small
		conv := w.turns(3)
		run, err := w.Respond(t.Context(), chat.Request{Caller: caller, ConversationID: conv, Input: []chat.Item{user("q4")}, Params: llm.Params{MaxOutputTokens: &most}})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := run.Wait(t.Context()); err != nil || r.Truncated != want {
			t.Errorf("with %d reserved %d were left out, want %d (%v)", most, r.Truncated, want, err)
		}
	}
}

func call(id string) chat.Item {
	return chat.Item{Item: llm.Item{Type: llm.TypeFunctionCall, Data: json.RawMessage(`{"type":"function_call","call_id":"` + id + `","name":"f","arguments":"{}"}`)}}
}

func output(id, text string) chat.Item {
	return chat.Item{Item: llm.Item{Type: llm.TypeFunctionCallOutput, Data: json.RawMessage(`{"type":"function_call_output","call_id":"` + id + `","output":"` + text + `"}`)}}
}

func TestAToolCallStaysWithItsOutput(t *testing.T) {
	w := newWorld(t, says("ok"))
	w.catalog["small"] = small
	conv := w.turns(2)
	if err := w.AppendItemsOf(conv, user("q3"), call("1")); err != nil {
		t.Fatal(err)
	}
	run, err := w.respond(conv, output("1", "sunny"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Wait(t.Context())
	if got := w.lastSent().Messages; err != nil || r.Truncated != 2 || len(got) != 5 || !strings.Contains(got[0], "q2") {
		t.Errorf("sent %q without %d, %v", got, r.Truncated, err)
	}

	// The call lies behind so much that there is no room for both.
	conv = w.conversation(chat.Conversation{})
	if err := w.AppendItemsOf(conv, user("q1"), call("1"), message(llm.User, strings.Repeat("word ", 20))); err != nil {
		t.Fatal(err)
	}
	if _, err := w.respond(conv, output("1", "sunny")); code(err) != "context_length_exceeded" {
		t.Errorf("got %v", err)
	}
}

func TestATurnOfSeveralMessagesIsNotSplit(t *testing.T) {
	w := newWorld(t, says("a1"), says("ok"))
	w.catalog["small"] = small
	conv := w.conversation(chat.Conversation{})
	run, err := w.respond(conv, user("q1"), user("more"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Fourteen tokens are left, and the turn has fifteen: its second message alone would have fitted.
	if r := w.mustAsk(conv, "now nine words and no more than these nine"); r.Truncated != 3 {
		t.Errorf("%d were left out", r.Truncated)
	}
}

func TestNotesThatNoModelHasAnsweredAreLeftOutOneByOne(t *testing.T) {
	w := newWorld(t, says("ok"))
	w.catalog["small"] = small
	conv := w.conversation(chat.Conversation{})
	if err := w.AppendItemsOf(conv, user("n1"), user("n2"), user("n3"), user("n4"), user("n5"), user("n6")); err != nil {
		t.Fatal(err)
	}
	if r := w.mustAsk(conv, "so"); r.Truncated != 2 || w.lastSent().texts() != "n3 n4 n5 n6 so" {
		t.Errorf("sent %q without %d", w.lastSent().texts(), r.Truncated)
	}
}

func TestAPromptThatTheProviderFindsTooLongIsShortenedAndSentAgain(t *testing.T) {
	w := newWorld(t, fails(tooLong(30, 70)), says("ok"))
	conv := w.turns(6)
	r := w.mustAsk(conv, "q7")
	// Our 68 tokens are 70 of the provider's, so of its 30 less 7 reserved 22 are ours: one turn besides the input.
	if got := w.lastSent().texts(); got != "q6 a6 q7" || r.Truncated != 10 || r.Attempts != 2 {
		t.Errorf("sent %q without %d in %d attempts", got, r.Truncated, r.Attempts)
	}
	recs := w.records(conv)
	if len(recs) != 4 || recs[1].Status != "failed" || recs[1].ErrorCode != "context_length_exceeded" || recs[2].Kind != audit.KindIntent || recs[2].Attempt != 2 || recs[3].Status != "completed" {
		t.Fatalf("recorded %+v", recs)
	}
	if contextItems(recs[0]) != 13 || contextItems(recs[2]) != 3 || recs[0].Payloads[1].Commitment == recs[2].Payloads[1].Commitment {
		t.Errorf("the intents speak of %d and %d items", contextItems(recs[0]), contextItems(recs[2]))
	}
	stored, err := w.Response(t.Context(), caller.Owner, r.ID)
	if err != nil || stored.Truncated != 10 || stored.Attempts != 2 {
		t.Errorf("stored %+v, %v", stored, err)
	}
	// What the provider said is remembered.
	if r := w.mustAsk(conv, "q8"); r.Attempts != 1 || r.Truncated != 12 {
		t.Errorf("the next one took %d attempts, without %d", r.Attempts, r.Truncated)
	}
	w.verify()
}

func TestAProviderThatTellsNoNumbersGetsHalfOfItAndInTheEndOnlyThePrompt(t *testing.T) {
	w := newWorld(t, fails(tooLong(0, 0)))
	conv := w.turns(8)
	r, err := w.ask(conv, "q9")
	if code(err) != "context_length_exceeded" || r.Attempts != 4 || r.Truncated != 16 {
		t.Errorf("%v after %d attempts, without %d", err, r.Attempts, r.Truncated)
	}
	var sizes []int
	for _, c := range w.provider.calls() {
		sizes = append(sizes, len(c.Messages))
	}
	if !slices.Equal(sizes, []int{17, 9, 5, 1}) {
		t.Errorf("sent %v messages", sizes)
	}
	if recs := w.records(conv); len(recs) != 8 {
		t.Errorf("%d records of 4 attempts", len(recs))
	}
	w.verify()
}

func TestAPromptIsNotShortenedWhereItMustNotBe(t *testing.T) {
	for name, test := range map[string]struct {
		turns  int
		params llm.Params
	}{
		"truncation is disabled": {3, llm.Params{Truncation: "disabled"}},
		"there is no history":    {0, llm.Params{}},
	} {
		w := newWorld(t, fails(tooLong(30, 70)))
		conv := w.turns(test.turns)
		run, err := w.Respond(t.Context(), chat.Request{Caller: caller, ConversationID: conv, Input: []chat.Item{user("now")}, Params: test.params})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := run.Wait(t.Context()); code(err) != "context_length_exceeded" || fault.Of(err).ResponseID != r.ID || r.Attempts != 1 || r.Truncated != 0 {
			t.Errorf("%s: %v after %d attempts without %d", name, err, r.Attempts, r.Truncated)
		}
	}
}

func TestShorteningIsNoRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails(tooLong(0, 0)), fails(upstreamError(true)), fails(tooLong(0, 0)), fails(upstreamError(true)), says("ok"))
		conv := w.turns(8)
		if r := w.mustAsk(conv, "q9"); r.Attempts != 5 || r.Truncated != 12 {
			t.Errorf("%d attempts, without %d", r.Attempts, r.Truncated)
		}
	})
}
