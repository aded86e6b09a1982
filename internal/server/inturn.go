package server

import (
	"net/http"
	"time"

	"github.com/parley-llm/parley/internal/chat"
)

const (
	// turnTime is how long a client may take for what lies in memory for it, once others wait for their turn.
	turnTime = 250 * time.Millisecond
	// turnPiece is how much is written at a time meanwhile.
	turnPiece = 32 << 10
	// turnPace is how long a client may take for each further piece of what cannot be made again.
	turnPace = time.Second
)

// turn writes to a client what lies in memory for it alone, until others want that memory and the client has had its time. A piece is written from a
// copy, beside the one who waits for it, so that the rest need not lie in memory for as long as a client takes nothing.
type turn struct {
	x *exchange
	// piece is being written until written says so.
	piece   []byte
	written chan error
	ends    <-chan time.Time
	wanted  <-chan struct{}
	// over is wanted once the time has passed.
	over <-chan struct{}
}

func newTurn(x *exchange, wanted <-chan struct{}) *turn {
	return &turn{x: x, written: make(chan error, 1), ends: time.After(turnTime), wanted: wanted}
}

// write writes p. Where the turn is over meanwhile, n bytes of it are written as soon as written says so, and nothing else may be before.
func (t *turn) write(p []byte) (n int, over bool, err error) {
	for n < len(p) {
		t.piece = append(t.piece[:0], p[n:min(len(p), n+turnPiece)]...)
		n += len(t.piece)
		go func() {
			_, err := t.x.Write(t.piece)
			t.written <- err
		}()
		if over, err = t.await(); over || err != nil {
			return n, over, err
		}
	}
	return n, false, nil
}

func (t *turn) await() (over bool, err error) {
	for {
		select {
		case err = <-t.written:
			return false, err
		case <-t.ends:
			t.over = t.wanted
		case <-t.over:
			return true, nil
		}
	}
}

// sendInTurn writes events of a large answer. What a client that takes its time has not taken when others wait is returned, and comes again when it is
// its turn again; sent is how much of the first event it has by then. So readers who are slow share the memory, and those who take nothing
// have none of it.
func (s *server) sendInTurn(x *exchange, sub *chat.Subscription, batch *chat.Batch, sent *int) error {
	t := newTurn(x, sub.Wanted())
	next, over, err := s.giveEvents(t, batch, sent)
	switch {
	case over:
		*batch = chat.Batch{}
		sub.Return(next)
		return <-t.written
	case err == nil && !batch.Ended:
		return x.flush()
	default:
		return err
	}
}

// giveEvents writes events until the turn is over; next is then the one to go on with.
func (s *server) giveEvents(t *turn, batch *chat.Batch, sent *int) (next int, over bool, err error) {
	out := s.writers.Get().(*eventWriter)
	defer out.giveBack(&s.writers)
	for i, ev := range batch.Events {
		next = batch.First + i
		out.frame(next, ev)
		n, over, err := t.write(out.batch[*sent:])
		if *sent += n; *sent == len(out.batch) {
			*sent = 0
			next++
		}
		if out.batch = out.batch[:0]; over || err != nil {
			return next, over, err
		}
	}
	return next, false, nil
}

// jsonInTurn answers with the JSON of a large answer. As it cannot be made again, which might be another by then, a client that takes too
// little of it while others wait is cut off.
func (x *exchange) jsonInTurn(body []byte, wanted <-chan struct{}) bool {
	x.Header()["Content-Type"] = []string{jsonType}
	x.WriteHeader(http.StatusOK)
	t := newTurn(x, wanted)
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

// hurry waits for what is being written, but not for long.
func (t *turn) hurry() error {
	pace := time.NewTimer(turnPace)
	defer pace.Stop()
	select {
	case err := <-t.written:
		return err
	case <-pace.C:
		t.x.setWriteDeadline(time.Now())
		return <-t.written
	}
}
