package sqlite

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/parley-llm/parley/internal/chat"
)

const (
	// sweepRows bounds one step of the removal of old claims, so that it stalls no other writer.
	sweepRows = 200
	// sweepPause is how long the removal rests.
	sweepPause = 10 * time.Minute
)

const (
	selectClaim = `SELECT fingerprint, resource_id, created_at FROM claims WHERE owner = ? AND route = ? AND key = ?`
	// What is replaced has run out. The new row has a new number, so that rows stay numbered by age.
	insertClaim = `INSERT OR REPLACE INTO claims (owner, route, key, fingerprint, resource_id, created_at) VALUES (?, ?, ?, ?, ?, ?)`

	selectOldestClaim = `SELECT created_at FROM claims ORDER BY num LIMIT 1`
	deleteClaims      = `DELETE FROM claims WHERE num IN (SELECT num FROM claims ORDER BY num LIMIT ?) AND created_at <= ?`
)

// Claim implements chat.Store.
func (s *Store) Claim(ctx context.Context, owner, route, key string) (claim chat.Claim, found bool, err error) {
	err = s.readers.read(ctx, func(c *conn) (err error) {
		claim, found, err = c.claim(owner, route, key)
		return err
	})
	return claim, found, err
}

func (c *conn) claim(owner, route, key string) (chat.Claim, bool, error) {
	q := c.prepare(selectClaim).text(owner).text(route).text(key)
	found, err := q.next()
	if err != nil || !found {
		return chat.Claim{}, false, err
	}
	defer q.reset()
	a := &arena{}
	claim := chat.Claim{Route: route, Key: key}
	copy(claim.Fingerprint[:], q.getRaw(a))
	claim.ResourceID, claim.CreatedAt = q.getText(a), q.getTime()
	return claim, true, nil
}

// unclaimed refuses what another change has been made for. It reads alone; claim writes.
func (t *tx) unclaimed(owner string, claim *chat.Claim) error {
	if claim == nil {
		return nil
	}
	earlier, found, err := t.conn.claim(owner, claim.Route, claim.Key)
	if err == nil && found && earlier.Lives(claim.CreatedAt) {
		err = &chat.ClaimedError{Claim: earlier}
	}
	return err
}

// claim takes a key that is unclaimed.
func (t *tx) claim(owner string, claim *chat.Claim) error {
	if claim == nil {
		return nil
	}
	return t.write(t.prepare(insertClaim).text(owner).text(claim.Route).text(claim.Key).
		blob(claim.Fingerprint[:]).text(claim.ResourceID).ms(claim.CreatedAt))
}

// sweeper removes claims that have run out, and event logs that have expired.
type sweeper struct {
	store *Store
	log   *slog.Logger
	done  chan struct{}
}

// loop runs until ctx ends.
func (s *sweeper) loop(ctx context.Context) {
	defer close(s.done)
	rest := time.NewTicker(sweepPause)
	defer rest.Stop()
	for {
		if err := errors.Join(s.sweep(ctx), s.sweepLogs(ctx)); err != nil && ctx.Err() == nil {
			s.log.Warn("old idempotency keys and event logs could not be removed; trying again later", "error", err)
		}
		select {
		case <-rest.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep removes what has run out by now, step by step. Where there is nothing it does not write.
func (s *sweeper) sweep(ctx context.Context) error {
	end := s.store.options.Now().Add(-chat.ClaimLife)
	for more := true; more; {
		var oldest time.Time
		if err := s.store.readers.read(ctx, func(c *conn) error {
			q := c.prepare(selectOldestClaim)
			found, err := q.next()
			if err != nil || !found {
				return err
			}
			oldest = q.getTime()
			q.reset()
			return nil
		}); err != nil || oldest.IsZero() || oldest.After(end) {
			return err
		}
		if err := s.store.writer.submit(ctx, 0, func(t *tx) error {
			if err := t.write(t.prepare(deleteClaims).int(sweepRows).ms(end)); err != nil {
				return err
			}
			more = t.Changes() == sweepRows
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
