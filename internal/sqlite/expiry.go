package sqlite

import (
	"context"
	"log/slog"
	"time"

	"github.com/parley-llm/parley/internal/chat"
)

// expiryPause is how often what has expired is looked for.
const expiryPause = 5 * time.Minute

// expiry removes, step by step, the event logs of responses that ended long ago.
type expiry struct {
	store *Store
	log   *slog.Logger
	done  chan struct{}
}

func newExpiry(s *Store, log *slog.Logger) *expiry {
	return &expiry{store: s, log: log, done: make(chan struct{})}
}

// loop runs until ctx ends.
func (e *expiry) loop(ctx context.Context) {
	defer close(e.done)
	tick := time.NewTicker(expiryPause)
	defer tick.Stop()
	for {
		if err := e.all(ctx); err != nil && ctx.Err() == nil {
			e.log.Warn("event logs that have expired could not be removed; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// all removes what has expired by now. Logs lie in the order in which their responses began, so it ends at the first one that began too late
// for those behind it to have expired.
func (e *expiry) all(ctx context.Context) error {
	before := e.store.options.Now().Add(-chat.EventLogLife).UnixMilli()
	for num := int64(0); ; {
		next, found, err := e.expired(ctx, num, before)
		if err != nil || !found {
			return err
		}
		for more := true; more; {
			if err := e.store.writer.submit(ctx, 0, func(t *tx) error {
				err := t.write(t.prepare(deleteLogs).int(batchPos(next, 0)).int(batchPos(next+1, 0)).int(purgeBatches))
				more = t.Changes() == purgeBatches
				return err
			}); err != nil {
				return err
			}
		}
		num = next + 1
	}
}

// expired is the first response from num on whose log has expired.
func (e *expiry) expired(ctx context.Context, num, before int64) (next int64, found bool, err error) {
	err = e.store.readers.read(ctx, func(c *conn) error {
		for next = num; ; next++ {
			q := c.prepare(nextLog).int(batchPos(next, 0))
			more, err := q.next()
			if err != nil || !more {
				return err
			}
			next = q.getInt()
			q.reset()
			q = c.prepare(selectAge).int(next)
			if more, err = q.next(); err != nil {
				return err
			}
			if !more {
				// Its response is gone.
				found = true
				return nil
			}
			created, completed := q.getInt(), q.getInt()
			q.reset()
			if created >= before {
				return nil
			}
			if found = completed != 0 && completed < before; found {
				return nil
			}
		}
	})
	return next, found, err
}
