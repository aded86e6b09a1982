package sqlite

import (
	"context"
	"log/slog"
	"time"
)

// Bounds of one step of a purge, so that it stalls no other writer: what is deleted is written over.
const (
	purgeRows  = 100
	purgeBytes = 2 << 20
	// purgeBatches are batches of event logs.
	purgeBatches = 100
)

// purgePause is how long a purge that failed waits before it goes on. Behind a step that did not, it rests for as long as that took, so
// that others have at least half of the writer, but no longer than purgeRest.
const (
	purgePause = 10 * time.Second
	purgeRest  = 250 * time.Millisecond
)

const (
	insertPurge = `INSERT INTO purges (conversation, id) VALUES (?, ?)`
	listPurges  = `SELECT conversation FROM purges ORDER BY conversation`
	deletePurge = `DELETE FROM purges WHERE conversation = ?`

	listPurgeItems  = `SELECT pos, coalesce(octet_length(content), 0) + coalesce(octet_length(data), 0) FROM items WHERE pos > ? AND pos < ? ORDER BY pos LIMIT ?`
	deleteItems     = `DELETE FROM items WHERE pos > ? AND pos <= ?`
	deleteResponses = `DELETE FROM responses WHERE num IN (SELECT num FROM responses
  WHERE conversation = ? AND status NOT IN ('queued', 'in_progress') LIMIT ?)`
	selectRemaining = `SELECT EXISTS (SELECT 1 FROM responses WHERE conversation = ?)`
)

// purger removes, step by step, what deleted conversations have left. What it does not get done it does after the next
// start. A response that still runs is left until it has ended, because its end is still to be recorded.
type purger struct {
	store *Store
	log   *slog.Logger
	wake  chan struct{}
	done  chan struct{}
}

func newPurger(s *Store, log *slog.Logger) *purger {
	p := &purger{store: s, log: log, wake: make(chan struct{}, 1), done: make(chan struct{})}
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

// loop runs until ctx ends.
func (p *purger) loop(ctx context.Context) {
	defer close(p.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		err := p.all(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		p.log.Warn("deleted conversations could not be removed; trying again", "error", err)
		if !sleep(ctx, purgePause) {
			return
		}
		p.poke()
	}
}

// sleep waits, and reports whether ctx has not ended meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (p *purger) all(ctx context.Context) error {
	nums, err := p.pending(ctx)
	if err != nil {
		return err
	}
	for _, num := range nums {
		for more := true; more; {
			began := time.Now()
			if err := p.store.writer.submit(ctx, 0, func(t *tx) (err error) {
				more, err = t.purge(num)
				return err
			}); err != nil {
				return err
			}
			if more && !sleep(ctx, min(time.Since(began), purgeRest)) {
				return ctx.Err()
			}
		}
	}
	return nil
}

func (p *purger) pending(ctx context.Context) (nums []int64, err error) {
	err = p.store.readers.read(ctx, func(c *conn) error {
		nums = nil
		q := c.prepare(listPurges)
		for {
			more, err := q.next()
			if err != nil || !more {
				return err
			}
			nums = append(nums, q.getInt())
		}
	})
	return nums, err
}

// purge takes one step and reports whether there are more to take now.
func (t *tx) purge(num int64) (more bool, err error) {
	t.touch(num)
	upTo, err := t.purgeEnd(num)
	if err != nil {
		return false, err
	}
	if upTo > 0 {
		if err := t.write(t.prepare(deleteItems).int(pos(num, 0)).int(upTo)); err != nil {
			return false, err
		}
		return true, t.write(t.prepare(unindexDocs).int(pos(num, 0)).int(upTo))
	}
	if err := t.write(t.prepare(deleteLogsOf).int(num).int(purgeBatches)); err != nil {
		return false, err
	}
	if t.Changes() > 0 {
		return true, nil
	}
	if err := t.write(t.prepare(deleteResponses).int(num).int(purgeRows)); err != nil {
		return false, err
	}
	if t.Changes() > 0 {
		return true, nil
	}
	q := t.prepare(selectRemaining).int(num)
	if _, err := q.next(); err != nil {
		return false, err
	}
	running := q.getBool()
	q.reset()
	if running {
		return false, nil
	}
	if err := t.unindex(num, 0); err != nil {
		return false, err
	}
	return false, t.write(t.prepare(deletePurge).int(num))
}

// purgeEnd is the position of the last item that the next step removes, or 0 where there is none.
func (t *tx) purgeEnd(num int64) (upTo int64, err error) {
	q := t.prepare(listPurgeItems).int(pos(num, 0)).int(pos(num+1, 0)).int(purgeRows)
	defer q.reset()
	for bytes := int64(0); bytes < purgeBytes; {
		more, err := q.next()
		if err != nil || !more {
			return upTo, err
		}
		upTo = q.getInt()
		bytes += q.getInt()
	}
	return upTo, nil
}
