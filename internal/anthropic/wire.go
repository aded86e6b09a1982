package anthropic

import (
	"encoding/json"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/upstream"
)

// message is a whole answer, and also what a stream begins with.
type message struct {
	Type       string          `json:"type"`
	Model      string          `json:"model"`
	Content    []block         `json:"content"`
	StopReason string          `json:"stop_reason"`
	Usage      *usage          `json:"usage"`
	Error      json.RawMessage `json:"error"`
}

// block is a part of an answer. Other types than text, tool_use and those of thinking are a server tool's business.
type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	Signature string          `json:"signature"`
	Data      json.RawMessage `json:"data"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
}

// event is any event of a stream.
type event struct {
	Type         string          `json:"type"`
	Message      *message        `json:"message"`
	Index        int             `json:"index"`
	ContentBlock block           `json:"content_block"`
	Delta        delta           `json:"delta"`
	Usage        *usage          `json:"usage"`
	Error        json.RawMessage `json:"error"`
}

type delta struct {
	Type        string `json:"type"`
	Text        string `json:"text"`
	Thinking    string `json:"thinking"`
	Signature   string `json:"signature"`
	PartialJSON string `json:"partial_json"`
	StopReason  string `json:"stop_reason"`
}

// usage counts what was used so far; a later one says anew what it knows.
type usage struct {
	Input         *upstream.Count `json:"input_tokens"`
	CacheCreation *upstream.Count `json:"cache_creation_input_tokens"`
	CacheRead     *upstream.Count `json:"cache_read_input_tokens"`
	Output        *upstream.Count `json:"output_tokens"`
	Details       struct {
		Thinking *upstream.Count `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
}

// with returns u with every count that later has in its place.
func (u *usage) with(later *usage) *usage {
	switch {
	case later == nil:
		return u
	case u == nil:
		return later
	}
	all := *u
	for _, c := range []struct {
		to   **upstream.Count
		from *upstream.Count
	}{
		{&all.Input, later.Input},
		{&all.CacheCreation, later.CacheCreation},
		{&all.CacheRead, later.CacheRead},
		{&all.Output, later.Output},
		{&all.Details.Thinking, later.Details.Thinking},
	} {
		if c.from != nil {
			*c.to = c.from
		}
	}
	return &all
}

// UnmarshalJSON never fails: what is no object, and what is none in it, is passed over, so that it does not spoil an answer.
func (u *usage) UnmarshalJSON(b []byte) error {
	type plain usage
	// The text is well-formed, so what fails is of another type, and the rest is read all the same.
	_ = json.Unmarshal(b, (*plain)(u))
	return nil
}

// tokens counts as llm.Usage does: what was read from the cache or written to it is input, too. It is nil where nothing was
// counted.
func (u *usage) tokens() *llm.Usage {
	if u == nil || *u == (usage{}) {
		return nil
	}
	n := func(c *upstream.Count) int64 {
		if c == nil {
			return 0
		}
		return int64(*c)
	}
	input := n(u.Input) + n(u.CacheCreation) + n(u.CacheRead)
	return &llm.Usage{
		InputTokens:      input,
		OutputTokens:     n(u.Output),
		TotalTokens:      input + n(u.Output),
		CachedTokens:     n(u.CacheRead),
		ReasoningTokens:  n(u.Details.Thinking),
		CacheWriteTokens: n(u.CacheCreation),
	}
}

// finishReason is a stop reason in the field's terms. One that the field has no term for stays what it is.
func finishReason(stop string) string {
	switch stop {
	case "end_turn", "stop_sequence":
		return "stop"
	case "max_tokens", "model_context_window_exceeded":
		return "length"
	case "tool_use":
		return "tool_calls"
	case "refusal":
		return "content_filter"
	default:
		return stop
	}
}
