package sse

import (
	"bytes"
	"strconv"
)

// AppendEvent appends one event to dst, ready to be written in one piece. A negative id and an empty name are left out.
// Each line of data becomes a data line, so no content can end the event early or add a field; a reader joins the lines
// by line feeds, whatever ended them here. Line endings in the name are left out.
func AppendEvent(dst []byte, id int64, name string, data []byte) []byte {
	if id >= 0 {
		dst = append(dst, "id: "...)
		dst = strconv.AppendInt(dst, id, 10)
		dst = append(dst, '\n')
	}
	if name != "" {
		dst = append(dst, "event: "...)
		dst = appendOneLine(dst, name)
		dst = append(dst, '\n')
	}
	dst = appendLines(dst, "data: ", data)
	return append(dst, '\n')
}

// AppendComment appends a comment, which readers skip: it keeps a connection alive.
func AppendComment(dst []byte, text string) []byte {
	dst = appendLines(dst, ": ", []byte(text))
	return append(dst, '\n')
}

func appendLines(dst []byte, prefix string, text []byte) []byte {
	for {
		end := lineEnd(text)
		dst = append(dst, prefix...)
		if end < 0 {
			dst = append(dst, text...)
			return append(dst, '\n')
		}
		dst = append(dst, text[:end]...)
		dst = append(dst, '\n')
		if text[end] == '\r' && bytes.HasPrefix(text[end+1:], []byte("\n")) {
			end++
		}
		text = text[end+1:]
	}
}

func appendOneLine(dst []byte, s string) []byte {
	for i := range len(s) {
		if s[i] != '\n' && s[i] != '\r' {
			dst = append(dst, s[i])
		}
	}
	return dst
}
