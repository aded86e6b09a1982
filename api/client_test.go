package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/audit"
)

func ok[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestAConversationFromItsBirthToItsEnd(t *testing.T) {
	c, ctx := newClient(t), t.Context()
	conv := ok[api.Conversation](t)(c.CreateConversation(ctx, api.NewConversation{
		Title: "a <title> & more", Metadata: map[string]string{"k": "v"}, Messages: []api.NewMessage{{Role: "user", Content: api.Text("one <two> & \u2028 three")}},
	}))
	if *conv.Title != "a <title> & more" || conv.MessageCount != 1 {
		t.Errorf("%+v", conv)
	}
	m := ok[api.Message](t)(c.CreateMessage(ctx, conv.ID, api.NewMessage{Role: "assistant", Content: api.Text("four")}))
	whole := ok[api.Conversation](t)(c.ConversationWithMessages(ctx, conv.ID))
	if len(whole.Messages) != 2 || whole.Messages[0].Text() != "one <two> & \u2028 three" || whole.Messages[1].ID != m.ID {
		t.Errorf("%+v", whole.Messages)
	}
	m = ok[api.Message](t)(c.UpdateMessage(ctx, conv.ID, m.ID, m.Version, api.MessagePatch{Content: api.Text("five")}))
	if _, err := c.ReplaceMessage(ctx, conv.ID, m.ID, 1, api.ReplaceMessage{Content: api.Text("six")}); api.ErrorCode(err) != "version_mismatch" {
		t.Error(err)
	}
	m = ok[api.Message](t)(c.ReplaceMessage(ctx, conv.ID, m.ID, 0, api.ReplaceMessage{Content: api.Text("six")}))
	if got := ok[api.Message](t)(c.Message(ctx, conv.ID, m.ID)); got.Text() != "six" || got.Version != 3 {
		t.Errorf("%+v", got)
	}
	if err := c.DeleteMessage(ctx, conv.ID, m.ID, m.Version); err != nil {
		t.Error(err)
	}
	conv = ok[api.Conversation](t)(c.ReplaceConversation(ctx, conv.ID, 0, api.ReplaceConversation{Title: "other"}))
	if *conv.Title != "other" || len(conv.Metadata) != 0 {
		t.Errorf("%+v", conv)
	}
	if err := c.DeleteConversation(ctx, conv.ID, conv.Version-1); api.ErrorCode(err) != "version_mismatch" {
		t.Error(err)
	}
	if err := c.DeleteConversation(ctx, conv.ID, conv.Version); err != nil {
		t.Error(err)
	}
	if _, err := c.Conversation(ctx, conv.ID); api.ErrorCode(err) != "conversation_not_found" {
		t.Error(err)
	}
}

func TestAForkGoesOnByItself(t *testing.T) {
	c, ctx := newClient(t), t.Context()
	conv := ok[api.Conversation](t)(c.CreateConversation(ctx, api.NewConversation{Messages: []api.NewMessage{
		{Role: "user", Content: api.Text("one")}, {Role: "assistant", Content: api.Text("two")},
	}}))
	first := ok[api.MessageList](t)(c.Messages(ctx, conv.ID, api.ListQuery{Limit: 1})).Data[0]
	fork := ok[api.Conversation](t)(c.ForkConversation(ctx, conv.ID, api.ForkConversation{After: first.ID, Title: "a fork"}))
	if fork.MessageCount != 1 || fork.ForkedFrom == nil || fork.ForkedFrom.ConversationID != conv.ID || *fork.Title != "a fork" {
		t.Errorf("%+v", fork)
	}
}

func TestConversationsAreFoundByTheirWords(t *testing.T) {
	c, ctx := newClient(t), t.Context()
	want := ok[api.Conversation](t)(c.CreateConversation(ctx, api.NewConversation{
		User: "jane", Metadata: map[string]string{"k": "v"}, Messages: []api.NewMessage{{Role: "user", Content: api.Text("The harbour of Lisbon")}},
	}))
	ok[api.Conversation](t)(c.CreateConversation(ctx, api.NewConversation{Title: "Another harbour"}))
	for name, q := range map[string]api.ConversationQuery{
		"words": {Text: "harbour lisb"}, "user": {User: "jane"}, "metadata": {Metadata: map[string]string{"k": "v"}},
		"both": {Text: "harbour", User: "jane", CreatedAfter: want.CreatedAt.Add(-time.Hour), CreatedBefore: want.CreatedAt.Add(time.Hour)},
	} {
		list := ok[api.ConversationList](t)(c.Conversations(ctx, q))
		if len(list.Data) != 1 || list.Data[0].ID != want.ID || (q.Text != "") != (list.Data[0].Snippet != nil) {
			t.Errorf("by %s: %+v", name, list.Data)
		}
	}
}

func TestListsGoFromPageToPage(t *testing.T) {
	c, ctx := newClient(t), t.Context()
	var messages []api.NewMessage
	for i := range 45 {
		messages = append(messages, api.NewMessage{Role: "user", Content: api.Text(fmt.Sprint(i))})
	}
	conv := ok[api.Conversation](t)(c.CreateConversation(ctx, api.NewConversation{Messages: messages}))
	want := 44
	for m, err := range c.AllMessages(ctx, conv.ID, api.ListQuery{Limit: 10, Order: api.Desc}) {
		if err != nil || m.Text() != fmt.Sprint(want) {
			t.Fatalf("%s instead of %d: %v", m.Text(), want, err)
		}
		want--
	}
	if want != -1 {
		t.Errorf("%d are missing", want+1)
	}
	for range 24 {
		ok[api.Conversation](t)(c.CreateConversation(ctx, api.NewConversation{}))
	}
	n := 0
	for _, err := range c.AllConversations(ctx, api.ConversationQuery{ListQuery: api.ListQuery{Limit: 7}}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 25 {
		t.Errorf("%d conversations", n)
	}
	// An error is the last that comes.
	n = 0
	for _, err := range c.AllMessages(ctx, "conv_unknown", api.ListQuery{}) {
		if n++; api.ErrorCode(err) != "conversation_not_found" {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("%d times", n)
	}
}

func TestAResponseWholeAndStreamed(t *testing.T) {
	c, ctx := newClient(t), t.Context()
	conv := ok[api.Conversation](t)(c.CreateConversation(ctx, api.NewConversation{}))
	r := ok[api.Response](t)(c.Respond(ctx, conv.ID, api.NewResponse{Prompt: api.Text("one")}))
	if r.Status != "completed" || !strings.Contains(r.OutputText, `"one"`) {
		t.Errorf("%+v", r)
	}
	var text strings.Builder
	var last api.Event
	next := int64(0)
	for ev, err := range c.Stream(ctx, conv.ID, api.NewResponse{Prompt: api.Text("two")}) {
		if err != nil || ev.SequenceNumber != next || len(ev.Data) == 0 {
			t.Fatalf("%+v %v", ev, err)
		}
		next++
		if ev.Type == api.EventTextDelta {
			text.WriteString(ev.Delta)
		}
		last = ev
	}
	if last.Type != api.EventCompleted || last.Response.OutputText != text.String() || text.Len() == 0 {
		t.Errorf("%q %+v", text.String(), last)
	}
	list := ok[api.ResponseList](t)(c.Responses(ctx, conv.ID, api.ListQuery{}))
	if len(list.Data) != 2 || list.Data[0].ID != last.Response.ID {
		t.Errorf("%+v", list)
	}
	if got := ok[api.Response](t)(c.Response(ctx, r.ID)); got.OutputText != r.OutputText {
		t.Errorf("%+v", got)
	}
	if models := ok[api.ModelList](t)(c.Models(ctx)); models.Data[0].ID != "parley/echo" {
		t.Errorf("%+v", models)
	}
	if v := ok[api.Version](t)(c.Version(ctx)); v.Version != "test" {
		t.Errorf("%+v", v)
	}
	for _, err := range c.Stream(ctx, conv.ID, api.NewResponse{Prompt: api.Text("x"), Model: "parley/other"}) {
		if err != nil && api.ErrorCode(err) != "model_not_found" {
			t.Error(err)
		}
	}
}

func TestAnExportIsWhatTheVerifierTakes(t *testing.T) {
	c, ctx := newClient(t), t.Context()
	conv := ok[api.Conversation](t)(c.CreateConversation(ctx, api.NewConversation{}))
	ok[api.Response](t)(c.Respond(ctx, conv.ID, api.NewResponse{Prompt: api.Text("jane@example.com")}))
	var export bytes.Buffer
	if err := c.ExportAudit(ctx, time.Time{}, time.Time{}, &export); err != nil {
		t.Fatal(err)
	}
	v := audit.NewVerifier()
	for line := range bytes.Lines(export.Bytes()) {
		v.AddExport(bytes.TrimSuffix(line, []byte("\n")))
	}
	if report := v.FinishExport(); !report.OK || report.Records != 4 {
		t.Errorf("%+v\n%s", report, export.String())
	}
	analyzed := ok[api.Masked](t)(c.Analyze(ctx, "jane@example.com"))
	if len(analyzed.Findings) != 1 || len(analyzed.Findings[0].Reasons) == 0 {
		t.Errorf("%+v", analyzed)
	}
}

func TestWhatIsSent(t *testing.T) {
	var got *http.Request
	var body string
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got, body = r, string(data)
		_, _ = io.WriteString(w, "{}")
	}))
	defer ts.Close()
	c, ctx := &api.Client{BaseURL: ts.URL + "/below/"}, t.Context()
	at := time.Date(2026, 5, 4, 9, 30, 0, 0, time.FixedZone("", 3600))
	for _, test := range []struct {
		call func() error
		want string
	}{
		{func() error {
			_, err := c.Conversations(ctx, api.ConversationQuery{
				ListQuery: api.ListQuery{Limit: 3, After: "a", Before: "b", Order: api.Asc}, Text: "q w", Model: "m", User: "u",
				Metadata: map[string]string{"k": "v"}, CreatedAfter: at, CreatedBefore: at.Add(time.Hour),
			})
			return err
		}, "GET /below/api/conversations?after=a&before=b&created_after=2026-05-04T08%3A30%3A00Z&created_before=2026-05-04T09%3A30%3A00Z&limit=3&metadata%5Bk%5D=v&model=m&order=asc&q=q+w&user=u"},
		{func() error {
			_, err := c.AuditRecords(ctx, api.AuditQuery{ConversationID: "c", ResponseID: "r", Kind: "k", From: at, To: at})
			return err
		}, "GET /below/api/audit/records?conversation_id=c&from=2026-05-04T08%3A30%3A00Z&kind=k&response_id=r&to=2026-05-04T08%3A30%3A00Z"},
		{func() error { _, err := c.Cancel(ctx, "a/../b?c"); return err }, "POST /below/api/responses/a%2F..%2Fb%3Fc/cancel"},
		{func() error {
			for _, err := range c.Events(ctx, "r", 7) {
				if errors.Is(err, api.ErrStreamBroken) {
					return nil // the answer is no stream
				}
			}
			return errors.New("no error")
		}, "GET /below/api/responses/r/events?after=7"},
		{func() error {
			for _, err := range c.Events(ctx, "r", -1) {
				if errors.Is(err, api.ErrStreamBroken) {
					return nil // the answer is no stream
				}
			}
			return errors.New("no error")
		}, "GET /below/api/responses/r/events"},
	} {
		if err := test.call(); err != nil {
			t.Error(err)
		}
		if sent := got.Method + " " + got.URL.RequestURI(); sent != test.want || got.Header.Get("Authorization") != "" {
			t.Errorf("sent %s\nwant %s", sent, test.want)
		}
	}
	keyed := api.WithIdempotencyKey(ctx, "k1")
	if _, err := c.CreateConversation(keyed, api.NewConversation{Title: "<&>"}); err != nil || got.Header.Get("Idempotency-Key") != "k1" || body != `{"title":"<&>"}`+"\n" {
		t.Errorf("%v %v %s", err, got.Header, body)
	}
	if _, err := c.Conversation(keyed, "c"); err != nil || got.Header.Get("Idempotency-Key") != "" {
		t.Errorf("%v %v", err, got.Header)
	}
}

func TestAPromptWithAKeyIsAnsweredOnce(t *testing.T) {
	c, ctx := newClient(t), t.Context()
	conv := ok[api.Conversation](t)(c.CreateConversation(ctx, api.NewConversation{}))
	keyed := api.WithIdempotencyKey(ctx, "k1")
	first := ok[api.Response](t)(c.Respond(keyed, conv.ID, api.NewResponse{Prompt: api.Text("one")}))
	again := ok[api.Response](t)(c.Respond(keyed, conv.ID, api.NewResponse{Prompt: api.Text("one")}))
	if again.ID != first.ID || again.OutputText != first.OutputText {
		t.Errorf("%+v, then %+v", first, again)
	}
	if _, err := c.Respond(keyed, conv.ID, api.NewResponse{Prompt: api.Text("two")}); api.ErrorCode(err) != "idempotency_key_reused" {
		t.Error(err)
	}
}

func TestPromptsThatWaitForTheirTurn(t *testing.T) {
	c, ctx := newClient(t), api.WithTurn(t.Context())
	conv := ok[api.Conversation](t)(c.CreateConversation(ctx, api.NewConversation{}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if i%2 == 0 {
				ok[api.Response](t)(c.Respond(ctx, conv.ID, api.NewResponse{Prompt: api.Text("one")}))
				return
			}
			for _, err := range c.Stream(ctx, conv.ID, api.NewResponse{Prompt: api.Text("two")}) {
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if conv = ok[api.Conversation](t)(c.Conversation(ctx, conv.ID)); conv.MessageCount != 16 {
		t.Errorf("%d messages", conv.MessageCount)
	}
}

func TestAnswersThatAreNotParleys(t *testing.T) {
	answer := func(w http.ResponseWriter) {}
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
	defer ts.Close()
	c, ctx := &api.Client{BaseURL: ts.URL}, t.Context()

	answer = func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html>")
	}
	_, err := c.Version(ctx)
	if p, isProblem := errors.AsType[*api.Problem](err); !isProblem || p.Status != http.StatusBadGateway || p.Code != api.CodeUnexpected || strings.Contains(err.Error(), "html") {
		t.Error(err)
	}
	answer = func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
		w.Header().Set("X-Should-Retry", "true")
		w.Header().Set("Retry-After", "2")
		w.Header().Set("Retry-After-Ms", "1500")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"code":"overloaded","detail":"Too many.","errors":[{"location":"body.a","message":"expected b"}]}`)
	}
	_, err = c.Version(ctx)
	if p, isProblem := errors.AsType[*api.Problem](err); !isProblem || !p.ShouldRetry || p.RetryAfter != 1500*time.Millisecond || err.Error() != "overloaded: Too many. body.a: expected b." {
		t.Errorf("%v %+v", err, p)
	}
	answer = func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>") }
	if _, err = c.Version(ctx); err == nil || !strings.Contains(err.Error(), "GET /version") {
		t.Error(err)
	}
	ts.Close()
	if _, err = c.Version(ctx); err == nil || api.ErrorCode(err) != "" {
		t.Error(err)
	}
	if _, err = (&api.Client{}).Version(ctx); err == nil {
		t.Error("a client without an address called somebody")
	}
}

func TestStreamsThatDoNotEndAsTheyShould(t *testing.T) {
	const created = "data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\n\n"
	const failed = "data: {\"type\":\"response.failed\",\"response\":{\"id\":\"resp_1\",\"error\":{\"code\":\"upstream_failed\",\"message\":\"It failed.\"}}}\n\n"
	var answer atomic.Value
	hold := make(chan struct{})
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream := answer.Load().(string)
		_, _ = io.WriteString(w, stream)
		_ = http.NewResponseController(w).Flush()
		if stream == created {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
	}))
	defer ts.Close()
	c := &api.Client{BaseURL: ts.URL}
	read := func(ctx context.Context, each func()) (types []string, err error) {
		for ev, e := range c.Stream(ctx, "conv_1", api.NewResponse{}) {
			if err != nil {
				t.Error("something comes behind an error")
			}
			if err = e; err == nil {
				types = append(types, ev.Type)
				each()
			}
		}
		return types, err
	}
	answer.Store(created + failed)
	types, err := read(t.Context(), func() {})
	if p, isProblem := errors.AsType[*api.Problem](err); !isProblem || p.Code != "upstream_failed" || p.ResponseID != "resp_1" || len(types) != 2 {
		t.Errorf("%v %v", types, err)
	}
	answer.Store(created + "data: {\"type\":\"response.output_text.delta\"}\n")
	if types, err := read(t.Context(), func() {}); !errors.Is(err, api.ErrStreamBroken) || len(types) != 1 {
		t.Errorf("%v %v", types, err)
	}
	answer.Store("data: nonsense\n\n")
	if _, err := read(t.Context(), func() {}); err == nil {
		t.Error("nonsense was taken for an event")
	}
	answer.Store(created)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := read(ctx, cancel); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// Leaving the loop ends the connection.
	for ev, err := range c.Stream(t.Context(), "conv_1", api.NewResponse{}) {
		if err != nil || ev.Type != api.EventCreated {
			t.Errorf("%+v %v", ev, err)
		}
		break
	}
	close(hold)
}

func TestTheTextOfAMessage(t *testing.T) {
	for content, want := range map[string]string{
		`"a"`: "a", `[{"type":"text","text":"a"},{"type":"image_url"},{"type":"text","text":"b"}]`: "ab", `null`: "", `3`: "",
	} {
		m := api.Message{Content: []byte(content)}
		if got := m.Text(); got != want {
			t.Errorf("%s: %q", content, got)
		}
	}
}
