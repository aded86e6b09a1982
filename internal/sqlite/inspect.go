package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"zombiezen.com/go/sqlite"
)

// This file is for the tools that look at a database or work on it without serving it.

// Schema returns the version of a database's schema and the newest one that this program knows. A database that is not
// there has version 0.
func Schema(path string) (version, newest int64, err error) {
	if newest, err = newestSchema(); err != nil {
		return 0, 0, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return 0, newest, nil
	}
	err = inspect(path, func(c *conn) (err error) {
		version, err = c.schemaVersion()
		return err
	})
	return version, newest, err
}

// Migrate brings the schema of a database up to date, as Open does, and returns the versions before and after. No server
// may have the database open.
func Migrate(ctx context.Context, path string) (from, to int64, err error) {
	err = alone(path, func(path string) error {
		if from, to, err = Schema(path); err != nil {
			return err
		}
		c, err := openWriter(ctx, path)
		if err != nil {
			return err
		}
		return c.Close()
	})
	return from, to, err
}

// LockHolder reports whether a server has the database open, and which process that is, as far as it has said so.
func LockHolder(path string) (holder string, held bool, err error) {
	path += ".lock"
	lock, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the operator's own path
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("opening the lock file: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	free, err := tryLock(lock)
	if err != nil || free {
		return "", false, err
	}
	pid, err := os.ReadFile(path) //nolint:gosec // the operator's own path
	return strings.TrimSpace(string(pid)), true, err
}

// QuickCheck reads the whole database and says what is damaged.
func QuickCheck(ctx context.Context, path string) error { return quickCheck(ctx, path) }

// CheckKey compares a secret key's fingerprint with the one that the database keeps.
func CheckKey(path string, fingerprint []byte) error {
	return inspect(path, func(c *conn) error {
		_, err := c.checkKey(fingerprint)
		return err
	})
}

// Compact writes the database anew without what was deleted and gives the room back to the disk, so that what was erased
// is in no byte of its files any more. No server may have the database open. It returns the size before and after.
func Compact(ctx context.Context, path string) (before, after int64, err error) {
	if err := finishPurges(ctx, path); err != nil {
		return 0, 0, err
	}
	err = alone(path, func(path string) (err error) {
		if before, err = filesSize(path); err != nil {
			return err
		}
		c, err := openWriter(ctx, path)
		if err != nil {
			return err
		}
		err = c.compact(ctx)
		if err := errors.Join(err, c.Close()); err != nil {
			return fmt.Errorf("compacting the database: %w", err)
		}
		after, err = filesSize(path)
		return err
	})
	return before, after, err
}

// finishPurges removes what deleted conversations have left, as a server does in the background, if anything is left.
func finishPurges(ctx context.Context, path string) error {
	pending := int64(0)
	err := alone(path, func(path string) error {
		c, err := openWriter(ctx, path)
		if err != nil {
			return err
		}
		pending, err = c.number(selectPurges)
		return errors.Join(err, c.Close())
	})
	if err != nil || pending == 0 {
		return err
	}
	s, err := Open(ctx, Options{Path: path})
	if err != nil {
		return err
	}
	return errors.Join(s.purger.all(ctx), s.Close())
}

// Of a fork that a crash broke off there are leftovers, too.
const selectPurges = `SELECT EXISTS (SELECT 1 FROM purges) OR EXISTS (SELECT 1 FROM forks)`

const selectSearchTables = `SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%fts5%'`

// compact merges the indexes of words, which keep what was deleted for a while, and then writes everything anew.
func (c *conn) compact(ctx context.Context) error {
	c.SetInterrupt(ctx.Done())
	defer c.SetInterrupt(nil)
	q := c.prepare(selectSearchTables)
	var tables []string
	for {
		more, err := q.next()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		tables = append(tables, q.getText(&arena{}))
	}
	for _, name := range tables {
		quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		if err := c.exec(c.prepare(`INSERT INTO ` + quoted + `(` + quoted + `) VALUES ('optimize')`)); err != nil {
			return err
		}
	}
	if err := c.exec(c.prepare("VACUUM")); err != nil {
		return err
	}
	state, err := checkpoint(c, "TRUNCATE")
	if err == nil && state.busy {
		err = errors.New("another process reads the database, so the old pages are still in its log: end that and do it again")
	}
	return err
}

// alone runs fn with the lock that a server would hold.
func alone(path string, fn func(path string) error) (err error) {
	if path, err = filepath.Abs(path); err != nil {
		return fmt.Errorf("finding the database: %w", err)
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("finding the database: %w", err)
	}
	lock, err := prepareFiles(path, "stop that server first")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	return fn(path)
}

// inspect lends a connection that reads.
func inspect(path string, fn func(*conn) error) (err error) {
	if path, err = filepath.Abs(path); err != nil {
		return fmt.Errorf("finding the database: %w", err)
	}
	c, err := openConn(path, sqlite.OpenReadOnly, "query_only = ON")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return fn(c)
}

// filesSize is the size of the database with its log.
func filesSize(path string) (size int64, err error) {
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(path + suffix)
		switch {
		case err == nil:
			size += info.Size()
		case suffix == "" || !errors.Is(err, fs.ErrNotExist):
			return 0, fmt.Errorf("looking at the database's file: %w", err)
		}
	}
	return size, nil
}
