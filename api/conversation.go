package api

import (
	"encoding/json"
	"time"
)

// Params are sampling settings. What is left out is left to the conversation, and after that to the model's provider.
type Params struct {
	Temperature      *float64        `json:"temperature,omitempty" minimum:"0" maximum:"2" doc:"How freely the model chooses its words." example:"0.7"`
	TopP             *float64        `json:"top_p,omitempty" minimum:"0" maximum:"1" doc:"The share of the probability mass that is sampled from."`
	MaxOutputTokens  *Integer        `json:"max_output_tokens,omitempty" minimum:"1" maximum:"9007199254740991" doc:"The longest reply, in tokens."`
	Stop             []string        `json:"stop,omitempty" maxItems:"4" doc:"Texts that end the reply."`
	Seed             *Integer        `json:"seed,omitempty" minimum:"-9007199254740991" maximum:"9007199254740991" doc:"Makes sampling repeatable where the provider can."`
	PresencePenalty  *float64        `json:"presence_penalty,omitempty" minimum:"-2" maximum:"2" doc:"Positive values favour new topics."`
	FrequencyPenalty *float64        `json:"frequency_penalty,omitempty" minimum:"-2" maximum:"2" doc:"Positive values discourage repetition."`
	ResponseFormat   json.RawMessage `json:"response_format,omitempty" doc:"The form of the reply, as in Chat Completions: {\"type\":\"text\"}, {\"type\":\"json_object\"} or {\"type\":\"json_schema\", ...}."`
	Truncation       string          `json:"truncation,omitempty" enum:"auto,disabled" doc:"What happens when the conversation is too long for the model: auto, the default, leaves the oldest turns out; disabled refuses the prompt."`
}

// ParamsPatch changes sampling settings key by key; null removes one.
type ParamsPatch struct {
	Temperature      Optional[float64]         `json:"temperature,omitzero" minimum:"0" maximum:"2"`
	TopP             Optional[float64]         `json:"top_p,omitzero" minimum:"0" maximum:"1"`
	MaxOutputTokens  Optional[Integer]         `json:"max_output_tokens,omitzero" minimum:"1" maximum:"9007199254740991"`
	Stop             Optional[[]string]        `json:"stop,omitzero" maxItems:"4" nullable:"true"`
	Seed             Optional[Integer]         `json:"seed,omitzero" minimum:"-9007199254740991" maximum:"9007199254740991"`
	PresencePenalty  Optional[float64]         `json:"presence_penalty,omitzero" minimum:"-2" maximum:"2"`
	FrequencyPenalty Optional[float64]         `json:"frequency_penalty,omitzero" minimum:"-2" maximum:"2"`
	ResponseFormat   Optional[json.RawMessage] `json:"response_format,omitzero" doc:"Replaced as a whole."`
	Truncation       Optional[string]          `json:"truncation,omitzero" doc:"auto or disabled."`
}

// NewConversation asks for a conversation. Everything in it may be left out.
type NewConversation struct {
	Title        string            `json:"title,omitempty" maxLength:"256" doc:"Left out, it becomes the start of the first user message, or, where the server has a model asked, what that makes of the first turn." example:"Trip to Lisbon"`
	User         string            `json:"user,omitempty" maxLength:"128" doc:"Your own id of the person you serve; the audit log holds only a keyed pseudonym of it."`
	Model        string            `json:"model,omitempty" maxLength:"256" doc:"The model of this conversation's prompts; left out, the server's default." example:"gpt-4o-mini"`
	Instructions string            `json:"instructions,omitempty" doc:"What the model is told ahead of everything else." example:"Answer in one sentence."`
	Params       *Params           `json:"params,omitempty" doc:"Sampling settings of this conversation's prompts."`
	Metadata     map[string]string `json:"metadata,omitempty" maxProperties:"16" doc:"Up to 16 pairs of your own; keys of at most 64 characters, values of at most 512."`
	Messages     []NewMessage      `json:"messages,omitempty" maxItems:"1000" doc:"First messages, stored in this order, all or none. No model is called."`
}

// ReplaceConversation replaces the settings of a conversation. What is left out or null is reset.
type ReplaceConversation struct {
	Title        string            `json:"title,omitempty" maxLength:"256" nullable:"true"`
	Model        string            `json:"model,omitempty" maxLength:"256" nullable:"true"`
	Instructions string            `json:"instructions,omitempty" nullable:"true"`
	Params       *Params           `json:"params,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty" maxProperties:"16" nullable:"true"`
}

// ConversationPatch changes the settings of a conversation as a JSON merge patch: what is left out stays, null resets,
// params and metadata merge key by key.
type ConversationPatch struct {
	Title        Optional[string]             `json:"title,omitzero" maxLength:"256"`
	Model        Optional[string]             `json:"model,omitzero" maxLength:"256"`
	Instructions Optional[string]             `json:"instructions,omitzero"`
	Params       Optional[ParamsPatch]        `json:"params,omitzero"`
	Metadata     Optional[map[string]*string] `json:"metadata,omitzero" nullable:"true" doc:"A value of null removes its key."`
}

// Conversation is an ordered list of messages with settings that hold for all its prompts.
type Conversation struct {
	ID           string            `json:"id" example:"conv_06bq3k0v5a9w2m7t1x4z8c6d5e"`
	Object       string            `json:"object" enum:"conversation"`
	Title        *string           `json:"title"`
	User         *string           `json:"user"`
	Model        *string           `json:"model" doc:"null: the server's default."`
	Instructions *string           `json:"instructions"`
	Params       Params            `json:"params" doc:"Holds only what was set."`
	Metadata     map[string]string `json:"metadata"`
	MessageCount int64             `json:"message_count"`
	Usage        Usage             `json:"usage" doc:"The sum over all its responses."`
	Cost         *Cost             `json:"cost" doc:"The sum over its responses whose price is known; null where none is."`
	ForkedFrom   *Fork             `json:"forked_from"`
	CreatedAt    time.Time         `json:"created_at"`
	UpdatedAt    time.Time         `json:"updated_at" doc:"The last activity: lists are ordered by it."`
	Version      int64             `json:"version" doc:"Rises with every visible change; also the ETag."`
	Messages     []Message         `json:"messages,omitempty" doc:"Only with include=messages: the newest 1,000, oldest first."`
	HasMore      *bool             `json:"has_more,omitempty" doc:"Only with include=messages: whether there are older ones."`
}

// ForkConversation asks for a copy of a conversation. Everything in it may be left out.
type ForkConversation struct {
	After string `json:"after,omitempty" minLength:"1" maxLength:"512" doc:"The id of the last message to copy; left out, all are copied." example:"msg_06bq3k0v5a9w2m7t1x4z8c6d5e"`
	Title string `json:"title,omitempty" maxLength:"256" doc:"Left out, it is the title of what is forked."`
}

// FoundConversation is a conversation in a list. The last three fields are there only where the list was searched (q).
type FoundConversation struct {
	Conversation
	Snippet          *string          `json:"snippet,omitempty" doc:"The part of a message, or of the title, that shows best what was searched for: plain text on one line, at most 202 characters, with an ellipsis where it was cut. It is the user's text: escape it as such where it is shown as HTML."`
	SnippetMatches   []Matched        `json:"snippet_matches,omitempty" nullable:"false" doc:"The parts of the snippet that matched, in order."`
	SnippetMessageID Optional[string] `json:"snippet_message_id,omitzero" nullable:"true" doc:"The message that the snippet is of; null: the title."`
}

// Matched is a part of a snippet that matched.
type Matched struct {
	Start int64 `json:"start" doc:"Where it begins, in Unicode code points."`
	End   int64 `json:"end" doc:"Where it has ended, in Unicode code points."`
}

// Fork says where a conversation was copied from.
type Fork struct {
	ConversationID string  `json:"conversation_id"`
	ItemID         *string `json:"item_id" doc:"The last message that was copied; null where there was none."`
}

// ConversationList is one page of conversations.
type ConversationList struct {
	Page
	Data []FoundConversation `json:"data"`
	Next *string             `json:"next" doc:"An opaque cursor for after, which goes on from this place even if its conversation has had activity since. null on the last page."`
}

// Page is what every list has besides its data.
type Page struct {
	Object  string  `json:"object" enum:"list"`
	FirstID *string `json:"first_id" doc:"null on an empty page."`
	LastID  *string `json:"last_id" doc:"null on an empty page."`
	HasMore bool    `json:"has_more" doc:"Whether the list goes on in the direction of paging."`
}
