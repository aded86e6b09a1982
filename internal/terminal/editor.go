package terminal

import (
	"bytes"
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
	keys *keys
	out  io.Writer
	term *term.Terminal
}

// keys are what is typed. They tell Ctrl-C, which term takes for the end too, from Ctrl-D.
type keys struct {
	io.Reader
	// interrupt: the last keys that were read have Ctrl-C among them.
	interrupt bool
}

const ctrlC = 3

func (k *keys) Read(p []byte) (int, error) {
	n, err := k.Reader.Read(p)
	k.interrupt = bytes.IndexByte(p[:n], ctrlC) >= 0
	return n, err
}

// NewEditor makes an editor on a terminal.
func NewEditor(in, out *os.File) *Editor {
	return newEditor(in, in, out)
}

func newEditor(in *os.File, typed io.Reader, out io.Writer) *Editor {
	e := &Editor{in: in, keys: &keys{Reader: typed}, out: out}
	e.begin()
	return e
}

// begin makes the terminal anew, without what was typed into a line; the lines of before stay.
func (e *Editor) begin() {
	before := e.term
	e.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{e.keys, e.out}, "")
	if before != nil {
		e.term.History = before.History
	}
}

// Width is how many columns a terminal has; 0 where f is none.
func Width(f *os.File) int {
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
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
	return e.read(prompt)
}

// read reads a line from the terminal as it was set.
func (e *Editor) read(prompt string) (string, error) {
	if columns, rows, err := term.GetSize(int(e.in.Fd())); err == nil && columns > 0 {
		_ = e.term.SetSize(columns, rows)
	}
	e.term.SetPrompt(prompt)
	e.term.SetBracketedPasteMode(true)
	defer func() { e.term.SetBracketedPasteMode(false) }()
	var lines []string
	for {
		line, err := e.term.ReadLine()
		lines = append(lines, line)
		switch {
		case errors.Is(err, term.ErrPasteIndicator):
			continue
		case errors.Is(err, io.EOF):
			// Written past the terminal, which would show its prompt again behind it.
			_, _ = io.WriteString(e.out, "\r\n")
			if e.keys.interrupt {
				e.begin()
				return "", ErrInterrupted
			}
			return "", io.EOF
		case err != nil:
			return "", fmt.Errorf("reading a line: %w", err)
		}
		return strings.Join(lines, "\n"), nil
	}
}
