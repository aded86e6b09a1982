package audit

import (
	"context"
	"time"
)

// Log reads the records of an owner and appends those that stand alone. Records that belong to a change are written by
// the store's method that makes the change, never here.
type Log interface {
	// Append seals records into the chain and returns when they are durable.
	Append(ctx context.Context, recs ...Record) error
	// Records returns a page without texts, and whether there are more. An unknown After or Before is a fault of kind
	// Invalid, code invalid_cursor.
	Records(ctx context.Context, owner string, q Query) ([]Record, bool, error)
	// Record returns one with its payloads' texts; an unknown id is NotFound, record_not_found.
	Record(ctx context.Context, owner, id string) (Record, error)
	// Export yields what is stored of an owner's records and of those that belong to nobody, such as a server's start, in
	// the order that a Verifier wants, with texts and salts: those from from on and ahead of to, where these are not zero,
	// as far as there were any when it began. The owner "" is everybody. It reads in pages, so that neither memory nor a
	// transaction grows with the log, and what is written meanwhile is not held up. Of row, yield may keep nothing. An error
	// of yield ends it and is returned.
	Export(ctx context.Context, owner string, from, to time.Time, yield func(row *Row) error) error
}
