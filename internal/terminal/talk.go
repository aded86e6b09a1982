package terminal

import (
	"context"
	"errors"
	"io"
	"strings"
)

// Lines is where a person's lines come from.
type Lines interface {
	// Line shows a prompt and returns the next line without its end; io.EOF says that the person is done, and
	// ErrInterrupted that the line was given up.
	Line(prompt string) (string, error)
}

// errQuit ends a talk.
var errQuit = errors.New("quit")

const (
	prompt = "> "
	// further asks for the next line of a prompt of several.
	further = "  "
)

// Talk takes prompts and commands until the person is done, or ctx is. What goes wrong is said and ends nothing.
func (s *Session) Talk(ctx context.Context, in Lines) error {
	if err := s.hello(ctx); err != nil {
		return err
	}
	interrupted := false
	for {
		line, err := s.line(in)
		if errors.Is(err, io.EOF) || interrupted && errors.Is(err, ErrInterrupted) {
			return nil
		}
		if interrupted = errors.Is(err, ErrInterrupted); interrupted {
			s.note("(Ctrl-C again leaves; so does Ctrl-D)")
			continue
		}
		if err != nil {
			return err
		}
		// An interrupt from ahead of this line is not meant for its answer.
		select {
		case <-s.Interrupts:
		default:
		}
		err = s.obey(ctx, line)
		switch {
		case errors.Is(err, errQuit):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			s.note("! %s", safe(s.Explain(err).Error()))
		}
	}
}

// line reads a line, and those behind it as long as each ends with a backslash.
func (s *Session) line(in Lines) (string, error) {
	line, err := in.Line(prompt)
	for err == nil && strings.HasSuffix(line, `\`) {
		var next string
		next, err = in.Line(further)
		line = strings.TrimSuffix(line, `\`) + "\n" + next
	}
	return strings.TrimSpace(line), err
}

func (s *Session) obey(ctx context.Context, line string) error {
	switch {
	case line == "":
		return nil
	case strings.HasPrefix(line, "//"):
		return s.Ask(ctx, line[1:])
	case strings.HasPrefix(line, "/"):
		return s.command(ctx, line[1:])
	default:
		return s.Ask(ctx, line)
	}
}

// hello says where one is.
func (s *Session) hello(ctx context.Context) error {
	v, err := s.Client.Version(ctx)
	if err != nil {
		return err
	}
	s.note("Parley %s at %s. /help lists the commands; Ctrl-C stops an answer or clears the line, Ctrl-D leaves.", safe(v.Version), s.Client.BaseURL)
	if s.Conversation == "" {
		return nil
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	return s.show(ctx, recent)
}
