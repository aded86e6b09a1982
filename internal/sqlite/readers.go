package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/parley-llm/parley/internal/chat"
)

// readers is the pool of read-only connections.
type readers struct {
	free   chan *conn
	closed chan struct{}
	// pausing lets one at a time collect all connections.
	pausing sync.Mutex
}

func openReaders(path string, n int) (*readers, error) {
	r := &readers{free: make(chan *conn, n), closed: make(chan struct{})}
	for range n {
		c, err := openConn(path, sqlite.OpenReadOnly, "query_only = ON")
		if err != nil {
			close(r.free)
			for open := range r.free {
				err = errors.Join(err, open.Close())
			}
			return nil, err
		}
		r.free <- c
	}
	return r, nil
}

// read lends fn a connection. fn must not write through the store: the writer may be waiting for this connection.
func (r *readers) read(ctx context.Context, fn func(*conn) error) error {
	if ctx.Err() != nil {
		return chat.GivenUp(ctx)
	}
	select {
	case c := <-r.free:
		defer func() { r.free <- c }()
		return operationError(fn(c))
	case <-r.closed:
		return unavailable(errClosed)
	case <-ctx.Done():
		return chat.GivenUp(ctx)
	}
}

// pause waits until nobody reads and keeps it so until resume is called. After patience it gives up.
func (r *readers) pause(patience time.Duration) (resume func(), ok bool) {
	r.pausing.Lock()
	conns := make([]*conn, 0, cap(r.free))
	resume = func() {
		for _, c := range conns {
			r.free <- c
		}
		r.pausing.Unlock()
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for range cap(r.free) {
		select {
		case c := <-r.free:
			conns = append(conns, c)
		case <-timeout.C:
			resume()
			return nil, false
		}
	}
	return resume, true
}

// close waits for those who read and closes all connections.
func (r *readers) close() error {
	r.pausing.Lock()
	defer r.pausing.Unlock()
	close(r.closed)
	var errs []error
	for range cap(r.free) {
		errs = append(errs, (<-r.free).Close())
	}
	return errors.Join(errs...)
}
