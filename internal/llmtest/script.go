package llmtest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A script is an HTTP answer as text: the status line, the headers, a blank line, the body. Line feeds in the head are
// sent as CRLF; the body is sent as it stands, paragraph by paragraph, as a server sends events. The head decides the framing:
//
//	Transfer-Encoding: chunked   every paragraph is a chunk, and the last chunk follows the end
//	Content-Length: auto         the length of the body, which then is text alone
//	Content-Length: 100          sent as it stands, true or not
//	neither                      the end of the connection is the end of the body
//
// A line that starts with "%%" is an order; it may stand anywhere, also before the head:
//
//	%% hold            wait for Upstream.Release
//	%% pause 20ms      send nothing for so long
//	%% stall           send nothing more, until the client goes
//	%% close           close the connection here
//	%% reset           break the connection off with a TCP reset
//	%% repeat 20ms     send the rest, which is text, again and again with that pause, until the client goes
//	%% fill 2MiB       send that many letters x
//	%% gzip            compress what follows of the body
//	%% bomb 2MiB       send little that unpacks to so much: comments of an event stream, compressed
//	%% raw             send what follows as it stands, whatever the framing
type script []step

type step struct {
	order    string
	duration time.Duration
	size     int
	text     string
}

var autoLength = regexp.MustCompile(`(?mi)^content-length: auto$`)

func parseScript(text string) (script, error) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	head, body, _ := strings.Cut(text, "\n\n")
	text = autoLength.ReplaceAllString(head, "Content-Length: "+strconv.Itoa(len(body))) + text[len(head):]
	var s script
	var paragraph strings.Builder
	flush := func() {
		if paragraph.Len() > 0 {
			s = append(s, step{text: paragraph.String()})
			paragraph.Reset()
		}
	}
	for line := range strings.Lines(text) {
		if order, ok := strings.CutPrefix(line, "%%"); ok {
			flush()
			st, err := parseOrder(strings.Fields(order))
			if err != nil {
				return nil, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
			}
			s = append(s, st)
			continue
		}
		paragraph.WriteString(line)
		if line == "\n" {
			flush()
		}
	}
	flush()
	return s, nil
}

func parseOrder(words []string) (step, error) {
	if len(words) == 0 {
		return step{}, errors.New("no order")
	}
	st := step{order: words[0]}
	argument := ""
	if len(words) > 1 {
		argument = words[1]
	}
	var err error
	switch st.order {
	case "hold", "stall", "close", "reset", "gzip", "raw":
	case "repeat", "pause":
		st.duration, err = time.ParseDuration(argument)
	case "fill", "bomb":
		st.size, err = parseSize(argument)
	default:
		err = errors.New("unknown order")
	}
	return st, err
}

func parseSize(s string) (int, error) {
	number, mebi := strings.CutSuffix(s, "MiB")
	n, err := strconv.Atoi(number)
	if mebi {
		n <<= 20
	}
	return n, err
}

// errOver ends an answer, and the connection with it.
var errOver = errors.New("the answer is over")

// play is one answer on its way out.
type play struct {
	upstream *Upstream
	conn     net.Conn
	in       *bufio.Reader
	// out takes the body: the connection, or what frames and compresses it.
	out      io.Writer
	chunks   io.WriteCloser
	zip      *gzip.Writer
	headSent bool
	// closes: the end of the connection is the end of the body.
	closes bool
}

func (p *play) run(s script) error {
	for i, st := range s {
		if st.order == "repeat" {
			return p.repeat(s[i+1:], st.duration)
		}
		if err := p.step(st); err != nil {
			return err
		}
	}
	return p.end()
}

func (p *play) step(st step) error {
	switch st.order {
	case "hold":
		return p.hold()
	case "pause":
		return p.pause(st.duration)
	case "stall":
		return p.untilGone()
	case "close":
		return errOver
	case "reset":
		if tcp, ok := p.conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		return errOver
	case "fill":
		return p.fill(st.size)
	case "bomb":
		return p.bomb(st.size)
	case "raw":
		p.out, p.zip, p.chunks, p.closes = p.conn, nil, nil, true
		return nil
	case "gzip":
		p.zip = gzip.NewWriter(p.out)
		p.out = p.zip
		return nil
	default:
		return p.text(st.text)
	}
}

// text sends a paragraph. The first one is the head.
func (p *play) text(text string) error {
	if p.headSent {
		return p.body([]byte(text))
	}
	p.headSent = true
	if _, err := io.WriteString(p.conn, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		return err
	}
	head := strings.ToLower(text)
	switch {
	case strings.Contains(head, "\ntransfer-encoding: chunked"):
		p.chunks = httputil.NewChunkedWriter(p.conn)
		p.out = p.chunks
	case !strings.Contains(head, "\ncontent-length:"):
		p.closes = true
	}
	return nil
}

func (p *play) body(b []byte) error {
	if _, err := p.out.Write(b); err != nil {
		return p.left(err)
	}
	if p.zip != nil {
		return p.left(p.zip.Flush())
	}
	return nil
}

// fill needs no flush: it is a lump.
func (p *play) fill(size int) error {
	lump := bytes.Repeat([]byte("x"), 1<<20)
	for size > 0 {
		n := min(size, len(lump))
		if _, err := p.out.Write(lump[:n]); err != nil {
			return p.left(err)
		}
		size -= n
	}
	return nil
}

// bomb sends one and the same compressed piece again and again: pieces of gzip may follow each other.
func (p *play) bomb(size int) error {
	var piece bytes.Buffer
	zip := gzip.NewWriter(&piece)
	line := []byte(": " + strings.Repeat("x", 64<<10-4) + "\n\n")
	for range 1 << 20 / len(line) {
		_, _ = zip.Write(line)
	}
	_ = zip.Close()
	for ; size > 0; size -= 1 << 20 {
		if _, err := p.out.Write(piece.Bytes()); err != nil {
			return p.left(err)
		}
	}
	return nil
}

// repeat sends the texts again and again. It ends when the client goes, or the test.
func (p *play) repeat(texts script, pause time.Duration) error {
	for {
		for _, st := range texts {
			if err := p.body([]byte(st.text)); err != nil {
				return err
			}
		}
		if pause == 0 {
			continue
		}
		if err := p.pause(pause); err != nil {
			return err
		}
	}
}

func (p *play) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-p.upstream.ended:
		return errOver
	}
}

func (p *play) hold() error {
	select {
	case <-p.upstream.held:
		return nil
	case <-p.upstream.ended:
		return errOver
	}
}

// untilGone waits for the client to close. It sends nothing, but a client that goes on sending would be seen.
func (p *play) untilGone() error {
	_, err := p.in.ReadByte()
	if err == nil {
		p.upstream.t.Error("a client sent more while it was being answered")
		return errOver
	}
	return p.left(err)
}

// left notes that a client has gone before the end, unless it was the test that ended.
func (p *play) left(err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-p.upstream.ended:
	default:
		signal(p.upstream.Gone)
	}
	return err
}

func (p *play) end() error {
	if p.zip != nil {
		if err := p.zip.Close(); err != nil {
			return p.left(err)
		}
	}
	if p.chunks != nil {
		if err := p.chunks.Close(); err != nil {
			return p.left(err)
		}
		_, err := io.WriteString(p.conn, "\r\n")
		return p.left(err)
	}
	return nil
}
