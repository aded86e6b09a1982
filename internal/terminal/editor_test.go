package terminal

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// typing yields the keys of one read after the other, as a terminal does.
type typing []string

func (k *typing) Read(p []byte) (int, error) {
	if len(*k) == 0 {
		return 0, io.EOF
	}
	n := copy(p, (*k)[0])
	*k = (*k)[1:]
	return n, nil
}

func TestCtrlCGivesUpTheLineAndCtrlDEnds(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "no terminal"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, tt := range []struct {
		name  string
		keys  typing
		lines []string
		err   error
	}{
		{"Ctrl-C in a line", typing{"half", "\x03", "whole\r", "\x04"}, []string{"!", "whole"}, io.EOF},
		{"Ctrl-C with the keys before it", typing{"half\x03", "whole\r", "\x03", "\x03", "\x04"}, []string{"!", "whole", "!", "!"}, io.EOF},
		{"the arrow shows the line of before", typing{"one\r", "two\x03", "\x1b[A\r", "\x04"}, []string{"one", "!", "one"}, io.EOF},
		{"the end of the input", typing{"\x03"}, []string{"!"}, io.EOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			e := newEditor(file, &tt.keys, &out)
			var lines []string
			for range 10 {
				line, err := e.read("> ")
				if errors.Is(err, ErrInterrupted) {
					line, err = "!", nil
				}
				if err != nil {
					if !errors.Is(err, tt.err) {
						t.Error(err)
					}
					break
				}
				lines = append(lines, line)
			}
			if got, want := strings.Join(lines, ","), strings.Join(tt.lines, ","); got != want {
				t.Errorf("lines %q, want %q", got, want)
			}
			if left, _ := strings.CutSuffix(out.String(), "\x1b[?2004l"); !strings.HasSuffix(left, "\r\n") {
				t.Errorf("the cursor is left behind %q", left)
			}
		})
	}
}
