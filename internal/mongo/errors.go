package mongo

import (
	"context"
	"errors"

	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// ownError carries an error of the caller's own through a transaction, to be returned as it is.
type ownError struct{ err error }

func (e *ownError) Error() string { return e.err.Error() }

// failed turns what an operation returned into what its caller gets: faults and ErrStale as they are, a refused id as a conflict,
// anything else as a failure of the database, unless the caller has given up.
func (s *Store) failed(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, chat.ErrStale) {
		return err
	}
	if own, ok := errors.AsType[*ownError](err); ok {
		return own.err
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if ctx.Err() != nil {
		return chat.GivenUp(ctx)
	}
	if driver.IsDuplicateKeyError(err) {
		return fault.Wrap(err, fault.Conflict, chat.CodeDuplicateID, "Something with this id exists already.")
	}
	return unavailable(err)
}

func unavailable(err error) error {
	return fault.Wrap(err, fault.Unavailable, chat.CodeStoreUnavailable, "The database is not available.")
}

func missing(err error) bool { return errors.Is(err, driver.ErrNoDocuments) }

func overloaded() error {
	return fault.New(fault.Unavailable, chat.CodeOverloaded, "Too many searches are running. Try again in a moment.")
}

// cursorError says of an id that is none of a list's that it is no cursor, unless the database itself failed.
func cursorError(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok || err == nil {
		return chat.InvalidCursor()
	}
	return err
}

func isNotFound(err error) bool { return fault.Of(err).Kind == fault.NotFound }
