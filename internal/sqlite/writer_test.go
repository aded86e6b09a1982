package sqlite

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// together has ops come into one batch, in this order, and returns how each ended.
func together(t *testing.T, s *Store, runs ...func(*tx) error) []error {
	t.Helper()
	taken, free := make(chan struct{}), make(chan struct{})
	ops := []*op{{run: func(*tx) error {
		close(taken)
		<-free
		return nil
	}}}
	for _, run := range runs {
		ops = append(ops, &op{run: run})
	}
	results := make([]error, len(ops))
	for i, o := range ops {
		o.done = make(chan error, 1)
		if err := s.writer.enqueue(o); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			// The writer is in a transaction now; what follows waits for the next one.
			<-taken
		}
	}
	close(free)
	for i, o := range ops {
		results[i] = <-o.done
	}
	if results[0] != nil {
		t.Fatal(results[0])
	}
	return results[1:]
}

func sealing(n int) func(*tx) error {
	rec := record(n)
	return func(t *tx) error { return t.sealOne(&rec) }
}

func has(t *testing.T, s *Store, n int) bool {
	t.Helper()
	_, err := s.Record(t.Context(), "default", record(n).ID)
	if err != nil && !fault.Is(err, chat.CodeRecordNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func verifyClosed(t *testing.T, s *Store) {
	t.Helper()
	closeStore(t, s)
	if report := verify(t, s.options.Path); !report.OK {
		t.Errorf("the log does not verify: %+v", report.Findings)
	}
}

func TestAnOpThatFailsAfterAWriteTakesNoOtherWithIt(t *testing.T) {
	s := openNew(t)
	refused := fault.New(fault.Conflict, "refused", "No.")
	runs := 0
	results := together(t, s,
		sealing(1),
		func(t *tx) error {
			runs++
			if err := sealing(2)(t); err != nil {
				return err
			}
			return refused
		},
		sealing(3),
		func(*tx) error { return chat.ErrStale },
		func(t *tx) error { return sealing(1)(t) },
		sealing(4),
		func(t *tx) error {
			if err := sealing(5)(t); err != nil {
				return err
			}
			return errors.New("a row cannot be read")
		},
	)
	for i, want := range []string{"", "refused", "", "", chat.CodeDuplicateID, "", chat.CodeStoreUnavailable} {
		if want != "" && !fault.Is(results[i], want) || want == "" && i != 3 && results[i] != nil {
			t.Errorf("op %d: got %v, want %q", i, results[i], want)
		}
	}
	if !errors.Is(results[3], chat.ErrStale) {
		t.Errorf("got %v", results[3])
	}
	if runs != 1 {
		t.Errorf("the op that failed ran %d times", runs)
	}
	for n, want := range map[int]bool{1: true, 2: false, 3: true, 4: true, 5: false} {
		if has(t, s, n) != want {
			t.Errorf("record %d: got %v", n, !want)
		}
	}
	verifyClosed(t, s)
}

func TestAnOpWithASavepointIsTakenBackAlone(t *testing.T) {
	s := openNew(t)
	runs := 0
	results := together(t, s,
		func(t *tx) error {
			runs++
			return sealing(1)(t)
		},
		func(t *tx) error {
			return t.atomically(func() error {
				if err := sealing(2)(t); err != nil {
					return err
				}
				return fault.New(fault.Conflict, "refused", "No.")
			})
		},
		sealing(3),
	)
	if results[0] != nil || !fault.Is(results[1], "refused") || results[2] != nil {
		t.Errorf("got %v", results)
	}
	if runs != 1 {
		t.Errorf("the transaction was run %d times", runs)
	}
	if !has(t, s, 1) || has(t, s, 2) || !has(t, s, 3) {
		t.Error("not exactly the first and the third are there")
	}
	verifyClosed(t, s)
}

func TestWhatIsGivenUpBeforeItsTurnIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openNew(t)
		began, finish := make(chan struct{}), make(chan struct{})
		held, given := make(chan error, 1), make(chan error, 1)
		go func() {
			held <- s.writer.submit(context.Background(), 0, func(*tx) error {
				close(began)
				<-finish
				return nil
			})
		}()
		<-began
		gone, cancel := context.WithCancel(t.Context())
		go func() { given <- s.Append(gone, record(1)) }()
		synctest.Wait()
		cancel()
		if err := <-given; fault.Of(err).Kind != fault.Canceled || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(finish)
		if err := <-held; err != nil {
			t.Error(err)
		}
		appendRecords(t, s, 2, 2)
		if has(t, s, 1) || !has(t, s, 2) {
			t.Error("not exactly the second is there")
		}
	})
}

func TestWhatHasBegunIsDecidedWhateverItsCallerDoes(t *testing.T) {
	s := openNew(t)
	gone, cancel := context.WithCancel(t.Context())
	began, finish := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		done <- s.writer.submit(gone, 0, func(tx *tx) error {
			close(began)
			<-finish
			return sealing(1)(tx)
		})
	}()
	<-began
	cancel()
	close(finish)
	if err := <-done; err != nil {
		t.Errorf("got %v", err)
	}
	if !has(t, s, 1) {
		t.Error("it is not there")
	}
}

func TestABatchIsBounded(t *testing.T) {
	w := &writer{wake: make(chan struct{}, 1)}
	for range maxBatch + 10 {
		if err := w.enqueue(&op{}); err != nil {
			t.Fatal(err)
		}
	}
	batch, _ := w.take(nil)
	if len(batch) != maxBatch {
		t.Errorf("took %d", len(batch))
	}
	if batch, _ = w.take(nil); len(batch) != 10 {
		t.Errorf("took %d", len(batch))
	}
	for range 5 {
		if err := w.enqueue(&op{bytes: maxBatchBytes/2 + 1}); err != nil {
			t.Fatal(err)
		}
	}
	if batch, _ = w.take(nil); len(batch) != 2 {
		t.Errorf("took %d large ones", len(batch))
	}
}

// TestAFullDatabaseFailsAndRecovers fills it up by its own bound, which SQLite reports as it does a full disk.
func TestAFullDatabaseFailsAndRecovers(t *testing.T) {
	s := openNew(t)
	bound := func(sql string) {
		t.Helper()
		// A pragma of this kind acts on the connection, inside a transaction too.
		if err := s.writer.submit(t.Context(), 0, func(tx *tx) error { return tx.exec(tx.prepare(sql)) }); err != nil {
			t.Fatal(err)
		}
	}
	appendRecords(t, s, 1, 1)
	bound("PRAGMA max_page_count = 1")
	big := record(2)
	big.Payloads = []audit.Payload{audit.NewPayload(audit.PartPrompt, strings.Repeat("x", 100<<10))}
	results := together(t, s, sealing(3), func(t *tx) error { return t.sealOne(&big) }, sealing(4))
	for i, err := range results {
		if f := fault.Of(err); f.Kind != fault.Unavailable || f.Code != chat.CodeStoreUnavailable || f.Message != "The server's disk is full." {
			t.Errorf("op %d: got %v", i, err)
		}
	}
	if _, err := s.Record(t.Context(), "default", record(1).ID); err != nil {
		t.Errorf("reading while full: %v", err)
	}
	bound("PRAGMA max_page_count = 1000000")
	appendRecords(t, s, 3, 4)
	if has(t, s, 2) {
		t.Error("a record that was refused is there")
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	verifyClosed(t, s)
}

func TestALongReadIsNotWaitedForForLong(t *testing.T) {
	s := openNew(t)
	err := s.readers.read(t.Context(), func(*conn) error {
		if _, ok := s.readers.pause(time.Millisecond); ok {
			t.Error("it went ahead while somebody read")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	resume, ok := s.readers.pause(time.Minute)
	if !ok {
		t.Fatal("nobody read, and it gave up")
	}
	began, read := make(chan struct{}), make(chan error)
	go func() {
		close(began)
		read <- s.Ready(context.Background())
	}()
	<-began
	select {
	case err := <-read:
		t.Fatalf("somebody read in a pause: %v", err)
	default:
	}
	resume()
	if err := <-read; err != nil {
		t.Error(err)
	}
}

func TestTheLogStaysShortUnderReadersThatNeverRest(t *testing.T) {
	s := openNew(t)
	c := chat.Conversation{ID: "conv_1", Owner: "default", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	if err := s.CreateConversation(t.Context(), "default", nil, &c, nil); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var readers, writers sync.WaitGroup
	for range 2 * s.options.Readers {
		readers.Go(func() {
			for !stop.Load() {
				if _, err := s.Items(t.Context(), "default", "conv_1", chat.Page{Limit: 2}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	const clients, each, size = 8, 64, 256 << 10
	text := strings.Repeat("x", size)
	for i := range clients {
		writers.Go(func() {
			for n := range each {
				rec := record(i*each + n)
				rec.Payloads = []audit.Payload{audit.NewPayload(audit.PartPrompt, text)}
				if err := s.Append(t.Context(), rec); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()
	info, err := os.Stat(s.options.Path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if written := int64(clients * each * size); info.Size() > 64<<20 || written < 128<<20 {
		t.Errorf("the log has %d bytes after %d were written", info.Size(), written)
	}
}
