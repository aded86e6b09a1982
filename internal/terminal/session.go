// Package terminal is a talk with a Parley server in a terminal, or through pipes.
//
// It owns what is read from a person and shown to one. It knows the server by the API's client alone.
package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/parley-llm/parley/api"
)

// Last is the Conversation of a Session that goes on with the one that was last active.
const Last = "last"

// ErrInterrupted is what a prompt ends with that was stopped ahead of its answer's end.
var ErrInterrupted = errors.New("interrupted")

const codeModelNotFound = "model_not_found"

// cancelPatience is how long the server is given to stop an answer.
const cancelPatience = 10 * time.Second

// Session is one talk. Its exported fields are set ahead of the first call. It is not safe for concurrent use.
type Session struct {
	Client *api.Client
	// Out gets the answers, Notes everything else that is worth saying.
	Out, Notes io.Writer
	// Model, if set, is that of a new conversation, and of the prompts in one that is opened.
	Model string
	// Conversation is the id of the one to go on with, Last, or empty for a new one.
	Conversation string
	// Interrupts, if set, stop the answer that is being written.
	Interrupts <-chan os.Signal
	// Plain leaves control characters in answers as they are. A terminal would obey them.
	Plain bool
	// Now is the clock.
	Now func() time.Time

	conv *api.Conversation
	// fresh: the conversation was made for a prompt, and nothing has come of that yet.
	fresh  bool
	listed []string
}

// Ask sends a prompt and writes the answer as it comes, with a line break behind it.
func (s *Session) Ask(ctx context.Context, prompt string) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	return s.turn(ctx, api.NewResponse{Prompt: api.Text(prompt), Model: s.Model})
}

// turn has the current conversation answered.
func (s *Session) turn(ctx context.Context, body api.NewResponse) error {
	err := s.respond(ctx, body)
	if api.ErrorCode(err) == codeModelNotFound {
		return s.noModel(ctx, err)
	}
	s.fresh = false
	return err
}

// noModel says of a model that nobody offers where its name came from and how to choose another. A conversation that was
// made for the prompt goes again: it keeps the model, so every later prompt in it would fail too.
func (s *Session) noModel(ctx context.Context, cause error) error {
	model, from := s.Model, "that --model or /model has chosen"
	if model == "" && s.conv.Model != nil {
		model, from = *s.conv.Model, "which is this conversation's"
	}
	if s.fresh && s.Client.DeleteConversation(ctx, s.conv.ID, 0) == nil {
		s.conv, s.Conversation, s.fresh = nil, "", false
	}
	if model == "" {
		return fmt.Errorf("the server's default model is not there (%w): correct its settings, or choose a model with --model or /model, which lists them", cause)
	}
	return fmt.Errorf("the server has no model %q, %s (%w): choose another with --model or /model, which lists them", model, from, cause)
}

// respond asks for an answer in the current conversation and writes it.
func (s *Session) respond(ctx context.Context, body api.NewResponse) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.Interrupts:
			cancel(ErrInterrupted)
		case <-ctx.Done():
		}
	}()
	a := answer{session: s}
	err := a.read(s.Client.Stream(ctx, s.conv.ID, body))
	if errors.Is(err, api.ErrStreamBroken) && a.response != "" {
		// The answer goes on at the server. Its events are numbered, so it is read on where the connection broke.
		err = a.read(s.Client.Events(ctx, a.response, a.seq))
	}
	a.end()
	if err != nil && ctx.Err() != nil {
		return s.stop(ctx, a.response)
	}
	return err
}

// stop ends a response that its reader has given up.
func (s *Session) stop(ctx context.Context, response string) error {
	if response == "" {
		return ErrInterrupted
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), cancelPatience)
	defer done()
	if _, err := s.Client.Cancel(ctx, response); err != nil {
		return fmt.Errorf("%w; the server goes on with the answer and keeps it", ErrInterrupted)
	}
	return fmt.Errorf("%w; what had come of the answer is kept", ErrInterrupted)
}

// begin makes sure that there is a conversation.
func (s *Session) begin(ctx context.Context) error {
	if s.conv != nil {
		return nil
	}
	var conv api.Conversation
	var err error
	switch s.Conversation {
	case "":
		conv, err = s.Client.CreateConversation(ctx, api.NewConversation{Model: s.Model})
		s.fresh = err == nil
	case Last:
		var list api.ConversationList
		list, err = s.Client.Conversations(ctx, api.ConversationQuery{ListQuery: api.ListQuery{Limit: 1}})
		if err == nil && len(list.Data) == 0 {
			return errors.New("there is no conversation yet")
		}
		if err == nil {
			conv = list.Data[0].Conversation
		}
	default:
		conv, err = s.Client.Conversation(ctx, s.Conversation)
	}
	if err != nil {
		return err
	}
	s.conv, s.Conversation = &conv, conv.ID
	return nil
}

// note says something that is not part of an answer.
func (s *Session) note(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Notes, format+"\n", args...)
}

// Explain says of an error what whoever sits at the terminal can do about it.
func (s *Session) Explain(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("no Parley answers at %s: start one with `parley serve`, or name another with --url (%w)", s.Client.BaseURL, op.Err)
	}
	switch api.ErrorCode(err) {
	case "unauthenticated":
		if s.Client.APIKey != "" {
			return errors.New("the server refused this key: correct --api-key, --api-key-file or PARLEY_API_KEY, whichever gave it")
		}
		return errors.New("the server wants its API key: set PARLEY_API_KEY, or give --api-key or --api-key-file")
	case "conversation_locked":
		return errors.New("an answer is still being written in this conversation: wait for its end, or begin another with /new")
	}
	return err
}

// safe is a text without the control characters that a terminal would obey.
func safe(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text)
}
