package chat_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

func TestAConversationIsMadeWithItsFirstMessagesAndATitle(t *testing.T) {
	w := newWorld(t, says("ok"))
	c, err := w.CreateConversation(t.Context(), caller, chat.Conversation{Metadata: map[string]string{"k": "v"}},
		[]chat.Item{message(llm.System, "Be kind"), user("What is a heron?")})
	if err != nil || c.Title != "What is a heron?" || c.MessageCount != 2 || c.Version != 1 || c.Owner != caller.Owner {
		t.Fatalf("got %+v, %v", c, err)
	}
	list, err := w.Conversations(t.Context(), caller.Owner, chat.Query{Page: chat.Page{Limit: 10, Desc: true}})
	if err != nil || len(list.Data) != 1 || list.Data[0].ID != c.ID || list.Data[0].Metadata["k"] != "v" {
		t.Errorf("listed %+v, %v", list, err)
	}
}

func TestSettingsThatAreTooLargeAreRefusedAllAtOnce(t *testing.T) {
	w := newWorld(t, says("ok"))
	pairs := map[string]string{strings.Repeat("k", 65): strings.Repeat("v", 513)}
	for i := range 16 {
		pairs[strings.Repeat("x", i+1)] = ""
	}
	_, err := w.CreateConversation(t.Context(), caller, chat.Conversation{
		Title: strings.Repeat("é", chat.MaxTitle+1), User: strings.Repeat("u", chat.MaxUser+1), Metadata: pairs,
	}, nil)
	f, _ := errors.AsType[*fault.Error](err)
	if f == nil || f.Kind != fault.Invalid || len(f.Fields) != 5 {
		t.Errorf("got %+v", f)
	}
	if _, err := w.CreateConversation(t.Context(), caller, chat.Conversation{Title: strings.Repeat("é", chat.MaxTitle), User: strings.Repeat("u", chat.MaxUser)}, nil); err != nil {
		t.Errorf("the limits themselves were refused: %v", err)
	}
	conv := w.conversation(chat.Conversation{})
	if _, err := w.UpdateConversation(t.Context(), caller, conv, 0, func(c *chat.Conversation) error { c.Metadata = pairs; return nil }); code(err) != chat.CodeInvalid {
		t.Errorf("an update got %v", err)
	}
}

func TestEditingAndDeletingAMessageLeaveAuditRecords(t *testing.T) {
	w := newWorld(t, says("ok"))
	conv := w.conversation(chat.Conversation{})
	items, err := w.AppendItems(t.Context(), caller, conv, []chat.Item{user("helo"), {Item: llm.Item{Type: llm.TypeReasoning, Data: []byte(`{"type":"reasoning","summary":[]}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(items[1].ID, "rs_") {
		t.Errorf("a reasoning step is called %s", items[1].ID)
	}
	edited, err := w.UpdateItem(t.Context(), caller, conv, items[0].ID, 1, func(i *chat.Item) error { i.Content = []byte(`"hello"`); return nil })
	if err != nil || edited.Version != 2 || edited.EditedAt.IsZero() || string(edited.Content) != `"hello"` {
		t.Fatalf("edited %+v, %v", edited, err)
	}
	refused := errors.New("no")
	if _, err := w.UpdateItem(t.Context(), caller, conv, items[0].ID, 0, func(*chat.Item) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if _, err := w.UpdateItem(t.Context(), caller, conv, items[1].ID, 0, func(*chat.Item) error { return nil }); code(err) != "not_editable" {
		t.Errorf("a reasoning step got %v", err)
	}
	if read, err := w.Item(t.Context(), caller.Owner, conv, items[0].ID); err != nil || string(read.Content) != `"hello"` {
		t.Errorf("read %+v, %v", read, err)
	}
	if err := w.DeleteItem(t.Context(), caller, conv, items[0].ID, 2); err != nil {
		t.Fatal(err)
	}
	recs := w.records(conv)
	if len(recs) != 2 || recs[0].Kind != audit.KindMessageEdited || recs[1].Kind != audit.KindMessageDeleted || recs[0].ItemID != items[0].ID {
		t.Errorf("recorded %+v", recs)
	}
	w.verify()
}

func TestReadingTheAuditLogIsItselfRecordedOncePerQuery(t *testing.T) {
	w := newWorld(t, says("ok"))
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, "hi")
	list, more, err := w.AuditRecords(t.Context(), caller, audit.Query{ConversationID: conv, Limit: 1})
	if err != nil || len(list) != 1 || !more {
		t.Fatalf("%d records, %v, %v", len(list), more, err)
	}
	if _, _, err := w.AuditRecords(t.Context(), caller, audit.Query{ConversationID: conv, Limit: 1, After: list[0].ID}); err != nil {
		t.Fatal(err)
	}
	if rec, err := w.AuditRecord(t.Context(), caller, list[0].ID); err != nil || rec.Payloads[0].Text != "ok" {
		t.Errorf("got %+v, %v", rec, err)
	}
	reads, _, err := w.store.Records(t.Context(), caller.Owner, audit.Query{Kind: audit.KindRead, Limit: 10})
	if err != nil || len(reads) != 2 {
		t.Errorf("%d reads are recorded, want 2 (%v)", len(reads), err)
	}
	w.store.inject(true, "Append", errDisk, errDisk)
	if _, _, err := w.AuditRecords(t.Context(), caller, audit.Query{Limit: 1}); code(err) != "audit_unavailable" {
		t.Errorf("a reading that could not be recorded got %v", err)
	}
	if _, err := w.AuditRecord(t.Context(), caller, list[0].ID); code(err) != "audit_unavailable" {
		t.Errorf("a reading that could not be recorded got %v", err)
	}
	if _, err := w.AuditRecord(t.Context(), caller, "aud_none"); code(err) != chat.CodeRecordNotFound {
		t.Errorf("an unknown record got %v", err)
	}
}

func TestResponsesAreListedByAgeAndBelongToTheirOwner(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, says("one"), until(release, "two"))
	conv := w.conversation(chat.Conversation{})
	first := w.mustAsk(conv, "1")
	run := w.stream(conv, user("2"))
	begun(t, run)
	running, err := w.Response(t.Context(), caller.Owner, run.Response().ID)
	if err != nil || running.Status != chat.InProgress || running.StartedAt.IsZero() || running.FirstTokenAt.IsZero() {
		t.Errorf("while it runs it shows %+v, %v", running, err)
	}
	if _, err := w.Response(t.Context(), "another", running.ID); code(err) != chat.CodeResponseNotFound {
		t.Errorf("another owner got %v", err)
	}
	close(release)
	if _, err := run.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := w.Responses(t.Context(), caller.Owner, conv, chat.Page{Limit: 10})
	if err != nil || len(list.Data) != 2 || list.Data[0].ID != first.ID {
		t.Errorf("listed %+v, %v", list, err)
	}
}

func TestAPromptWithoutAModelOrAProviderIsRefused(t *testing.T) {
	w := newWorld(t, says("never"))
	conv := w.conversation(chat.Conversation{})
	w.Router.Default = "nobody"
	if _, err := w.respond(conv, user("hi")); code(err) != "model_not_found" {
		t.Errorf("got %v", err)
	}
	w.DefaultModel = func(context.Context) (string, error) {
		return "", fault.New(fault.Upstream, "upstream_failed", "The provider lists no model.")
	}
	if _, err := w.respond(conv, user("hi")); code(err) != "upstream_failed" {
		t.Errorf("got %v", err)
	}
	if _, err := w.respond("conv_none", user("hi")); code(err) != chat.CodeConversationNotFound {
		t.Errorf("got %v", err)
	}
}

func TestAConversationThatNeverHoldsStillIsBusy(t *testing.T) {
	w := newWorld(t, says("never"))
	conv := w.conversation(chat.Conversation{})
	for range 20 {
		w.store.inject(true, "Begin", chat.ErrStale)
	}
	if _, err := w.respond(conv, user("hi")); code(err) != chat.CodeConversationLocked {
		t.Errorf("got %v", err)
	}
}

// tally is an observer that keeps what it was told.
type tally struct {
	attempts  chan string
	responses chan chat.Status
}

func (t tally) Attempt(provider, code string, _ time.Duration) { t.attempts <- provider + " " + code }
func (t tally) Response(r *chat.Response)                      { t.responses <- r.Status }

func TestAnObserverIsToldOfEveryAttemptAndResponse(t *testing.T) {
	w := newWorld(t, says("ok"), fails(upstreamError(false)))
	seen := tally{make(chan string, 2), make(chan chat.Status, 2)}
	w.Observer = seen
	conv := w.conversation(chat.Conversation{})
	w.mustAsk(conv, "hi")
	if _, err := w.ask(conv, "hi"); err == nil {
		t.Error("a failure came back as a success")
	}
	if a, b := <-seen.attempts, <-seen.attempts; a != "test " || b != "test upstream_failed" {
		t.Errorf("attempts %q, %q", a, b)
	}
	if a, b := <-seen.responses, <-seen.responses; a != chat.Completed || b != chat.Failed {
		t.Errorf("responses %q, %q", a, b)
	}
}
