// Package llm is the vocabulary of one call to a model: the request, the events that come back, the provider that
// turns one into the other, and the router that picks the provider.
//
// It knows no HTTP, no store and no conversation. Retries, audit and masking are the core's business, never a provider's.
package llm

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/parley-llm/parley/internal/fault"
)

// Role says who speaks in a message.
type Role string

// The roles of a message.
const (
	System    Role = "system"
	Developer Role = "developer"
	User      Role = "user"
	Assistant Role = "assistant"
	Tool      Role = "tool"
)

// Item types that are interpreted. Any other type is kept as it came.
const (
	TypeMessage            = "message"
	TypeFunctionCall       = "function_call"
	TypeFunctionCallOutput = "function_call_output"
	TypeReasoning          = "reasoning"
)

// Item is one step of a conversation as a model sees it.
//
// A message has Role and Content: a JSON string, or a JSON array of parts kept as they came (text, input_text,
// output_text, refusal, image_url, input_image, file, ...). Every other type has Data: the whole item as one JSON
// object in the shape of the OpenAI Responses API, without an id
// ({"type":"function_call","call_id":...,"name":...,"arguments":"..."}).
type Item struct {
	Type    string
	Role    Role
	Content json.RawMessage
	Data    json.RawMessage
}

// Params are the sampling settings of a call. A nil field is left to the provider.
type Params struct {
	Temperature      *float64        `json:"temperature,omitempty"`
	TopP             *float64        `json:"top_p,omitempty"`
	MaxOutputTokens  *int64          `json:"max_output_tokens,omitempty"`
	Stop             []string        `json:"stop,omitempty"`
	Seed             *int64          `json:"seed,omitempty"`
	PresencePenalty  *float64        `json:"presence_penalty,omitempty"`
	FrequencyPenalty *float64        `json:"frequency_penalty,omitempty"`
	ResponseFormat   json.RawMessage `json:"response_format,omitempty"`
	Truncation       string          `json:"truncation,omitempty"`
}

// Request is everything one call needs. Tools and ToolChoice are in the flat shape of the Responses API.
type Request struct {
	Model        string
	Instructions string
	Items        []Item
	Params       Params
	Tools        json.RawMessage
	ToolChoice   json.RawMessage
	Stream       bool
}

// Call is an encoded request: the exact bytes that go to the provider, made once and sent by every attempt.
type Call struct {
	Model  string
	Stream bool
	Body   []byte
	// Hold, if set, is asked before more than 64 KiB of an answer that comes in one piece are held in memory, and again whenever it has become
	// twice as much; bytes is how much that is then. It may wait, until ctx ends; its error is that of the call.
	Hold func(ctx context.Context, bytes int) error
}

// Usage counts tokens as the provider reported them. Cached tokens, and those that it wrote to its cache, are among the input,
// reasoning tokens among the output.
type Usage struct {
	InputTokens     int64 `json:"input_tokens"`
	OutputTokens    int64 `json:"output_tokens"`
	TotalTokens     int64 `json:"total_tokens"`
	CachedTokens    int64 `json:"cached_tokens,omitempty"`
	ReasoningTokens int64 `json:"reasoning_tokens,omitempty"`
	// CacheWriteTokens serve to reckon the cost, and are not kept.
	CacheWriteTokens int64 `json:"-"`
}

// Model is one model that a provider offers. Created and ContextWindow are zero where unknown.
type Model struct {
	ID      string
	OwnedBy string
	Created time.Time
	// ContextWindow is how many tokens fit, input and output together.
	ContextWindow int64
}

// Event is one step of an answer. A stream is: Started, then deltas in any number, then exactly one Finished.
// A stream that ends without Finished is truncated: the provider then yields an *Error, never a silent end.
// A whole (not streamed) answer is the same events with each text in one delta.
type Event interface{ event() }

// Started says that the provider has answered with a success status; from here on nothing is retried.
type Started struct{ HTTPStatus int }

// TextDelta is a piece of the reply's text, never empty.
type TextDelta struct{ Text string }

// RefusalDelta is a piece of a refusal.
type RefusalDelta struct{ Text string }

// ReasoningDelta is a piece of the model's visible reasoning.
type ReasoningDelta struct{ Text string }

// ReasoningEncrypted ends a step of reasoning, or is one of which nothing is visible. Content, never empty, is for the provider alone, who
// finds it in the item's encrypted_content when the item is sent back. It is opaque to everyone else and no text to be shown.
type ReasoningEncrypted struct{ Content string }

// ToolCallStarted opens a tool call; Index counts them from 0 and deltas refer to it.
type ToolCallStarted struct {
	Index  int
	CallID string
	Name   string
}

// ToolCallDelta is a piece of a tool call's arguments, a JSON text.
type ToolCallDelta struct {
	Index     int
	Arguments string
}

// Finished is the provider's own end marker. FinishReason is in the field's terms: stop, length, tool_calls,
// content_filter, or what the provider said. Usage is nil where the provider reported none.
type Finished struct {
	FinishReason string
	Model        string
	Usage        *Usage
}

func (Started) event()            {}
func (TextDelta) event()          {}
func (RefusalDelta) event()       {}
func (ReasoningDelta) event()     {}
func (ReasoningEncrypted) event() {}
func (ToolCallStarted) event()    {}
func (ToolCallDelta) event()      {}
func (Finished) event()           {}

// Provider speaks one protocol to one endpoint. It is safe for concurrent use.
type Provider interface {
	// Encode turns a request into the bytes to send. It is pure; an item that the protocol cannot express is
	// a *fault.Error of kind Invalid.
	Encode(req *Request) ([]byte, error)
	// Generate sends the call and yields its events. It makes exactly one attempt. After an error nothing more is
	// yielded; every error is an *Error. Breaking off the loop or cancelling ctx closes the upstream connection.
	// A cancelled ctx yields its cause wrapped in an *Error of kind Canceled, or Timeout for a deadline.
	Generate(ctx context.Context, call *Call) iter.Seq2[Event, error]
	// Models lists what the endpoint offers.
	Models(ctx context.Context) ([]Model, error)
}

// Error is why an attempt failed. The embedded fault is safe for clients; Detail is not: it is the provider's own text,
// which may quote the prompt or a key, and goes only, masked, into the audit record.
type Error struct {
	Fault *fault.Error
	// HTTPStatus is what the provider answered, 0 where it did not.
	HTTPStatus int
	// Retryable: nothing of an answer has come and another attempt may succeed.
	Retryable bool
	// RetryAfter is how long the provider asked to wait, 0 where it did not say.
	RetryAfter time.Duration
	// NotSent: the connection was never made, so the provider cannot have seen the prompt.
	NotSent bool
	// Outage: the provider could not be reached, was silent for too long, broke off, or says that it is failing (a 408, a 5xx). It is
	// a sign that other calls will fare no better; a refusal, or an answer that makes no sense, is none.
	Outage bool
	Detail string
	// ContextWindow and PromptTokens are what the provider said of both where it found the prompt too long, 0 where it did not say.
	ContextWindow, PromptTokens int64
}

// Error is the text for the log; it leaves Detail out.
func (e *Error) Error() string { return e.Fault.Error() }

// Unwrap returns the fault.
func (e *Error) Unwrap() error { return e.Fault }

// Merge returns p with every setting that over has in its place.
func (p Params) Merge(over Params) Params {
	p.Temperature = cmp.Or(over.Temperature, p.Temperature)
	p.TopP = cmp.Or(over.TopP, p.TopP)
	p.MaxOutputTokens = cmp.Or(over.MaxOutputTokens, p.MaxOutputTokens)
	p.Seed = cmp.Or(over.Seed, p.Seed)
	p.PresencePenalty = cmp.Or(over.PresencePenalty, p.PresencePenalty)
	p.FrequencyPenalty = cmp.Or(over.FrequencyPenalty, p.FrequencyPenalty)
	p.Truncation = cmp.Or(over.Truncation, p.Truncation)
	if over.Stop != nil {
		p.Stop = over.Stop
	}
	if over.ResponseFormat != nil {
		p.ResponseFormat = over.ResponseFormat
	}
	return p
}
