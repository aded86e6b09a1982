package mongo

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/chat"
)

// batchDoc is a batch of an event log, its _id being response/number. One that is Sealed ends the log: it stands where the next batch
// of a dead process would come, should that not be dead.
type batchDoc struct {
	ID     string `bson:"_id"`
	R      string `bson:"r"`
	N      int    `bson:"n"`
	Steps  []byte `bson:"steps,omitempty"`
	Sealed bool   `bson:"sealed,omitempty"`
	Stamp  int64  `bson:"stamp"`
}

// A batch is replaced only by one of a later stamp, so that a write which a process has given up for lost, and which comes late, does
// not take the place of what was written instead.
const (
	sealStamp = math.MaxInt64 - 1
	lastStamp = math.MaxInt64
)

// stamps counts the batches that this process has written.
type stamps struct{ n atomic.Int64 }

const (
	// maxBatches is how many batches of a response are kept.
	maxBatches = 1 << 20
	// logPage is about how much of an event log is read at a time, logBatch how many batches come in one answer.
	logPage  = 64 << 10
	logBatch = 32
)

// AppendEvents implements chat.Store. Mostly it is one write. The response is written only where its numbers are used up, ahead of the batch.
func (s *Store) AppendEvents(ctx context.Context, owner, id string, b chat.Batched) error {
	if ctx.Err() != nil {
		return chat.GivenUp(ctx)
	}
	r, err := s.run(ctx, owner, id)
	if err != nil {
		return s.failed(ctx, err)
	}
	if b.LastEvent != r.lastEvent || r.queued {
		res, err := s.responses().UpdateOne(ctx, s.own(r.id), bson.D{elem("$set", bson.D{elem("last_event", b.LastEvent), elem("status", string(chat.InProgress))})})
		if err == nil && res.MatchedCount == 0 {
			err = s.refused(ctx, r.id)
		}
		if err != nil {
			return s.failed(ctx, err)
		}
		s.held.logged(r.id, b.LastEvent)
	}
	if len(b.Steps) == 0 || b.Number >= maxBatches {
		return nil
	}
	stamp := s.stamps.n.Add(1)
	_, err = s.events().UpdateOne(ctx, before(r.id, b.Number, stamp), put(b.Number, b.Steps, stamp), options.UpdateOne().SetUpsert(true))
	if driver.IsDuplicateKeyError(err) {
		err = s.inPlace(ctx, r.id, err)
	}
	return s.failed(ctx, err)
}

// inPlace says why a batch found its place taken: whoever took the response over has sealed its log, or else a later write of this process has come
// first, or what was refused is what was written.
func (s *Store) inPlace(ctx context.Context, response string, err error) error {
	mine, lookErr := s.exists(ctx, s.responses(), s.own(response))
	switch {
	case lookErr != nil:
		return lookErr
	case mine:
		return unavailable(err)
	}
	return chat.ResponseEndedAlready()
}

// before is the filter for a batch that an earlier write has made, or none.
func before(response string, number int, stamp int64) bson.D {
	return append(byID(batchKey(response, number)), elem("r", response), elem("stamp", bson.D{elem("$lt", stamp)}))
}

func put(number int, steps []byte, stamp int64) bson.D {
	return bson.D{elem("$set", bson.D{elem("n", number), elem("steps", steps), elem("stamp", stamp)}), elem("$unset", bson.D{elem("sealed", 1)})}
}

// putLast writes the last batch, if there is something in it, in place of whatever stands there.
func (s *Store) putLast(ctx context.Context, response string, b *chat.Batched) error {
	if len(b.Steps) == 0 || b.Number >= maxBatches {
		return nil
	}
	_, err := s.events().UpdateOne(ctx, before(response, b.Number, lastStamp), put(b.Number, b.Steps, lastStamp), options.UpdateOne().SetUpsert(true))
	return err
}

// sealLog ends the log of a response that was taken over. What its holder still writes comes too late then, and so does the last batch
// once more, which it may not know to have been written.
func (s *Store) sealLog(ctx context.Context, response string) error {
	o := options.Find().SetSort(bson.D{elem("n", -1)}).SetLimit(1).SetBatchSize(1).SetProjection(bson.D{elem("n", 1), elem("sealed", 1)})
	for {
		seal, sealed := 0, false
		if err := each(ctx, s.events(), bson.D{elem("r", response)}, o, func(b *batchDoc) (bool, error) {
			if seal, sealed = b.N, b.Sealed; !sealed {
				seal++
			}
			return false, nil
		}); err != nil {
			return err
		}
		if !sealed {
			_, err := s.events().InsertOne(ctx, batchDoc{ID: batchKey(response, seal), R: response, N: seal, Sealed: true, Stamp: sealStamp})
			if driver.IsDuplicateKeyError(err) {
				continue
			}
			if err != nil {
				return err
			}
		}
		_, err := s.events().UpdateOne(ctx, byID(batchKey(response, seal-1)), bson.D{elem("$set", bson.D{elem("stamp", int64(sealStamp))})})
		return err
	}
}

// EventLog implements chat.Store.
func (s *Store) EventLog(ctx context.Context, owner, id string, from int) (batches [][]byte, err error) {
	if ctx.Err() != nil {
		return nil, chat.GivenUp(ctx)
	}
	size := 0
	o := options.Find().SetSort(bson.D{elem("n", 1)}).SetBatchSize(logBatch)
	err = each(ctx, s.events(), bson.D{elem("r", key(owner, id)), elem("n", bson.D{elem("$gte", from)})}, o, func(b *batchDoc) (bool, error) {
		if b.Sealed || b.N != from+len(batches) {
			return false, nil
		}
		batches = append(batches, b.Steps)
		size += len(b.Steps)
		return size < logPage, nil
	})
	return batches, s.failed(ctx, err)
}

// expiryPause is how often event logs that have expired are looked for, expiryLogs how many are removed at a time.
const (
	expiryPause = 5 * time.Minute
	expiryLogs  = 100
)

// expiry removes the event logs of responses that ended long ago. Readers do not see them any more as it is.
type expiry struct{ store *Store }

func (e *expiry) loop(ctx context.Context) {
	tick := time.NewTicker(expiryPause)
	defer tick.Stop()
	for {
		if err := errors.Join(e.all(ctx), e.store.sweepClaims(ctx)); err != nil && ctx.Err() == nil {
			e.store.options.Log.Warn("old idempotency keys and event logs could not be removed; trying again", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *expiry) all(ctx context.Context) error {
	s := e.store
	for {
		o := options.Find().SetLimit(expiryLogs).SetProjection(bson.D{elem("_id", 1)})
		expired, err := list[responseDoc](ctx, s.responses(), bson.D{elem("log_until", bson.D{elem("$lt", s.options.Now())})}, o)
		if err != nil || len(expired) == 0 {
			return err
		}
		for i := range expired {
			if _, err := s.events().DeleteMany(ctx, bson.D{elem("r", expired[i].ID)}); err != nil {
				return err
			}
			if _, err := s.responses().UpdateOne(ctx, byID(expired[i].ID), bson.D{elem("$unset", bson.D{elem("log_until", 1)})}); err != nil {
				return err
			}
		}
	}
}
