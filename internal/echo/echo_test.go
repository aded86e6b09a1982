package echo_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/parley-llm/parley/internal/echo"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

func message(role llm.Role, content string) llm.Item {
	return llm.Item{Type: llm.TypeMessage, Role: role, Content: json.RawMessage(content)}
}

// ask collects the deltas and the end of one call.
func ask(t *testing.T, ctx context.Context, req *llm.Request) (deltas []string, end llm.Finished, failure *llm.Error) { //nolint:revive // t comes first in tests
	t.Helper()
	if req.Model == "" {
		req.Model = echo.Model
	}
	body, err := echo.Provider{}.Encode(req)
	if err != nil {
		t.Fatal(err)
	}
	started := 0
	for ev, err := range (echo.Provider{}).Generate(ctx, &llm.Call{Model: req.Model, Stream: req.Stream, Body: body}) {
		if err != nil {
			if !errors.As(err, &failure) {
				t.Fatalf("an error that is no *llm.Error: %v", err)
			}
			return deltas, end, failure
		}
		switch ev := ev.(type) {
		case llm.Started:
			started++
		case llm.TextDelta:
			deltas = append(deltas, ev.Text)
		case llm.Finished:
			end = ev
		}
	}
	if started != 1 {
		t.Errorf("the answer started %d times", started)
	}
	return deltas, end, nil
}

func TestTheFirstReplySaysThatItIsAStandInAndLaterOnesDoNot(t *testing.T) {
	first, end, _ := ask(t, t.Context(), &llm.Request{Items: []llm.Item{message(llm.User, `"Hello there"`)}})
	text := strings.Join(first, "")
	if !strings.Contains(text, "OPENAI_API_KEY") || !strings.HasSuffix(text, `You said: "Hello there"`) || len(first) != 1 {
		t.Errorf("got %q", first)
	}
	if end.FinishReason != "stop" || end.Usage.InputTokens != 2 || end.Usage.TotalTokens != end.Usage.InputTokens+end.Usage.OutputTokens {
		t.Errorf("ended %+v with %+v", end, end.Usage)
	}
	later, _, _ := ask(t, t.Context(), &llm.Request{Items: []llm.Item{
		message(llm.User, `"Hello"`), message(llm.Assistant, `"Hi"`), message(llm.User, `[{"type":"text","text":"And"},{"type":"image_url"},{"type":"text","text":"now?"}]`),
	}})
	if got := strings.Join(later, ""); got != `You said: "And now?"` {
		t.Errorf("got %q", got)
	}
}

func TestAStreamedReplyIsTheWholeOneWordByWord(t *testing.T) {
	items := []llm.Item{message(llm.Assistant, `"Hi"`), message(llm.User, `"one  two\nthree é"`)}
	whole, wholeEnd, _ := ask(t, t.Context(), &llm.Request{Items: items})
	streamed, end, _ := ask(t, t.Context(), &llm.Request{Items: items, Stream: true})
	if want := []string{"You ", "said: ", "\"one  ", "two\n", "three ", "é\""}; !slices.Equal(streamed, want) {
		t.Errorf("got %q, want %q", streamed, want)
	}
	if strings.Join(streamed, "") != strings.Join(whole, "") || *end.Usage != *wholeEnd.Usage {
		t.Errorf("streamed %q, whole %q", streamed, whole)
	}
}

func TestLimitsAndStopsAreHonoured(t *testing.T) {
	two := int64(2)
	history := []llm.Item{message(llm.Assistant, `"Hi"`), message(llm.User, `"a b c STOP d"`)}
	cut, end, _ := ask(t, t.Context(), &llm.Request{Items: history, Params: llm.Params{MaxOutputTokens: &two}})
	if strings.Join(cut, "") != "You said: " || end.FinishReason != "length" || end.Usage.OutputTokens != 2 {
		t.Errorf("got %q, %+v", cut, end)
	}
	stopped, end, _ := ask(t, t.Context(), &llm.Request{Items: history, Params: llm.Params{Stop: []string{"", "STOP"}}})
	if strings.Join(stopped, "") != `You said: "a b c ` || end.FinishReason != "stop" {
		t.Errorf("got %q, %+v", stopped, end)
	}
	long, _, _ := ask(t, t.Context(), &llm.Request{Items: []llm.Item{message(llm.Assistant, `""`), message(llm.User, `"`+strings.Repeat("é", 5000)+`"`)}})
	if n := strings.Count(long[0], "é"); n != 2000 {
		t.Errorf("a long prompt comes back with %d of its characters", n)
	}
}

func TestAToolsOutputIsAnsweredToo(t *testing.T) {
	for data, want := range map[string]string{
		`{"type":"function_call_output","call_id":"c","output":"21 degrees"}`:                                 `You said: "21 degrees"`,
		`{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"from a part"}]}`: `You said: "from a part"`,
		`{"type":"function_call_output","call_id":"c","output":{"odd":true}}`:                                 `You said nothing that I can read.`,
	} {
		got, _, _ := ask(t, t.Context(), &llm.Request{Instructions: "Be brief", Items: []llm.Item{
			message(llm.Assistant, `"Looking"`),
			{Type: llm.TypeFunctionCall, Data: json.RawMessage(`{"type":"function_call"}`)},
			{Type: llm.TypeFunctionCallOutput, Data: json.RawMessage(data)},
		}})
		if strings.Join(got, "") != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestWhatCannotBeAnsweredIsATypedError(t *testing.T) {
	_, _, failure := ask(t, t.Context(), &llm.Request{Model: "other"})
	if failure == nil || failure.Fault.Code != "model_not_found" || failure.Fault.Kind != fault.NotFound {
		t.Errorf("an unknown model got %v", failure)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, failure = ask(t, gone, &llm.Request{}); failure == nil || failure.Fault.Kind != fault.Canceled {
		t.Errorf("a cancelled call got %v", failure)
	}
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, _, failure = ask(t, late, &llm.Request{}); failure == nil || failure.Fault.Kind != fault.Timeout {
		t.Errorf("a late call got %v", failure)
	}
	for _, err := range (echo.Provider{}).Generate(t.Context(), &llm.Call{Body: []byte("no JSON")}) {
		if fault.Of(err).Kind != fault.Internal {
			t.Errorf("a body that is none got %v", err)
		}
	}
	models, err := echo.Provider{}.Models(t.Context())
	if err != nil || len(models) != 1 || models[0].ID != echo.Model {
		t.Errorf("models %v, %v", models, err)
	}
}

func TestACallerMayBreakOff(t *testing.T) {
	body, err := echo.Provider{}.Encode(&llm.Request{Model: echo.Model, Stream: true})
	if err != nil {
		t.Fatal(err)
	}
	for stop := 1; stop <= 4; stop++ {
		n := 0
		for _, err := range (echo.Provider{}).Generate(t.Context(), &llm.Call{Stream: true, Body: body}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == stop {
				break
			}
		}
		if n != stop {
			t.Errorf("broke off after %d events, not %d", n, stop)
		}
	}
}
