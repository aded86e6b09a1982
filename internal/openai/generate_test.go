package openai

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/llmtest"
	"github.com/parley-llm/parley/internal/upstream"
)

// delta is a chunk with one choice.
func delta(d, finish string) string {
	if finish != "null" {
		finish = `"` + finish + `"`
	}
	return `data: {"model":"m","choices":[{"index":0,"delta":` + d + `,"finish_reason":` + finish + "}]}\n\n"
}

func tool(calls string) string { return delta(`{"tool_calls":[`+calls+`]}`, "null") }

const (
	hello = `data: {"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}` + "\n\n" +
		`data: {"model":"m","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}` + "\n\n"
	stop   = `data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	done   = "data: [DONE]\n\n"
	usage3 = `data: {"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}` + "\n\n"
)

// generate reads the answer of a server that says body.
func generate(t testing.TB, stream bool, contentType string, body io.Reader) llmtest.Answer {
	t.Helper()
	c := fakeClient(t, "http://127.0.0.1:1/v1", func(*http.Request) (*http.Response, error) {
		return response(200, contentType, body), nil
	})
	c.http.MaxBytes = 2 << 20
	return llmtest.Collect(t.Context(), t, c, &llm.Call{Stream: stream, Body: []byte(`{}`)})
}

func TestStreamsOfManyServers(t *testing.T) {
	three := &llm.Usage{InputTokens: 1, OutputTokens: 2, TotalTokens: 3}
	one := func(arguments string) []llmtest.Call {
		return []llmtest.Call{{ID: "c1", Name: "f", Arguments: arguments}}
	}
	for _, tc := range []struct {
		name, stream    string
		text, reasoning string
		calls           []llmtest.Call
		finish          string
		usage           *llm.Usage
	}{
		{name: "usage behind the finish reason", stream: hello + stop + usage3 + done, text: "Hello", usage: three},
		{name: "usage in every chunk", stream: strings.ReplaceAll(hello+stop, `"model":"m",`, `"model":"m","usage":{"prompt_tokens":1,"completion_tokens":2},`) + done, text: "Hello", usage: three},
		{name: "no usage and no end marker of the framing", stream: hello + stop, text: "Hello"},
		{name: "usage null", stream: strings.ReplaceAll(hello+stop, `"model":"m",`, `"model":"m","usage":null,`) + done, text: "Hello"},
		{name: "an error behind the finish reason", stream: hello + stop + "data: {\"error\":{\"message\":\"x\"}}\n\n" + done, text: "Hello"},
		{name: "rubbish behind the finish reason", stream: hello + stop + "data: {\n\n" + usage3 + done, text: "Hello", usage: three},
		{name: "text behind the finish reason", stream: hello + stop + hello + stop + done, text: "Hello"},
		{name: "events behind the end", stream: hello + stop + done + hello, text: "Hello"},
		{name: "comments, names and ids", stream: ": hi\n\nid: 4\nevent: message\n" + hello + ": PROCESSING\n\n" + stop + done, text: "Hello"},
		{name: "other choices", stream: `data: {"model":"m","choices":[{"index":1,"delta":{"content":"no"},"finish_reason":"stop"}]}` + "\n\n" + hello + stop + done, text: "Hello"},
		{name: "a choice without index", stream: strings.ReplaceAll(hello+stop, `"index":0,`, "") + done, text: "Hello"},
		{name: "Azure's first chunk", stream: `data: {"choices":[],"model":"","prompt_filter_results":[{"prompt_index":0}]}` + "\n\n" + hello + stop + done, text: "Hello"},
		{name: "an empty finish reason", stream: strings.ReplaceAll(hello, `"finish_reason":null`, `"finish_reason":""`) + stop + done, text: "Hello"},
		{name: "the text comes with the finish reason", stream: hello + delta(`{"content":"!"}`, "length") + done, text: "Hello!", finish: "length"},
		{name: "a finish reason that is a text", stream: hello + delta(`{}`, "because I said so") + done, text: "Hello", finish: "unknown"},
		{name: "content in parts", stream: delta(`{"content":[{"type":"text","text":"Hel"},{"type":"thinking"},{"type":"text","text":"lo"}]}`, "stop") + done, text: "Hello"},
		{name: "reasoning under both its names", stream: hello + delta(`{"reasoning_content":"a","reasoning":"a"}`, "null") + delta(`{"reasoning":"b"}`, "null") + stop + done, text: "Hello", reasoning: "ab"},
		{name: "usage that is none", stream: hello + stop + `data: {"choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":"x","total_tokens":1e300,"prompt_tokens_details":null}}` + "\n\n" + done, text: "Hello", usage: &llm.Usage{TotalTokens: 1 << 40}},
		{name: "usage that is no object, behind the finish reason", stream: hello + stop + `data: {"choices":[],"usage":"3 tokens"}` + "\n\n" + done, text: "Hello"},
		{name: "usage that is no object, in every chunk", stream: strings.ReplaceAll(hello+stop, `"model":"m",`, `"model":"m","usage":0,`) + usage3 + done, text: "Hello", usage: three},
		{name: "usage that counts nothing behind usage that does", stream: strings.ReplaceAll(hello, `"model":"m",`, `"model":"m","usage":{"prompt_tokens":1,"completion_tokens":2},`) + strings.ReplaceAll(stop, `"model":"m",`, `"model":"m","usage":{"prompt_tokens":0,"completion_tokens":0},`) + done, text: "Hello", usage: three},

		{name: "a call at once", stream: tool(`{"index":0,"id":"c1","function":{"name":"f","arguments":"{}"}}`) + stop + done, calls: one("{}")},
		{name: "a call without index", stream: tool(`{"id":"c1","function":{"name":"f","arguments":"{}"}}`) + stop + done, calls: one("{}")},
		{name: "a call without index in pieces", stream: tool(`{"id":"c1","function":{"name":"f"}}`) + tool(`{"function":{"arguments":"{"}}`) + tool(`{"id":"c1","function":{"arguments":"}"}}`) + stop + done, calls: one("{}")},
		{name: "a call that repeats its head", stream: tool(`{"index":0,"id":"c1","function":{"name":"f","arguments":"{"}}`) + tool(`{"index":0,"id":"c1","function":{"name":"f","arguments":"}"}}`) + stop + done, calls: one("{}")},
		{name: "a call whose name comes last", stream: tool(`{"index":0,"id":"c1","function":{"arguments":"{"}}`) + tool(`{"index":0,"function":{"name":"f","arguments":"}"}}`) + stop + done, calls: one("{}")},
		{name: "a call whose index does not begin at 0", stream: tool(`{"index":3,"id":"c1","function":{"name":"f","arguments":"{"}}`) + tool(`{"index":3,"function":{"arguments":"}"}}`) + stop + done, calls: one("{}")},
		{name: "arguments that are no string", stream: tool(`{"index":0,"id":"c1","function":{"name":"f","arguments":{"a":1}}}`) + stop + done, calls: one(`{"a":1}`)},
		{name: "arguments null", stream: tool(`{"index":0,"id":"c1","function":{"name":"f","arguments":null}}`) + stop + done, calls: one("")},
		{
			name:   "calls that share an index",
			stream: tool(`{"index":0,"id":"c1","function":{"name":"f","arguments":"1"}}`) + tool(`{"index":0,"id":"c2","function":{"name":"f","arguments":"2"}}`) + tool(`{"index":0,"function":{"arguments":"3"}}`) + stop + done,
			calls:  []llmtest.Call{{ID: "c1", Name: "f", Arguments: "1"}, {ID: "c2", Name: "f", Arguments: "23"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := generate(t, true, "text/event-stream; charset=utf-8", strings.NewReader(tc.stream))
			if a.Err != nil {
				t.Fatalf("failed: %v", a.Err)
			}
			finish := tc.finish
			if finish == "" {
				finish = "stop"
			}
			if a.Text != tc.text || a.Reasoning != tc.reasoning || a.Finished.FinishReason != finish || a.Finished.Model != "m" {
				t.Errorf("text %q, reasoning %q, %+v", a.Text, a.Reasoning, *a.Finished)
			}
			if !slices.Equal(a.Calls, tc.calls) {
				t.Errorf("calls %q", a.Calls)
			}
			if got := a.Finished.Usage; (got == nil) != (tc.usage == nil) || got != nil && *got != *tc.usage {
				t.Errorf("usage %+v, want %+v", got, tc.usage)
			}
		})
	}
}

func TestCallsWithoutAnIDGetOne(t *testing.T) {
	a := generate(t, true, "text/event-stream", strings.NewReader(
		tool(`{"function":{"name":"f","arguments":"1"}},{"function":{"name":"f","arguments":"2"}}`)+stop+done))
	if len(a.Calls) != 2 || a.Calls[0].ID == a.Calls[1].ID || !strings.HasPrefix(a.Calls[1].ID, "call_") || a.Calls[1].Arguments != "2" {
		t.Errorf("calls %q, %v", a.Calls, a.Err)
	}
}

func TestStreamsThatFail(t *testing.T) {
	for _, tc := range []struct {
		name, stream string
		kind         fault.Kind
		code         string
		cause        error
	}{
		{name: "a marker without a finish reason", stream: hello + done, kind: fault.Upstream, code: "upstream_stream_truncated"},
		{name: "usage alone is no end", stream: hello + usage3 + done, kind: fault.Upstream, code: "upstream_stream_truncated"},
		{name: "a finish reason whose event is not finished", stream: hello + strings.TrimSuffix(stop, "\n"), kind: fault.Upstream, code: "upstream_stream_truncated"},
		{name: "a chunk of another type", stream: hello + "data: [1]\n\n" + stop, kind: fault.Upstream, code: "upstream_failed"},
		{name: "a text of another type", stream: hello + delta(`{"content":7}`, "null") + stop, kind: fault.Upstream, code: "upstream_failed"},
		{name: "parts of another type", stream: hello + delta(`{"content":[7]}`, "null") + stop, kind: fault.Upstream, code: "upstream_failed"},
		{name: "a call without a name", stream: tool(`{"index":0,"id":"c1"}`) + stop, kind: fault.Upstream, code: "upstream_failed", cause: nil},
		{name: "too many calls", stream: strings.Repeat(tool(`{"id":"c","function":{"name":"f"}},{"function":{"name":"f"}}`), maxCalls/2+1) + stop, kind: fault.Upstream, code: "upstream_failed"},
		{name: "an error event without an error", stream: hello + "event: error\ndata: {\"message\":\"x\"}\n\n", kind: fault.Upstream, code: "upstream_failed"},
		{name: "an error that is a string", stream: hello + "data: {\"error\":\"x\"}\n\n", kind: fault.Upstream, code: "upstream_failed"},
		{name: "a rate limit in the stream", stream: hello + "data: {\"error\":{\"code\":\"rate_limit_exceeded\"}}\n\n", kind: fault.RateLimited, code: "upstream_rate_limited"},
		{name: "a full context in the stream", stream: hello + "data: {\"error\":{\"code\":400,\"type\":\"exceed_context_size_error\"}}\n\n", kind: fault.Invalid, code: "context_length_exceeded"},
		{name: "a full context without a code", stream: hello + "data: {\"error\":{\"message\":\"This model's maximum context length is 8 tokens\"}}\n\n", kind: fault.Invalid, code: "context_length_exceeded"},
		{name: "a wrong key in the stream", stream: hello + "data: {\"error\":{\"type\":\"authentication_error\"}}\n\n", kind: fault.Upstream, code: "upstream_auth"},
		{name: "an unknown model in the stream", stream: hello + "data: {\"error\":{\"code\":\"model_not_found\"}}\n\n", kind: fault.NotFound, code: "model_not_found"},
		{name: "a rejection in the stream", stream: hello + "data: {\"error\":{\"type\":\"invalid_request_error\"}}\n\n", kind: fault.Invalid, code: "upstream_rejected"},
		{name: "more than the cap", stream: strings.Repeat(hello, 3<<20/len(hello)), kind: fault.Upstream, code: "upstream_failed", cause: upstream.ErrTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := generate(t, true, "text/event-stream", strings.NewReader(tc.stream))
			if a.Err == nil || a.Err.Fault.Kind != tc.kind || a.Err.Fault.Code != tc.code || a.Err.Retryable || a.Started == nil {
				t.Fatalf("got %+v", a.Err)
			}
			if tc.cause != nil && !errors.Is(a.Err, tc.cause) {
				t.Errorf("the cause is %v", a.Err)
			}
		})
	}
}

func TestTheNumberOfChunksIsBounded(t *testing.T) {
	for finish, want := range map[string]error{"": upstream.ErrTooLarge, stop: nil} {
		c := fakeClient(t, "http://127.0.0.1:1/v1", func(*http.Request) (*http.Response, error) {
			return response(200, "text/event-stream", strings.NewReader(hello+finish+strings.Repeat("data: {}\n\n", 100))), nil
		})
		c.http.MaxEvents = 50
		a := llmtest.Collect(t.Context(), t, c, &llm.Call{Stream: true})
		if want == nil && a.Err != nil || want != nil && !errors.Is(a.Err, want) {
			t.Errorf("with %q: %v, want %v", finish, a.Err, want)
		}
	}
}

func TestAnAnswerIsReadAsWhatItIs(t *testing.T) {
	const whole = `{"model":"m","choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}`
	for _, tc := range []struct {
		name        string
		stream      bool
		contentType string
		body        string
		code        string
	}{
		{"whole where a stream was asked for", true, "application/json; charset=utf-8", whole, ""},
		{"a stream where a whole was asked for", false, "text/event-stream", hello + stop + done, ""},
		{"a stream without a content type", true, "", hello + stop + done, ""},
		{"a stream under another content type", true, "text/plain", hello + stop + done, ""},
		{"a whole answer under another content type", false, "text/plain", whole, ""},
		{"no stream, under no content type", true, "", "Welcome!", "upstream_failed"},
		{"nothing", false, "application/json", "", "upstream_failed"},
		{"no choice", false, "application/json", `{"model":"m","choices":[]}`, "upstream_failed"},
		{"another choice", false, "application/json", `{"choices":[{"index":1,"message":{"content":"x"},"finish_reason":"stop"}]}`, "upstream_failed"},
		{"no finish reason", false, "application/json", `{"choices":[{"message":{"content":"x"}}]}`, "upstream_failed"},
		{"a nameless call", false, "application/json", `{"choices":[{"message":{"tool_calls":[{}]},"finish_reason":"stop"}]}`, "upstream_failed"},
		{"more than one value", false, "application/json", whole + whole, "upstream_failed"},
		{"too much", false, "application/json", strings.Repeat(" ", 3<<20) + whole, "upstream_failed"},
		{"an error with a status of its own", true, "application/json", `{"error":{"code":429,"message":"x"}}`, "upstream_rate_limited"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := generate(t, tc.stream, tc.contentType, strings.NewReader(tc.body))
			switch {
			case tc.code == "" && (a.Err != nil || a.Text != "Hello"):
				t.Errorf("text %q, %v", a.Text, a.Err)
			case tc.code != "" && (a.Err == nil || a.Err.Fault.Code != tc.code || a.Err.Retryable):
				t.Errorf("got %+v", a.Err)
			}
		})
	}
}

func TestUsageThatIsNoneDoesNotSpoilAWholeAnswer(t *testing.T) {
	three := llm.Usage{InputTokens: 1, OutputTokens: 2, TotalTokens: 3}
	for usage, want := range map[string]*llm.Usage{
		`null`: nil, `7`: nil, `"3 tokens"`: nil, `[]`: nil, `true`: nil, `{}`: nil, `{"prompt_tokens":{},"completion_tokens":0}`: nil,
		`{"prompt_tokens":1,"completion_tokens":2,"total_tokens":[]}`:                                                   &three,
		`{"prompt_tokens_details":7,"prompt_tokens":1,"completion_tokens_details":"none","completion_tokens":2}`:        &three,
		`{"prompt_tokens_details":{"cached_tokens":{"of":1}},"prompt_tokens":1,"completion_tokens":2,"TOTAL_TOKENS":3}`: &three,
	} {
		body := `{"model":"m","choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}],"usage":` + usage + `}`
		a := generate(t, false, "application/json", strings.NewReader(body))
		if a.Err != nil || a.Text != "Hello" {
			t.Errorf("usage %s: text %q, %v", usage, a.Text, a.Err)
			continue
		}
		if got := a.Finished.Usage; (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("usage %s is %+v, want %+v", usage, got, want)
		}
	}
}

func TestAStreamThatBreaksBehindItsFinishReasonIsComplete(t *testing.T) {
	a := generate(t, true, "text/event-stream", io.MultiReader(strings.NewReader(hello+stop), iotest.ErrReader(errors.New("reset"))))
	if a.Err != nil || a.Text != "Hello" {
		t.Errorf("text %q, %v", a.Text, a.Err)
	}
}

func TestCompressedAnswersAreReadUnderTheCap(t *testing.T) {
	pack := func(text string) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, text)
		_ = w.Close()
		return b.Bytes()
	}
	for _, tc := range []struct {
		name, encoding string
		body           []byte
		cause          error
		ok             bool
	}{
		{name: "gzip", encoding: "gzip", body: pack(hello + stop + done), ok: true},
		{name: "identity", encoding: "identity", body: []byte(hello + stop + done), ok: true},
		{name: "a bomb", encoding: "gzip", body: pack(strings.Repeat(": zzzzzzzz\n", 1<<18)), cause: upstream.ErrTooLarge},
		{name: "no gzip at all", encoding: "gzip", body: []byte(hello + stop + done), cause: gzip.ErrHeader},
		{name: "brotli", encoding: "br", body: []byte(hello + stop + done), cause: upstream.ErrEncoding},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := fakeClient(t, "http://127.0.0.1:1/v1", func(*http.Request) (*http.Response, error) {
				r := response(200, "text/event-stream", bytes.NewReader(tc.body))
				r.Header.Set("Content-Encoding", tc.encoding)
				return r, nil
			})
			c.http.MaxBytes = 2 << 20
			a := llmtest.Collect(t.Context(), t, c, &llm.Call{Stream: true})
			if tc.ok && a.Text != "Hello" || !tc.ok && (!errors.Is(a.Err, tc.cause) || a.Err.Fault.Code != "upstream_failed") {
				t.Errorf("text %q, %v", a.Text, a.Err)
			}
		})
	}
}

func TestBreakingOffAtEveryEvent(t *testing.T) {
	for _, stream := range []bool{false, true} {
		for stopAt := 1; stopAt <= 5; stopAt++ {
			body := &closing{Reader: strings.NewReader(hello + tool(`{"index":0,"id":"c1","function":{"name":"f","arguments":"{}"}}`) + stop + done)}
			kind := "text/event-stream"
			if !stream {
				kind = "application/json"
				body.Reader = strings.NewReader(`{"choices":[{"message":{"content":"Hello","reasoning":"r","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}]}`)
			}
			c := fakeClient(t, "http://127.0.0.1:1/v1", func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {kind}}, Body: body}, nil
			})
			n := 0
			for _, err := range c.Generate(t.Context(), &llm.Call{Stream: stream}) {
				if n++; err != nil || n == stopAt {
					break
				}
			}
			if n != stopAt || !body.closed {
				t.Errorf("stream %v: broke off after %d of %d events, closed: %v", stream, n, stopAt, body.closed)
			}
		}
	}
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}
