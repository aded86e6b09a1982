package anthropic

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/llmtest"
)

// event1 is an event of a stream.
func event1(kind, members string) string {
	if members != "" {
		members = "," + members
	}
	return "event: " + kind + "\ndata: {\"type\":\"" + kind + "\"" + members + "}\n\n"
}

func begin(index int, block string) string {
	return event1("content_block_start", fmt.Sprintf(`"index":%d,"content_block":{%s}`, index, block))
}

func piece(index int, delta string) string {
	return event1("content_block_delta", fmt.Sprintf(`"index":%d,"delta":{%s}`, index, delta))
}

func end(index int) string { return event1("content_block_stop", fmt.Sprintf(`"index":%d`, index)) }

func input(index int, json string) string {
	return piece(index, fmt.Sprintf(`"type":"input_json_delta","partial_json":%q`, json))
}

var (
	start = event1("message_start", `"message":{"model":"m","usage":{"input_tokens":5,"cache_read_input_tokens":2,"cache_creation_input_tokens":3,"output_tokens":1}}`)
	hello = begin(0, `"type":"text","text":"Hel"`) + piece(0, `"type":"text_delta","text":"lo"`) + end(0)
	ended = event1("message_delta", `"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}`)
	stop  = event1("message_stop", "")
)

// generate reads the answer of a server that says body.
func generate(t testing.TB, stream bool, contentType, body string) llmtest.Answer {
	t.Helper()
	c := fakeClient(t, "http://127.0.0.1:1", func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body))}, nil
	})
	c.http.MaxBytes = 2 << 20
	return llmtest.Collect(t.Context(), t, c, &llm.Call{Stream: stream, Body: []byte(`{}`)})
}

func TestStreams(t *testing.T) {
	usage := &llm.Usage{InputTokens: 10, OutputTokens: 4, TotalTokens: 14, CachedTokens: 2, CacheWriteTokens: 3}
	for _, tc := range []struct {
		name, stream, text, reasoning, finish string
		// encrypted are the kinds and signatures.
		encrypted []string
		calls     []llmtest.Call
	}{
		{name: "a text", stream: start + hello + ended + stop, text: "Hello", finish: "stop"},
		{name: "events that are not known", stream: start + event1("ping", "") + event1("surprise", `"index":7`) + hello + ended + stop, text: "Hello", finish: "stop"},
		{name: "events without a name", stream: strings.ReplaceAll(start+hello+ended+stop, "event: ", "id: "), text: "Hello", finish: "stop"},
		{name: "events behind the end", stream: start + hello + ended + stop + hello + "data: {\n\n", text: "Hello", finish: "stop"},
		{name: "thinking with a signature", stream: start + begin(0, `"type":"thinking","thinking":"a"`) + piece(0, `"type":"thinking_delta","thinking":"b"`) + piece(0, `"type":"signature_delta","signature":"x"`) + end(0) + ended + stop, reasoning: "ab", encrypted: []string{"thinking x"}, finish: "stop"},
		{name: "thinking without one", stream: start + begin(0, `"type":"thinking","thinking":"a","signature":""`) + end(0) + ended + stop, reasoning: "a", finish: "stop"},
		{name: "thinking with a signature alone", stream: start + begin(0, `"type":"thinking","thinking":"","signature":""`) + piece(0, `"type":"signature_delta","signature":"x.y"`) + end(0) + ended + stop, encrypted: []string{"thinking x.y"}, finish: "stop"},
		{name: "thinking without its end", stream: start + begin(0, `"type":"thinking","signature":"x"`) + begin(1, `"type":"thinking","signature":"y"`) + ended + stop, encrypted: []string{"thinking x", "thinking y"}, finish: "stop"},
		{name: "a signature of another block", stream: start + begin(0, `"type":"thinking"`) + piece(1, `"type":"signature_delta","signature":"x"`) + end(0) + piece(0, `"type":"signature_delta","signature":"x"`) + ended + stop, finish: "stop"},
		{name: "thinking that is hidden", stream: start + begin(0, `"type":"redacted_thinking","data":"x"`) + end(0) + begin(1, `"type":"redacted_thinking","data":{}`) + end(1) + ended + stop, encrypted: []string{"redacted_thinking x"}, finish: "stop"},
		{name: "citations", stream: start + hello + piece(0, `"type":"citations_delta","citation":{}`) + ended + stop, text: "Hello", finish: "stop"},
		{name: "a server's tool beside ours", stream: start +
			begin(0, `"type":"server_tool_use","id":"s","name":"web_search","input":{}`) + input(0, `{"query"`) + input(0, `:"x"}`) + end(0) +
			begin(1, `"type":"web_search_tool_result","content":[{"type":"web_search_result"}]`) + end(1) +
			begin(2, `"type":"tool_use","id":"c","name":"f","input":{}`) + input(2, "") + input(2, "{}") + end(2) + ended + stop, calls: []llmtest.Call{{ID: "c", Name: "f", Arguments: "{}"}}, finish: "stop"},
		{name: "calls that overlap", stream: start + begin(0, `"type":"tool_use","id":"a","name":"f"`) + begin(1, `"type":"tool_use","id":"b","name":"g"`) + input(0, "1") + input(1, "2") + input(0, "1") + end(1) + end(0) + ended + stop, calls: []llmtest.Call{{ID: "a", Name: "f", Arguments: "11"}, {ID: "b", Name: "g", Arguments: "2"}}, finish: "stop"},
		{name: "a call at once", stream: start + begin(0, `"type":"tool_use","id":"a","name":"f","input":{"x":1}`) + end(0) + ended + stop, calls: []llmtest.Call{{ID: "a", Name: "f", Arguments: `{"x":1}`}}, finish: "stop"},
		{name: "a call without its end", stream: start + begin(0, `"type":"tool_use","id":"a","name":"f","input":{}`) + ended + stop, calls: []llmtest.Call{{ID: "a", Name: "f", Arguments: `{}`}}, finish: "stop"},
		{name: "the end of the tokens", stream: start + hello + strings.Replace(ended, "end_turn", "max_tokens", 1) + stop, text: "Hello", finish: "length"},
		{name: "the end of the context", stream: start + hello + strings.Replace(ended, "end_turn", "model_context_window_exceeded", 1) + stop, text: "Hello", finish: "length"},
		{name: "a stop sequence", stream: start + hello + strings.Replace(ended, "end_turn", "stop_sequence", 1) + stop, text: "Hello", finish: "stop"},
		{name: "a refusal", stream: start + hello + strings.Replace(ended, "end_turn", "refusal", 1) + stop, text: "Hello", finish: "content_filter"},
		{name: "a pause", stream: start + hello + strings.Replace(ended, "end_turn", "pause_turn", 1) + stop, text: "Hello", finish: "pause_turn"},
		{name: "a reason that is a text", stream: start + hello + strings.Replace(ended, "end_turn", "I do not like it", 1) + stop, text: "Hello", finish: "unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := generate(t, true, "text/event-stream; charset=utf-8", tc.stream)
			if a.Err != nil {
				t.Fatalf("failed: %v", a.Err)
			}
			if a.Text != tc.text || a.Reasoning != tc.reasoning || !slices.Equal(a.Calls, tc.calls) || a.Finished.FinishReason != tc.finish || a.Finished.Model != "m" {
				t.Errorf("got %+v, %+v", a, *a.Finished)
			}
			if got := a.Finished.Usage; got == nil || *got != *usage {
				t.Errorf("usage %+v", got)
			}
			origin := originOf("127.0.0.1:1", []byte(`{}`))
			for i, sealed := range a.Encrypted {
				kind, rest, _ := strings.Cut(sealed, ".")
				signature, found := strings.CutPrefix(rest, origin+".")
				if !found {
					t.Errorf("%q is not bound to %s", sealed, origin)
				}
				k := kept{kind, origin, signature}
				a.Encrypted[i], origin = kind+" "+signature, k.next()
			}
			if !slices.Equal(a.Encrypted, tc.encrypted) {
				t.Errorf("encrypted %q", a.Encrypted)
			}
		})
	}
}

func TestUsageThatIsNoneDoesNotSpoilAnAnswer(t *testing.T) {
	six := llm.Usage{InputTokens: 2, OutputTokens: 4, TotalTokens: 6}
	for usage, want := range map[string]*llm.Usage{
		`null`: nil, `7`: nil, `"6 tokens"`: nil, `[]`: nil, `{}`: nil,
		`{"input_tokens":2,"cache_read_input_tokens":[],"output_tokens":4}`:   &six,
		`{"output_tokens_details":"none","input_tokens":2,"output_tokens":4}`: &six,
	} {
		whole := generate(t, false, "application/json", `{"model":"m","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","usage":`+usage+`}`)
		stream := generate(t, true, "text/event-stream", event1("message_start", `"message":{"model":"m","usage":`+usage+`}`)+hello+
			event1("message_delta", `"delta":{"stop_reason":"end_turn"},"usage":`+usage)+stop)
		for form, a := range map[string]llmtest.Answer{"whole": whole, "stream": stream} {
			if a.Err != nil || a.Text != "Hello" {
				t.Errorf("usage %s, %s: text %q, %v", usage, form, a.Text, a.Err)
				continue
			}
			if got := a.Finished.Usage; (got == nil) != (want == nil) || got != nil && *got != *want {
				t.Errorf("usage %s, %s is %+v, want %+v", usage, form, got, want)
			}
		}
	}
}

func TestStreamsThatFail(t *testing.T) {
	problem := func(kind string) string { return event1("error", `"error":{"type":"`+kind+`","message":"x"}`) }
	for _, tc := range []struct {
		name, stream string
		kind         fault.Kind
		code         string
	}{
		{"a stop reason alone is no end", start + hello + ended, fault.Upstream, "upstream_stream_truncated"},
		{"nor is an end without a blank line", start + hello + ended + strings.TrimSuffix(stop, "\n"), fault.Upstream, "upstream_stream_truncated"},
		{"nor one without a stop reason", start + hello + stop, fault.Upstream, "upstream_failed"},
		{"nor another protocol's", start + hello + ended + "data: [DONE]\n\n", fault.Upstream, "upstream_failed"},
		{"an event of another shape", start + "data: [1]\n\n" + stop, fault.Upstream, "upstream_failed"},
		{"a call without a name", start + begin(0, `"type":"tool_use","id":"a"`) + stop, fault.Upstream, "upstream_failed"},
		{"input for no call", start + input(0, "{}") + stop, fault.Upstream, "upstream_failed"},
		{"too many calls", start + strings.Repeat(begin(0, `"type":"tool_use","id":"a","name":"f"`)+end(0), maxCalls+1) + stop, fault.Upstream, "upstream_failed"},
		{"too much of what is not ours", start + many(maxCalls+1) + stop, fault.Upstream, "upstream_failed"},
		{"more than the cap", start + strings.Repeat(hello, 3<<20/len(hello)), fault.Upstream, "upstream_failed"},
		{"an overload", problem("overloaded_error"), fault.Upstream, "upstream_failed"},
		{"a rate limit", start + problem("rate_limit_error"), fault.RateLimited, "upstream_rate_limited"},
		{"a wrong key", start + problem("authentication_error"), fault.Upstream, "upstream_auth"},
		{"a missing right", start + problem("permission_error"), fault.Upstream, "upstream_auth"},
		{"an unknown model", start + problem("not_found_error"), fault.NotFound, "model_not_found"},
		{"a rejection", start + problem("invalid_request_error"), fault.Invalid, "upstream_rejected"},
		{"too large a request", start + problem("request_too_large"), fault.Invalid, "context_length_exceeded"},
		{"an error without a body", start + "event: error\ndata: {}\n\n", fault.Upstream, "upstream_failed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := generate(t, true, "text/event-stream", tc.stream)
			if a.Err == nil || a.Err.Fault.Kind != tc.kind || a.Err.Fault.Code != tc.code || a.Err.Retryable || a.Started == nil {
				t.Fatalf("got %+v", a.Err)
			}
		})
	}
}

// many is that many open blocks of a kind that is not ours.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(begin(i, `"type":"server_tool_use"`))
	}
	return b.String()
}

func TestWholeAnswers(t *testing.T) {
	const whole = `{"type":"message","model":"m","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn"}`
	for _, tc := range []struct {
		name              string
		stream            bool
		contentType, body string
		code              string
	}{
		{"as asked for", false, "application/json", whole, ""},
		{"where a stream was asked for", true, "application/json; charset=utf-8", whole, ""},
		{"a stream where a whole was asked for", false, "text/event-stream", start + hello + ended + stop, ""},
		{"no stop reason", false, "application/json", strings.Replace(whole, `"end_turn"`, "null", 1), "upstream_failed"},
		{"a nameless call", false, "application/json", strings.Replace(whole, `"type":"text"`, `"type":"tool_use"`, 1), "upstream_failed"},
		{"a chat completion", false, "application/json", `{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}`, "upstream_failed"},
		{"a rate limit", false, "application/json", `{"type":"error","error":{"type":"rate_limit_error"}}`, "upstream_rate_limited"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := generate(t, tc.stream, tc.contentType, tc.body)
			switch {
			case tc.code == "" && (a.Err != nil || a.Text != "Hello"):
				t.Errorf("text %q, %v", a.Text, a.Err)
			case tc.code != "" && (a.Err == nil || a.Err.Fault.Code != tc.code || a.Err.Retryable):
				t.Errorf("got %+v", a.Err)
			}
		})
	}
}

func TestCallsWithoutAnIDGetOne(t *testing.T) {
	a := generate(t, true, "text/event-stream", start+begin(0, `"type":"tool_use","name":"f"`)+end(0)+begin(1, `"type":"tool_use","name":"f"`)+end(1)+ended+stop)
	if len(a.Calls) != 2 || a.Calls[0].ID == a.Calls[1].ID || !strings.HasPrefix(a.Calls[1].ID, "toolu_") {
		t.Errorf("calls %q, %v", a.Calls, a.Err)
	}
}

func TestBreakingOffAtEveryEvent(t *testing.T) {
	body := start + begin(0, `"type":"thinking","thinking":"a"`) + hello + begin(1, `"type":"tool_use","id":"a","name":"f"`) + end(1) + ended + stop
	for stopAt := 1; stopAt <= 6; stopAt++ {
		c := fakeClient(t, "http://127.0.0.1:1", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
		})
		n := 0
		for _, err := range c.Generate(t.Context(), &llm.Call{Stream: true}) {
			if n++; err != nil || n == stopAt {
				break
			}
		}
		if n != stopAt {
			t.Errorf("broke off after %d events, not %d", n, stopAt)
		}
	}
}
