package upstream

import (
	"encoding/json"
	"regexp"
	"strconv"
)

// Where a provider's words say how long the context may be, and how long the prompt was: OpenAI's, vLLM's, llama.cpp's, Anthropic's.
var (
	windowWords = regexp.MustCompile(`maximum context length (?:is|of) (\d{1,12}) tokens|available context size \((\d{1,12}) tokens\)|tokens > (\d{1,12}) maximum`)
	promptWords = regexp.MustCompile(`resulted in (\d{1,12}) tokens|\((\d{1,12}) in the messages|contains (?:at least )?(\d{1,12}) input tokens|request \((\d{1,12}) tokens\)|(\d{1,12}) tokens > \d`)
)

// lengths are the context window and the length of the prompt as a refusal tells them, in fields or in words; 0 where it does not.
func (p *problem) lengths(body []byte) (window, prompt int64) {
	var fields struct {
		Error struct {
			Window tokens `json:"n_ctx"`
			Prompt tokens `json:"n_prompt_tokens"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &fields) // a body of another shape has none
	window, prompt = int64(fields.Error.Window), int64(fields.Error.Prompt)
	if window == 0 {
		window = number(windowWords, p.message)
	}
	if prompt == 0 {
		prompt = number(promptWords, p.message)
	}
	return window, prompt
}

// number is what the group that matched says.
func number(words *regexp.Regexp, text string) int64 {
	for i, group := range words.FindStringSubmatch(text) {
		if i > 0 && group != "" {
			n, _ := strconv.ParseInt(group, 10, 64) // at most twelve digits
			return n
		}
	}
	return 0
}

// maxTokens is more than any model takes.
const maxTokens = 1 << 40

// tokens is a number of tokens. What is no such number is left out.
type tokens int64

func (t *tokens) UnmarshalJSON(b []byte) error {
	var n float64
	if json.Unmarshal(b, &n) == nil && n > 0 && n < maxTokens {
		*t = tokens(n)
	}
	return nil
}
