// Package audit owns the audit record, the hash chain that seals records in order, and the verifier that proves it.
//
// It does not know where records are kept: a store seals them with a Chain inside its own transactions.
package audit

import (
	"time"
)

// Kind says what a record is about.
type Kind string

// The kinds of record.
const (
	KindIntent              Kind = "llm.intent"
	KindOutcome             Kind = "llm.outcome"
	KindRefused             Kind = "llm.refused"
	KindMessageEdited       Kind = "message.edited"
	KindMessageDeleted      Kind = "message.deleted"
	KindConversationDeleted Kind = "conversation.deleted"
	KindRead                Kind = "audit.read"
	KindExported            Kind = "audit.exported"
	KindAuthFailed          Kind = "auth.failed"
	KindServerStarted       Kind = "server.started"
	// KindImported is a call that another program has made and logged. Its time is when that was; its place in the chain, when it came here.
	KindImported    Kind = "imported"
	KindChainClosed Kind = "chain.closed"
	KindChainSealed Kind = "chain.sealed"
)

// The parts of a payload.
const (
	PartPrompt   = "prompt"
	PartResponse = "response"
	PartToolCall = "tool_call"
	PartError    = "error"
	PartContext  = "context"
)

// Where token counts come from.
const (
	UsageProvider  = "provider"
	UsageEstimated = "estimated"
)

// Usage counts tokens.
type Usage struct {
	InputTokens  int64 `json:"input_tokens"`
	OutputTokens int64 `json:"output_tokens"`
	TotalTokens  int64 `json:"total_tokens"`
}

// Cost is what a call cost, in millionths of the currency, by the list of prices of that version.
type Cost struct {
	AmountMicros int64
	Currency     string
	PriceVersion string
	// Estimated: the tokens were not counted by the provider.
	Estimated bool
}

// Count is how often one entity was masked.
type Count struct {
	Entity string
	N      int
}

// Mask says by what the texts of a record were masked, and how much was found. Counts are sorted by Entity.
type Mask struct {
	EngineVersion string
	Policy        string
	Counts        []Count
	// Failed: the masker did not succeed and the text was replaced as a whole.
	Failed bool
}

// Payload is a text that belongs to a record. Its header carries part, length and commitment; the text and the salt are
// kept apart, so that they can be erased and the header stays valid.
//
// A payload with Stored false (the context sent upstream) has a commitment and no kept text.
type Payload struct {
	Part string
	// Items counts the items the text stands for (PartContext), else 0.
	Items int
	// Chars is the length in Unicode code points of Text, or of the uncut bytes' length for PartContext.
	Chars  int
	Stored bool
	// Text is masked, then cut. Empty for a payload that is not stored, and after erasure.
	Text string
	// Salt and Commitment are set by NewPayload and NewCommitment. Salt is nil after erasure.
	Salt       []byte
	Commitment [32]byte
}

// Head names the last record of a chain that a starting server can see.
type Head struct {
	Chain  string
	Seq    int64
	Hash   [32]byte
	Closed bool
}

// Record is one entry of the log. The caller sets what it knows; Chain.Seal sets Chain, Seq, PrevHash and Hash.
// Nothing in it but Payload.Text comes from a user's text, and that is masked.
type Record struct {
	ID             string
	Chain          string
	Seq            int64
	Time           time.Time
	Kind           Kind
	Owner          string
	Actor          string
	User           string // keyed pseudonym of the app's end user
	ConversationID string
	ResponseID     string
	ItemID         string
	Attempt        int // from 1, for llm.*
	RequestID      string
	Provider       string
	Model          string
	UpstreamHost   string
	Status         string
	HTTPStatus     int
	ErrorCode      string
	FinishReason   string
	Usage          *Usage
	UsageSource    string
	FirstTokenMS   *int64
	DurationMS     *int64
	Cost           *Cost
	Mask           *Mask
	Heads          []Head // server.started, chain.*
	Payloads       []Payload
	PrevHash       [32]byte

	// Hash is SHA-256(0x00 || header bytes), set by Seal and when read back.
	Hash [32]byte
}

// Query selects records, newest first unless Asc. Zero fields do not filter. From is inclusive, To exclusive.
type Query struct {
	ConversationID string
	ResponseID     string
	Kind           Kind
	From, To       time.Time
	// After and Before are record ids; a page begins behind After, or ends ahead of Before.
	After, Before string
	Limit         int
	Asc           bool
}
