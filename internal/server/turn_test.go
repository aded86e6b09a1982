package server

import (
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// stalled is a client that takes nothing until it is released or its deadline is over.
type stalled struct {
	http.ResponseWriter
	release chan struct{}
	over    chan struct{}
}

func (s *stalled) Header() http.Header { return http.Header{} }
func (s *stalled) WriteHeader(int)     {}

func (s *stalled) SetWriteDeadline(at time.Time) error {
	if !at.After(time.Now()) {
		close(s.over)
	}
	return nil
}

func (s *stalled) Write(p []byte) (int, error) {
	select {
	case <-s.release:
		return len(p), nil
	case <-s.over:
		return 0, os.ErrDeadlineExceeded
	}
}

// A client that takes nothing is cut off when others wait, be that from the beginning or much later, but not because others once did.
func TestATurnIsOverOnlyWhileOthersWait(t *testing.T) {
	for _, test := range []struct {
		name                    string
		waits, left, takes, cut time.Duration
	}{
		{"nobody", 0, 0, time.Hour, 0},
		{"one, and no more", 0, 100 * time.Millisecond, 10 * time.Second, 0},
		{"one, and no more when it matters", 0, time.Second, 20 * time.Second, 0},
		{"all the time", 0, time.Hour, 20 * time.Second, turnTime + turnPace},
		{"one that comes late", 7 * time.Second, time.Hour, 20 * time.Second, 7*time.Second + turnPace},
		{"one that comes late, for one that takes", 7 * time.Second, time.Hour, 7500 * time.Millisecond, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &stalled{release: make(chan struct{}), over: make(chan struct{})}
				began := time.Now()
				time.AfterFunc(test.takes, func() { close(client.release) })
				waits, open := make(chan struct{}), make(chan struct{})
				time.AfterFunc(test.waits, func() { close(waits) })
				wanted := func() <-chan struct{} {
					if time.Since(began) >= test.left {
						return open
					}
					return waits
				}
				whole := (&exchange{ResponseWriter: client}).jsonInTurn(make([]byte, 100<<10), wanted)
				if took := time.Since(began); whole != (test.cut == 0) || !whole && took != test.cut || whole && took != test.takes {
					t.Errorf("whole: %v after %v", whole, took)
				}
			})
		})
	}
}

// What took long to make is not to be made again soon; what is computed meanwhile is none of the client's time.
func TestATurnIsAsLongAsIsWorthIt(t *testing.T) {
	for made, lasts := range map[time.Duration]time.Duration{0: turnTime, time.Millisecond: turnTime, time.Second: 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			client := &stalled{release: make(chan struct{}), over: make(chan struct{})}
			waits := make(chan struct{})
			close(waits)
			turn := newTurn(&exchange{ResponseWriter: client}, made, func() <-chan struct{} { return waits })
			time.Sleep(time.Minute)
			began := time.Now()
			n, over, err := turn.write(make([]byte, 3*turnPiece))
			if took := time.Since(began); n != turnPiece || !over || err != nil || took != lasts {
				t.Errorf("made in %v: %d bytes, %v, %v after %v", made, n, over, err, took)
			}
			close(client.release)
			if err := <-turn.written; err != nil {
				t.Error(err)
			}
		})
	}
}
