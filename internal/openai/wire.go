package openai

import (
	"encoding/json"
	"errors"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/upstream"
)

// completion is a chunk of a stream, and also a whole answer: they differ in where a choice has its message.
type completion struct {
	Model   string          `json:"model"`
	Choices []choice        `json:"choices"`
	Usage   *usage          `json:"usage"`
	Error   json.RawMessage `json:"error"`

	// one is room for a single choice, and model what the piece before named: most name the same.
	one   [1]choice
	model string
}

// decode reads a whole answer or a chunk in the place of the one before. Where it fails, w holds what could be made out.
func (c *completion) decode(data []byte) error {
	*c = completion{model: c.Model}
	if plainCompletion(data, c) {
		return nil
	}
	*c = completion{}
	return json.Unmarshal(data, c)
}

type choice struct {
	Index        int     `json:"index"`
	Delta        message `json:"delta"`
	Message      message `json:"message"`
	FinishReason string  `json:"finish_reason"`
}

// first is the choice that was asked for; others are a server's own idea.
func (c *completion) first() *choice {
	for i := range c.Choices {
		if c.Choices[i].Index == 0 {
			return &c.Choices[i]
		}
	}
	return nil
}

type message struct {
	Content text `json:"content"`
	Refusal text `json:"refusal"`
	// ReasoningContent is DeepSeek's and llama.cpp's, Reasoning OpenRouter's and Ollama's; some servers send both.
	ReasoningContent text       `json:"reasoning_content"`
	Reasoning        text       `json:"reasoning"`
	ToolCalls        []toolCall `json:"tool_calls"`
}

type toolCall struct {
	// Index is nil at servers that send a call in one piece.
	Index    *int   `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string    `json:"name"`
		Arguments arguments `json:"arguments"`
	} `json:"function"`
}

// text is a string, null, or an array of parts whose texts are joined.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case 'n':
		return nil
	case '"':
		var s string
		err := json.Unmarshal(b, &s)
		*t = text(s)
		return err
	case '[':
		var parts []struct {
			Text string `json:"text"`
		}
		if err := json.Unmarshal(b, &parts); err != nil {
			return err
		}
		for _, p := range parts {
			*t += text(p.Text)
		}
		return nil
	}
	return errors.New("a text is neither a string nor an array of parts")
}

// arguments is a JSON text in a string, or, at servers that forget the string, the JSON itself.
type arguments string

func (a *arguments) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case 'n':
		return nil
	case '"':
		var s string
		err := json.Unmarshal(b, &s)
		*a = arguments(s)
		return err
	}
	*a = arguments(b)
	return nil
}

// usage is what was used. It must not spoil an answer: what is no object, and what is none in it, is passed over.
type usage struct {
	Prompt        upstream.Count `json:"prompt_tokens"`
	Completion    upstream.Count `json:"completion_tokens"`
	Total         upstream.Count `json:"total_tokens"`
	PromptDetails struct {
		Cached upstream.Count `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning upstream.Count `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// UnmarshalJSON never fails.
func (u *usage) UnmarshalJSON(b []byte) error {
	type plain usage
	// The text is well-formed, so what fails is of another type, and the rest is read all the same.
	_ = json.Unmarshal(b, (*plain)(u))
	return nil
}

// tokens is nil where nothing was counted: no prompt is empty.
func (u *usage) tokens() *llm.Usage {
	if u == nil || *u == (usage{}) {
		return nil
	}
	total := u.Total
	if total == 0 {
		total = u.Prompt + u.Completion
	}
	return &llm.Usage{
		InputTokens:     int64(u.Prompt),
		OutputTokens:    int64(u.Completion),
		TotalTokens:     int64(total),
		CachedTokens:    int64(u.PromptDetails.Cached),
		ReasoningTokens: int64(u.CompletionDetails.Reasoning),
	}
}
