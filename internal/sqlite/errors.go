package sqlite

import (
	"errors"
	"fmt"
	"slices"

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
		message, err = "The server's disk is full.", fmt.Errorf("%w: %w", chat.ErrNoRoom, err)
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

// harmless are the input-output errors that come before anything is written: of memory, and of locks.
var harmless = []sqlite.ResultCode{
	sqlite.ResultIOErrNoMem, sqlite.ResultIOErrSHMSize, sqlite.ResultIOErrSHMMap, sqlite.ResultIOErrSHMOpen, sqlite.ResultIOErrSHMLock,
	sqlite.ResultIOErrLock, sqlite.ResultIOErrUnlock, sqlite.ResultIOErrReadLock, sqlite.ResultIOErrBlocked, sqlite.ResultIOErrAccess,
}

// poisons reports whether nothing more may be written after err: what of the last writes is on the disk is unknown, and
// an fsync that is tried again would say that it is there.
func poisons(err error) bool {
	if errors.Is(err, errRollback) {
		return true
	}
	code := sqlite.ErrCode(err)
	return code.ToPrimary() == sqlite.ResultIOErr && !slices.Contains(harmless, code)
}

// concernsAll tells a failure of the disk or the connection, which the next operation would meet too, from one that is the
// operation's own: a refusal, or a damaged page that only it has read.
func concernsAll(err error) bool {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultFull, sqlite.ResultIOErr, sqlite.ResultNoMem, sqlite.ResultBusy, sqlite.ResultCantOpen, sqlite.ResultReadOnly, sqlite.ResultProtocol:
		return true
	default:
		return false
	}
}

// operationError turns what an operation returned into what its caller gets: faults, ErrStale and a claim as they are, a refused
// key as a conflict, anything else as a failure of the database.
func operationError(err error) error {
	if err == nil || errors.Is(err, chat.ErrStale) {
		return err
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*chat.ClaimedError](err); ok {
		return err
	}
	if isConstraint(err) {
		return fault.Wrap(err, fault.Conflict, chat.CodeDuplicateID, "Something with this id exists already.")
	}
	return unavailable(err)
}

func conversationFull() error {
	return fault.New(fault.Conflict, "conversation_full", "The conversation cannot hold more messages.")
}
