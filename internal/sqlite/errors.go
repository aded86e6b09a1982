package sqlite

import (
	"context"
	"errors"

	"zombiezen.com/go/sqlite"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

var (
	errClosed   = errors.New("the store is closed")
	errRollback = errors.New("a transaction could not be rolled back")
)

// unavailable says of a failure of the database what a client may know of it.
func unavailable(err error) error {
	message := "The database is not available."
	if isDiskFull(err) {
		message = "The server's disk is full."
	}
	return fault.Wrap(err, fault.Unavailable, chat.CodeStoreUnavailable, message)
}

// isDiskFull also takes the shared memory file for what it nearly always fails of.
func isDiskFull(err error) bool {
	code := sqlite.ErrCode(err)
	return code.ToPrimary() == sqlite.ResultFull || code == sqlite.ResultIOErrSHMSize
}

// isConstraint reports whether a row was refused because one with its key is there. The statement has then changed nothing.
func isConstraint(err error) bool {
	code := sqlite.ErrCode(err)
	return code == sqlite.ResultConstraintUnique || code == sqlite.ResultConstraintPrimaryKey
}

// poisons reports whether nothing more may be written after err: what of the last writes is on the disk is unknown, and
// an fsync that is tried again would say that it is there.
func poisons(err error) bool {
	if errors.Is(err, errRollback) {
		return true
	}
	code := sqlite.ErrCode(err)
	if code.ToPrimary() != sqlite.ResultIOErr {
		return false
	}
	switch code {
	case sqlite.ResultIOErrNoMem, sqlite.ResultIOErrSHMSize, sqlite.ResultIOErrSHMMap, sqlite.ResultIOErrSHMOpen, sqlite.ResultIOErrSHMLock,
		sqlite.ResultIOErrLock, sqlite.ResultIOErrUnlock, sqlite.ResultIOErrReadLock, sqlite.ResultIOErrBlocked, sqlite.ResultIOErrAccess:
		return false
	}
	return true
}

// isDatabaseFailure tells an error of the database from an operation's own refusal.
func isDatabaseFailure(err error) bool {
	if err == nil || errors.Is(err, chat.ErrStale) || isConstraint(err) {
		return false
	}
	_, ok := errors.AsType[*fault.Error](err)
	return !ok
}

// operationError turns what an operation returned into what its caller gets: faults and ErrStale as they are, a refused
// key as a conflict, anything else as a failure of the database.
func operationError(err error) error {
	switch {
	case err == nil:
		return nil
	case isConstraint(err):
		return fault.Wrap(err, fault.Conflict, chat.CodeDuplicateID, "Something with this id exists already.")
	case isDatabaseFailure(err):
		return unavailable(err)
	default:
		return err
	}
}

func canceled(ctx context.Context) error {
	return fault.Wrap(context.Cause(ctx), fault.Canceled, "canceled", "The request was given up before it was carried out.")
}

func conversationNotFound() error {
	return fault.New(fault.NotFound, chat.CodeConversationNotFound, "There is no such conversation.")
}

func messageNotFound() error {
	return fault.New(fault.NotFound, chat.CodeMessageNotFound, "There is no such message.")
}

func responseNotFound() error {
	return fault.New(fault.NotFound, chat.CodeResponseNotFound, "There is no such response.")
}

func recordNotFound() error {
	return fault.New(fault.NotFound, chat.CodeRecordNotFound, "There is no such audit record.")
}

func responseEnded() error {
	return fault.New(fault.Conflict, chat.CodeResponseEnded, "The response has ended already.")
}

func versionMismatch() error {
	return fault.New(fault.Precondition, chat.CodeVersionMismatch, "The version in If-Match is no longer the current one. Read it again and decide anew.")
}

func invalidCursor() error {
	return fault.New(fault.Invalid, chat.CodeInvalidCursor, "The cursor is not an id of this list.")
}

func conversationFull() error {
	return fault.New(fault.Conflict, "conversation_full", "The conversation cannot hold more messages.")
}
