package mongo

import (
	"context"
	"errors"

	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// collection is one whose commands are tried again that found no connection, because another operation has found the server gone or no longer
// the primary. Nothing of them was sent then. The driver itself does that only with such as have waited for a connection already, not with those that
// come while its pool is paused.
type collection struct{ *driver.Collection }

// maxUnsent bounds how often a command is tried again. Ahead of each time the driver waits until a server is there, for as long as the URI says.
const maxUnsent = 10

// unsentError is what the driver says of a command that found no connection.
type unsentError interface {
	error
	Retryable() bool
}

func isUnsent(err error) bool {
	e, ok := errors.AsType[unsentError](err)
	return ok && e.Retryable()
}

// sent does something until it was sent. What is a transaction's is done once: that begins anew as a whole; see unsent.
func sent[T any](ctx context.Context, do func() (T, error)) (T, error) {
	for n := 0; ; n++ {
		res, err := do()
		if n == maxUnsent || !isUnsent(err) || ctx.Err() != nil || ctx.Value(inTransaction{}) != nil {
			return res, err
		}
	}
}

// inTransaction marks the context of a transaction's body.
type inTransaction struct{}

// Find, and each of the others, is the driver's.
func (c collection) Find(ctx context.Context, filter any, o ...options.Lister[options.FindOptions]) (*driver.Cursor, error) {
	return sent(ctx, func() (*driver.Cursor, error) { return c.Collection.Find(ctx, filter, o...) })
}

func (c collection) FindOne(ctx context.Context, filter any, o ...options.Lister[options.FindOneOptions]) *driver.SingleResult {
	res, _ := sent(ctx, func() (*driver.SingleResult, error) {
		res := c.Collection.FindOne(ctx, filter, o...)
		return res, res.Err()
	})
	return res
}

func (c collection) FindOneAndUpdate(ctx context.Context, filter, update any, o ...options.Lister[options.FindOneAndUpdateOptions]) *driver.SingleResult {
	res, _ := sent(ctx, func() (*driver.SingleResult, error) {
		res := c.Collection.FindOneAndUpdate(ctx, filter, update, o...)
		return res, res.Err()
	})
	return res
}

func (c collection) InsertOne(ctx context.Context, doc any, o ...options.Lister[options.InsertOneOptions]) (*driver.InsertOneResult, error) {
	return sent(ctx, func() (*driver.InsertOneResult, error) { return c.Collection.InsertOne(ctx, doc, o...) })
}

func (c collection) InsertMany(ctx context.Context, docs any, o ...options.Lister[options.InsertManyOptions]) (*driver.InsertManyResult, error) {
	return sent(ctx, func() (*driver.InsertManyResult, error) { return c.Collection.InsertMany(ctx, docs, o...) })
}

func (c collection) UpdateOne(ctx context.Context, filter, update any, o ...options.Lister[options.UpdateOneOptions]) (*driver.UpdateResult, error) {
	return sent(ctx, func() (*driver.UpdateResult, error) { return c.Collection.UpdateOne(ctx, filter, update, o...) })
}

func (c collection) UpdateMany(ctx context.Context, filter, update any, o ...options.Lister[options.UpdateManyOptions]) (*driver.UpdateResult, error) {
	return sent(ctx, func() (*driver.UpdateResult, error) { return c.Collection.UpdateMany(ctx, filter, update, o...) })
}

func (c collection) DeleteOne(ctx context.Context, filter any, o ...options.Lister[options.DeleteOneOptions]) (*driver.DeleteResult, error) {
	return sent(ctx, func() (*driver.DeleteResult, error) { return c.Collection.DeleteOne(ctx, filter, o...) })
}

func (c collection) DeleteMany(ctx context.Context, filter any, o ...options.Lister[options.DeleteManyOptions]) (*driver.DeleteResult, error) {
	return sent(ctx, func() (*driver.DeleteResult, error) { return c.Collection.DeleteMany(ctx, filter, o...) })
}
