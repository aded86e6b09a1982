// Package sse reads and writes event streams (server-sent events, the text/event-stream format of the WHATWG HTML
// standard, section 9.2).
//
// It owns the framing alone: it knows neither HTTP nor what the events mean. What it writes cannot be broken by content,
// and what it reads is bounded.
package sse

import (
	"bytes"
	"errors"
	"io"
)

// The limits of a Reader that sets none.
const (
	DefaultMaxLine  = 1 << 20
	DefaultMaxEvent = 4 << 20
)

const (
	// bufferSize is that of the first buffer. It grows with the longest event; what is read from has a buffer of its own.
	bufferSize = 1 << 10
	// maxEmptyReads is how often a source may return nothing at all before it is taken for broken.
	maxEmptyReads = 100
)

// What a Reader refuses.
var (
	ErrLineTooLong   = errors.New("a line of the event stream is too long")
	ErrEventTooLarge = errors.New("an event of the stream is too large")
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// Event is one event of a stream. Its slices are views that hold until the next call of Next.
type Event struct {
	// Type is the event's name, empty where the stream gave none (a browser would say "message").
	Type []byte
	// Data is the data lines joined by line feeds. It may be empty.
	Data []byte
	// ID is the last id that the stream has given, with this event or before it.
	ID []byte
}

// Reader reads the events of one stream. It ends lines at LF, CR or CRLF, hands an event out as soon as its blank line
// has come, and skips comments, unknown fields and events without data. Bytes pass as they are, valid UTF-8 or not.
type Reader struct {
	// MaxLine bounds one line and MaxEvent the data of one event, in bytes. Set them before the first Next.
	MaxLine, MaxEvent int

	src io.Reader
	// buf[start:end] has been read from src and not been consumed.
	buf        []byte
	start, end int
	// afterCR: the last line ended with a CR, so an LF that follows belongs to it.
	afterCR bool
	begun   bool
	err     error

	name, data, id []byte
}

// NewReader makes a reader with the default limits.
func NewReader(src io.Reader) *Reader {
	return &Reader{MaxLine: DefaultMaxLine, MaxEvent: DefaultMaxEvent, src: src}
}

// Next returns the next event. The end of the stream is io.EOF; an event that has begun and whose blank line never came is
// then dropped, as the standard says. Any other error is ErrLineTooLong, ErrEventTooLarge or the source's own. After
// an error Next keeps returning it.
func (r *Reader) Next() (Event, error) {
	r.name, r.data = r.name[:0], r.data[:0]
	hasData := false
	for {
		line, err := r.line()
		if err != nil {
			return Event{}, err
		}
		if len(line) == 0 {
			if !hasData {
				r.name = r.name[:0]
				continue
			}
			return Event{Type: r.name, Data: r.data, ID: r.id}, nil
		}
		field, value := cut(line)
		switch string(field) {
		case "data":
			if len(r.data)+len(value)+1 > r.MaxEvent {
				return Event{}, r.fail(ErrEventTooLarge)
			}
			if hasData {
				r.data = append(r.data, '\n')
			}
			r.data = append(r.data, value...)
			hasData = true
		case "event":
			r.name = append(r.name[:0], value...)
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				r.id = append(r.id[:0], value...)
			}
		}
	}
}

// cut splits a line into its field and its value. A comment has the empty field.
func cut(line []byte) (field, value []byte) {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return line, nil
	}
	value = line[colon+1:]
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	return line[:colon], value
}

// line returns the next line without its ending: a view until the next call. What follows the last line ending of the
// stream is never part of an event, so it is dropped.
func (r *Reader) line() ([]byte, error) {
	scanned := 0
	for {
		if r.afterCR && r.start < r.end {
			r.afterCR = false
			if r.buf[r.start] == '\n' {
				r.start++
			}
		}
		pending := r.buf[r.start:r.end]
		if i := lineEnd(pending[scanned:]); i >= 0 {
			line := pending[:scanned+i]
			r.start += len(line) + 1
			r.afterCR = pending[len(line)] == '\r'
			return r.checked(line)
		}
		scanned = len(pending)
		if scanned > r.MaxLine {
			return nil, r.fail(ErrLineTooLong)
		}
		if r.err != nil {
			return nil, r.err
		}
		r.err = r.fill()
	}
}

func (r *Reader) checked(line []byte) ([]byte, error) {
	if len(line) > r.MaxLine {
		return nil, r.fail(ErrLineTooLong)
	}
	if !r.begun {
		r.begun = true
		line = bytes.TrimPrefix(line, byteOrderMark)
	}
	return line, nil
}

// fail ends the stream here: nothing that was read and not handed out follows.
func (r *Reader) fail(err error) error {
	r.err, r.start, r.end = err, 0, 0
	return err
}

// lineEnd is where the first LF or CR is, or -1.
func lineEnd(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// fill reads once from the source, behind what is pending. An error that comes along with bytes is returned, and they are kept.
func (r *Reader) fill() error {
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		r.start, r.end = 0, r.end-r.start
	}
	if r.end == len(r.buf) {
		grown := make([]byte, max(bufferSize, 2*len(r.buf)))
		copy(grown, r.buf)
		r.buf = grown
	}
	for range maxEmptyReads {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		if n > 0 || err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}
