package llmtest

import (
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

const helloWorld = "Hello, wörld!\n"

// answerCase is an answer that must be understood. Its files are whole-FILE.http and stream-FILE.http; the model that
// answers is "model-1".
type answerCase struct {
	sentence, file           string
	text, refusal, reasoning string
	calls                    []Call
	finish                   string
	usage                    *llm.Usage
}

var answerCases = []answerCase{
	{
		sentence: "a text with its usage", file: "text", text: helloWorld, finish: "stop",
		usage: &llm.Usage{InputTokens: 9, OutputTokens: 4, TotalTokens: 13, CachedTokens: 2, ReasoningTokens: 1},
	},
	{sentence: "a text without usage", file: "no-usage", text: helloWorld, finish: "stop"},
	{
		sentence: "a text cut at the limit", file: "length", text: "Hello", finish: "length",
		usage: &llm.Usage{InputTokens: 9, OutputTokens: 1, TotalTokens: 10},
	},
	{
		sentence: "tool calls", file: "tools", finish: "tool_calls",
		calls: []Call{{"call_1", "weather", `{"city":"Oslo"}`}, {"call_2", "clock", `{}`}},
		usage: &llm.Usage{InputTokens: 20, OutputTokens: 12, TotalTokens: 32},
	},
	{sentence: "a refusal", file: "refusal", refusal: "I cannot help with that.", finish: "stop"},
	{sentence: "reasoning before the text", file: "reasoning", reasoning: "Let me think.", text: "42", finish: "stop"},
}

type mode int

const (
	both mode = iota
	whole
	streamed
)

// failureCase is a way in which an upstream fails. Its file is FILE.http where sameFile is set, else whole-FILE.http and
// stream-FILE.http.
type failureCase struct {
	sentence, file string
	sameFile       bool
	only           mode
	// stalls: the provider's time limits are made short.
	stalls bool

	kind       fault.Kind
	code       string
	status     int
	retryable  bool
	retryAfter time.Duration
	// outage: it says something of further calls.
	outage bool
	// started: a success status came first.
	started bool
	// text is what must have come through before the failure.
	text string
	// explained: the upstream's own words are in the detail.
	explained bool
	// names is what the client's message must name.
	names string
}

var failureCases = []failureCase{
	{sentence: "a request that it rejects", file: "400", sameFile: true, kind: fault.Invalid, code: "upstream_rejected", status: 400, explained: true, names: "temperature"},
	{sentence: "a wrong key", file: "401", sameFile: true, kind: fault.Upstream, code: "upstream_auth", status: 401, explained: true},
	{sentence: "a key without the right", file: "403", sameFile: true, kind: fault.Upstream, code: "upstream_auth", status: 403, explained: true},
	{sentence: "an unknown model", file: "404", sameFile: true, kind: fault.NotFound, code: "model_not_found", status: 404, explained: true},
	{sentence: "a request that it waited for in vain", file: "408", sameFile: true, kind: fault.Timeout, code: "upstream_timeout", status: 408, retryable: true, explained: true, outage: true},
	{sentence: "a request that is too large", file: "413", sameFile: true, kind: fault.Invalid, code: "context_length_exceeded", status: 413, explained: true},
	{sentence: "a prompt longer than the context", file: "context-length", sameFile: true, kind: fault.Invalid, code: "context_length_exceeded", status: 400, explained: true},
	{sentence: "too many requests", file: "429", sameFile: true, kind: fault.RateLimited, code: "upstream_rate_limited", status: 429, retryable: true, retryAfter: 7 * time.Second, explained: true},
	{sentence: "an exhausted quota", file: "quota", sameFile: true, kind: fault.RateLimited, code: "upstream_rate_limited", status: 429, explained: true},
	{sentence: "an error of the server", file: "500", sameFile: true, kind: fault.Upstream, code: "upstream_failed", status: 500, retryable: true, explained: true, outage: true},
	{sentence: "an overloaded server that answers with a page", file: "503", sameFile: true, kind: fault.Upstream, code: "upstream_failed", status: 503, retryable: true, retryAfter: 2 * time.Second, explained: true, outage: true},
	{sentence: "an overloaded server by its own status", file: "529", sameFile: true, kind: fault.Upstream, code: "upstream_failed", status: 529, retryable: true, explained: true, outage: true},
	{sentence: "a redirect", file: "redirect", sameFile: true, kind: fault.Upstream, code: "upstream_failed", status: 302},

	{sentence: "a page in place of an answer", file: "not-json", sameFile: true, kind: fault.Upstream, code: "upstream_failed", status: 200, started: true},
	{sentence: "JSON of another shape", file: "wrong-shape", sameFile: true, kind: fault.Upstream, code: "upstream_failed", status: 200, started: true},
	{sentence: "an error under a success status", file: "error-as-200", sameFile: true, kind: fault.Upstream, code: "upstream_failed", status: 200, started: true, explained: true, outage: true},
	{sentence: "bytes that are not HTTP", file: "garbage", sameFile: true, kind: fault.Upstream, code: "upstream_failed", outage: true},
	{sentence: "a reset before the head", file: "reset", sameFile: true, kind: fault.Upstream, code: "upstream_failed", retryable: true, outage: true},
	{sentence: "an end before the head", file: "no-answer", sameFile: true, kind: fault.Upstream, code: "upstream_failed", retryable: true, outage: true},
	{sentence: "silence before the head", file: "no-headers", sameFile: true, stalls: true, kind: fault.Timeout, code: "upstream_timeout", outage: true},
	{sentence: "a head that drips", file: "headers-drip", sameFile: true, stalls: true, kind: fault.Timeout, code: "upstream_timeout", outage: true},
	{sentence: "silence after the head", file: "no-body", stalls: true, kind: fault.Timeout, code: "upstream_timeout", status: 200, started: true, outage: true},
	{sentence: "silence in the middle", file: "stall", stalls: true, kind: fault.Timeout, code: "upstream_timeout", status: 200, started: true, outage: true},
	{sentence: "a body shorter than its length", file: "short", only: whole, kind: fault.Upstream, code: "upstream_failed", status: 200, started: true, outage: true},
	{sentence: "a reset in the body", file: "reset", only: whole, kind: fault.Upstream, code: "upstream_failed", status: 200, started: true, outage: true},
	{sentence: "a compressed bomb", file: "gzip-bomb", kind: fault.Upstream, code: "upstream_failed", status: 200, started: true},

	{sentence: "a clean end without the end marker", file: "truncated", only: streamed, kind: fault.Upstream, code: "upstream_stream_truncated", status: 200, started: true, text: "Hel", outage: true},
	{sentence: "a connection that ends in the middle", file: "cut", only: streamed, kind: fault.Upstream, code: "upstream_stream_truncated", status: 200, started: true, text: "Hel", outage: true},
	{sentence: "a reset in the middle", file: "reset", only: streamed, kind: fault.Upstream, code: "upstream_stream_truncated", status: 200, started: true, text: "Hel", outage: true},
	{sentence: "a stream without a single event", file: "empty", only: streamed, kind: fault.Upstream, code: "upstream_stream_truncated", status: 200, started: true, outage: true},
	{sentence: "a malformed chunk", file: "malformed", only: streamed, kind: fault.Upstream, code: "upstream_failed", status: 200, started: true, text: "Hel"},
	{sentence: "an error in the stream", file: "error", only: streamed, kind: fault.Upstream, code: "upstream_failed", status: 200, started: true, text: "Hel", explained: true, outage: true},
	{sentence: "a line without end", file: "long-line", only: streamed, kind: fault.Upstream, code: "upstream_failed", status: 200, started: true, text: "Hel"},
	{sentence: "a stream without end", file: "endless", only: streamed, kind: fault.Upstream, code: "upstream_failed", status: 200, started: true, text: "Hel"},
}
