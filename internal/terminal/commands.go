package terminal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parley-llm/parley/api"
)

const (
	// recent is how many messages are shown of a conversation that is opened.
	recent = 6
	// listLength is how many conversations /list shows.
	listLength = 20
	// width is how much of a title or a message a line shows.
	titleWidth, messageWidth = 48, 400
)

type command struct {
	name, args, help string
	run              func(s *Session, ctx context.Context, args string) error
}

func commands() []command {
	return []command{
		{"new", "[title]", "begin another conversation", (*Session).cmdNew},
		{"list", "[words]", "list the latest conversations, or those that hold the words", (*Session).cmdList},
		{"open", "NUMBER|ID", "go on with a conversation of /list", (*Session).cmdOpen},
		{"show", "[n]", "show the last n messages with their numbers", (*Session).cmdShow},
		{"retry", "", "have the last prompt answered again", (*Session).cmdRetry},
		{"fork", "[number]", "go on in a copy of this conversation, up to and including message number", (*Session).cmdFork},
		{"model", "[id]", "list the models, or choose the one of this conversation", (*Session).cmdModel},
		{"title", "TEXT", "rename this conversation", (*Session).cmdTitle},
		{"help", "", "list the commands", (*Session).cmdHelp},
		{"quit", "", "leave; also Ctrl-D, or Ctrl-C twice", func(*Session, context.Context, string) error { return errQuit }},
	}
}

func (s *Session) command(ctx context.Context, line string) error {
	name, args, _ := strings.Cut(line, " ")
	if name == "exit" {
		name = "quit"
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(s, ctx, strings.TrimSpace(args))
		}
	}
	return fmt.Errorf("there is no command /%s; /help lists them. A text that begins with a slash begins with two", safe(name))
}

func (s *Session) cmdHelp(context.Context, string) error {
	for _, c := range commands() {
		s.note("  %-20s %s", strings.TrimSpace("/"+c.name+" "+c.args), c.help)
	}
	s.note("  Anything else is a prompt. A line that ends with \\ goes on on the next one.")
	return nil
}

func (s *Session) cmdNew(ctx context.Context, title string) error {
	conv, err := s.Client.CreateConversation(ctx, api.NewConversation{Title: title, Model: s.Model})
	if err != nil {
		return err
	}
	s.enter(&conv)
	s.note("A new conversation: %s", conv.ID)
	return nil
}

// enter makes a conversation the current one.
func (s *Session) enter(conv *api.Conversation) {
	s.conv, s.Conversation, s.fresh = conv, conv.ID, false
}

func (s *Session) cmdList(ctx context.Context, words string) error {
	list, err := s.Client.Conversations(ctx, api.ConversationQuery{ListQuery: api.ListQuery{Limit: listLength}, Text: words})
	if err != nil {
		return err
	}
	s.listed = s.listed[:0]
	if len(list.Data) == 0 {
		s.note("None.")
	}
	for i := range list.Data {
		c := &list.Data[i]
		s.listed = append(s.listed, c.ID)
		mark := " "
		if s.conv != nil && s.conv.ID == c.ID {
			mark = "*"
		}
		s.note("%s%2d  %-*s  %13s  %s%s", mark, i+1, titleWidth, shorten(titleOf(&c.Conversation), titleWidth), messages(c.MessageCount), s.ago(c.UpdatedAt), copied(&c.Conversation))
		if c.Snippet != nil {
			s.note("     %s", shorten(*c.Snippet, messageWidth))
		}
	}
	if list.HasMore {
		s.note("There are more: /list WORDS searches.")
	}
	return nil
}

func (s *Session) cmdOpen(ctx context.Context, which string) error {
	id := which
	if n, err := strconv.Atoi(which); err == nil {
		if n < 1 || n > len(s.listed) {
			return errors.New("/list has no such number")
		}
		id = s.listed[n-1]
	}
	if id == "" {
		return errors.New("which one? /list numbers them")
	}
	conv, err := s.Client.Conversation(ctx, id)
	if err != nil {
		return err
	}
	s.enter(&conv)
	return s.show(ctx, recent)
}

func (s *Session) cmdShow(ctx context.Context, args string) error {
	n := recent
	if args != "" {
		var err error
		if n, err = strconv.Atoi(args); err != nil || n < 1 || n > 100 {
			return errors.New("how many? A number from 1 to 100")
		}
	}
	return s.show(ctx, n)
}

// show writes the last messages of the current conversation, oldest first.
func (s *Session) show(ctx context.Context, n int) error {
	if s.conv == nil {
		return errNone
	}
	if s.conv.Title == nil {
		// The server may have made one of the first turn since.
		conv, err := s.Client.Conversation(ctx, s.conv.ID)
		if err != nil {
			return err
		}
		s.conv = &conv
	}
	s.note("%s (%s)", shorten(titleOf(s.conv), titleWidth), s.conv.ID)
	list, err := s.Client.Messages(ctx, s.conv.ID, api.ListQuery{Limit: n, Order: api.Desc})
	if err != nil {
		return err
	}
	if len(list.Data) == 0 {
		s.note("There is no message in it yet.")
	}
	for _, m := range slices.Backward(list.Data) {
		text := m.Text()
		if name, _, ok := toolCall(&m); ok {
			text = "calls " + name
		}
		text = shorten(text, messageWidth)
		if m.Status == "incomplete" {
			text += " (broken off)"
		}
		s.note("%4d  %-9s  %s", m.Seq, m.Role, text)
	}
	return nil
}

var errNone = errors.New("no conversation is open: ask something, or /open one")

// cmdRetry runs the last turn again; the new answer takes the old one's place.
func (s *Session) cmdRetry(ctx context.Context, _ string) error {
	if s.conv == nil {
		return errNone
	}
	return s.turn(ctx, api.NewResponse{Regenerate: true, Model: s.Model})
}

func (s *Session) cmdFork(ctx context.Context, number string) error {
	if s.conv == nil {
		return errNone
	}
	body := api.ForkConversation{}
	if number != "" {
		seq, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return errors.New("behind which message? /show numbers them")
		}
		if body.After, err = s.messageID(ctx, seq); err != nil {
			return err
		}
	}
	conv, err := s.Client.ForkConversation(ctx, s.conv.ID, body)
	if err != nil {
		return err
	}
	s.enter(&conv)
	s.note("A copy of %s: %s", messages(conv.MessageCount), conv.ID)
	return nil
}

// messageID finds a message of the current conversation by its number.
func (s *Session) messageID(ctx context.Context, seq int64) (string, error) {
	for m, err := range s.Client.AllMessages(ctx, s.conv.ID, api.ListQuery{Limit: 100, Order: api.Desc}) {
		if err != nil {
			return "", err
		}
		if m.Seq == seq {
			return m.ID, nil
		}
		if m.Seq < seq {
			break
		}
	}
	return "", errors.New("there is no message of this number: /show numbers them")
}

func (s *Session) cmdModel(ctx context.Context, id string) error {
	if id == "" {
		return s.models(ctx)
	}
	if s.conv != nil {
		conv, err := s.Client.UpdateConversation(ctx, s.conv.ID, 0, api.ConversationPatch{Model: api.Some(id)})
		if err != nil {
			return err
		}
		s.conv = &conv
	}
	s.Model = id
	s.note("The model is now %s.", safe(id))
	return nil
}

func (s *Session) models(ctx context.Context) error {
	list, err := s.Client.Models(ctx)
	if err != nil {
		return err
	}
	current := s.Model
	if s.conv != nil && s.conv.Model != nil {
		current = cmp.Or(current, *s.conv.Model)
	}
	for _, m := range list.Data {
		mark := " "
		if m.ID == current {
			mark = "*"
		}
		s.note("%s %s%s", mark, safe(m.ID), known(&m))
	}
	for _, u := range list.Unavailable {
		s.note("  %s cannot be asked: %s", safe(u.Provider), safe(u.Code))
	}
	if current == "" {
		s.note("The server's default is in force.")
	}
	return nil
}

// known is what is known of a model, behind its name.
func known(m *api.Model) string {
	var parts []string
	if n := m.ContextWindow; n != nil {
		parts = append(parts, thousands(*n)+" tokens")
	}
	if p := m.Pricing; p != nil {
		parts = append(parts, fmt.Sprintf("$%g in, $%g out for a million", p.Input, p.Output))
	}
	if len(parts) == 0 {
		return ""
	}
	return "  (" + strings.Join(parts, "; ") + ")"
}

// thousands writes a number with commas.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func (s *Session) cmdTitle(ctx context.Context, title string) error {
	if s.conv == nil {
		return errNone
	}
	if title == "" {
		return errors.New("which title?")
	}
	conv, err := s.Client.UpdateConversation(ctx, s.conv.ID, 0, api.ConversationPatch{Title: api.Some(title)})
	if err != nil {
		return err
	}
	s.conv = &conv
	s.note("It is now called %s.", shorten(title, titleWidth))
	return nil
}

func titleOf(c *api.Conversation) string {
	if c.Title == nil || *c.Title == "" {
		return "(no title)"
	}
	return *c.Title
}

// copied tells a fork from the conversation whose title it has.
func copied(c *api.Conversation) string {
	if c.ForkedFrom == nil {
		return ""
	}
	return ", a copy"
}

func messages(n int64) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

// shorten is a text in one line of at most so many characters.
func shorten(text string, most int) string {
	text = strings.Join(strings.Fields(safe(text)), " ")
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

// ago says how long ago something was.
func (s *Session) ago(t time.Time) string {
	switch d := s.Now().Sub(t); {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return t.Local().Format(time.DateOnly)
	}
}
