package chat

import "sync"

// maxLogWriters is how many batches are written at a time: enough for a store to write many at once, and few enough that a thousand streams
// whose batches are due together do not take a thousand stacks.
const maxLogWriters = 64

// logWriters writes the batches of all event logs.
type logWriters struct {
	mu      sync.Mutex
	waiting []func()
	running int
}

// do has a batch written, soon.
func (w *logWriters) do(write func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running == maxLogWriters {
		w.waiting = append(w.waiting, write)
		return
	}
	w.running++
	go w.loop(write)
}

func (w *logWriters) loop(write func()) {
	for ; write != nil; write = w.next() {
		write()
	}
}

func (w *logWriters) next() func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.running, w.waiting = w.running-1, nil
		return nil
	}
	first := w.waiting[0]
	w.waiting[0], w.waiting = nil, w.waiting[1:]
	return first
}
