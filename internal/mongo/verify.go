package mongo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-llm/parley/internal/audit"
)

// Log is the audit log of a database that servers may be using: it reads, and writes nothing.
type Log struct{ store *Store }

// OpenLog connects to a database to read its audit log. Only URI and Database of o are used.
func OpenLog(ctx context.Context, o Options) (*Log, error) {
	o = o.withDefaults()
	client, db, err := connect(ctx, &o)
	if err != nil {
		return nil, err
	}
	s := &Store{options: o, client: client, db: db}
	var schema metaDoc
	err = s.meta().FindOne(ctx, byID(metaSchema)).Decode(&schema)
	switch {
	case missing(err):
		err = fmt.Errorf("%w: %q at %s", ErrNoDatabase, db.Name(), host(o.URI))
	case err == nil && schema.N > schemaVersion:
		err = fmt.Errorf("the database has schema %d, newer than this parley's %d", schema.N, schemaVersion)
	}
	if err != nil {
		return nil, errors.Join(explain(err, o.URI), disconnect(ctx, client))
	}
	return &Log{s}, nil
}

// ErrNoDatabase is wrapped by OpenLog's error where no server has ever been started on a database.
var ErrNoDatabase = errors.New("the database is none of Parley's, or no server has been started on it yet")

// CheckKey compares a secret key's fingerprint with the one that the database keeps.
func (l *Log) CheckKey(ctx context.Context, fingerprint []byte) error {
	var had metaDoc
	err := l.store.meta().FindOne(ctx, byID(metaFingerprint)).Decode(&had)
	if err == nil && !bytes.Equal(had.Bytes, fingerprint) {
		return errOtherKey
	}
	if missing(err) {
		return nil
	}
	return err
}

// Close disconnects.
func (l *Log) Close(ctx context.Context) error { return disconnect(ctx, l.store.client) }

// Export is Store.Export of everybody's records.
func (l *Log) Export(ctx context.Context, from, to time.Time, yield func(*audit.Row) error) error {
	return l.store.Export(ctx, "", from, to, yield)
}

// Verify proves what is sealed, chain by chain, as it was when it began. unsealed is how many records have no place in a chain yet: those of
// the last moments, or of a process that has died and that no other has taken over yet. progress, if not nil, is called from time to time with the number
// of records that have been read.
func (l *Log) Verify(ctx context.Context, progress func(n int64)) (report audit.Report, unsealed int64, err error) {
	v := audit.NewVerifier()
	n := int64(0)
	l.store.settleLog(ctx)
	err = l.store.export(ctx, "", time.Time{}, time.Time{}, func(row *audit.Row) error {
		v.Add(row)
		if n++; n%exportPage == 0 && progress != nil {
			progress(n)
		}
		return nil
	})
	if err != nil {
		return audit.Report{}, 0, fmt.Errorf("reading the audit log: %w", err)
	}
	if progress != nil {
		progress(n)
	}
	unsealed, err = l.store.audit().CountDocuments(ctx, bson.D{elem("unsealed", bson.D{elem("$exists", true)})})
	if err != nil {
		return audit.Report{}, 0, fmt.Errorf("counting the records that are not sealed: %w", err)
	}
	return v.Finish(), unsealed, nil
}
