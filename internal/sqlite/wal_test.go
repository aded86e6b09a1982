package sqlite

import (
	"context"
	"path/filepath"
	"testing"
)

// openLog opens a log by itself, with the connection that writes it. grow makes it longer by at least so many frames.
func openLog(t *testing.T) (w *wal, writer *conn, grow func(frames int64)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "parley.db")
	lock, err := prepareFiles(path, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() })
	writer, err = openWriter(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := openReaders(path, 2)
	if err != nil {
		t.Fatal(err)
	}
	if w, err = openWAL(path, r); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range []interface{ close() error }{w, r} {
			if err := c.close(); err != nil {
				t.Error(err)
			}
		}
		if err := writer.Close(); err != nil {
			t.Error(err)
		}
	})
	name := "x"
	return w, writer, func(frames int64) {
		t.Helper()
		name += "x"
		if err := writer.exec(writer.prepare(setMeta).text(name).blob(make([]byte, frames*8192))); err != nil {
			t.Fatal(err)
		}
	}
}

func logged(t *testing.T, c *conn) logState {
	t.Helper()
	state, err := checkpoint(c, "NOOP")
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestWhatCameWhileTheLogWasCopiedIsCopiedBesideTheWriterToo(t *testing.T) {
	for _, tt := range []struct {
		name string
		// meanwhile are the frames that come during each round.
		meanwhile []int64
		rounds    int
		// reader: somebody reads what the log held when the copying began, all the time.
		reader bool
	}{
		{name: "a writer that rests", rounds: 1},
		{name: "a reader that keeps the log from being copied", meanwhile: []int64{1000, 1000}, rounds: 1, reader: true},
		{name: "a writer that slows down", meanwhile: []int64{2000, 4 * fewFrames, fewFrames / 4}, rounds: 3},
		{name: "a writer that never does", meanwhile: []int64{1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000}, rounds: maxRounds},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, writer, grow := openLog(t)
			woken := make(chan struct{}, 1)
			tend := func(written int) {
				t.Helper()
				if err := w.tend(writer, written, func() { woken <- struct{}{} }); err != nil {
					t.Fatal(err)
				}
			}
			grow(walFrames / 2)
			if tt.reader {
				c := <-w.readers.free
				for _, sql := range []string{"BEGIN", "SELECT count(*) FROM meta"} {
					if _, err := c.prepare(sql).next(); err != nil {
						t.Fatal(err)
					}
				}
				t.Cleanup(func() { w.readers.free <- c })
			}
			grow(walFrames / 2)
			tend(walLook)
			for round := 0; w.running; round++ {
				select {
				case <-woken:
				case <-t.Context().Done():
					t.Fatal(context.Cause(t.Context()))
				}
				if round < len(tt.meanwhile) {
					grow(tt.meanwhile[round])
				}
				tend(0)
			}
			if w.rounds != tt.rounds {
				t.Errorf("it was copied in %d rounds, want %d", w.rounds, tt.rounds)
			}
			if tt.reader {
				return
			}
			if state := logged(t, writer); state.copied != state.frames {
				t.Errorf("of %d frames %d are copied", state.frames, state.copied)
			}
			// The next change is written at the start of the log.
			if err := writer.exec(writer.prepare(setMeta).text("last").blob([]byte{1})); err != nil {
				t.Fatal(err)
			}
			if state := logged(t, writer); state.frames > fewFrames {
				t.Errorf("the log goes on at %d frames", state.frames)
			}
		})
	}
}
