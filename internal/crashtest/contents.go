package crashtest

import (
	"context"
	"time"

	"github.com/parley-llm/parley/internal/audit"
)

// Database is what a store keeps, read past the store. It may be in use.
type Database interface {
	// Read is all of it, of one moment.
	Read(ctx context.Context) (*Contents, error)
	// Verify proves the audit log. unsealed is how many of its records have no place in a chain yet.
	Verify(ctx context.Context) (report audit.Report, unsealed int64, err error)
	// intent is noIntent or noQuestion, or nothing where the intent of a question is committed, and else why it cannot be told.
	intent(ctx context.Context, question string) string
}

// Contents are the documents or rows of a database, as far as the invariants speak of them.
type Contents struct {
	Conversations []StoredConversation
	Items         []StoredItem
	Responses     []StoredResponse
	Attempts      []StoredAttempt
	// Leaving are the keys of what is no conversation any more, Coming of what is none yet.
	Leaving, Coming map[string]bool
	// Unsound is what the database has to say of itself.
	Unsound []string
}

// StoredConversation is a conversation; Key is what hangs on it knows it by.
type StoredConversation struct {
	Key, ID        string
	NextSeq, Count int64
	Forked         bool
	// Lock is the response that the conversation says it is held by, where its store keeps that.
	Lock string
}

// StoredItem is an item. Question is its text where it is a prompt's.
type StoredItem struct {
	Conversation, ID string
	Seq              int64
	Response         string
	Question         string
	// Message: it is one of the conversation's messages, and not superseded.
	Message bool
}

// StoredResponse is a response; a Turn holds its conversation while it runs.
type StoredResponse struct {
	Conversation, ID, Status string
	Turn                     bool
	Attempts                 int
}

func (r *StoredResponse) running() bool { return r.Status == "queued" || r.Status == "in_progress" }

// StoredAttempt is the intent or the outcome of an attempt.
type StoredAttempt struct {
	Response string
	Attempt  int
	Kind     audit.Kind
	// Status is an outcome's.
	Status string
	Time   time.Time
}

// Running are the responses that have not ended.
func (c *Contents) Running() (list []StoredResponse) {
	for i := range c.Responses {
		if c.Responses[i].running() {
			list = append(list, c.Responses[i])
		}
	}
	return list
}

// The answers of Database.intent.
const (
	noIntent   = "no_intent"
	noQuestion = "no_question"
)

const unknownAfterCrash = "unknown_after_crash"
