// Package llmtest holds what every llm.Provider must do, as a suite (Run), and the scripted upstream that it runs against.
//
// The upstream speaks bytes over TCP, not a protocol: the answers are text files, and the way in which a real server
// fails (a reset, a stall, a body cut short, a compressed bomb) is a line in them. Other packages' tests may use it, too.
package llmtest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// DefaultPatience is the time limit of an Upstream that sets none.
const DefaultPatience = 30 * time.Second

// Request is what an upstream was sent.
type Request struct {
	Method string
	// Target is the path with the query, as it stood in the request line.
	Target string
	Header http.Header
	Body   []byte
}

// Upstream is a server on 127.0.0.1 that answers request after request as it was told. It is closed when the test ends.
type Upstream struct {
	// URL has no path: "http://127.0.0.1:12345".
	URL string
	// Patience is what the case wants the client's time limits to be: for the first byte, and for silence.
	Patience time.Duration
	// Arrived gets a value with every request that has been read whole.
	Arrived chan struct{}
	// Gone gets a value whenever a client has closed the connection on an answer that was not over.
	Gone chan struct{}

	t        testing.TB
	listener net.Listener
	ended    chan struct{}
	running  sync.WaitGroup

	mu       sync.Mutex
	queue    []script
	always   script
	requests []Request
	conns    map[net.Conn]struct{}
	opened   int
	held     chan struct{}
}

// NewUpstream starts an upstream that has no answers yet.
func NewUpstream(t testing.TB) *Upstream {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("starting the upstream: %v", err)
	}
	u := &Upstream{
		URL:      "http://" + listener.Addr().String(),
		Patience: DefaultPatience,
		Arrived:  make(chan struct{}, 1<<10),
		Gone:     make(chan struct{}, 1<<10),
		t:        t,
		listener: listener,
		ended:    make(chan struct{}),
		conns:    map[net.Conn]struct{}{},
		held:     make(chan struct{}),
	}
	u.running.Go(u.accept)
	t.Cleanup(u.Close)
	return u
}

// Answer adds answers, one for each request to come. See the package's script.go for what a script may say.
func (u *Upstream) Answer(scripts ...string) {
	u.t.Helper()
	for _, text := range scripts {
		s := u.parse(text)
		u.mu.Lock()
		u.queue = append(u.queue, s)
		u.mu.Unlock()
	}
}

// Always sets the answer to every request for which Answer has left none.
func (u *Upstream) Always(text string) {
	u.t.Helper()
	s := u.parse(text)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.always = s
}

func (u *Upstream) parse(text string) script {
	u.t.Helper()
	s, err := parseScript(text)
	if err != nil {
		u.t.Fatalf("the upstream's script: %v\n%s", err, text)
	}
	return s
}

// Release lets every answer go on that waits at a "%% hold", and those that come to one later.
func (u *Upstream) Release() {
	u.mu.Lock()
	defer u.mu.Unlock()
	select {
	case <-u.held:
	default:
		close(u.held)
	}
}

// Requests is what has been received so far, in order.
func (u *Upstream) Requests() []Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.requests)
}

// Connections is how many connections were ever made.
func (u *Upstream) Connections() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.opened
}

// Close refuses new connections, breaks off the open ones and waits until nothing runs any more. It may be called before
// the test's end, for an upstream that is down.
func (u *Upstream) Close() {
	u.mu.Lock()
	select {
	case <-u.ended:
	default:
		close(u.ended)
	}
	_ = u.listener.Close()
	for conn := range u.conns {
		_ = conn.Close()
	}
	u.mu.Unlock()
	u.running.Wait()
}

func (u *Upstream) accept() {
	for {
		conn, err := u.listener.Accept()
		if err != nil {
			return
		}
		if !u.enter(conn) {
			return
		}
		u.running.Go(func() {
			defer u.leave(conn)
			u.serve(conn)
		})
	}
}

func (u *Upstream) enter(conn net.Conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	select {
	case <-u.ended:
		_ = conn.Close()
		return false
	default:
	}
	u.opened++
	u.conns[conn] = struct{}{}
	return true
}

func (u *Upstream) leave(conn net.Conn) {
	_ = conn.Close()
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.conns, conn)
}

// serve answers the requests of one connection until an answer ends it.
func (u *Upstream) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		s, ok := u.next(Request{Method: req.Method, Target: req.RequestURI, Header: req.Header, Body: body})
		if !ok {
			u.t.Errorf("the upstream has no answer left for %s %s", req.Method, req.RequestURI)
			return
		}
		p := &play{upstream: u, conn: conn, in: in, out: conn}
		if p.run(s) != nil || p.closes {
			return
		}
	}
}

func (u *Upstream) next(r Request) (script, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r.Body = bytes.Clone(r.Body)
	u.requests = append(u.requests, r)
	signal(u.Arrived)
	if len(u.queue) == 0 {
		return u.always, u.always != nil
	}
	s := u.queue[0]
	u.queue = u.queue[1:]
	return s, true
}

// signal never waits: a test that does not listen loses nothing by a lost signal.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
