package sqlite

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

const (
	// reserveBytes is kept in a file beside the database for the ends of responses that run when the disk is full.
	reserveBytes  = 4 << 20
	reserveSuffix = ".reserve"
	// No prompt begins on a disk with less free than a twentieth of it, nor, on a large one, less than maxLow.
	lowShare = 20
	maxLow   = 256 << 20
)

// space looks after the disk that the database is on. While little is free no prompt begins, so that what runs can end.
// When the disk is full the reserve is given up for just that, and until it is back nothing else is written.
type space struct {
	dir, reserve string
	log          *slog.Logger
	// measure says how many bytes of the disk are free for this process, and how many it has.
	measure func(dir string) (free, total uint64, err error)

	// spent: there is no reserve.
	spent atomic.Bool
	mu    sync.Mutex
}

func newSpace(path string, log *slog.Logger, measure func(dir string) (free, total uint64, err error)) *space {
	s := &space{dir: filepath.Dir(path), reserve: path + reserveSuffix, log: log, measure: measure}
	s.spent.Store(true)
	return s
}

// low is how many free bytes are too few on a disk of this size.
func low(total uint64) uint64 { return min(total/lowShare, maxLow) }

// Room says how many bytes of the disk that a directory is on are free for this process, and below how many a store there takes
// no prompt. A system that is not asked is errors.ErrUnsupported.
func Room(dir string) (free, needed uint64, err error) {
	free, total, err := diskSpace(dir)
	return free, low(total), err
}

// room is why no prompt may begin, or nil.
func (s *space) room() error {
	free, total, err := s.measure(s.dir)
	// A system that does not say is not a full disk.
	if err == nil && free < low(total) {
		return noRoom("The server's disk is nearly full: no prompt is taken until there is room again.")
	}
	return s.writable()
}

// writable is why nothing but the end of what runs may be written, or nil. It makes the reserve anew if there is room.
func (s *space) writable() error {
	if !s.spent.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.spent.Load() {
		return nil
	}
	free, total, err := s.measure(s.dir)
	if err == nil && free < low(total)+reserveBytes {
		return noRoom("The server's disk is full: nothing is stored until there is room again.")
	}
	if err := makeReserve(s.reserve); errors.Is(err, syscall.ENOSPC) {
		return noRoom("The server's disk is full: nothing is stored until there is room again.")
	} else if err != nil {
		// There is room; that the file cannot be had for another reason is no cause to refuse what can be stored.
		s.log.Warn("the reserve could not be made", "error", err)
	}
	s.spent.Store(false)
	return nil
}

// giveUp frees the reserve, if it is there.
func (s *space) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spent.Swap(true) {
		return
	}
	err := os.Remove(s.reserve)
	s.log.Error("the disk is full; the reserve was given up so that running responses can end", "error", err)
}

func noRoom(message string) error {
	return fault.Wrap(chat.ErrNoRoom, fault.Unavailable, chat.CodeStoreUnavailable, message)
}

// makeReserve makes the file, with its bytes on the disk and not only promised, unless it is there.
func makeReserve(path string) (err error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Size() == reserveBytes {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm) //nolint:gosec // the operator's own path
	if err != nil {
		return fmt.Errorf("making the reserve: %w", err)
	}
	err = errors.Join(allocate(f, reserveBytes), f.Close())
	if err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// fill writes what no file system makes smaller.
func fill(f *os.File, n int64) error {
	if _, err := io.CopyN(f, rand.Reader, n); err != nil {
		return fmt.Errorf("filling the reserve: %w", err)
	}
	return f.Sync()
}
