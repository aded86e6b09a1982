package sqlite

import (
	"context"

	"github.com/parley-llm/parley/internal/chat"
)

// sweepLogs removes the event logs that have expired by now. Logs lie in the order in which their responses began, so it ends at the first one that began too late
// for those behind it to have expired.
func (s *sweeper) sweepLogs(ctx context.Context) error {
	before := s.store.options.Now().Add(-chat.EventLogLife).UnixMilli()
	for num := int64(0); ; {
		next, found, err := s.expiredLog(ctx, num, before)
		if err != nil || !found {
			return err
		}
		for more := true; more; {
			if err := s.store.writer.submit(ctx, 0, func(t *tx) error {
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

// expiredLog is the first response from num on whose log has expired.
func (s *sweeper) expiredLog(ctx context.Context, num, before int64) (next int64, found bool, err error) {
	err = s.store.readers.read(ctx, func(c *conn) error {
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
