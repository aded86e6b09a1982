// Package chat is the core of Parley: conversations, their items, the responses of models, and the one verb that
// makes a response, Service.Respond.
//
// It owns what a turn is, what a model is sent as context, and what is audited when. It knows no HTTP, no SQL and no
// provider's protocol.
package chat

import (
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// Limits on what a conversation holds.
const (
	MaxTitle          = 256 // Unicode code points
	MaxUser           = 128 // Unicode code points
	MaxMetadataPairs  = 16
	MaxMetadataKey    = 64  // Unicode code points
	MaxMetadataValue  = 512 // Unicode code points
	MaxCreateMessages = 1000
	MaxStop           = 4
)

// Conversation is an ordered, append-mostly list of items with settings that hold for all its turns.
// Empty Title, User, Model and Instructions mean that none was set.
type Conversation struct {
	ID    string
	Owner string
	Title string
	// TitleSet: somebody has chosen the title, or a model has been asked for it, and it is not replaced by itself any more.
	TitleSet     bool
	User         string
	Model        string
	Instructions string
	Params       llm.Params
	Metadata     map[string]string
	MessageCount int64
	Usage        llm.Usage
	// Cost is the sum of what its responses cost whose price is known; nil if there is none.
	Cost       *Cost
	ForkedFrom *Fork
	CreatedAt  time.Time
	// UpdatedAt is the last activity: lists are ordered by it.
	UpdatedAt time.Time
	// Version rises with every visible change, message count and usage included.
	Version int64
	// ContextVersion rises with every change of what a prompt is made from: the items and what they hold, the model, the
	// instructions and the parameters. A title, or metadata, is not among it.
	ContextVersion int64
	// ActiveResponse is the id of the response that holds the conversation's lock, or empty.
	ActiveResponse string
}

// SetTitle gives the conversation a title that somebody has chosen; the empty one leaves it to be chosen.
func (c *Conversation) SetTitle(title string) { c.Title, c.TitleSet = title, title != "" }

// Fork says where a conversation was copied from, and which item of that one was the last; empty where there was none.
type Fork struct {
	ConversationID string `json:"conversation_id"`
	ItemID         string `json:"item_id"`
}

// Item is one step of a conversation: a message, a function call, its output, a reasoning step, or anything else that
// came in and is kept as it was.
type Item struct {
	ID             string
	ConversationID string
	// Seq orders the items of a conversation: strictly increasing from 1, never reused. The store assigns it.
	Seq int64
	llm.Item
	// Status is completed, incomplete or in_progress.
	Status ItemStatus
	// Model and Usage are set on what a model wrote.
	Model string
	Usage *llm.Usage
	// ResponseID names the response that the item belongs to, as its input or, with Output, as what it wrote.
	ResponseID string
	Output     bool
	Metadata   map[string]string
	CreatedAt  time.Time
	EditedAt   time.Time // zero if never
	Version    int64
	// Excluded items stay visible and are not sent to a model: the turn that they belong to failed.
	Excluded bool
	// Superseded items are no messages of the conversation any more, and known to their response alone: the turn was run again.
	Superseded bool
}

// ItemStatus is how far an item has come.
type ItemStatus string

// The states of an item.
const (
	ItemCompleted  ItemStatus = "completed"
	ItemIncomplete ItemStatus = "incomplete"
	ItemInProgress ItemStatus = "in_progress"
)

// Status is how far a response has come. The last five are terminal, and final.
type Status string

// The states of a response.
const (
	Queued      Status = "queued"
	InProgress  Status = "in_progress"
	Completed   Status = "completed"
	Incomplete  Status = "incomplete"
	Failed      Status = "failed"
	Cancelled   Status = "cancelled"
	Interrupted Status = "interrupted"
)

// Terminal reports whether nothing changes any more.
func (s Status) Terminal() bool { return s != Queued && s != InProgress }

// LeavesContext reports whether the items of a turn that ended so are kept from later prompts.
func (s Status) LeavesContext() bool { return s == Failed || s == Interrupted }

// Answers reports whether a response that ended so is an answer, which takes the place of the one before when a turn is run again.
func (s Status) Answers() bool { return s == Completed || s == Incomplete }

// event is the name of the event that such an end is told by.
func (s Status) event() string {
	switch s {
	case Failed, Interrupted:
		return EventFailed
	case Incomplete, Cancelled:
		return EventIncomplete
	default:
		return EventCompleted
	}
}

// item is the status of the output's items that such an end closes.
func (s Status) item() ItemStatus {
	if s == Completed {
		return ItemCompleted
	}
	return ItemIncomplete
}

// Response is one run of a model.
type Response struct {
	ID             string
	Owner          string
	ConversationID string
	Status         Status
	// Model is the id as it was chosen; Provider is the endpoint that it was routed to, Host where that is.
	Model    string
	Provider string
	Host     string
	// FallbackFrom is the model that was chosen where that failed and Model took its place; else empty.
	FallbackFrom string
	// Stream says that it is made piece by piece and has an event log.
	Stream bool
	// Unstored says that nothing is kept of it but its audit records.
	Unstored bool
	// LastEvent is the number of the event that ended it; of one that runs the number that it is given if the server dies. 0 without an
	// event log.
	LastEvent int
	// Input holds the ids of the items that this turn brought; Output what the model wrote.
	Input  []string
	Output []Item
	Usage  *llm.Usage
	Cost   *Cost // nil if unknown
	// Truncated counts the items of the history that were left out to fit the model's context.
	Truncated int
	// Attempts counts the calls to the provider, from 1.
	Attempts     int
	FinishReason string
	Error        *ResponseError
	RequestID    string
	Actor        string
	CreatedAt    time.Time
	StartedAt    time.Time // when the provider answered; zero if never
	FirstTokenAt time.Time // zero if none came
	CompletedAt  time.Time // when it ended, however; zero until then

	// seat is that of a large answer which was read in its turn.
	seat *seat
}

// Wanted is there where this is a large answer that was waited for, and is closed when other readers of such wait for their turn.
func (r *Response) Wanted() <-chan struct{} { return r.seat.isWanted() }

// begun is the response as it was when it began.
func (r *Response) begun() Response {
	return Response{
		ID: r.ID, Owner: r.Owner, ConversationID: r.ConversationID, Status: InProgress, Model: r.Model, Provider: r.Provider, Host: r.Host,
		Stream: r.Stream, Input: r.Input, Truncated: r.Truncated, Attempts: 1, RequestID: r.RequestID, Actor: r.Actor,
		CreatedAt: r.CreatedAt,
	}
}

// ResponseError is why a response did not complete, in words that are safe for the client.
type ResponseError struct {
	Code    string     `json:"code"`
	Message string     `json:"message"`
	Kind    fault.Kind `json:"-"`
}

func responseError(f *fault.Error) *ResponseError {
	return &ResponseError{Code: f.Code, Message: f.Message, Kind: f.Kind}
}

// fault is what a caller who waits for the response gets, as long as it is kept; nil where that is the response alone.
func (r *Response) fault() error {
	if r.Error == nil {
		return nil
	}
	f := &fault.Error{Kind: r.Error.Kind, Message: r.Error.Message, ResponseID: r.ID}
	f.Code = r.Error.Code
	return f
}
