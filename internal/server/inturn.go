package server

import (
	"errors"
	"hash/maphash"
	"net/http"
	"time"

	"github.com/parley-llm/parley/internal/chat"
)

const (
	// turnTime is how long a client may take for what lies in memory for it, once others wait for their turn, and turnShare how many times as long as
	// that took to make: where there is little to compute with, it is not to be made again for each little that a client takes.
	turnTime  = 250 * time.Millisecond
	turnShare = 4
	// turnPiece is how much is written at a time meanwhile.
	turnPiece = 32 << 10
	// turnPace is how long a client that others wait for may take nothing of what cannot be made again. The kernel lets a writer go on when a third of what
	// it holds has been taken, which may be a mebibyte.
	turnPace = 5 * time.Second
)

var errChanged = errors.New("an event is another one by now than the one whose beginning was sent")

// sumSeed is for the sums of what was sent.
var sumSeed = maphash.MakeSeed()

// half is what a client has of an event whose rest is still to come: so many bytes, and their sum.
type half struct {
	bytes int
	sum   uint64
}

// begins reports whether an event, as it goes on the wire, is the one whose beginning was sent: it may have been made of what is stored, which may
// have changed.
func (h *half) begins(event []byte) bool {
	return h.bytes == 0 || h.bytes <= len(event) && maphash.Bytes(sumSeed, event[:h.bytes]) == h.sum
}

// turn writes to a client what lies in memory for it alone, until others want that memory and the client has had its time. A piece is written from a
// copy, beside the one who waits for it, so that the rest need not lie in memory for as long as a client takes nothing.
type turn struct {
	x *exchange
	// piece is being written until written says so.
	piece   []byte
	written chan error
	// left is of the time that the client has.
	left   time.Duration
	wanted func() <-chan struct{}
}

// newTurn is for what took so long to make. wanted is closed when others wait, and another one when they do again.
func newTurn(x *exchange, made time.Duration, wanted func() <-chan struct{}) *turn {
	return &turn{x: x, written: make(chan error, 1), left: max(turnTime, turnShare*made), wanted: wanted}
}

// write writes p. Where the turn is over meanwhile, n bytes of it are written as soon as written says so, and nothing else may be before.
func (t *turn) write(p []byte) (n int, over bool, err error) {
	for n < len(p) {
		t.piece = append(t.piece[:0], p[n:min(len(p), n+turnPiece)]...)
		n += len(t.piece)
		over, err = t.do(func() error {
			_, err := t.x.Write(t.piece)
			return err
		})
		if over || err != nil {
			return n, over, err
		}
	}
	return n, false, nil
}

// do does something for the client, and returns when that is done or the turn is over.
func (t *turn) do(what func() error) (over bool, err error) {
	began := time.Now()
	go func() { t.written <- what() }()
	over, err = t.await(t.left)
	t.left -= time.Since(began)
	return over, err
}

// await returns when what is done for the client is done, or when that has taken too long and others wait.
func (t *turn) await(limit time.Duration) (over bool, err error) {
	ends := time.NewTimer(limit)
	defer ends.Stop()
	var wanted <-chan struct{}
	for {
		select {
		case err = <-t.written:
			return false, err
		case <-ends.C:
			wanted = t.wanted()
		case <-wanted:
			return true, nil
		}
	}
}

// sendInTurn writes events of a large answer, which took so long to make. What a client that takes its time has not taken when others wait is returned,
// and comes again when it is its turn again; sent is what it has of the first event by then. So readers who are slow share the memory, and those who
// take nothing have none of it.
func (s *server) sendInTurn(x *exchange, sub *chat.Subscription, batch *chat.Batch, sent *half, made time.Duration) error {
	t := newTurn(x, made, sub.Wanted)
	next, over, err := s.giveEvents(t, batch, sent)
	switch {
	case err != nil || over || batch.Ended:
	case len(batch.Events) == 0:
		return x.flush()
	default:
		over, err = t.do(x.flush)
	}
	if !over {
		return err
	}
	*batch = chat.Batch{}
	sub.Return(next)
	if err = <-t.written; err != nil {
		return err
	}
	return x.flush()
}

// giveEvents writes events until the turn is over; next is then the one to go on with.
func (s *server) giveEvents(t *turn, batch *chat.Batch, sent *half) (next int, over bool, err error) {
	out := s.writers.Get().(*eventWriter)
	defer out.giveBack(&s.writers)
	next = batch.First
	for _, ev := range batch.Events {
		out.frame(next, ev)
		if !sent.begins(out.batch) {
			return next, false, errChanged
		}
		n, over, err := t.write(out.batch[sent.bytes:])
		if sent.bytes += n; sent.bytes == len(out.batch) {
			*sent = half{}
			next++
		} else if over {
			sent.sum = maphash.Bytes(sumSeed, out.batch[:sent.bytes])
		}
		if out.batch = out.batch[:0]; over || err != nil {
			return next, over, err
		}
	}
	return next, false, nil
}

// jsonInTurn answers with the JSON of a large answer. As it cannot be made again, which might be another by then, a client that takes nothing
// of it for a while when others wait is cut off.
func (x *exchange) jsonInTurn(body []byte, wanted func() <-chan struct{}) bool {
	x.Header()["Content-Type"] = []string{jsonType}
	x.WriteHeader(http.StatusOK)
	t := newTurn(x, 0, wanted)
	for body = append(body, '\n'); len(body) > 0; {
		n, over, err := t.write(body)
		if over {
			err = t.hurry()
		}
		if err != nil {
			return false
		}
		body = body[n:]
	}
	return true
}

// hurry waits for what is being written, but not for long while others wait.
func (t *turn) hurry() error {
	over, err := t.await(turnPace)
	if over {
		t.x.breakOff()
		return <-t.written
	}
	return err
}
