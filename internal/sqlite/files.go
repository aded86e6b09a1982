package sqlite

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	filePerm = 0o600
	dirPerm  = 0o700
)

// prepareFiles makes the directory and the database's file, for the owner alone, and takes the lock that keeps a second
// server away. The lock is held until the file is closed. Where another process has it, the error ends with remedy.
func prepareFiles(path, remedy string) (lock *os.File, err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, dirPerm); err != nil {
		return nil, fmt.Errorf("making the database's directory: %w", err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock", reserveSuffix} {
		if err := refuseLink(path + suffix); err != nil {
			return nil, err
		}
	}
	if lock, err = takeLock(path+".lock", remedy); err != nil {
		return nil, err
	}
	if err := ensureFile(path); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// refuseLink fails for anything but a plain file: what is written through a link lands where somebody else chose.
func refuseLink(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the database's file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file; a database behind a symbolic link is refused: give its own path", path)
	}
	return nil
}

func takeLock(path, remedy string) (*os.File, error) {
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, filePerm) //nolint:gosec // the operator's own path
	if err != nil {
		return nil, fmt.Errorf("opening the lock file: %w", err)
	}
	held, err := tryLock(lock)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), lock.Close())
	}
	if !held {
		holder := "another process"
		if pid, err := io.ReadAll(io.LimitReader(lock, 20)); err == nil && len(pid) > 0 {
			holder = "process " + strings.TrimSpace(string(pid))
		}
		return nil, errors.Join(fmt.Errorf("the database is in use by %s, which holds %s: %s", holder, path, remedy), lock.Close())
	}
	if err := lock.Truncate(0); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if _, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// ensureFile makes the file where it is missing, and takes the rights of others where it is there. Its entry is made durable too,
// and so are those of the directories above it: which of them are new is not known here. SQLite gives the files beside it the
// same rights.
func ensureFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, filePerm) //nolint:gosec // the operator's own path
	if errors.Is(err, fs.ErrExist) {
		return os.Chmod(path, filePerm)
	}
	if err != nil {
		return fmt.Errorf("making the database's file: %w", err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := syncDir(dir); err != nil {
		return err
	}
	for dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		// One that this user may not read is none that it has made.
		_ = syncDir(dir)
	}
	return nil
}

func syncDir(path string) error {
	dir, err := os.Open(path) //nolint:gosec // the operator's own path
	if err != nil {
		return fmt.Errorf("opening a directory: %w", err)
	}
	// Not every file system can sync a directory; the ones that matter can.
	_ = dir.Sync()
	return dir.Close()
}
