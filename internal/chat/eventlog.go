package chat

import (
	"context"
	"sync/atomic"
	"time"
)

// How far an event log may be behind.
const (
	logDelay  = 100 * time.Millisecond
	logBytes  = 16 << 10
	logEvents = 400
	// logRetry is how long a log that could not be written waits.
	logRetry = time.Second
	// maxUnlogged is how much of a run may wait to be logged, in memory, while the store is slow. Beyond that the run waits for the store and its
	// model for the run, whatever else their time limits say.
	maxUnlogged = 128 << 10
)

// Event numbers are reserved in the store ahead of their use: what a server that dies has told its readers is not in its log to the last event, so
// that the event which ends the response after all takes the first number that was not reserved. Begin reserves the first block.
const (
	reservedBlock = 1000
	// stepEvents is more than any one step of a reply makes.
	stepEvents = 16
)

// eventLog writes a run's events down beside the run, in batches, of which one is under way at a time. Its fields are guarded by the
// run's lock.
type eventLog struct {
	run     *Run
	writers *logWriters
	store   func(Batched) error

	pending []byte
	// since is when the first of what is pending came.
	since time.Time
	// late is a batch that was not written, as far as one could see, and lateTold what was published by then. It is written again as
	// it is: it may be there, and read, all the same.
	late     *Batched
	lateTold progress
	// told is what was published, kept what of it is in the store.
	told, kept progress
	// batch is the number of the next batch.
	batch    int
	reserved int
	// room is the number of events that may be published, for the run's goroutine to look at without the lock.
	room atomic.Int64
	// unlogged is by how many bytes kept is behind told, for the run's goroutine as well.
	unlogged atomic.Int64
	timer    *time.Timer
	writing  bool
	closed   bool
	// written is there while somebody waits for a batch to be written.
	written chan struct{}
}

// progress is a place among a run's events: their number, and about how much memory they took.
type progress struct{ events, bytes int }

// Batched is what Store.AppendEvents writes of an event log.
type Batched struct {
	// Number counts the log's batches from 0.
	Number int
	Steps  []byte
	// LastEvent is the Response's from now on.
	LastEvent int
}

// after is the number of the batch behind it. One without steps is none.
func (b *Batched) after() int {
	if len(b.Steps) == 0 {
		return b.Number
	}
	return b.Number + 1
}

func newEventLog(r *Run, w *logWriters, store func(Batched) error) *eventLog {
	l := &eventLog{run: r, writers: w, store: store, reserved: reservedBlock}
	l.room.Store(reservedBlock)
	return l
}

func (l *eventLog) append(events []Event) {
	l.told.events += len(events)
	if len(l.pending) == 0 {
		l.since = time.Now()
	}
	for _, ev := range events {
		l.told.bytes += size(ev)
		l.pending = appendStep(l.pending, ev)
	}
	l.unlogged.Store(int64(l.told.bytes - l.kept.bytes))
	switch {
	case l.writing || l.closed || l.late != nil:
	case len(l.pending) >= logBytes || l.told.events-l.kept.events >= logEvents:
		l.flush()
	case l.timer == nil:
		l.timer = time.AfterFunc(logDelay, l.due)
	}
}

// due is called by the timer.
func (l *eventLog) due() {
	l.run.mu.Lock()
	defer l.run.mu.Unlock()
	l.timer = nil
	if !l.writing && !l.closed {
		l.flush()
	}
}

// flush begins to write what is pending. The lock is held.
func (l *eventLog) flush() {
	l.stopTimer()
	b, told := Batched{Number: l.batch}, l.told
	if l.late != nil {
		b, told = *l.late, l.lateTold
	} else {
		b.Steps, l.pending = l.pending, nil
	}
	b.LastEvent = l.reserved
	for b.LastEvent < l.told.events+reservedBlock/2 {
		b.LastEvent += max(reservedBlock, b.LastEvent/2)
	}
	l.writing = true
	l.writers.do(func() { l.write(b, told) })
}

func (l *eventLog) write(b Batched, told progress) {
	err := l.store(b)
	r := l.run
	r.mu.Lock()
	defer r.mu.Unlock()
	l.writing = false
	if err != nil {
		l.late, l.lateTold = &b, told
	} else {
		l.late = nil
		l.batch, l.kept, l.reserved = b.after(), told, b.LastEvent
		l.room.Store(int64(l.reserved))
		l.unlogged.Store(int64(l.told.bytes - l.kept.bytes))
		r.release()
	}
	if l.written != nil {
		close(l.written)
		l.written = nil
	}
	switch {
	case l.closed:
	case err != nil:
		l.timer = time.AfterFunc(logRetry, l.due)
	case len(l.pending) == 0:
	case len(l.pending) >= logBytes || l.told.events-l.kept.events >= logEvents:
		l.flush()
	default:
		// What came meanwhile has waited as long as that took.
		l.timer = time.AfterFunc(max(logDelay-time.Since(l.since), logDelay/2), l.due)
	}
}

func (l *eventLog) stopTimer() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// mayTell reports whether one more step may be told: there are numbers for it, and not too much is still to be logged. It is for the run's own
// goroutine, which alone writes told.
func (l *eventLog) mayTell() bool {
	return int64(l.told.events+stepEvents) <= l.room.Load() && l.unlogged.Load() < maxUnlogged
}

// makeRoom waits until one more step may be told, which it almost always may at once. It is for the run's own goroutine.
func (r *Run) makeRoom(ctx context.Context) error {
	l := r.log
	for l != nil && !l.mayTell() {
		r.mu.Lock()
		if l.mayTell() {
			r.mu.Unlock()
			return nil
		}
		if !l.writing && l.timer == nil {
			l.flush()
		}
		if l.written == nil {
			l.written = make(chan struct{})
		}
		written := l.written
		r.mu.Unlock()
		select {
		case <-written:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// closeLog stops the log and returns, once no batch is under way, what is left of it to be written with the end, and how many events it was told.
func (r *Run) closeLog() (rest []Batched, told int) {
	l := r.log
	if l == nil {
		return nil, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l.closed = true
	l.stopTimer()
	for l.writing {
		if l.written == nil {
			l.written = make(chan struct{})
		}
		written := l.written
		r.mu.Unlock()
		<-written
		r.mu.Lock()
	}
	next := l.batch
	if l.late != nil {
		rest, next = append(rest, *l.late), l.late.after()
	}
	if len(l.pending) > 0 {
		rest = append(rest, Batched{Number: next, Steps: l.pending})
	}
	return rest, l.told.events
}
