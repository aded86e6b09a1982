package audit

import "context"

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
}
