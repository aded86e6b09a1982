package chat

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/pii"
)

// DefaultOwner owns everything until API keys with owners are used.
const DefaultOwner = "default"

// Caller is on whose behalf something is done, as the audit log names it.
type Caller struct {
	Owner     string
	Actor     string
	RequestID string
	// Idempotency, if any, says that the request may be one that is sent again.
	Idempotency *Idempotency
}

// Service is the core. Its exported fields are set before the first call and not changed after; its methods are safe for
// concurrent use. Every error is, or wraps, a *fault.Error.
type Service struct {
	Store  Store
	Audit  audit.Log
	Router *llm.Router
	// DefaultModel names the model of prompts that name none. It is asked at each prompt, because it may depend on what a
	// provider lists. It returns when ctx ends, which it also does when the server begins to shut down.
	DefaultModel func(ctx context.Context) (string, error)
	// Catalog, if set, knows the models' limits and prices.
	Catalog Catalog
	// CountTokens, if set, returns how many tokens a text has. It may stop when there are more than most, and return what it has by then.
	CountTokens func(text string, most int64) int64
	Masker      *pii.Masker
	Log         *slog.Logger
	Now         func() time.Time
	NewID       func(prefix string) string
	// Pseudonym turns the name of an app's end user into the keyed pseudonym that audit headers carry.
	Pseudonym func(user string) string
	// ContextMessages is how many stored messages a prompt carries; 0 is all.
	ContextMessages int
	// ModelTitles has a model asked for a title after the first completed turn of a conversation to which nobody has given one.
	ModelTitles bool
	// AuditMaxChars is how much of a masked text the audit log keeps, in code points; 0 is none.
	AuditMaxChars int
	// UpstreamTimeout bounds one response, all its attempts included.
	UpstreamTimeout time.Duration
	// UpstreamConcurrency bounds the running responses.
	UpstreamConcurrency int
	// Room is how many bytes of large answers, those of more than 64 KiB, are in memory at a time for each of three purposes: while they arrive in
	// one piece, while a stream of them ends, and while they are read. It is at least 4 MiB, and each byte takes about ten of memory.
	Room int
	// ContextBytes is about how much memory the contexts of conversations in use may take, so that a prompt need not read its own; with 0 none are kept.
	ContextBytes int
	// Breakers, if set, are asked before every attempt.
	Breakers Breakers
	// Observer, if set, is told of every attempt and every ended response, for metrics.
	Observer Observer

	mu       sync.Mutex
	runs     map[string]*Run
	admitted int
	draining bool
	// serving ends when draining begins; made when it is first needed.
	serving     context.Context
	stopServing context.CancelFunc
	stopping    bool
	idle        chan struct{} // closes when the last run has ended, once draining
	budget      retryBudget
	logWriters  logWriters
	opening     sync.Once
	opened      rooms
	contexts    contexts
	counted     counts
	flights     map[flight]chan struct{}
	queues      map[queue][]*place
	readings    readings
}

// Observer is told what happened, for metrics. It must not block.
type Observer interface {
	// Attempt is one call to a provider that has ended; code is the fault's, empty for a success.
	Attempt(provider, code string, duration time.Duration)
	// Response is one response that has ended.
	Response(r *Response)
}

// CreateConversation stores a new conversation with its first items. c holds the caller's settings; ids, times and, where
// none was given, the title are set here.
func (s *Service) CreateConversation(ctx context.Context, caller Caller, c Conversation, items []Item) (Conversation, error) {
	now := s.now()
	c.ID, c.Owner = s.NewID(PrefixConversation), caller.Owner
	c.CreatedAt, c.UpdatedAt = now, now
	c.SetTitle(c.Title)
	if c.Title == "" {
		c.Title = titleOf(items)
	}
	if err := c.validate(); err != nil {
		return Conversation{}, err
	}
	s.fill(items, c.ID, now)
	return once(ctx, s, caller, func() (Conversation, error) {
		err := s.Store.CreateConversation(ctx, caller.Owner, caller.Idempotency.claim(c.ID, now), &c, items)
		return c, err
	}, func(id string) (Conversation, error) { return s.Store.Conversation(ctx, caller.Owner, id) })
}

// ForkConversation copies a conversation up to and including the item after, or all of it; see Store.ForkConversation. An
// empty title is the source's.
func (s *Service) ForkConversation(ctx context.Context, caller Caller, id, after, title string) (Conversation, error) {
	now := s.now()
	c := Conversation{ID: s.NewID(PrefixConversation), CreatedAt: now, UpdatedAt: now}
	c.SetTitle(title)
	if err := c.validate(); err != nil {
		return Conversation{}, err
	}
	return once(ctx, s, caller, func() (Conversation, error) {
		err := s.Store.ForkConversation(ctx, caller.Owner, caller.Idempotency.claim(c.ID, now), id, after, &c)
		return c, err
	}, func(id string) (Conversation, error) { return s.Store.Conversation(ctx, caller.Owner, id) })
}

// Conversation returns one conversation.
func (s *Service) Conversation(ctx context.Context, owner, id string) (Conversation, error) {
	return s.Store.Conversation(ctx, owner, id)
}

// Conversations lists an owner's conversations by last activity.
func (s *Service) Conversations(ctx context.Context, owner string, q Query) (List[Hit], error) {
	return s.Store.Conversations(ctx, owner, q)
}

// UpdateConversation applies change to a conversation's settings; see Store.UpdateConversation for version and change.
func (s *Service) UpdateConversation(ctx context.Context, caller Caller, id string, version int64, change func(*Conversation) error) (Conversation, error) {
	now := s.now()
	defer s.contexts.drop(caller.Owner, id)
	return s.Store.UpdateConversation(ctx, caller.Owner, id, version, func(c *Conversation) error {
		if err := change(c); err != nil {
			return err
		}
		c.UpdatedAt = now
		return c.validate()
	})
}

// AppendItems adds items, at least one, to a conversation without calling a model and returns them as stored.
func (s *Service) AppendItems(ctx context.Context, caller Caller, conversationID string, items []Item) ([]Item, error) {
	now := s.now()
	s.fill(items, conversationID, now)
	return once(ctx, s, caller, func() ([]Item, error) {
		defer s.contexts.drop(caller.Owner, conversationID)
		err := s.Store.AppendItems(ctx, caller.Owner, caller.Idempotency.claim(items[0].ID, now), conversationID, titleOf(items), items)
		return items, err
	}, func(first string) ([]Item, error) {
		return s.appended(ctx, caller.Owner, conversationID, first, len(items))
	})
}

// appended returns the items that were added together, of which the first has that id: those that are left of n.
func (s *Service) appended(ctx context.Context, owner, conversationID, first string, n int) ([]Item, error) {
	it, err := s.Store.Item(ctx, owner, conversationID, first)
	if err != nil || n == 1 {
		return []Item{it}, err
	}
	list, err := s.Store.Items(ctx, owner, conversationID, Page{Limit: n - 1, After: first})
	end := it.Seq + int64(n)
	return append([]Item{it}, slices.DeleteFunc(list.Data, func(other Item) bool { return other.Seq >= end })...), err
}

// Item returns one item of a conversation.
func (s *Service) Item(ctx context.Context, owner, conversationID, id string) (Item, error) {
	return s.Store.Item(ctx, owner, conversationID, id)
}

// Items lists a conversation's items.
func (s *Service) Items(ctx context.Context, owner, conversationID string, p Page) (List[Item], error) {
	return s.Store.Items(ctx, owner, conversationID, p)
}

// UpdateItem edits a message's content or metadata and leaves an audit record of it.
func (s *Service) UpdateItem(ctx context.Context, caller Caller, conversationID, id string, version int64, change func(*Item) error) (Item, error) {
	now := s.now()
	rec := s.record(audit.KindMessageEdited, caller)
	rec.ConversationID, rec.ItemID = conversationID, id
	defer s.contexts.drop(caller.Owner, conversationID)
	return s.Store.UpdateItem(ctx, caller.Owner, conversationID, id, version, func(i *Item) error {
		if i.Type != llm.TypeMessage {
			return fault.New(fault.Invalid, "not_editable", "A tool call, its output or a reasoning step cannot be edited.")
		}
		if err := change(i); err != nil {
			return err
		}
		i.EditedAt = now
		return validMetadata(i.Metadata)
	}, rec)
}

// DeleteItem removes one item and leaves an audit record of it.
func (s *Service) DeleteItem(ctx context.Context, caller Caller, conversationID, id string, version int64) error {
	rec := s.record(audit.KindMessageDeleted, caller)
	rec.ConversationID, rec.ItemID = conversationID, id
	defer s.contexts.drop(caller.Owner, conversationID)
	return s.Store.DeleteItem(ctx, caller.Owner, conversationID, id, version, rec)
}

// Response returns a response; a running one as it stands now.
func (s *Service) Response(ctx context.Context, owner, id string) (Response, error) {
	if run := s.run(id); run != nil && run.owner == owner && !run.unstored {
		if r := run.Response(); run.holdsOutput() {
			return r, nil
		}
	}
	return s.Store.Response(ctx, owner, id)
}

// Responses lists a conversation's responses by age.
func (s *Service) Responses(ctx context.Context, owner, conversationID string, p Page) (List[Response], error) {
	return s.Store.Responses(ctx, owner, conversationID, p)
}

// AuditRecords lists audit records. The first page of a query is itself recorded.
func (s *Service) AuditRecords(ctx context.Context, caller Caller, q audit.Query) ([]audit.Record, bool, error) {
	records, more, err := s.Audit.Records(ctx, caller.Owner, q)
	if err != nil {
		return nil, false, err
	}
	if q.After == "" && q.Before == "" {
		if err := s.Audit.Append(ctx, s.record(audit.KindRead, caller)); err != nil {
			return nil, false, auditUnavailable(err)
		}
	}
	return records, more, nil
}

// AuditRecord returns one audit record with its texts. The reading is itself recorded.
func (s *Service) AuditRecord(ctx context.Context, caller Caller, id string) (audit.Record, error) {
	found, err := s.Audit.Record(ctx, caller.Owner, id)
	if err != nil {
		return audit.Record{}, err
	}
	rec := s.record(audit.KindRead, caller)
	rec.ItemID = id
	if err := s.Audit.Append(ctx, rec); err != nil {
		return audit.Record{}, auditUnavailable(err)
	}
	return found, nil
}

// ExportAudit yields the caller's audit records; see audit.Log's Export. The export is itself recorded ahead of it, so
// that its record is the last one it holds.
func (s *Service) ExportAudit(ctx context.Context, caller Caller, from, to time.Time, yield func(*audit.Row) error) error {
	if err := s.Audit.Append(ctx, s.record(audit.KindExported, caller)); err != nil {
		return auditUnavailable(err)
	}
	return s.Audit.Export(ctx, caller.Owner, from, to, yield)
}

// Ready says why prompts cannot be served, by the name of what is missing, or nil. A model provider that is down
// is not among the reasons.
func (s *Service) Ready(ctx context.Context) map[string]error {
	reasons := map[string]error{}
	if err := s.Store.Ready(ctx); err != nil {
		reasons["store"] = err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		reasons["server"] = errors.New("shutting down")
	}
	return reasons
}

// fill sets what the service decides of new items.
func (s *Service) fill(items []Item, conversationID string, now time.Time) {
	for i := range items {
		it := &items[i]
		it.ID, it.ConversationID = s.NewID(itemPrefix(it.Type)), conversationID
		it.Status, it.Version, it.CreatedAt = ItemCompleted, 1, now
	}
}

func itemPrefix(itemType string) string {
	switch itemType {
	case llm.TypeFunctionCall, llm.TypeFunctionCallOutput:
		return PrefixFunctionCall
	case llm.TypeReasoning:
		return PrefixReasoning
	default:
		return PrefixMessage
	}
}

// now is the time as stores keep it.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

func (s *Service) run(id string) *Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[id]
}

func auditUnavailable(err error) error {
	return fault.Wrap(err, fault.Unavailable, "audit_unavailable", "The audit log cannot be written, so nothing was done.")
}
