// Package echo is the built-in model `parley/echo`: it answers from the prompt, with no network and no cost, so that
// everything around a model can be tried before a real one is configured.
//
// It is deterministic: the same conversation gets the same reply.
package echo

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// Model is the name of the one model; requests name it "parley/echo".
const Model = "echo"

// notice opens the first reply of a conversation.
const notice = "I am parley/echo, a built-in stand-in for a model: set OPENAI_API_KEY or OPENAI_BASE_URL to talk to a real one. "

// quoted is how much of a prompt a reply gives back, in code points.
const quoted = 2000

// Provider is the llm.Provider. It holds no state.
type Provider struct{}

// prompt is what Encode keeps of a request: all that the reply depends on.
type prompt struct {
	Model       string   `json:"model"`
	First       bool     `json:"first"`
	Text        string   `json:"text"`
	InputTokens int64    `json:"input_tokens"`
	MaxTokens   *int64   `json:"max_tokens,omitempty"`
	Stop        []string `json:"stop,omitempty"`
}

// Encode implements llm.Provider. Any item can be expressed: what has no text counts by its length.
func (Provider) Encode(req *llm.Request) ([]byte, error) {
	p := prompt{Model: req.Model, First: true, MaxTokens: req.Params.MaxOutputTokens, Stop: req.Params.Stop, InputTokens: tokens(req.Instructions)}
	for _, item := range req.Items {
		text := itemText(item)
		p.InputTokens += tokens(text)
		if item.Role == llm.Assistant {
			p.First = false
			continue
		}
		if item.Role == llm.User || item.Type == llm.TypeFunctionCallOutput {
			p.Text = text
		}
	}
	return json.Marshal(p)
}

// Generate implements llm.Provider.
func (Provider) Generate(ctx context.Context, call *llm.Call) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		var p prompt
		if err := json.Unmarshal(call.Body, &p); err != nil {
			yield(nil, &llm.Error{Fault: fault.Of(fmt.Errorf("reading an encoded prompt: %w", err))})
			return
		}
		if p.Model != Model {
			yield(nil, &llm.Error{
				Fault:      fault.New(fault.NotFound, "model_not_found", "The built-in provider has one model, parley/echo."),
				HTTPStatus: http.StatusNotFound,
			})
			return
		}
		generate(ctx, &p, call.Stream, yield)
	}
}

func generate(ctx context.Context, p *prompt, stream bool, yield func(llm.Event, error) bool) {
	words, reason := p.reply()
	if !yield(llm.Started{HTTPStatus: http.StatusOK}, nil) {
		return
	}
	pieces := words
	if !stream && len(words) > 0 {
		pieces = []string{strings.Join(words, "")}
	}
	for _, piece := range pieces {
		if err := ctx.Err(); err != nil {
			yield(nil, stopped(context.Cause(ctx)))
			return
		}
		if !yield(llm.TextDelta{Text: piece}, nil) {
			return
		}
	}
	output := int64(len(words))
	yield(llm.Finished{
		FinishReason: reason,
		Model:        Model,
		Usage:        &llm.Usage{InputTokens: p.InputTokens, OutputTokens: output, TotalTokens: p.InputTokens + output},
	}, nil)
}

func stopped(cause error) *llm.Error {
	if cause == context.DeadlineExceeded { //nolint:errorlint // a cause is stored as it is
		return &llm.Error{Fault: fault.Wrap(cause, fault.Timeout, "upstream_timeout", "The model did not answer in time.")}
	}
	return &llm.Error{Fault: fault.Wrap(cause, fault.Canceled, "canceled", "The call was canceled.")}
}

// Models implements llm.Provider.
func (Provider) Models(context.Context) ([]llm.Model, error) {
	return []llm.Model{{ID: Model, OwnedBy: "parley"}}, nil
}

// reply is the answer, word by word, and why it ends there. A word counts as a token.
func (p *prompt) reply() (words []string, finishReason string) {
	text := `You said: "` + cut(p.Text) + `"`
	if p.Text == "" {
		text = "You said nothing that I can read."
	}
	if p.First {
		text = notice + text
	}
	for _, stop := range p.Stop {
		if stop != "" {
			text, _, _ = strings.Cut(text, stop)
		}
	}
	words = split(text)
	if p.MaxTokens != nil && int64(len(words)) > *p.MaxTokens {
		return words[:*p.MaxTokens], "length"
	}
	return words, "stop"
}

// split cuts a text ahead of every word, so that the pieces joined are the text.
func split(text string) []string {
	var words []string
	start, space := 0, false
	for i, r := range text {
		if space && !unicode.IsSpace(r) {
			words = append(words, text[start:i])
			start = i
		}
		space = unicode.IsSpace(r)
	}
	if start < len(text) {
		words = append(words, text[start:])
	}
	return words
}

// tokens counts words, which is what this model's tokens are.
func tokens(text string) int64 { return int64(len(strings.Fields(text))) }

func cut(text string) string {
	if utf8.RuneCountInString(text) <= quoted {
		return text
	}
	return string([]rune(text)[:quoted]) + "..."
}

// itemText is the text in an item: a message's content, a tool's output, else the item as it is.
func itemText(item llm.Item) string {
	if item.Type == llm.TypeMessage {
		return contentText(item.Content)
	}
	var output struct {
		Output json.RawMessage `json:"output"`
	}
	if item.Type == llm.TypeFunctionCallOutput && json.Unmarshal(item.Data, &output) == nil && len(output.Output) > 0 {
		return contentText(output.Output)
	}
	return string(item.Data)
}

// contentText is a JSON string's text, or the texts of parts.
func contentText(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(content, &parts) != nil {
		return ""
	}
	texts := make([]string, 0, len(parts))
	for _, p := range parts {
		if p.Text != "" {
			texts = append(texts, p.Text)
		}
	}
	return strings.Join(texts, " ")
}
