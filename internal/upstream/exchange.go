package upstream

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// Bounds on what is read of a failure and behind an end.
const (
	// maxProblem and ProblemTimeout bound the reading of an error's body.
	maxProblem     = 64 << 10
	ProblemTimeout = 5 * time.Second
	// DrainTimeout and MaxDrain bound what is read behind an answer's end, so that its connection can be used again.
	DrainTimeout = time.Second
	MaxDrain     = 64 << 10
	// maxAnnounced is how much is set aside for an answer because its head announces that length.
	maxAnnounced = 64 << 10
)

// Why a body ended early.
var (
	ErrTooLarge = errors.New("the answer is too large")
	ErrEncoding = errors.New("the answer has an encoding that was not asked for")

	errTimeLimit = errors.New("the provider took longer than the time limit")
)

// Exchange is one HTTP request and its answer under the client's time limits and caps. It is an io.Reader over the answer's body.
type Exchange struct {
	client *Client
	// parent is the caller's context, ctx the one of the request: it ends with either the parent or a time limit.
	parent, ctx context.Context
	cancel      context.CancelCauseFunc
	timer       *time.Timer
	// connected and answered are set by the transport, from goroutines of its own.
	connected, answered atomic.Bool

	// yield takes the answer's events; stopped: their reader has gone.
	yield   func(llm.Event, error) bool
	stopped bool

	// asked is the request's body until the answer's head has come: an answer that takes long need not hold it.
	asked    []byte
	response *http.Response
	// body is what Read reads: the response's body, unzipped where need be.
	body io.Reader
	left int64
	// begun: a byte of the body has come. fixed: the time that is left runs on, whatever comes.
	begun, fixed bool
	// ended: the response's body has been read to its end. complete: the answer is, so the rest is worth draining.
	ended, complete bool
}

// send makes the request and reads the answer's head. An answer with a failure status is an error, and read.
func (c *Client) send(ctx context.Context, method string, to *url.URL, head http.Header, body []byte) (*Exchange, *llm.Error) {
	x := &Exchange{client: c, parent: ctx, left: c.MaxBytes, asked: body}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	x.timer = time.AfterFunc(c.FirstByte, func() { x.cancel(errTimeLimit) })
	var err error
	req := x.request(method, to, head)           //nolint:contextcheck // the request has its own context, made from ctx above
	x.response, err = c.transport.RoundTrip(req) //nolint:bodyclose // close does
	x.asked = nil
	if err != nil {
		x.close()
		return nil, x.unanswered(err)
	}
	x.body = (*timedBody)(x)
	switch encoding := x.response.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		x.body = &unzipped{src: x.body}
	default:
		x.body = failing{ErrEncoding}
	}
	if status := x.response.StatusCode; status < 200 || status > 299 {
		defer x.close()
		return nil, c.refusal(status, x.response.Header, x.problemBody())
	}
	return x, nil
}

func (x *Exchange) request(method string, to *url.URL, head http.Header) *http.Request {
	trace := &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { x.connected.Store(true) },
		GotFirstResponseByte: func() { x.answered.Store(true) },
	}
	req := &http.Request{
		Method: method, URL: to, Host: to.Host, Header: head,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if x.asked != nil {
		req.ContentLength = int64(len(x.asked))
		req.GetBody = func() (io.ReadCloser, error) { return newSent(x.asked), nil }
		req.Body, _ = req.GetBody()
	}
	return req.WithContext(httptrace.WithClientTrace(x.ctx, trace))
}

// A short body goes out in one piece with the request's head: net/http does that for readers that it knows, within its buffer of
// shortRequest. It is held as long as the answer comes.
const (
	shortRequest = 2 << 10
	shortBody    = 3 << 9
)

func newSent(body []byte) io.ReadCloser {
	if len(body) <= shortBody {
		return io.NopCloser(bytes.NewReader(body))
	}
	return &sent{rest: body}
}

// sent is a request's body. When the transport closes it, which it may do while it reads, it lets go of its bytes: the
// transport holds the request as long as the answer comes.
type sent struct {
	mu   sync.Mutex
	rest []byte
}

func (s *sent) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *sent) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = nil
	return nil
}

func (x *Exchange) mediaType() string {
	given := x.response.Header.Get("Content-Type")
	if given == mediaJSON || given == mediaEvents {
		return given
	}
	kind, _, err := mime.ParseMediaType(given)
	if err != nil {
		return ""
	}
	return kind
}

// readAll reads the body to its end, into a buffer of the length that was announced. hold, which may be nil, is that of a call.
func (x *Exchange) readAll(hold func(context.Context, int) error) ([]byte, error) {
	expected := min(max(x.response.ContentLength, 0), maxAnnounced)
	body := make([]byte, 0, expected+bytes.MinRead)
	for {
		n, err := x.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return body, err
		case len(body) < cap(body):
			continue
		}
		larger := 2 * cap(body)
		if announced := x.response.ContentLength; announced >= int64(len(body)) {
			larger = min(larger, int(announced)+bytes.MinRead)
		}
		if larger > maxAnnounced && hold != nil {
			if err := hold(x.ctx, larger); err != nil {
				return body, err
			}
		}
		body = append(make([]byte, 0, larger), body...)
	}
}

// problemBody is as much of an error's body as comes in a short while.
func (x *Exchange) problemBody() []byte {
	x.EndWithin(ProblemTimeout)
	body, err := io.ReadAll(io.LimitReader(x, maxProblem))
	x.complete = err == nil
	return body
}

// EndWithin bounds all that is yet to come, whether it drips or not.
func (x *Exchange) EndWithin(d time.Duration) {
	x.fixed = true
	x.timer.Reset(d)
}

// Read reads the body as it was meant, under the cap.
func (x *Exchange) Read(p []byte) (int, error) {
	n, err := x.body.Read(p)
	if x.left -= int64(n); x.left < 0 {
		return n, ErrTooLarge
	}
	return n, err
}

// timedBody is the exchange as a reader of the raw body: it keeps the time limits, which run only while it waits.
type timedBody Exchange

func (b *timedBody) Read(p []byte) (int, error) {
	watched := b.begun && !b.fixed
	if watched {
		b.timer.Reset(b.client.Idle)
	}
	n, err := b.response.Body.Read(p)
	b.begun = b.begun || n > 0
	if b.begun && !b.fixed {
		b.timer.Stop()
	}
	b.ended = b.ended || errors.Is(err, io.EOF)
	return n, err
}

// unzipped reads a gzip stream, whose head it reads only when it is asked for bytes.
type unzipped struct {
	src io.Reader
	zip *gzip.Reader
}

func (u *unzipped) Read(p []byte) (int, error) {
	if u.zip == nil {
		zip, err := gzip.NewReader(u.src)
		if err != nil {
			return 0, err
		}
		u.zip = zip
	}
	return u.zip.Read(p)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// close ends the exchange. The connection lives on if the body has been read to its end, or if only a little was left of
// a complete answer; that is waited for in the background. Otherwise it is closed at once.
func (x *Exchange) close() {
	if x.response == nil {
		x.timer.Stop()
		x.cancel(nil)
		return
	}
	if x.complete && !x.ended {
		x.timer.Reset(DrainTimeout)
		go func() {
			_, _ = io.CopyN(io.Discard, x.response.Body, MaxDrain)
			x.shut()
		}()
		return
	}
	x.shut()
}

func (x *Exchange) shut() {
	x.timer.Stop()
	x.cancel(nil)
	_ = x.response.Body.Close()
}

// Idle is how long the provider may be silent.
func (x *Exchange) Idle() time.Duration { return x.client.Idle }

// interrupted is the error of a context or a time limit that has ended the exchange, nil where neither has.
func (x *Exchange) interrupted() *fault.Error {
	cause := context.Cause(x.ctx)
	switch {
	case cause == nil:
		return nil
	case errors.Is(cause, errTimeLimit):
		return fault.Wrap(cause, fault.Timeout, "upstream_timeout", "The model's provider did not answer in time.")
	case errors.Is(x.parent.Err(), context.DeadlineExceeded):
		return fault.Wrap(cause, fault.Timeout, "upstream_timeout", "The model's provider did not finish in time.")
	case x.parent.Err() != nil:
		return fault.Wrap(cause, fault.Canceled, "canceled", "The call was cancelled.")
	}
	return nil
}

// unanswered is the error of a request that got no head of an answer.
func (x *Exchange) unanswered(err error) *llm.Error {
	e := &llm.Error{NotSent: !x.connected.Load()}
	timeout, _ := errors.AsType[net.Error](err)
	certificate, _ := errors.AsType[*tls.CertificateVerificationError](err)
	e.Outage = true
	switch e.Fault = x.interrupted(); {
	case e.Fault != nil:
		e.Outage = e.Fault.Kind == fault.Timeout
	case x.answered.Load():
		// The error may quote what the server said.
		e.Fault = fault.Wrap(errors.New("the answer is not HTTP"), fault.Upstream, "upstream_failed", "The model's provider answered with something that is not HTTP.")
		e.Detail = x.client.detail(err.Error())
	case timeout != nil && timeout.Timeout():
		e.Fault = fault.Wrap(err, fault.Timeout, "upstream_timeout", "The model's provider could not be reached in time.")
	case errors.Is(err, errPrivate):
		e.Outage = false
		e.Fault = fault.Wrap(err, fault.Upstream, "upstream_failed", "The model's provider is in a private network, where it is not allowed to be.")
	case exhausted(err):
		// It says nothing of the provider.
		e.Outage = false
		e.Fault = fault.Wrap(err, fault.Unavailable, "overloaded", "The server can open no further connection to the model's provider. Try again in a moment.")
		e.Retryable = true
	case certificate != nil:
		e.Fault = fault.Wrap(err, fault.Upstream, "upstream_failed", "The certificate of the model's provider is not valid for it, or not trusted.")
	default:
		e.Fault = fault.Wrap(err, fault.Upstream, "upstream_failed", "The model's provider could not be reached.")
		e.Retryable = true
	}
	return e
}

// exhausted reports whether it was for want of this process's or this machine's own resources that nothing could be opened.
func exhausted(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// broken is the error of a body that could not be read to its end. code and message say what that means for the answer.
func (x *Exchange) broken(err error, code, message string) *llm.Error {
	f, outage := x.interrupted(), false
	switch {
	case f != nil:
		outage = f.Kind == fault.Timeout
	case errors.Is(err, ErrTooLarge):
		f = fault.Wrap(err, fault.Upstream, "upstream_failed", "The model's answer is too large.")
	case errors.Is(err, ErrEncoding), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		f = fault.Wrap(err, fault.Upstream, "upstream_failed", "The model's provider answered in an encoding that was not asked for.")
	default:
		outage = true
		f = fault.Wrap(fmt.Errorf("reading the answer: %w", err), fault.Upstream, code, message)
	}
	return &llm.Error{Fault: f, HTTPStatus: x.response.StatusCode, Outage: outage}
}

// Truncated is the error of a stream that ended, by err, without its end marker.
func (x *Exchange) Truncated(err error) *llm.Error {
	return x.broken(err, "upstream_stream_truncated", "The model's answer broke off before its end.")
}

// Unusable is the error of an answer that is there and cannot be used; said is what it says.
func (x *Exchange) Unusable(why string, said []byte) *llm.Error {
	return &llm.Error{
		Fault:      fault.Wrap(errors.New(why), fault.Upstream, "upstream_failed", "The model's provider answered with something that is not "+x.client.What+"."),
		HTTPStatus: x.response.StatusCode,
		Detail:     x.client.detail(string(said[:min(len(said), 2*maxDetail)])),
	}
}
