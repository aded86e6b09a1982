// Package api is Parley's native REST API: its JSON types, as they are on the wire, and a client.
//
// It is the one package meant to be imported by other programs, and needs nothing but the standard library. It knows nothing of
// the server behind it. The tags doc, example, minimum and the like are what the OpenAPI document is generated from and
// what the server validates by.
//
// A Client's methods follow the API call by call; lists come page by page or, by the methods that begin with All, as iterators;
// answers come whole by Respond or as events by Stream. A failure is a *Problem: branch on its Code.
package api

// The values of the object field.
const (
	ObjectConversation = "conversation"
	ObjectMessage      = "message"
	ObjectResponse     = "response"
	ObjectModel        = "model"
	ObjectAuditRecord  = "audit.record"
	ObjectList         = "list"
)

// Usage counts tokens as the model's provider reported them, or as they were estimated where it reported none.
type Usage struct {
	InputTokens     int64 `json:"input_tokens" doc:"Tokens of the prompt, the conversation's history included."`
	OutputTokens    int64 `json:"output_tokens" doc:"Tokens of the reply."`
	TotalTokens     int64 `json:"total_tokens" doc:"Both together."`
	CachedTokens    int64 `json:"cached_tokens,omitempty" doc:"Those of the input that the provider had cached; left out where none were."`
	ReasoningTokens int64 `json:"reasoning_tokens,omitempty" doc:"Those of the output spent on reasoning; left out where none were."`
}

// Cost is what a response cost, in millionths of the currency.
type Cost struct {
	AmountMicros int64  `json:"amount_micros" doc:"The amount in millionths of the currency."`
	Currency     string `json:"currency" doc:"Always USD." example:"USD"`
	PriceVersion string `json:"price_version" doc:"The list of prices it was reckoned with; in a sum, the newest one." example:"catwalk-0.52.1"`
	Estimated    bool   `json:"estimated" doc:"Whether token counts were estimated, because the provider reported none."`
}
