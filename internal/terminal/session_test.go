package terminal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
)

// script is a server that answers as a test says, and keeps what was asked.
type script struct {
	t     *testing.T
	url   string
	asked []string
	// answers by method and path; more than one are given in turn, the last for ever.
	answers map[string][]string
	// hold, if set, keeps a stream open until it is closed or the client has gone.
	hold chan struct{}
}

const held = "hold"

func newScript(t *testing.T, answers map[string][]string) *script {
	s := &script{t: t, answers: answers, hold: make(chan struct{})}
	ts := httptest.NewServer(s)
	s.url = ts.URL
	t.Cleanup(func() {
		close(s.hold)
		ts.Close()
	})
	return s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	key := r.Method + " " + r.URL.RequestURI()
	s.asked = append(s.asked, strings.TrimSpace(key+" "+string(body)))
	list := s.answers[key]
	if len(list) == 0 {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"code":"route_not_found","detail":"There is nothing at this path."}`)
		return
	}
	if len(list) > 1 {
		s.answers[key] = list[1:]
	}
	text, wait := strings.CutSuffix(list[0], held)
	_, _ = io.WriteString(w, text)
	if wait {
		_ = http.NewResponseController(w).Flush()
		select {
		case <-s.hold:
		case <-r.Context().Done():
		}
	}
}

// interruption among them is Ctrl-C.
const interruption = "\x03"

// typed are the lines of a person.
type typed []string

func (l *typed) Line(string) (string, error) {
	if len(*l) == 0 {
		return "", io.EOF
	}
	line := (*l)[0]
	*l = (*l)[1:]
	if line == interruption {
		return "", ErrInterrupted
	}
	return line, nil
}

func (s *script) session() (session *Session, out, notes *bytes.Buffer) {
	out, notes = &bytes.Buffer{}, &bytes.Buffer{}
	now := func() time.Time { return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC) }
	return &Session{Client: &api.Client{BaseURL: s.url}, Out: out, Notes: notes, Now: now}, out, notes
}

const (
	aConversation = `{"id":"conv_1","title":"A title"}`
	created       = "data: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\"}}\n\n"
	completed     = "data: {\"type\":\"response.completed\",\"sequence_number\":9,\"response\":{\"id\":\"resp_1\"}}\n\n"
)

func delta(number int, text string) string {
	return fmt.Sprintf("data: {\"type\":\"response.output_text.delta\",\"sequence_number\":%d,\"delta\":%s}\n\n", number, api.Text(text))
}

const (
	create  = "POST /api/conversations"
	respond = "POST /api/conversations/conv_1/responses"
	resume  = "GET /api/responses/resp_1/events?after=1"
	stop    = "POST /api/responses/resp_1/cancel"
)

func TestAnAnswerIsWrittenWithALineBreakBehindIt(t *testing.T) {
	s := newScript(t, map[string][]string{create: {aConversation}, respond: {created + delta(1, "one ") + delta(2, "two") + completed}})
	session, out, notes := s.session()
	if err := session.Ask(t.Context(), "hello"); err != nil || out.String() != "one two\n" || notes.Len() > 0 {
		t.Errorf("%v %q %q", err, out, notes)
	}
	if want := respond + ` {"prompt":"hello","stream":true}`; s.asked[1] != want {
		t.Errorf("asked %s", s.asked[1])
	}
}

func TestATerminalObeysNoAnswer(t *testing.T) {
	text := "a\x1b[2Jb\u009b31mc\x00\x07d\te\nf\x7f"
	s := newScript(t, map[string][]string{create: {aConversation}, respond: {created + delta(1, text) + completed}})
	session, out, _ := s.session()
	if err := session.Ask(t.Context(), "hello"); err != nil || out.String() != "a[2Jb31mcd\te\nf\n" {
		t.Errorf("%v %q", err, out)
	}
	out.Reset()
	session.Plain = true
	if err := session.Ask(t.Context(), "hello"); err != nil || out.String() != text+"\n" {
		t.Errorf("%v %q", err, out)
	}
}

func TestAStreamThatBreaksOffIsReadOn(t *testing.T) {
	s := newScript(t, map[string][]string{
		create: {aConversation}, respond: {created + delta(1, "one ")}, resume: {delta(2, "two") + completed},
	})
	session, out, _ := s.session()
	if err := session.Ask(t.Context(), "hello"); err != nil || out.String() != "one two\n" {
		t.Errorf("%v %q", err, out)
	}
	// It is an error where it cannot be.
	delete(s.answers, resume)
	out.Reset()
	if err := session.Ask(t.Context(), "hello"); err == nil || out.String() != "one \n" {
		t.Errorf("%v %q", err, out)
	}
}

func TestAnInterruptStopsTheAnswerAndNotTheTalk(t *testing.T) {
	s := newScript(t, map[string][]string{
		"GET /version": {`{"version":"1"}`}, create: {aConversation}, respond: {created + delta(1, "one ") + held, created + delta(1, "more") + completed}, stop: {`{"id":"resp_1"}`},
	})
	session, _, notes := s.session()
	interrupts := make(chan os.Signal, 1)
	session.Interrupts = interrupts
	var out bytes.Buffer
	session.Out = writer(func(p []byte) (int, error) {
		if out.Len() == 0 {
			interrupts <- os.Interrupt
		}
		return out.Write(p)
	})
	lines := typed{"first", "second", "/quit", "never"}
	if err := session.Talk(t.Context(), &lines); err != nil || out.String() != "one \nmore\n" || !strings.Contains(notes.String(), "! interrupted; what had come of the answer is kept\n") || len(lines) != 1 {
		t.Errorf("%v %q %q", err, out.String(), notes)
	}
	if asked := strings.Join(s.asked, "\n"); !strings.Contains(asked, stop) {
		t.Errorf("asked\n%s", asked)
	}
}

func TestTwoInterruptsInARowLeave(t *testing.T) {
	s := newScript(t, map[string][]string{"GET /version": {`{"version":"1"}`}})
	session, _, notes := s.session()
	lines := typed{interruption, "/help", `half \`, interruption, interruption, "never"}
	if err := session.Talk(t.Context(), &lines); err != nil || len(lines) != 1 || strings.Count(notes.String(), "(Ctrl-C again leaves; so does Ctrl-D)") != 2 || len(s.asked) != 1 {
		t.Errorf("%v, %q is left, asked %q, notes %s", err, lines, s.asked, notes)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestWhatEndsAnAnswerEarlyIsSaid(t *testing.T) {
	incomplete := "data: {\"type\":\"response.incomplete\",\"sequence_number\":3,\"response\":{\"id\":\"resp_1\",\"finish_reason\":\"length\"}}\n\n"
	failed := "data: {\"type\":\"response.failed\",\"sequence_number\":3,\"response\":{\"id\":\"resp_1\",\"error\":{\"code\":\"upstream_failed\",\"message\":\"It failed.\"}}}\n\n"
	call := "data: {\"type\":\"response.output_item.done\",\"sequence_number\":2,\"item\":{\"role\":\"assistant\",\"content\":[{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"{}\"}]}}\n\n"
	s := newScript(t, map[string][]string{create: {aConversation}, respond: {created + delta(1, "one") + call + incomplete, created + failed}})
	session, out, notes := s.session()
	if err := session.Ask(t.Context(), "hello"); err != nil || out.String() != "one\n" || notes.String() != "(the model calls f with {}; nothing is carried out here)\n(the answer was cut off: it is as long as the model may make it)\n" {
		t.Errorf("%v %q %q", err, out, notes)
	}
	if err := session.Ask(t.Context(), "hello"); api.ErrorCode(err) != "upstream_failed" {
		t.Error(err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	session := &Session{Client: &api.Client{BaseURL: "http://127.0.0.1:1"}, Out: io.Discard, Notes: io.Discard}
	err := session.Explain(session.Ask(t.Context(), "hello"))
	if err == nil || !strings.Contains(err.Error(), "`parley serve`") || !strings.Contains(err.Error(), "http://127.0.0.1:1") {
		t.Error(err)
	}
	for code, says := range map[string]string{"unauthenticated": "PARLEY_API_KEY", "conversation_locked": "/new", "other": "other"} {
		if got := session.Explain(&api.Problem{Code: code}).Error(); !strings.Contains(got, says) {
			t.Errorf("%s: %s", code, got)
		}
	}
	session.Client.APIKey = "bad"
	if got := session.Explain(&api.Problem{Code: "unauthenticated"}).Error(); !strings.Contains(got, "refused this key") || strings.Contains(got, "wants") {
		t.Error(got)
	}
	if plain := errors.New("x"); session.Explain(plain) != plain { //nolint:errorlint // the very same
		t.Error("an error was changed")
	}
}

const remove = "DELETE /api/conversations/conv_1"

func TestAModelThatIsNotThereIsNamedAndLeavesNoConversation(t *testing.T) {
	unknown := "data: {\"type\":\"response.failed\",\"sequence_number\":1,\"response\":{\"id\":\"resp_1\",\"error\":{\"code\":\"model_not_found\",\"message\":\"No.\"}}}\n\n"
	s := newScript(t, map[string][]string{
		create: {aConversation}, respond: {created + unknown, created + completed, created + unknown, created + unknown}, remove: {"{}"},
		"GET /api/conversations/conv_1": {`{"id":"conv_1","model":"gone"}`},
	})
	session, _, _ := s.session()
	session.Model = "nope"
	err := session.Explain(session.Ask(t.Context(), "hello"))
	if err == nil || !strings.Contains(err.Error(), `no model "nope"`) || !strings.Contains(err.Error(), "--model") || !strings.Contains(err.Error(), "/model") {
		t.Error(err)
	}
	if s.asked[len(s.asked)-1] != remove {
		t.Errorf("asked %s", s.asked)
	}
	// The next prompt begins anew, and a conversation with an answer in it stays whatever comes.
	session.Model = "there"
	if err := session.Ask(t.Context(), "hello"); err != nil || s.asked[len(s.asked)-2] != create+` {"model":"there"}` {
		t.Errorf("%v, asked %s", err, s.asked)
	}
	session.Model = "nope"
	if err := session.Ask(t.Context(), "hello"); api.ErrorCode(err) != "model_not_found" || strings.HasPrefix(s.asked[len(s.asked)-1], "DELETE") {
		t.Errorf("%v, asked %s", err, s.asked)
	}
	// So does one that was there before.
	session, _, _ = s.session()
	session.Conversation = "conv_1"
	if err := session.Ask(t.Context(), "hello"); err == nil || !strings.Contains(err.Error(), `no model "gone", which is this conversation's`) || strings.HasPrefix(s.asked[len(s.asked)-1], "DELETE") {
		t.Errorf("%v, asked %s", err, s.asked)
	}
}

func TestTheTitleThatTheServerMadeIsShown(t *testing.T) {
	s := newScript(t, map[string][]string{
		"GET /version": {`{"version":"1"}`}, create: {`{"id":"conv_1"}`}, respond: {created + completed},
		"GET /api/conversations/conv_1": {aConversation}, "GET /api/conversations/conv_1/messages?limit=6&order=desc": {`{"data":[]}`},
	})
	session, _, notes := s.session()
	if err := session.Talk(t.Context(), &typed{"hello", "/show"}); err != nil || !strings.Contains(notes.String(), "A title (conv_1)\nThere is no message in it yet.\n") {
		t.Errorf("%v %s", err, notes)
	}
}

func TestLinesAndCommands(t *testing.T) {
	s := newScript(t, map[string][]string{
		"GET /version": {`{"version":"1"}`}, create: {aConversation}, respond: {created + completed},
		"GET /api/conversations?limit=20":                             {`{"data":[{"id":"conv_2","title":"B\u001b","message_count":1,"forked_from":{"conversation_id":"conv_9"},"updated_at":"2026-05-04T11:57:00Z"},{"id":"conv_3","updated_at":"2026-05-04T02:00:00Z"}],"has_more":true}`},
		"GET /api/conversations?limit=20&q=two+words":                 {`{"data":[{"id":"conv_4","snippet":"the two words"}]}`, `{"data":[]}`},
		"GET /api/conversations/conv_2":                               {`{"id":"conv_2","title":"B"}`},
		"GET /api/conversations/conv_2/messages?limit=6&order=desc":   {`{"data":[{"id":"msg_2","seq":2,"role":"assistant","content":"hi","status":"incomplete"},{"id":"msg_1","seq":1,"role":"user","content":"hello\nthere","status":"completed"}]}`},
		"GET /api/conversations/conv_2/messages?limit=100&order=desc": {`{"data":[{"id":"msg_2","seq":2,"role":"assistant","content":"hi"},{"id":"msg_1","seq":1,"role":"user","content":"hello"}]}`},
		"POST /api/conversations/conv_2/fork":                         {`{"id":"conv_1","message_count":1}`},
		"PATCH /api/conversations/conv_1":                             {`{"id":"conv_1","title":"new","model":"m"}`},
		"GET /api/models":                                             {`{"data":[{"id":"m"},{"id":"n","context_window":1048576,"pricing":{"input":0.15,"output":3}},{"id":"o","context_window":999}],"unavailable":[{"provider":"p","code":"upstream_auth"}]}`},
	})
	session, _, notes := s.session()
	lines := typed{
		"", "/nonsense", "/show", "/fork", "/retry", "/title x", "/open", "/open 1", "one \\", "two", "//slash", "/list two words", "/list two words", "/retry", "/list", "/open 1", "/open 7", "/fork 9", "/fork x",
		"/fork 1", "/title new", "/title", "/model", "/model m", "/model", "/show 0", "/help", "/new again", "/exit",
	}
	if err := session.Talk(t.Context(), &lines); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"there is no command /nonsense", "no conversation is open", "which one?", "/list has no such number", "None.", "     the two words\n",
		"  1  B                                                     1 message  3 min ago, a copy\n", "  2  (no title)                                           0 messages  10 h ago\n",
		"There are more", "B (conv_2)\n   1  user       hello there\n   2  assistant  hi (broken off)\n", "there is no message of this number", "behind which message?", "A copy of 1 message: conv_1",
		"It is now called new.", "which title?", "* m\n  n  (1,048,576 tokens; $0.15 in, $3 out for a million)\n  o  (999 tokens)\n  p cannot be asked: upstream_auth\n", "The model is now m.", "A number from 1 to 100", "  /open NUMBER|ID", "A new conversation: conv_1",
	} {
		if !strings.Contains(notes.String(), want) {
			t.Errorf("%q is not among the notes", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", notes)
	}
	asked := strings.Join(s.asked, "\n")
	for _, want := range []string{
		`{"prompt":"one \ntwo","stream":true}`, `{"prompt":"/slash","stream":true}`, `{"stream":true,"regenerate":true}`, `fork {"after":"msg_1"}`, `{"title":"new"}`, `{"model":"m"}`, `{"title":"again","model":"m"}`,
	} {
		if !strings.Contains(asked, want) {
			t.Errorf("%s was not asked in\n%s", want, asked)
		}
	}
}

func TestTheLastConversationIsGoneOnWith(t *testing.T) {
	const list = "GET /api/conversations?limit=1"
	s := newScript(t, map[string][]string{
		list: {`{"data":[` + aConversation + `]}`, `{"data":[]}`}, respond: {created + completed},
	})
	session, _, _ := s.session()
	session.Conversation = Last
	if err := session.Ask(t.Context(), "hello"); err != nil || session.Conversation != "conv_1" {
		t.Errorf("%v %s", err, session.Conversation)
	}
	session, _, _ = s.session()
	session.Conversation = Last
	if err := session.Ask(t.Context(), "hello"); err == nil || !strings.Contains(err.Error(), "no conversation yet") {
		t.Error(err)
	}
}
