package api

import (
	"encoding/json"
	"time"
)

// NewMessage is a message to store.
type NewMessage struct {
	Role     string            `json:"role" enum:"system,developer,user,assistant,tool" doc:"Who speaks."`
	Content  json.RawMessage   `json:"content"`
	Metadata map[string]string `json:"metadata,omitempty" maxProperties:"16" doc:"Up to 16 pairs of your own; keys of at most 64 characters, values of at most 512."`
}

// ReplaceMessage replaces a message's content and metadata. Metadata that is left out is reset.
type ReplaceMessage struct {
	Role     string            `json:"role,omitempty" enum:"system,developer,user,assistant,tool" doc:"Cannot change: if given, it must be what it is."`
	Content  json.RawMessage   `json:"content"`
	Metadata map[string]string `json:"metadata,omitempty" maxProperties:"16"`
}

// MessagePatch changes a message as a JSON merge patch: what is left out stays, metadata merges key by key.
type MessagePatch struct {
	Role     string                       `json:"role,omitempty" enum:"system,developer,user,assistant,tool" doc:"Cannot change: if given, it must be what it is."`
	Content  json.RawMessage              `json:"content,omitempty"`
	Metadata Optional[map[string]*string] `json:"metadata,omitzero" nullable:"true" doc:"A value of null removes its key; null instead of the object removes all."`
}

// Message is one step of a conversation. A function call, its output or a reasoning step shows as a message whose only
// content part is that item.
type Message struct {
	ID             string            `json:"id" example:"msg_06bq3k0v5a9w2m7t1x4z8c6d5e"`
	Object         string            `json:"object" enum:"message"`
	ConversationID string            `json:"conversation_id"`
	Seq            int64             `json:"seq" doc:"Orders the messages of a conversation: strictly increasing, never reused."`
	Role           string            `json:"role" enum:"system,developer,user,assistant,tool"`
	Content        json.RawMessage   `json:"content"`
	Status         string            `json:"status" enum:"completed,incomplete,in_progress"`
	Model          *string           `json:"model" doc:"The model that wrote it; null for what a person or a program wrote."`
	ResponseID     *string           `json:"response_id" doc:"The response that it belongs to, as its input or its output."`
	Usage          *Usage            `json:"usage" doc:"What the answer took; on the last message of a response, else null."`
	Metadata       map[string]string `json:"metadata"`
	CreatedAt      time.Time         `json:"created_at"`
	EditedAt       *time.Time        `json:"edited_at"`
	Version        int64             `json:"version" doc:"Rises with every edit; also the ETag."`
}

// MessageList is one page of messages. A page also ends after 16 MiB.
type MessageList struct {
	Page
	Data []Message `json:"data"`
}
