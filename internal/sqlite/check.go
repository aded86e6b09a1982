package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"zombiezen.com/go/sqlite"
)

// check reads the whole database after a process has died with it open. It takes seconds for each gigabyte, so it runs
// beside the server, on a connection of its own.
type check struct {
	done chan struct{}

	mu    sync.Mutex
	found error
}

// startCheck begins a check, or, where the last process stopped cleanly, none.
func startCheck(ctx context.Context, path string, log *slog.Logger, clean bool) *check {
	k := &check{done: make(chan struct{})}
	if clean {
		close(k.done)
		return k
	}
	log.Info("the database was not closed cleanly, or is a restored backup; checking it in the background")
	go func() {
		defer close(k.done)
		err := quickCheck(ctx, path)
		if err != nil && ctx.Err() == nil {
			log.Error("the database is damaged: restore a backup", "error", err)
			k.mu.Lock()
			k.found = err
			k.mu.Unlock()
		}
	}()
	return k
}

// finding is what is wrong with the database, as far as is known.
func (k *check) finding() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.found
}

func quickCheck(ctx context.Context, path string) (err error) {
	c, err := openConn(path, sqlite.OpenReadOnly)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	c.SetInterrupt(ctx.Done())
	q := c.prepare("PRAGMA quick_check(1)")
	if _, err := q.next(); err != nil {
		return fmt.Errorf("checking the database: %w", err)
	}
	defer q.reset()
	if result := q.getText(&arena{}); result != "ok" {
		return fmt.Errorf("checking the database: %s", result)
	}
	return nil
}
