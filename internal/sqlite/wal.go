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

// The writer waits while the last frames are copied and the log returns to its start. So that they are few, what came while the log was
// copied is copied beside the writer as well, and what came meanwhile, a few times: a writer that is faster than that waits all the same.
// Where a reader keeps frames from being copied, another round does not help.
const (
	fewFrames = 128
	maxRounds = 6
)

// How long the writer and new readers wait for those who read.
const (
	shortPause = 10 * time.Millisecond
	longPause  = time.Second
)

// wal moves the write-ahead log into the database without stalling the writer: most of it beside the writer, on a
// connection of its own and in rounds, and then the little that came meanwhile, together with the log's return to its start, between
// two transactions and with no reader in between. Readers that never rest therefore cannot make the log grow for ever.
type wal struct {
	conn    *conn
	readers *readers
	// threshold is the length at which the next checkpoint begins.
	threshold int64
	running   bool
	// rounds counts how often the log was copied since then.
	rounds int
	// written is about how many bytes have come since the log's length was last asked for.
	written  int
	finished chan round
}

// round is how the copying of the log beside the writer has ended.
type round struct {
	logState
	err error
}

func openWAL(path string, r *readers) (*wal, error) {
	c, err := openConn(path, sqlite.OpenReadWrite, "synchronous = FULL", "wal_autocheckpoint = 0")
	if err != nil {
		return nil, err
	}
	// A reader of another process is not waited for.
	c.SetBusyTimeout(0)
	return &wal{conn: c, readers: r, threshold: walFrames, finished: make(chan round, 1)}, nil
}

// tend is called by the writer between its transactions, with about how many bytes it has written since. It calls wake
// when it wants to be called again.
func (w *wal) tend(writer *conn, written int, wake func()) error {
	w.written += written
	if w.running {
		select {
		case last := <-w.finished:
			w.running = false
			err := last.err
			if err == nil {
				err = w.copied(last.logState, writer, wake)
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
	state, err := checkpoint(writer, "NOOP")
	if err != nil || state.frames < w.threshold {
		return err
	}
	w.rounds = 0
	w.copy(wake)
	return nil
}

// copy copies the log beside the writer.
func (w *wal) copy(wake func()) {
	w.running = true
	w.rounds++
	go func() {
		state, err := checkpoint(w.conn, "PASSIVE")
		w.finished <- round{state, err}
		wake()
	}()
}

// copied goes on where the log was copied: with what came meanwhile, or, where that is little or a reader is in the way, with the log's
// return to its start.
func (w *wal) copied(last logState, writer *conn, wake func()) error {
	state, err := checkpoint(writer, "NOOP")
	if err != nil {
		return err
	}
	if state.frames-state.copied > fewFrames && last.copied == last.frames && w.rounds < maxRounds {
		w.copy(wake)
		return nil
	}
	return w.restart(state.frames)
}

// restart has the next transaction written at the start of the log. A reader that takes long is not waited for until the
// log, which has so many frames, has become much longer than it should be.
func (w *wal) restart(frames int64) error {
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
	state, err := checkpoint(w.conn, "RESTART")
	if err != nil {
		return err
	}
	w.threshold = walFrames
	if state.busy {
		// Another process reads.
		w.threshold += state.frames
	}
	return nil
}

// close waits for a checkpoint that runs.
func (w *wal) close() error {
	var err error
	if w.running {
		err = (<-w.finished).err
	}
	return errors.Join(err, w.conn.Close())
}

// logState is how many frames the log has and how many of them are in the database, and whether somebody kept a checkpoint from
// being complete.
type logState struct {
	frames, copied int64
	busy           bool
}

func checkpoint(c *conn, mode string) (state logState, err error) {
	s := c.prepare("PRAGMA wal_checkpoint(" + mode + ")")
	defer s.reset()
	if _, err := s.next(); err != nil {
		return logState{}, fmt.Errorf("checkpointing: %w", err)
	}
	state.busy = s.getBool()
	state.frames, state.copied = s.getInt(), s.getInt()
	return state, nil
}
