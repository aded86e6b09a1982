package anthropic

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/llmtest"
)

// asked is the request that the recorded answers with thinking are answers to.
func asked(stream bool) *llm.Request {
	return &llm.Request{
		Model: "model-1", Instructions: "Be brief.", Stream: stream,
		Items: []llm.Item{said(llm.User, `"How was it?"`), said(llm.Assistant, `"Fine."`), said(llm.User, `"And now?"`)},
		Tools: json.RawMessage(`[{"type":"function","name":"weather"}]`),
	}
}

// answered sends a request to a server that gives a recorded answer, and returns what came of it as items.
func answered(t *testing.T, req *llm.Request, file string) (*Client, []llm.Item) {
	t.Helper()
	u := llmtest.NewUpstream(t)
	u.Answer(llmtest.File(t, file))
	c := newClient(t, u)
	body, err := c.Encode(req)
	if err != nil {
		t.Fatal(err)
	}
	var items []llm.Item
	text, calls := "", 0
	for ev, err := range c.Generate(t.Context(), &llm.Call{Model: req.Model, Stream: req.Stream, Body: body}) {
		if err != nil {
			t.Fatal(err)
		}
		switch ev := ev.(type) {
		case llm.ReasoningDelta:
			text += ev.Text
		case llm.ReasoningEncrypted:
			items = append(items, data("reasoning", fmt.Sprintf(`"summary":[],"content":[{"type":"reasoning_text","text":%q}],"encrypted_content":%q`, text, ev.Content)))
			text = ""
		case llm.TextDelta:
			items = append(items, said(llm.Assistant, fmt.Sprintf("%q", ev.Text)))
		case llm.ToolCallDelta:
			calls++
			items = append(items, data("function_call", fmt.Sprintf(`"call_id":"toolu_1","name":"weather","arguments":%q`, ev.Arguments)))
		}
	}
	if calls != 1 || text != "" {
		t.Fatalf("%d calls, and %q is not signed", calls, text)
	}
	return c, items
}

// messages are the ones in a body, each in one line.
func messages(t *testing.T, c *Client, req *llm.Request) (list []string) {
	t.Helper()
	raw, err := c.Encode(req)
	if err != nil {
		t.Fatal(err)
	}
	var body struct{ Messages []json.RawMessage }
	if err := json.Unmarshal(raw, &body); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	for _, m := range body.Messages {
		list = append(list, string(m))
	}
	return list
}

const (
	thoughts = `{"type":"thinking","thinking":"Let me \"look\".","signature":"EqQBCgIYAhIM1gbcDa9GJwZA2b3h+/=="},` +
		`{"type":"redacted_thinking","data":"EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIw+/="},` +
		`{"type":"thinking","thinking":"","signature":"EuYBCkQYAhgCIkD.5kQZ/+="},`
	spoken = `{"type":"text","text":"I look."},{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Oslo"}}`
)

var output = data("function_call_output", `"call_id":"toolu_1","output":"snow"`)

func TestThinkingGoesBackUnchangedWithTheOutputsOfTools(t *testing.T) {
	for _, file := range []string{"whole-thinking", "stream-thinking"} {
		req := asked(strings.HasPrefix(file, "stream"))
		c, items := answered(t, req, file)
		if len(items) != 5 {
			t.Fatalf("%s: %d items", file, len(items))
		}
		before := req.Items
		again := func() *llm.Request {
			r := *req
			r.Items = slices.Concat(before, items, []llm.Item{output})
			return &r
		}
		if got, want := messages(t, c, again()), `{"role":"assistant","content":[`+thoughts+spoken+`]}`; len(got) != 5 || got[3] != want {
			t.Errorf("%s: sent\n%s\nwant\n%s", file, strings.Join(got, "\n"), want)
		}
		// The turn goes on: a call, its output, and a word of the user beside it.
		longer := again()
		longer.Items = append(longer.Items,
			data("function_call", `"call_id":"toolu_2","name":"weather","arguments":"{}"`), said(llm.User, `"Well?"`),
			data("function_call_output", `"call_id":"toolu_2","output":"rain"`), said(llm.User, `"Say!"`))
		if got := messages(t, c, longer); len(got) != 7 || !strings.Contains(got[3], thoughts+spoken) {
			t.Errorf("%s: sent\n%s", file, strings.Join(got, "\n"))
		}
		for name, change := range map[string]func(r *llm.Request){
			"another model":            func(r *llm.Request) { r.Model = "model-2" },
			"other instructions":       func(r *llm.Request) { r.Instructions = "Be long." },
			"a later instruction":      func(r *llm.Request) { r.Items = append(r.Items, said(llm.System, `"Hurry."`)) },
			"other tools":              func(r *llm.Request) { r.Tools = json.RawMessage(`[{"type":"function","name":"weather2"}]`) },
			"no tools":                 func(r *llm.Request) { r.Tools = nil },
			"a message that is edited": func(r *llm.Request) { r.Items[2] = said(llm.User, `"And then?"`) },
			"a window that moved on":   func(r *llm.Request) { r.Items = r.Items[2:] },
			"its first block deleted":  func(r *llm.Request) { r.Items = slices.Delete(r.Items, 3, 4) },
			"the user spoke again": func(r *llm.Request) {
				r.Items = append(r.Items, said(llm.Assistant, `"It snows."`), said(llm.User, `"Thanks."`))
			},
		} {
			r := again()
			change(r)
			if got := strings.Join(messages(t, c, r), "\n"); strings.Contains(got, "thinking") || !strings.Contains(got, `{"role":"assistant","content":[`+spoken+`]}`) {
				t.Errorf("%s: with %s there is sent\n%s", file, name, got)
			}
		}
		other := fakeClient(t, "http://127.0.0.1:1", nil)
		if got := strings.Join(messages(t, other, again()), "\n"); strings.Contains(got, "thinking") {
			t.Errorf("%s: to another host there is sent\n%s", file, got)
		}
	}
}

func TestThinkingThatNothingFollowsIsNoMessage(t *testing.T) {
	req := asked(false)
	c, items := answered(t, req, "whole-thinking")
	req.Items = slices.Concat(req.Items, items[:3], []llm.Item{said(llm.Assistant, `" "`), output})
	if got := strings.Join(messages(t, c, req), "\n"); strings.Contains(got, "thinking") || strings.Count(got, "\n") != 3 {
		t.Errorf("sent\n%s", got)
	}
}

func TestEncryptedContentOfOthersStaysHere(t *testing.T) {
	for _, encrypted := range []string{`null`, `7`, `""`, `"gAAAAABo"`, `"thinking"`, `"thinking.x"`, `"text.x.y"`, `{"a":1}`} {
		req := asked(false)
		req.Items = append(req.Items, data("reasoning", `"summary":[],"encrypted_content":`+encrypted), data("function_call", `"call_id":"c","name":"f"`), data("function_call_output", `"call_id":"c","output":""`))
		if got := strings.Join(messages(t, newClient(t, llmtest.NewUpstream(t)), req), "\n"); strings.Contains(got, "thinking") {
			t.Errorf("%s: sent\n%s", encrypted, got)
		}
	}
}
