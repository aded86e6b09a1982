package mongo

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// purgeDoc says that what hangs on a key belongs to no conversation: that of a deleted one, or, with Fork, what Holder is copying.
type purgeDoc struct {
	K            string `bson:"_id"`
	Conversation string `bson:"c"`
	Fork         bool   `bson:"fork,omitempty"`
	Holder       string `bson:"holder,omitempty"`
}

const (
	// purgeRows bounds one step of a purge, so that no other writer waits for it.
	purgeRows = 500
	// purgePause is how often is looked for what another process has left.
	purgePause = 30 * time.Second
)

// purger removes, step by step, what deleted conversations have left, of this process and of others: to do so twice does no harm. A
// response that still runs is left until it has ended, because its end is still to be recorded.
type purger struct {
	store *Store
	wake  chan struct{}
}

func newPurger(s *Store) *purger {
	p := &purger{store: s, wake: make(chan struct{}, 1)}
	p.poke()
	return p
}

// poke has the purger look for work.
func (p *purger) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *purger) loop(ctx context.Context) {
	tick := time.NewTicker(purgePause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-tick.C:
		}
		if err := p.all(ctx); err != nil && ctx.Err() == nil {
			p.store.options.Log.Warn("deleted conversations could not be removed; trying again", slog.Any("error", err))
		}
	}
}

func (p *purger) all(ctx context.Context) error {
	s := p.store
	pending, err := list[purgeDoc](ctx, s.purges(), bson.D{}, options.Find())
	if err != nil {
		return err
	}
	for i := range pending {
		if pending[i].Fork {
			taken, err := s.takeFork(ctx, &pending[i])
			if err != nil {
				return err
			}
			if !taken {
				continue
			}
		}
		if err := s.purge(ctx, pending[i].K); err != nil {
			return err
		}
	}
	return nil
}

// takeFork takes what was copied from whoever copies it, unless that is still done, so that it cannot be published while it is removed. It reports
// whether it could: what was published since it was looked at is a conversation's.
func (s *Store) takeFork(ctx context.Context, d *purgeDoc) (bool, error) {
	copying := s.copying.has(d.K)
	if d.Holder != s.holder {
		var err error
		if copying, err = s.lives(ctx, d.Holder); err != nil {
			return false, err
		}
	}
	if copying {
		return false, nil
	}
	res, err := s.purges().UpdateOne(ctx, append(byID(d.K), elem("fork", true)), bson.D{elem("$unset", bson.D{elem("fork", 1), elem("holder", 1)})})
	return err == nil && res.MatchedCount > 0, err
}

// copies are the keys of the forks that this process copies.
type copies struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (c *copies) put(k string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[k] = true
}

func (c *copies) drop(k string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.keys, k)
}

func (c *copies) has(k string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys[k]
}

// purge removes all that hangs on a key but responses that run.
func (s *Store) purge(ctx context.Context, k string) error {
	for {
		o := options.Find().SetLimit(purgeRows).SetProjection(bson.D{elem("_id", 1)})
		some, err := list[itemDoc](ctx, s.items(), bson.D{elem("k", k)}, o)
		if err != nil {
			return err
		}
		if len(some) == 0 {
			break
		}
		ids := make(bson.A, len(some))
		for i := range some {
			ids[i] = some[i].ID
		}
		if _, err := s.items().DeleteMany(ctx, bson.D{elem("_id", bson.D{elem("$in", ids)}), elem("k", k)}); err != nil {
			return err
		}
	}
	remaining := false
	o := options.Find().SetBatchSize(batch).SetProjection(bson.D{elem("beat", 1)})
	if err := each(ctx, s.responses(), bson.D{elem("k", k)}, o, func(d *responseDoc) (bool, error) {
		if d.Beat != nil {
			remaining = true
			return true, nil
		}
		if _, err := s.events().DeleteMany(ctx, bson.D{elem("r", d.ID)}); err != nil {
			return false, err
		}
		_, err := s.responses().DeleteOne(ctx, byID(d.ID))
		return true, err
	}); err != nil || remaining {
		return err
	}
	_, err := s.purges().DeleteOne(ctx, byID(k))
	return err
}
