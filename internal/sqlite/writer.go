package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

// Bounds of one transaction, so that it stalls nobody for long.
const (
	maxBatch      = 512
	maxBatchBytes = 16 << 20
)

// The states of an op.
const (
	opQueued uint32 = iota
	opTaken
	opAbandoned
)

// op is one caller's change, waiting for the writer.
type op struct {
	// run makes the change. It may be run again if the transaction that it was in is rolled back because of another op.
	run   func(*tx) error
	bytes int
	// vital: it is also written when the disk is full, from the reserve.
	vital bool
	state atomic.Uint32
	err   error
	// decided: err is the answer and run is not called again.
	decided bool
	done    chan error
}

// tx is the writer's connection inside a transaction. An op reads and decides first and writes after; what fails after
// a write takes the whole transaction back, unless it stands inside atomically.
type tx struct {
	*conn
	chain *chain
	wrote bool
	// touched are conversations in which the transaction writes something that is to be indexed.
	touched []int64
}

// write runs one statement that changes something.
func (t *tx) write(s *stmt) error {
	if err := t.exec(s); err != nil {
		return err
	}
	t.wrote = true
	return nil
}

// atomically runs the part of an op that a caller's own data can make fail after its first write.
func (t *tx) atomically(fn func() error) error {
	if err := t.exec(t.prepare("SAVEPOINT op")); err != nil {
		return err
	}
	head, wrote := t.chain.Head(), t.wrote
	err := fn()
	if err != nil && t.AutocommitEnabled() {
		return err
	}
	if err != nil {
		if undo := t.exec(t.prepare("ROLLBACK TO op")); undo != nil {
			return undo
		}
		t.chain.Restore(head)
		t.wrote = wrote
	}
	if released := t.exec(t.prepare("RELEASE op")); released != nil {
		return released
	}
	return err
}

// writer is the one goroutine that writes. It takes whatever ops wait, runs them in one transaction, commits it, and
// only then answers them: many callers share one fsync, and none waits for a timer.
type writer struct {
	tx  tx
	log *slog.Logger
	// fatal is told, once, of an error after which nothing may be written any more.
	fatal func(error)
	wal   *wal
	// changed is told of what was touched, once it is committed.
	changed func(conversations []int64)
	space   *space

	wake chan struct{}
	done chan struct{}

	mu     sync.Mutex
	queue  []*op
	closed bool
	poison error
}

func newWriter(c *conn, ch *chain, w *wal, sp *space, log *slog.Logger, fatal func(error)) *writer {
	return &writer{
		tx: tx{conn: c, chain: ch}, wal: w, space: sp, log: log, fatal: fatal,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// submit has run executed and waits until it is durable or refused. If ctx ends before the writer has taken it, it is
// not executed; after that its outcome is waited for, because it is decided whatever the caller does.
// bytes is about how much it writes.
func (w *writer) submit(ctx context.Context, bytes int, run func(*tx) error) error {
	if err := w.space.writable(); err != nil {
		return err
	}
	return w.await(ctx, &op{run: run, bytes: bytes, done: make(chan error, 1)})
}

// submitVital is submit for what must be written even when the disk is full: how something that has begun ends.
func (w *writer) submitVital(ctx context.Context, bytes int, run func(*tx) error) error {
	return w.await(ctx, &op{run: run, bytes: bytes, vital: true, done: make(chan error, 1)})
}

func (w *writer) await(ctx context.Context, o *op) error {
	if ctx.Err() != nil {
		return chat.GivenUp(ctx)
	}
	if err := w.enqueue(o); err != nil {
		return err
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		if o.state.CompareAndSwap(opQueued, opAbandoned) {
			return chat.GivenUp(ctx)
		}
		return <-o.done
	}
}

func (w *writer) enqueue(o *op) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.poison != nil:
		return unavailable(w.poison)
	case w.closed:
		return unavailable(errClosed)
	}
	w.queue = append(w.queue, o)
	w.signal()
	return nil
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// submitLast executes run behind everything that waits, and stops the writer.
func (w *writer) submitLast(run func(*tx) error) error {
	last := &op{run: run, vital: true, done: make(chan error, 1)}
	err := w.enqueue(last)
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.signal()
	<-w.done
	if err != nil {
		return err
	}
	return <-last.done
}

// err is why the writer does not write any more, or nil.
func (w *writer) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.poison
}

// loop is the writer's goroutine.
func (w *writer) loop() {
	defer close(w.done)
	var batch []*op
	for {
		var closed bool
		batch, closed = w.take(batch[:0])
		if len(batch) > 0 {
			w.commit(batch)
			clear(batch)
			// The callers that were just answered are ready to run: what they write next shares the next commit.
			runtime.Gosched()
			continue
		}
		if closed {
			return
		}
		<-w.wake
		w.tend(0)
	}
}

// take moves what waits into a batch, within its bounds.
func (w *writer) take(batch []*op) ([]*op, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, bytes := 0, 0
	for ; n < len(w.queue) && len(batch) < maxBatch && bytes < maxBatchBytes; n++ {
		o := w.queue[n]
		if o.state.CompareAndSwap(opQueued, opTaken) {
			batch = append(batch, o)
			bytes += o.bytes
		}
	}
	rest := copy(w.queue, w.queue[n:])
	clear(w.queue[rest:])
	w.queue = w.queue[:rest]
	return batch, w.closed && rest == 0
}

// commit decides all ops of a batch and answers them.
func (w *writer) commit(batch []*op) {
	err := w.err()
	if err == nil {
		err = w.decide(batch)
	}
	if err != nil && isDiskFull(err) && w.spare(batch, err) {
		err = w.decide(batch)
	}
	if err != nil {
		w.failed(err)
	} else if w.changed != nil {
		w.changed(w.tx.touched)
	}
	written := 0
	for _, o := range batch {
		if err != nil {
			o.err = unavailable(err)
		}
		written += o.bytes + bytesOfChange
		o.done <- o.err
	}
	w.tend(written)
}

// decide runs a batch until each of its ops is decided. An error fails them all.
func (w *writer) decide(batch []*op) (err error) {
	for again := true; again; {
		again, err = w.attempt(batch)
	}
	return err
}

// spare gives the reserve up for the vital ops of a batch and refuses the others; false if there is none to save.
func (w *writer) spare(batch []*op, full error) bool {
	if !slices.ContainsFunc(batch, func(o *op) bool { return o.vital }) {
		return false
	}
	w.space.giveUp()
	for _, o := range batch {
		if !o.vital && !o.decided {
			o.decided, o.err = true, unavailable(full)
		}
	}
	return true
}

// attempt runs a batch in one transaction. An error fails all ops; again says that one op failed after it had written,
// is decided now, and the others must be run once more without it.
func (w *writer) attempt(batch []*op) (again bool, err error) {
	t := &w.tx
	head := t.chain.Head()
	t.touched = t.touched[:0]
	if err := t.exec(t.prepare("BEGIN IMMEDIATE")); err != nil {
		return false, fmt.Errorf("beginning a transaction: %w", err)
	}
	for _, o := range batch {
		if o.decided {
			continue
		}
		t.wrote = false
		o.err = o.run(t)
		if o.err == nil {
			continue
		}
		if concernsAll(o.err) {
			return false, errors.Join(o.err, w.rollback(head))
		}
		o.err = operationError(o.err)
		if t.wrote || t.AutocommitEnabled() {
			o.decided = true
			err := w.rollback(head)
			return err == nil, err
		}
	}
	if err := t.exec(t.prepare("COMMIT")); err != nil {
		return false, errors.Join(fmt.Errorf("committing: %w", err), w.rollback(head))
	}
	return false, nil
}

// rollback takes the transaction back, and the chain's head with it.
func (w *writer) rollback(head audit.Head) error {
	w.tx.chain.Restore(head)
	if w.tx.AutocommitEnabled() {
		// SQLite has rolled back by itself.
		return nil
	}
	if err := w.tx.exec(w.tx.prepare("ROLLBACK")); err != nil {
		return fmt.Errorf("%w: %w", errRollback, err)
	}
	return nil
}

// failed looks at an error of the database: after some of them nothing may be written any more.
func (w *writer) failed(err error) {
	w.mu.Lock()
	first := w.poison == nil && poisons(err)
	if first {
		w.poison = err
	}
	w.mu.Unlock()
	switch {
	case first:
		w.log.Error("the database cannot be written safely any more", "error", err)
		// On its own goroutine: it may well close the store, which waits for this one.
		go w.fatal(err)
	case !poisons(err):
		w.log.Error("a transaction failed", "error", err)
	}
}

// tend keeps the write-ahead log short.
func (w *writer) tend(written int) {
	if w.err() != nil {
		return
	}
	if err := w.wal.tend(w.tx.conn, written, w.signal); err != nil {
		w.failed(err)
	}
}
