package chat

import (
	"context"
	"errors"
	"time"

	"github.com/parley-llm/parley/internal/audit"
)

// ErrStale is returned by Store.Begin when what a prompt is made from has changed since it was read: read it again.
var ErrStale = errors.New("the conversation has changed since it was read")

// ErrNoRoom is wrapped by the fault of a change that a store refuses because its disk is full, or so full that only what has
// begun may still end.
var ErrNoRoom = errors.New("too little of the disk is free")

// Codes of the faults that every Store returns in the same cases.
const (
	CodeConversationNotFound = "conversation_not_found"
	CodeMessageNotFound      = "message_not_found"
	CodeResponseNotFound     = "response_not_found"
	CodeRecordNotFound       = "record_not_found"
	CodeConversationLocked   = "conversation_locked"
	CodeVersionMismatch      = "version_mismatch"
	CodeInvalidCursor        = "invalid_cursor"
	CodeDuplicateID          = "duplicate_id"
	CodeResponseEnded        = "response_ended"
	CodeNothingToRegenerate  = "nothing_to_regenerate"
	CodeStoreUnavailable     = "store_unavailable"
)

// Page is a slice of a list by key. After and Before are ids of the list's own elements: a page begins right behind
// After, or ends right ahead of Before, in the list's order. Limit is 1 to 100, or more inside the core.
type Page struct {
	Limit  int
	After  string
	Before string
	Desc   bool
	// AfterActivity, in a list of conversations, is the UpdatedAt that After had when it was listed, to the millisecond:
	// the page begins behind that place even if After has moved in the order since, or is gone. Zero: where After is now.
	AfterActivity time.Time
	// MaxBytes ends a page early once its elements' content passes it (HasMore is then set); 0 means no bound.
	MaxBytes int
}

// Reversed reports whether the page is read against its list's order: it ends at an element and begins wherever that leads.
func (p *Page) Reversed() bool { return p.Before != "" && p.After == "" }

// Down reports whether the page is read downwards.
func (p *Page) Down() bool { return p.Desc != p.Reversed() }

// Bounds narrows lo and hi, between which a list lies, to where a page of it may lie, both exclusive. lookup finds the place of an id or fails
// with invalid_cursor.
func Bounds[K any](p *Page, lo, hi K, lookup func(id string) (K, error)) (from, to K, err error) {
	// In a list that runs down, what is behind an element is below it.
	behind, ahead := &lo, &hi
	if p.Desc {
		behind, ahead = ahead, behind
	}
	for _, cursor := range []struct {
		id    string
		bound *K
	}{{p.After, behind}, {p.Before, ahead}} {
		if cursor.id == "" {
			continue
		}
		if *cursor.bound, err = lookup(cursor.id); err != nil {
			return lo, hi, err
		}
	}
	return lo, hi, nil
}

// List is one page and whether the list goes on in the direction of paging.
type List[T any] struct {
	Data    []T
	HasMore bool
}

// Turn is what Store.Begin writes.
type Turn struct {
	// Conversation as Store.Context returned it. Begin fails with ErrStale if its Version is no longer that.
	Conversation Conversation
	// Title is set on the conversation if it has none.
	Title string
	// Input items; Begin sets their Seq. With Regenerate they are those that Store.LastTurn returned, and stay as they are.
	Input      []Item
	Regenerate bool
	Response   Response
	Intent     audit.Record
	// Claim, if any, is the idempotency key that the turn is begun with.
	Claim *Claim
	// OutputSeq is set by Begin: the Seq that the first item of the output will have.
	OutputSeq int64
}

// Ending is what Store.End writes. If Response.Status leaves the context, all items of the turn, input and output,
// become Excluded.
//
// Of a turn that was begun with Regenerate: if Response.Status answers, the turn's output so far becomes Superseded, and the input's
// ResponseID is the new response's, its Version rises and it is not Excluded any more. Otherwise the output of the new response is Superseded,
// and all else is as before.
type Ending struct {
	// Response in its terminal state, with its Output; End sets the items' Seq, and Excluded where the status leaves the context. Its Usage is
	// added to the conversation's. Its LastEvent is stored.
	Response Response
	Outcome  audit.Record
	// Log is what is still to be written of the event log: its last batches. The first may have been written before, as it is.
	Log []Batched
	// Title, if any, is for the conversation of a response that Store.BeginAside has begun; one that was set meanwhile stays.
	Title string
}

// Store keeps conversations, items, responses and the audit records that belong to their changes.
//
// Every method is atomic by itself, safe for concurrent use, and durable when it returns nil. An owner's data is
// invisible to every other owner: their ids behave exactly like ids that do not exist (kind NotFound, the codes above).
// The audit records passed to a method are sealed into the hash chain in the same transaction, or, if it fails, not at all.
// Failures of the database are *fault.Error of kind Unavailable, code store_unavailable. Times are kept to the millisecond.
// Implementations set no times and make no ids: both come in with the values.
//
// A change that comes with a claim, which may be nil, takes its key in the same transaction. A key that an earlier change has taken, whose
// claim still Lives at the CreatedAt of the new one, is a *ClaimedError with that claim: it is the answer whatever else stands in the way of the
// change, of which nothing is written. What is refused or fails leaves its key free. Claims that have run out are removed in steps.
type Store interface {
	// CreateConversation writes a new conversation with its first items, all or none. It sets the items' Seq and
	// c.MessageCount, and c.Version and c.ContextVersion to 1. An id that the caller chose twice is a Conflict, duplicate_id.
	CreateConversation(ctx context.Context, owner string, claim *Claim, c *Conversation, items []Item, recs ...audit.Record) error
	Conversation(ctx context.Context, owner, id string) (Conversation, error)
	// Conversations lists by last activity (UpdatedAt, then age) those that a query asks for. Without a search it loads no
	// items. A search finds what stood in titles and messages when it began, or at most 250 ms ahead of that; what was
	// deleted or replaced by then it does not find. One that takes too long is search_too_broad.
	Conversations(ctx context.Context, owner string, q Query) (List[Hit], error)
	// UpdateConversation reads, applies change, writes with Version + 1, and returns the result. change may run more
	// than once and must have no side effects; an error from it is returned as it is and nothing is written. It may set
	// Title, TitleSet, Model, Instructions, Params, Metadata and UpdatedAt. version 0 matches any; another one that is no longer
	// current is a Precondition, version_mismatch. It works while a response runs.
	UpdateConversation(ctx context.Context, owner, id string, version int64, change func(*Conversation) error, recs ...audit.Record) (Conversation, error)
	// DeleteConversation makes a conversation, its items and its responses unreachable at once, and removes them from
	// the database in steps that stall no other writer, going on after a restart. version is as for UpdateConversation.
	// orphan names a response that holds the lock and that nobody makes any more, or is empty; its end is still owed, and
	// Orphans still lists it. A store that several processes share asks itself whether the holder is gone. While any other
	// response runs: Conflict, conversation_locked. Where the version does not
	// match either, that is the answer.
	DeleteConversation(ctx context.Context, owner, id string, version int64, orphan string, recs ...audit.Record) error

	// ForkConversation copies a conversation, as it is at one moment, with its items up to and including the one whose id is after; an
	// empty after is all. Of a conversation on which a response runs it copies what was there ahead of that turn; an after
	// within the turn is a Conflict, conversation_locked.
	//
	// c comes with ID, CreatedAt and UpdatedAt, and with Title and TitleSet if it is not to have the source's. User, Model, Instructions, Params and
	// Metadata are the source's, Usage is zero, ForkedFrom names the source and the last item that was copied, if any. The items
	// keep everything but their ConversationID and Seq, which counts from 1: an item's id is unique in its conversation only.
	//
	// However long the conversation is, no other writer is stalled, the memory taken is the same, and the copy is visible only
	// when it is whole; what a failure or a crash leaves of it is removed.
	ForkConversation(ctx context.Context, owner string, claim *Claim, sourceID, after string, c *Conversation, recs ...audit.Record) error

	// AppendItems adds items at the end, sets their Seq and ConversationID, sets the conversation's title if it has none, raises
	// its Version and MessageCount and sets its UpdatedAt to the last item's CreatedAt. While a response runs: Conflict, conversation_locked.
	// An item whose id is in the conversation already is a Conflict, duplicate_id.
	AppendItems(ctx context.Context, owner string, claim *Claim, conversationID, title string, items []Item, recs ...audit.Record) error
	//
	// Superseded items are neither read, listed, changed nor counted by any of these methods, but a page may begin or end at one.
	Item(ctx context.Context, owner, conversationID, id string) (Item, error)
	// Items lists by Seq.
	Items(ctx context.Context, owner, conversationID string, p Page) (List[Item], error)
	// UpdateItem is to an item what UpdateConversation is to a conversation; change may set Content, Metadata and
	// EditedAt. The conversation's Version rises and its UpdatedAt becomes the item's EditedAt. While a response runs: Conflict, conversation_locked.
	UpdateItem(ctx context.Context, owner, conversationID, id string, version int64, change func(*Item) error, recs ...audit.Record) (Item, error)
	// DeleteItem removes one item; the conversation's Version rises and MessageCount falls. While a response runs: Conflict, conversation_locked.
	DeleteItem(ctx context.Context, owner, conversationID, id string, version int64, recs ...audit.Record) error

	// Context reads, in one snapshot, a conversation and the items that a prompt sends: not Excluded, in order of Seq. An
	// item holds what a model sees, its ConversationID, ID and Seq, and its Output and ResponseID; its other fields are not read.
	// n > 0 keeps the newest n and then grows backwards to the next user message (or the start), so that a turn is never
	// split. n = 0 is all.
	Context(ctx context.Context, owner, conversationID string, n int) (Conversation, []Item, error)
	// LastTurn is for a turn that is run again what Context is for a new one: in one snapshot, the conversation, what a prompt sends
	// ahead of the turn that the conversation ends with (n as in Context), and that turn's input, Excluded or not. A turn is the items at the end
	// that name one response; where there is none, or its input is gone: Invalid, nothing_to_regenerate. Of a conversation on which a
	// response runs only the conversation is returned.
	LastTurn(ctx context.Context, owner, conversationID string, n int) (c Conversation, history, input []Item, err error)
	// Begin starts a turn in one transaction: the conversation's lock, the input items, the response, the audit intent. The conversation's
	// ContextVersion rises by exactly one.
	// A lock that is held: Conflict, conversation_locked. A conversation whose ContextVersion is another by now: ErrStale. Where the end might find
	// no room any more: Unavailable, store_unavailable, wrapping ErrNoRoom; Ready then says so too.
	Begin(ctx context.Context, owner string, t *Turn) error
	// BeginAside begins a response that is no turn of its conversation: it has no items, holds no lock, changes nothing, and Responses
	// does not list it. The audit intent is written with it. End writes its Usage with the response alone, and of its Output nothing. One that is
	// Unstored is in the store until it ends, for Orphans alone: for Response it does not exist, and End removes it.
	BeginAside(ctx context.Context, owner string, claim *Claim, r *Response, intent audit.Record) error
	// NextAttempt records in one transaction how an attempt ended and the intent of the next one. Of r, which says what the
	// next one is, it writes Attempts, Model, Provider, Host and FallbackFrom.
	NextAttempt(ctx context.Context, owner string, r *Response, recs ...audit.Record) error
	// AppendEvents writes the next batch of a response's event log and its LastEvent, and makes it InProgress where it was Queued. A batch that is there takes the
	// place of the one of its number. A response that has ended: Conflict, response_ended.
	AppendEvents(ctx context.Context, owner, id string, b Batched) error
	// EventLog reads the steps of a response's event log, batch by batch from the one of number from on: some of them, or none where there are
	// none. The log of a response goes with the response, when one of its output's items is changed or deleted, and EventLogLife after its end.
	EventLog(ctx context.Context, owner, id string, from int) ([][]byte, error)
	// End ends a response in one transaction: output items, terminal status, usage, audit outcome, lock released. The
	// conversation's Version rises by exactly one, and that of a turn's ContextVersion. If the
	// conversation is gone, the outcome alone is written. A response that has ended already is a Conflict, response_ended,
	// and nothing is written.
	End(ctx context.Context, owner string, e *Ending) error
	// Response returns a response with its Input and Output; messages deleted since are left out.
	Response(ctx context.Context, owner, id string) (Response, error)
	// Responses lists a conversation's responses by age.
	Responses(ctx context.Context, owner, conversationID string, p Page) (List[Response], error)
	// Orphans lists the responses of all owners that are not terminal and whose holder is gone. On a store that one
	// process holds, that is every running one at the time of opening; call it before the first Begin.
	Orphans(ctx context.Context) ([]Response, error)

	// Claim returns who has taken an owner's key, if somebody has; it may have run out.
	Claim(ctx context.Context, owner, route, key string) (claim Claim, found bool, err error)

	// Ready says why the store cannot serve, or nil.
	Ready(ctx context.Context) error
}
