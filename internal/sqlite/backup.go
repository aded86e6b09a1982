package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/parley-llm/parley/internal/audit"
)

// The steps of a backup, as its progress names them.
const (
	StepCopying   = "copying"
	StepChecking  = "checking"
	StepVerifying = "verifying"
)

// backupLook is how often the copy's size is looked at.
const backupLook = 100 * time.Millisecond

// A BackupReport says what a backup holds.
type BackupReport struct {
	Bytes int64
	// Schema is the version of its schema, and Newest the one that this program knows. The audit log of an older schema is not
	// verified: that is for the program of that time.
	Schema, Newest int64
	Audit          audit.Report
}

// Verified reports whether the audit log of the copy was read and is whole.
func (r *BackupReport) Verified() bool { return r.Schema == r.Newest && r.Audit.OK }

// Backup copies a database, also one that a server has open, to a file that must not be there. The copy is the database as it
// was at one moment after Backup began: all that was committed before, and no part of anything. It is there under its
// name only once it is whole, has been read back, and is on the disk. progress, if not nil, is called with how much of a step is done,
// and of how much, which is 0 where nobody knows.
func Backup(ctx context.Context, path, to string, progress func(step string, done, total int64)) (report BackupReport, err error) {
	if to, err = filepath.Abs(to); err != nil {
		return report, fmt.Errorf("finding the backup's directory: %w", err)
	}
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	if report.Schema, report.Newest, err = Schema(path); err != nil {
		return report, err
	}
	if err := checkSchema(report.Schema, report.Newest); err != nil {
		return report, err
	}
	if err := mustBeFree(to); err != nil {
		return report, err
	}
	part, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".part-*")
	if err != nil {
		return report, fmt.Errorf("making the backup: %w", err)
	}
	name := part.Name()
	defer func() {
		err = errors.Join(err, part.Close())
		for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
			if gone := os.Remove(name + suffix); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}()
	if err := roomFor(path, name); err != nil {
		return report, err
	}
	if err := copyInto(ctx, path, name, progress); err != nil {
		return report, fmt.Errorf("copying the database: %w", because(ctx, err))
	}
	if err := report.readBack(ctx, name, progress); err != nil {
		return report, fmt.Errorf("reading the copy back: %w", because(ctx, err))
	}
	if err := part.Sync(); err != nil {
		return report, fmt.Errorf("writing the copy to the disk: %w", err)
	}
	info, err := part.Stat()
	if err != nil {
		return report, err
	}
	report.Bytes = info.Size()
	if err := publish(name, to); err != nil {
		return report, err
	}
	return report, syncDir(filepath.Dir(to))
}

// because says that a caller has given up where that is why something failed.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func mustBeFree(path string) error {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return fmt.Errorf("%s is there already: a backup overwrites nothing", path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return fmt.Errorf("looking for the backup's place: %w", err)
	}
}

// publish gives a file its name unless another one has it by now.
func publish(name, to string) error {
	err := os.Link(name, to)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// Not every file system has links.
	if err := mustBeFree(to); err != nil {
		return err
	}
	return os.Rename(name, to)
}

// roomFor fails where a copy cannot fit. A system that does not say how much is free is asked by writing.
func roomFor(path, to string) error {
	size, err := filesSize(path)
	if err != nil {
		return err
	}
	free, _, err := diskSpace(filepath.Dir(to))
	if err == nil && int64(min(free, 1<<62)) < size {
		return fmt.Errorf("the copy takes up to %d MiB, and %d MiB are free in %s", size>>20+1, free>>20, filepath.Dir(to))
	}
	return nil
}

// readBack reads the copy as a whole, and its audit log record by record.
func (r *BackupReport) readBack(ctx context.Context, name string, progress func(step string, done, total int64)) error {
	progress(StepChecking, 0, 0)
	if err := quickCheck(ctx, name); err != nil {
		return err
	}
	if r.Schema != r.Newest {
		return nil
	}
	var err error
	r.Audit, err = VerifyAudit(ctx, name, func(n int64) { progress(StepVerifying, n, 0) })
	return err
}

// copyInto writes the database anew by VACUUM INTO, within one transaction that reads: the server's commits go on beside it. It
// takes a quarter longer than copying pages does, and leaves behind what deleted rows have left in them. What comes out has
// no write-ahead log: it is whole by itself.
func copyInto(ctx context.Context, path, to string, progress func(step string, done, total int64)) (err error) {
	total, err := filesSize(path)
	if err != nil {
		return err
	}
	src, err := openConn(path, sqlite.OpenReadOnly)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	src.SetInterrupt(ctx.Done())
	done := make(chan error, 1)
	go func() { done <- src.exec(src.prepare("VACUUM INTO ?").text(to)) }()
	tick := time.NewTicker(backupLook)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			if info, err := os.Stat(to); err == nil {
				progress(StepCopying, info.Size(), max(total, info.Size()))
			}
		}
	}
}
