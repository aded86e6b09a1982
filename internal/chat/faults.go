package chat

import (
	"context"

	"github.com/parley-llm/parley/internal/fault"
)

// What every store and the service say alike.

// ConversationNotFound is the fault of a conversation that does not exist, or is another owner's.
func ConversationNotFound() error {
	return fault.New(fault.NotFound, CodeConversationNotFound, "There is no such conversation.")
}

// MessageNotFound is the fault of an item that is not in its conversation.
func MessageNotFound() error {
	return fault.New(fault.NotFound, CodeMessageNotFound, "There is no such message.")
}

// ResponseNotFound is the fault of a response that does not exist, or is another owner's.
func ResponseNotFound() error {
	return fault.New(fault.NotFound, CodeResponseNotFound, "There is no such response.")
}

// RecordNotFound is the fault of an audit record that does not exist, or is another owner's.
func RecordNotFound() error {
	return fault.New(fault.NotFound, CodeRecordNotFound, "There is no such audit record.")
}

// ResponseEndedAlready is the fault of a change to a response that has ended.
func ResponseEndedAlready() error {
	return fault.New(fault.Conflict, CodeResponseEnded, "The response has ended already.")
}

// VersionMismatch is the fault of a change to a version that is no longer the current one.
func VersionMismatch() error {
	return fault.New(fault.Precondition, CodeVersionMismatch, "The version in If-Match is no longer the current one. Read it again and decide anew.")
}

// InvalidCursor is the fault of a page that begins or ends at what is not in its list.
func InvalidCursor() error {
	return fault.New(fault.Invalid, CodeInvalidCursor, "The cursor is not an id of this list.")
}

// GivenUp is the fault of a request whose context ended before it was carried out.
func GivenUp(ctx context.Context) error {
	return fault.Wrap(context.Cause(ctx), fault.Canceled, "canceled", "The request was given up before it was carried out.")
}
