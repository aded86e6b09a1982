package sqlite

import (
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"
)

// walFrames is how long the write-ahead log grows, in pages of 8 KiB, before it is copied into the database. A longer log
// writes a page that changes often less often.
const walFrames = 4000

// How often the log's length is asked for: whenever about so many bytes were written. A change writes several pages.
const (
	walLook       = 4 << 20
	bytesOfChange = 32 << 10
)

// How long the writer and new readers wait for those who read.
const (
	shortPause = 10 * time.Millisecond
	longPause  = time.Second
)

// wal moves the write-ahead log into the database without stalling the writer: most of it beside the writer, on a
// connection of its own, and then the little that came meanwhile, together with the log's return to its start, between
// two transactions and with no reader in between. Readers that never rest therefore cannot make the log grow for ever.
type wal struct {
	conn    *conn
	readers *readers
	// threshold is the length at which the next checkpoint begins.
	threshold int64
	running   bool
	// written is about how many bytes have come since the log's length was last asked for.
	written  int
	finished chan error
}

func openWAL(path string, r *readers) (*wal, error) {
	c, err := openConn(path, sqlite.OpenReadWrite, "synchronous = FULL", "wal_autocheckpoint = 0")
	if err != nil {
		return nil, err
	}
	// A reader of another process is not waited for.
	c.SetBusyTimeout(0)
	return &wal{conn: c, readers: r, threshold: walFrames, finished: make(chan error, 1)}, nil
}

// tend is called by the writer between its transactions, with about how many bytes it has written since. It calls wake
// when it wants to be called again.
func (w *wal) tend(writer *conn, written int, wake func()) error {
	w.written += written
	if w.running {
		select {
		case err := <-w.finished:
			w.running = false
			if err == nil {
				err = w.restart()
			}
			if err != nil {
				// A disk that is full now is not asked again with every transaction.
				w.threshold += walFrames
			}
			return err
		default:
			return nil
		}
	}
	if w.written < walLook {
		return nil
	}
	w.written = 0
	frames, _, err := checkpoint(writer, "NOOP")
	if err != nil || frames < w.threshold {
		return err
	}
	w.running = true
	go func() {
		_, _, err := checkpoint(w.conn, "PASSIVE")
		w.finished <- err
		wake()
	}()
	return nil
}

// restart has the next transaction written at the start of the log. A reader that takes long is not waited for until the
// log has become much longer than it should be.
func (w *wal) restart() error {
	frames, _, err := checkpoint(w.conn, "NOOP")
	if err != nil {
		return err
	}
	patience := shortPause
	if frames > walFrames*3/2 {
		patience = longPause
	}
	resume, ok := w.readers.pause(patience)
	if !ok {
		w.threshold = frames + walFrames/4
		return nil
	}
	defer resume()
	frames, busy, err := checkpoint(w.conn, "RESTART")
	if err != nil {
		return err
	}
	w.threshold = walFrames
	if busy {
		// Another process reads.
		w.threshold += frames
	}
	return nil
}

// close waits for a checkpoint that runs.
func (w *wal) close() error {
	var err error
	if w.running {
		err = <-w.finished
	}
	return errors.Join(err, w.conn.Close())
}

// checkpoint returns the number of frames in the log, and whether somebody kept the checkpoint from being complete.
func checkpoint(c *conn, mode string) (frames int64, busy bool, err error) {
	s := c.prepare("PRAGMA wal_checkpoint(" + mode + ")")
	defer s.reset()
	if _, err := s.next(); err != nil {
		return 0, false, fmt.Errorf("checkpointing: %w", err)
	}
	busy = s.getBool()
	return s.getInt(), busy, nil
}
