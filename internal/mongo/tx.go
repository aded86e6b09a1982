package mongo

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

// change is one transaction: body, and behind it the audit records that belong to it. body may run more than once and has no side
// effects but on what its caller is to get. Once it has begun, the caller's leaving does not end it: what is done and what is
// not is then never in doubt for that.
//
// landed tells whether the transaction took effect, for where the answer to its commit was lost; it may be nil where there are records.
func (s *Store) change(ctx context.Context, recs []audit.Record, landed func(ctx context.Context) (bool, error), body func(ctx context.Context) error) error {
	return s.claiming(ctx, "", nil, recs, landed, body)
}

// claiming is change for one that may come with an idempotency key, which is the first thing that it writes.
func (s *Store) claiming(ctx context.Context, owner string, claim *chat.Claim, recs []audit.Record, landed func(ctx context.Context) (bool, error), body func(ctx context.Context) error) error {
	if ctx.Err() != nil {
		return chat.GivenUp(ctx)
	}
	docs, err := s.encodeRecords(recs)
	if err != nil {
		return err
	}
	err = s.transact(context.WithoutCancel(ctx), func(ctx context.Context) error {
		if claim != nil {
			if err := s.claim(ctx, owner, claim); err != nil {
				return err
			}
		}
		if err := body(ctx); err != nil || len(docs) == 0 {
			return err
		}
		_, err := s.audit().InsertMany(ctx, docs)
		return err
	})
	if errors.Is(err, errTaken) {
		return s.claimed(ctx, owner, claim, err)
	}
	if unknown(err) {
		if landed == nil && len(docs) > 0 {
			landed = func(ctx context.Context) (bool, error) { return s.exists(ctx, s.audit(), byID(docs[0].ID)) }
		}
		err = settle(context.WithoutCancel(ctx), landed, err)
	}
	if err != nil {
		return s.failed(ctx, err)
	}
	s.sealer.add(docs)
	return nil
}

// unknown reports whether a transaction may have taken effect all the same. The driver has then asked for its commit again and again.
func unknown(err error) bool {
	server, ok := errors.AsType[driver.ServerError](err)
	return ok && server.HasErrorLabel("UnknownTransactionCommitResult")
}

// settle is nil where what ended in err took effect.
func settle(ctx context.Context, landed func(ctx context.Context) (bool, error), err error) error {
	if landed == nil {
		return err
	}
	there, lookErr := landed(ctx)
	if lookErr != nil {
		return fmt.Errorf("%w; and it cannot be told whether it took effect: %w", err, lookErr)
	}
	if there {
		return nil
	}
	return err
}

// transact runs a body in a transaction that reads one snapshot and is durable on a majority when it returns nil.
func (s *Store) transact(ctx context.Context, body func(ctx context.Context) error) error {
	session, err := s.client.StartSession()
	if err != nil {
		return err
	}
	defer session.EndSession(ctx)
	_, err = session.WithTransaction(context.WithValue(ctx, inTransaction{}, true), func(ctx context.Context) (any, error) { return nil, unsent(body(ctx)) },
		options.Transaction().SetReadConcern(readconcern.Snapshot()))
	return err
}

// unsent has a transaction run again whose statement found no connection, because another operation has found the server gone: the driver
// says of such an error that what failed may be tried again, and does not do it within a transaction.
func unsent(err error) error {
	if isUnsent(err) {
		return transient{err}
	}
	return err
}

// transient is an error by which WithTransaction begins anew.
type transient struct{ error }

func (e transient) Unwrap() error                   { return e.error }
func (e transient) HasErrorLabel(label string) bool { return label == "TransientTransactionError" }

// snapshot lends a context with which all that is read is of one moment.
func (s *Store) snapshot(ctx context.Context, read func(ctx context.Context) error) error {
	if ctx.Err() != nil {
		return chat.GivenUp(ctx)
	}
	session, err := s.client.StartSession(options.Session().SetSnapshot(true))
	if err != nil {
		return unavailable(err)
	}
	defer session.EndSession(ctx)
	return s.failed(ctx, read(driver.NewSessionContext(ctx, session)))
}

// exists reports whether a collection has a document.
func (s *Store) exists(ctx context.Context, c collection, filter bson.D) (bool, error) {
	err := c.FindOne(ctx, filter, options.FindOne().SetProjection(bson.D{{Key: "_id", Value: 1}})).Err()
	if missing(err) {
		return false, nil
	}
	return err == nil, err
}

// batch is how many documents come in one answer, where they may be large.
const batch = 100

// each calls fn with every document that is found, decoded; it ends early where fn says so.
func each[T any](ctx context.Context, c collection, filter any, o *options.FindOptionsBuilder, fn func(v *T) (more bool, err error)) (err error) {
	cursor, err := c.Find(ctx, filter, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeCursor(ctx, cursor)) }()
	for cursor.Next(ctx) {
		var v T
		if err := cursor.Decode(&v); err != nil {
			return err
		}
		if more, err := fn(&v); err != nil || !more {
			return err
		}
	}
	return cursor.Err()
}

// list is all that is found; it is for what cannot be much.
func list[T any](ctx context.Context, c collection, filter any, o *options.FindOptionsBuilder) (all []T, err error) {
	err = each(ctx, c, filter, o.SetBatchSize(batch), func(v *T) (bool, error) {
		all = append(all, *v)
		return true, nil
	})
	return all, err
}
