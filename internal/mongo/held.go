package mongo

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/parley-llm/parley/internal/chat"
)

// run is what an end needs to know of a response that runs. While it does nobody else changes any of it, so that it need not be read again.
type run struct {
	id string // of its document
	k  string
	// conversation is its document's id, age that conversation's.
	conversation, age          string
	kind                       int
	fence                      int64
	first, inputEnd, outputSeq int64
	usage                      usageDoc
	cost                       *costDoc
	// gone: there is no such conversation any more.
	gone bool

	lastEvent int
	queued    bool
}

// held are the responses that this process makes.
type held struct {
	mu   sync.Mutex
	runs map[string]*run
}

func (h *held) put(r *run) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.runs[r.id] = r
}

func (h *held) drop(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.runs, id)
}

// forget drops a run that did not begin after all.
func (h *held) forget(r *run) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r != nil && h.runs[r.id] == r {
		delete(h.runs, r.id)
	}
}

func (h *held) has(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.runs[id] != nil
}

// get is a copy, or nil.
func (h *held) get(id string) *run {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.runs[id]; r != nil {
		copied := *r
		return &copied
	}
	return nil
}

// logged notes what the store knows of an event log.
func (h *held) logged(id string, lastEvent int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.runs[id]; r != nil {
		r.lastEvent, r.queued = lastEvent, false
	}
}

// ids are those of all of them.
func (h *held) ids() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.runs))
}

func newRun(d *responseDoc, conversation, age string) *run {
	return &run{
		id: d.ID, k: d.K, conversation: conversation, age: age, kind: d.Kind, fence: d.Fence, first: d.First, inputEnd: d.InputEnd, outputSeq: d.OutputSeq,
		lastEvent: d.LastEvent, queued: d.Status == string(chat.Queued),
	}
}

// run is a response that has not ended and is this process's to go on with: one that it began, or took over.
func (s *Store) run(ctx context.Context, owner, id string) (*run, error) {
	if r := s.held.get(key(owner, id)); r != nil {
		return r, nil
	}
	d, err := s.responseDoc(ctx, owner, id)
	if err != nil {
		return nil, err
	}
	if d.Beat == nil || d.Holder != s.holder {
		return nil, chat.ResponseEndedAlready()
	}
	r := newRun(d, key(owner, d.Conversation), "")
	c, err := s.conversationDoc(ctx, owner, d.Conversation)
	switch {
	case err == nil && c.K == d.K:
		r.age, r.usage, r.cost = c.Age, c.Usage, c.Cost
	case err == nil, isNotFound(err):
		r.gone = true
	default:
		return nil, err
	}
	return r, nil
}

// watch knows how long something has not given a sign of life, by this process's own clock and since it first looked.
type watch struct {
	elapsed func() time.Duration
	mu      sync.Mutex
	seen    map[string]sign
}

type sign struct {
	stamp string
	at    time.Duration
}

func newWatch(elapsed func() time.Duration) watch {
	return watch{elapsed: elapsed, seen: map[string]sign{}}
}

// next is how long it is until the first of what was seen has shown the same sign for a whole term; false where there is none that has not yet.
func (w *watch) next() (wait time.Duration, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.elapsed()
	for _, s := range w.seen {
		if left := s.at + LeaseTerm - now; left > 0 && (!ok || left < wait) {
			wait, ok = left, true
		}
	}
	return wait, ok
}

// lapsed takes the signs of life that are there now, and returns the names of what has shown the same one for a whole term.
func (w *watch) lapsed(now map[string]string) (dead []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.elapsed()
	for name := range w.seen {
		if _, there := now[name]; !there {
			delete(w.seen, name)
		}
	}
	for name, stamp := range now {
		switch before, known := w.seen[name]; {
		case !known || before.stamp != stamp:
			w.seen[name] = sign{stamp: stamp, at: at}
		case at-before.at >= LeaseTerm:
			dead = append(dead, name)
		}
	}
	slices.Sort(dead)
	return dead
}
