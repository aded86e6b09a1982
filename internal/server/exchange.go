package server

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

const (
	// writeTimeout bounds how long a client may take nothing of what is written to it.
	writeTimeout = 30 * time.Second
	// writePiece is how much is written under one deadline.
	writePiece = 256 << 10
	// lingerTimeout bounds how long what is left of a body is read after a request was answered without it.
	lingerTimeout = 5 * time.Second
	// lingerLimit is how much is read of it.
	lingerLimit = 64 << 20
)

// exchange is one request and its answer: what the middleware found out for the handlers, and what went out for the log.
// It wraps the ResponseWriter and travels in the request's context.
type exchange struct {
	http.ResponseWriter
	server *server
	caller chat.Caller
	// head: the answer is to have no body.
	head bool
	// unread: some of the request's body may still be on its way.
	unread bool
	// body is the request's, read whole; faults are what scan found in it.
	body   []byte
	faults []fault.Field

	status int
	// code is that of the problem which was the answer, if it was one.
	code     string
	written  int64
	deadline time.Time
}

type exchangeKey struct{}

// exchangeOf returns the exchange that a request's context carries.
func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
		if x.unread {
			x.leaveBody()
		}
		if x.replayed() {
			x.Header()[replayedHeader] = []string{"true"}
		}
	}
	x.ResponseWriter.WriteHeader(status)
}

// leaveBody lets the answer go out ahead of the rest of the body: net/http would read that first, for as long as the client
// likes. The connection is of no use afterwards.
func (x *exchange) leaveBody() {
	x.Header()["Connection"] = []string{"close"}
	// A writer that cannot is no connection.
	_ = http.NewResponseController(x.ResponseWriter).EnableFullDuplex()
}

// linger goes on reading a body that the answer did not wait for, because most clients read only when they have sent
// everything, and would find the connection reset. One that is slow is not worth the wait.
func (x *exchange) linger(r *http.Request) {
	if !x.unread || x.status == 0 {
		return
	}
	_ = x.flush()
	// It also ends what net/http reads after the handler.
	x.setReadDeadline(time.Now().Add(lingerTimeout))
	if r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, r.Body, lingerLimit)
	}
}

// Write writes in pieces, each under a deadline of its own, so that a large answer may take its time and a client that
// stops reading may not.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	done := 0
	for {
		piece := p[done:min(len(p), done+writePiece)]
		x.extend()
		n, err := x.ResponseWriter.Write(piece)
		done += n
		x.written += int64(n)
		if err != nil || done == len(p) {
			return done, err
		}
	}
}

// flush sends what was written on its way.
func (x *exchange) flush() error {
	x.extend()
	return http.NewResponseController(x.ResponseWriter).Flush()
}

// extend moves the write deadline, at most once a second.
func (x *exchange) extend() {
	now := time.Now()
	if next := now.Add(writeTimeout); next.Sub(x.deadline) > time.Second {
		x.deadline = next
		x.setWriteDeadline(next)
	}
}

func (x *exchange) setWriteDeadline(t time.Time) {
	if w, ok := x.ResponseWriter.(interface{ SetWriteDeadline(t time.Time) error }); ok {
		// It fails only where the connection is gone, and then so does the write.
		_ = w.SetWriteDeadline(t)
	}
}

// breakOff has nothing more be written, not even the end of the answer: a client is not to take what it has for all of it.
func (x *exchange) breakOff() { x.setWriteDeadline(time.Now()) }

func (x *exchange) setReadDeadline(t time.Time) {
	if w, ok := x.ResponseWriter.(interface{ SetReadDeadline(t time.Time) error }); ok {
		_ = w.SetReadDeadline(t)
	}
}

// json answers with a JSON text, and reports whether it was written: the client is gone if not.
func (x *exchange) json(status int, body []byte) bool {
	x.Header()["Content-Type"] = []string{jsonType}
	x.WriteHeader(status)
	_, err := x.Write(append(body, '\n'))
	return err == nil
}
