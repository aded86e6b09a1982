package chat

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// What of large answers is in memory at a time is bounded, so that many of them at once take their turns instead of all the memory. Other answers
// know nothing of this.
const (
	// largeAnswer is how many bytes of text make an answer a large one.
	largeAnswer = 64 << 10
	// leastRoom is how much of large answers may be in memory at a time for each purpose, where Service.Room says nothing.
	leastRoom = 4 << 20
)

func (s *Service) rooms() *rooms {
	s.opening.Do(func() { s.opened = newRooms(s.Room) })
	return &s.opened
}

// room is so many bytes that large answers share. Those that wait get their seats in the order in which they came; one that is larger than the
// room has it for itself.
type room struct {
	size int

	mu      sync.Mutex
	used    int
	waiting []*seat
	// over is the seat that has grown beyond what there was.
	over *seat
	// freed closes when a seat is left.
	freed chan struct{}
	// wanted is closed while somebody waits for a seat.
	wanted  chan struct{}
	crowded bool
}

func newRoom(size int) *room {
	return &room{size: size, freed: make(chan struct{}), wanted: make(chan struct{})}
}

// rooms are one for each purpose, so that none waits for another.
type rooms struct {
	// arriving is for answers that come in one piece, until their end is stored; ending for the ends of streams; reading for what is read of
	// them afterwards.
	arriving, ending, reading *room
}

func newRooms(size int) rooms {
	size = max(size, leastRoom)
	return rooms{newRoom(size), newRoom(size), newRoom(size)}
}

// seat is some of a room, from when it is granted until leave. A nil seat is none, and left already.
type seat struct {
	room    *room
	bytes   int
	granted chan struct{}
	// ready, which may be nil, is called when it is granted, unless that is at once.
	ready func()
	left  bool
}

// large reads a large answer from the store, in its turn. It counts as read until ctx ends.
func (s *Service) large(ctx context.Context, owner, id string, size int) (Response, error) {
	seat := s.rooms().reading.ask(size, nil)
	if err := seat.wait(ctx); err != nil {
		return Response{}, err
	}
	context.AfterFunc(ctx, seat.leave)
	r, err := s.Store.Response(ctx, owner, id)
	r.seat = seat
	return r, err
}

// hold has a run take its turn for an answer that comes in one piece and becomes so large.
func (s *Service) hold(ctx context.Context, run *Run, bytes int) error {
	if run.seat != nil {
		return run.seat.grow(ctx, bytes)
	}
	seat := s.rooms().arriving.ask(bytes, nil)
	if err := seat.wait(ctx); err != nil {
		return err
	}
	run.seat = seat
	return nil
}

// beginningOf is the beginning of a long text, which it does not hold.
func beginningOf(text string) string {
	return strings.Clone(strings.ToValidUTF8(text[:min(len(text), largeAnswer)], ""))
}

// sizeOf is how much text items hold.
func sizeOf(items []Item) (n int) {
	for i := range items {
		n += len(items[i].Content) + len(items[i].Data)
	}
	return n
}

// ask asks for a seat.
func (r *room) ask(bytes int, ready func()) *seat {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &seat{room: r, bytes: bytes, granted: make(chan struct{})}
	r.waiting = append(r.waiting, p)
	r.grant()
	p.ready = ready
	return p
}

// grant lets in who comes next, and tells those who are in whether somebody waits. The lock is held.
func (r *room) grant() {
	for len(r.waiting) > 0 && (r.used == 0 || r.used+r.waiting[0].bytes <= r.size) {
		p := r.waiting[0]
		r.waiting = slices.Delete(r.waiting, 0, 1)
		r.used += p.bytes
		close(p.granted)
		if p.ready != nil {
			p.ready()
		}
	}
	switch crowded := len(r.waiting) > 0; {
	case crowded == r.crowded:
	case crowded:
		r.crowded = true
		close(r.wanted)
	default:
		r.crowded = false
		r.wanted = make(chan struct{})
	}
}

// has reports whether the seat is granted.
func (p *seat) has() bool {
	select {
	case <-p.granted:
		return true
	default:
		return false
	}
}

// isWanted is closed when others wait for theirs; it never is for a seat that is none.
func (p *seat) isWanted() <-chan struct{} {
	if p == nil {
		return nil
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return p.room.wanted
}

// wait returns when the seat is granted or ctx ends; then it is left.
func (p *seat) wait(ctx context.Context) error {
	select {
	case <-p.granted:
		return nil
	case <-ctx.Done():
		p.leave()
		return context.Cause(ctx)
	}
}

// grow makes a granted seat one of so many bytes, or waits until it can. Where there is no room one seat at a time may have more than there is, so
// that seats that grow never wait for each other for ever.
func (p *seat) grow(ctx context.Context, bytes int) error {
	r := p.room
	for {
		r.mu.Lock()
		more := bytes - p.bytes
		fits := r.used+more <= r.size
		if fits || r.over == nil || r.over == p {
			if !fits {
				r.over = p
			}
			p.bytes, r.used = bytes, r.used+more
			r.mu.Unlock()
			return nil
		}
		freed := r.freed
		r.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// leave gives the seat back, or the wish for one up.
func (p *seat) leave() {
	if p == nil {
		return
	}
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.left {
		return
	}
	p.left = true
	if i := slices.Index(r.waiting, p); i >= 0 {
		r.waiting = slices.Delete(r.waiting, i, i+1)
	} else {
		r.used -= p.bytes
	}
	if r.over == p {
		r.over = nil
	}
	close(r.freed)
	r.freed = make(chan struct{})
	r.grant()
}
