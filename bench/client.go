package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"
)

// requestTimeout bounds every single request of the load generator.
const requestTimeout = 30 * time.Second

// client is one keep-alive connection that sends ready-made requests. It parses no more than it must, because it shares the
// cores with the servers that it measures. Not safe for concurrent use.
type client struct {
	conn  net.Conn
	in    *bufio.Reader
	lines *bufio.Reader
	body  bytes.Buffer
}

// reply is what one request came to.
type reply struct {
	status   int
	body     []byte        // of a whole answer; valid until the next request
	first    time.Duration // from the request to the first event that carries text
	terminal bool          // the stream's closing event was seen
	success  bool          // and it was the one of a success
}

// dialect says how a target's streams are told apart: prefixes of their lines.
type dialect struct {
	first   []byte
	success []byte
	failure [][]byte
}

var (
	chatDialect = dialect{first: []byte("data: {"), success: []byte("data: [DONE]")}
	// A native stream names its events; only the success may follow text.
	nativeDialect = dialect{
		first:   []byte("event: response.output_text.delta"),
		success: []byte("event: response.completed"),
		failure: [][]byte{[]byte("event: response.failed"), []byte("event: response.incomplete"), []byte("event: error")},
	}
)

func dial(ctx context.Context, address string) (*client, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 16<<10), lines: bufio.NewReaderSize(nil, 64<<10)}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// do sends the request and reads the answer: a stream line by line, anything else as a whole.
func (c *client) do(request []byte, d dialect) (reply, error) {
	if err := c.conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return reply{}, err
	}
	begin := time.Now()
	if _, err := c.conn.Write(request); err != nil {
		return reply{}, err
	}
	head, err := c.head()
	if err != nil {
		return reply{}, err
	}
	r := reply{status: head.status}
	switch {
	case head.chunked && head.stream:
		err = c.stream(&r, begin, d)
	case head.chunked:
		c.body.Reset()
		if _, err = c.body.ReadFrom(httputil.NewChunkedReader(c.in)); err == nil {
			err = c.trailer()
		}
		r.body = c.body.Bytes()
	case head.length >= 0:
		c.body.Reset()
		_, err = io.CopyN(&c.body, c.in, head.length)
		r.body = c.body.Bytes()
	default:
		err = errors.New("an answer with neither a length nor chunks")
	}
	return r, err
}

type head struct {
	status  int
	length  int64
	chunked bool
	stream  bool
}

func (c *client) head() (head, error) {
	h := head{length: -1}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return h, err
	}
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return h, fmt.Errorf("not an HTTP answer: %q", line)
	}
	if h.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return h, err
	}
	if h.status == http.StatusNoContent || h.status == http.StatusNotModified {
		h.length = 0
	}
	for {
		line, err = c.in.ReadSlice('\n')
		if err != nil {
			return h, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return h, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if h.length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return h, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			h.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Content-Type")):
			h.stream = bytes.HasPrefix(value, []byte("text/event-stream"))
		}
	}
}

func (c *client) stream(r *reply, begin time.Time, d dialect) error {
	c.lines.Reset(httputil.NewChunkedReader(c.in))
	for {
		line, err := c.lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return c.trailer()
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return err
		}
		if r.first == 0 && bytes.HasPrefix(line, d.first) {
			r.first = time.Since(begin)
		}
		if bytes.HasPrefix(line, d.success) {
			r.terminal, r.success = true, true
		}
		for _, prefix := range d.failure {
			if bytes.HasPrefix(line, prefix) {
				r.terminal = true
			}
		}
	}
}

// open sends the request of a stream and returns at its first text, leaving the stream open.
func (c *client) open(request []byte, d dialect) error {
	if err := c.conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return err
	}
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	head, err := c.head()
	if err != nil {
		return err
	}
	if head.status != http.StatusOK || !head.stream {
		return fmt.Errorf("opening a stream: status %d", head.status)
	}
	c.lines.Reset(httputil.NewChunkedReader(c.in))
	for {
		line, err := c.lines.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("opening a stream: %w", err)
		}
		if bytes.HasPrefix(line, d.first) {
			return nil
		}
	}
}

// trailer reads the empty line that ends a chunked body.
func (c *client) trailer() error {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(bytes.TrimRight(line, "\r\n")) != 0 {
		return errors.New("an answer with trailers")
	}
	return nil
}

// post makes the bytes of a request with a JSON body.
func post(path, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, len(body), body)
}

func get(path string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path)
}
