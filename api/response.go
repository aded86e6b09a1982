package api

import (
	"encoding/json"
	"time"
)

// NewResponse prompts a model with a conversation and asks for its response.
type NewResponse struct {
	Prompt       json.RawMessage `json:"prompt,omitempty"`
	Model        string          `json:"model,omitempty" maxLength:"256" doc:"Instead of the conversation's model, for this prompt."`
	Instructions *string         `json:"instructions,omitempty" doc:"Instead of the conversation's instructions, for this prompt."`
	Params       *Params         `json:"params,omitempty" doc:"Merged over the conversation's, key by key, for this prompt."`
	Tools        json.RawMessage `json:"tools,omitempty"`
	ToolChoice   json.RawMessage `json:"tool_choice,omitempty"`
	Stream       bool            `json:"stream,omitempty" doc:"Answer with an event stream instead of the finished response."`
	Background   bool            `json:"background,omitempty" doc:"Answer 202 at once with the response as it begins; read it, or its events, later. With stream, the answer is the event stream."`
	Store        *bool           `json:"store,omitempty" doc:"false: keep nothing but the audit records. The conversation is read, not locked and not changed, the response cannot be read again, and it is cancelled when the client goes."`
	Regenerate   bool            `json:"regenerate,omitempty" doc:"true, in the place of prompt: run the input of the conversation's last turn again. A new answer supersedes the old output, which only its response then shows; when the new one fails, the old one stays."`
}

// CancelResponse asks for a response to be stopped. There is nothing to say.
type CancelResponse struct{}

// Response is one run of a model.
type Response struct {
	ID             string         `json:"id" example:"resp_06bq3k0v5a9w2m7t1x4z8c6d5e"`
	Object         string         `json:"object" enum:"response"`
	ConversationID string         `json:"conversation_id"`
	Status         string         `json:"status" enum:"queued,in_progress,completed,incomplete,failed,cancelled,interrupted"`
	Model          string         `json:"model"`
	Provider       string         `json:"provider"`
	Input          []string       `json:"input" doc:"The ids of the messages that the prompt brought, or that were answered again."`
	Output         []Message      `json:"output" doc:"What the model wrote, also where a later response to the same input has superseded it."`
	OutputText     string         `json:"output_text" doc:"The text of the output, for short."`
	Usage          *Usage         `json:"usage" doc:"Estimated where the provider answered and reported none; null where it did not answer."`
	Cost           *Cost          `json:"cost" doc:"null where the price of the model is unknown."`
	Truncated      *Truncated     `json:"truncated" doc:"null unless messages were left out to fit the model."`
	Attempts       int            `json:"attempts" doc:"How often a provider was called, all models counted."`
	FallbackFrom   string         `json:"fallback_from,omitempty" doc:"The model that was chosen, where that failed and model took its place; else left out."`
	FinishReason   *string        `json:"finish_reason" doc:"Why the model stopped: stop, length, tool_calls, content_filter, or what the provider said."`
	Error          *ResponseError `json:"error"`
	CreatedAt      time.Time      `json:"created_at"`
	StartedAt      *time.Time     `json:"started_at" doc:"When the provider answered."`
	FirstTokenAt   *time.Time     `json:"first_token_at"`
	CompletedAt    *time.Time     `json:"completed_at" doc:"When it ended, however."`
}

// ResponseError is why a response did not complete.
type ResponseError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Truncated says how many messages were left out of the context to fit the model.
type Truncated struct {
	Messages int64 `json:"messages"`
}

// ResponseList is one page of responses.
type ResponseList struct {
	Page
	Data []Response `json:"data"`
}

// Model is one model that a prompt may name.
type Model struct {
	ID        string     `json:"id"`
	Object    string     `json:"object" enum:"model"`
	Provider  string     `json:"provider" doc:"The configured provider that offers it."`
	OwnedBy   *string    `json:"owned_by"`
	CreatedAt *time.Time `json:"created_at"`
	// What the operator says of it, else its provider, else a table in the server.
	ContextWindow   *int64   `json:"context_window" doc:"How many tokens fit, input and output together; null where it is not known." example:"128000"`
	MaxOutputTokens *int64   `json:"max_output_tokens" doc:"How many tokens the longest usual answer takes, for which room is kept; null where it is not known." example:"16384"`
	Pricing         *Pricing `json:"pricing" doc:"What it costs; null where it is not known, zeros where it is free."`
}

// Pricing is what a model costs, in the currency for a million tokens.
type Pricing struct {
	Input        float64 `json:"input" example:"0.15"`
	CachedInput  float64 `json:"cached_input" doc:"Input that the provider read from its cache." example:"0.075"`
	CacheWrite   float64 `json:"cache_write" doc:"Input that the provider wrote to its cache." example:"0.15"`
	Output       float64 `json:"output" example:"0.6"`
	Currency     string  `json:"currency" doc:"Always USD." example:"USD"`
	PriceVersion string  `json:"price_version" doc:"The list of prices that they are from." example:"catwalk-0.52.1"`
}

// ModelList is all models at once: it has no further pages.
type ModelList struct {
	Page
	Data        []Model               `json:"data"`
	Unavailable []UnavailableProvider `json:"unavailable" doc:"Providers that could not say what they offer."`
}

// UnavailableProvider is a provider that could not be asked, and the code of why.
type UnavailableProvider struct {
	Provider string `json:"provider"`
	Code     string `json:"code"`
}
