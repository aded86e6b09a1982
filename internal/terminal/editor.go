package terminal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Editor reads lines from a terminal, with the keys that one expects and the lines of before at the arrows. Between two
// lines the terminal is as it was, so that Ctrl-C is a signal then.
type Editor struct {
	in   *os.File
	term *term.Terminal
}

// NewEditor makes an editor on a terminal.
func NewEditor(in, out *os.File) *Editor {
	return &Editor{in: in, term: term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, "")}
}

// IsTerminal reports whether a file is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Line implements Lines. What is pasted may have several lines and is one.
func (e *Editor) Line(prompt string) (_ string, err error) {
	before, err := term.MakeRaw(int(e.in.Fd()))
	if err != nil {
		return "", fmt.Errorf("setting the terminal: %w", err)
	}
	defer func() { err = errors.Join(err, term.Restore(int(e.in.Fd()), before)) }()
	if columns, rows, err := term.GetSize(int(e.in.Fd())); err == nil && columns > 0 {
		_ = e.term.SetSize(columns, rows)
	}
	e.term.SetPrompt(prompt)
	e.term.SetBracketedPasteMode(true)
	defer e.term.SetBracketedPasteMode(false)
	var lines []string
	for {
		line, err := e.term.ReadLine()
		lines = append(lines, line)
		switch {
		case errors.Is(err, term.ErrPasteIndicator):
			continue
		case errors.Is(err, io.EOF):
			_, _ = io.WriteString(e.term, "\n")
			return "", io.EOF
		case err != nil:
			return "", fmt.Errorf("reading a line: %w", err)
		}
		return strings.Join(lines, "\n"), nil
	}
}
