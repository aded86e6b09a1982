package chat_test

import (
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

func TestAConversationIsImportedOnceAndAsItWas(t *testing.T) {
	w := newWorld(t, says("Still."))
	then := time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC)
	c := chat.Conversation{
		ID: chat.FixedID(chat.PrefixConversation, then, "a"), Model: "small", Usage: llm.Usage{TotalTokens: 7}, CreatedAt: then, UpdatedAt: then.Add(time.Hour),
	}
	items := func() []chat.Item {
		list := []chat.Item{user("Are we there?"), message(llm.Assistant, "Not yet.")}
		for i := range list {
			list[i].ID, list[i].CreatedAt = chat.FixedID(chat.PrefixMessage, then, string(rune('a'+i))), then
		}
		return list
	}
	if written, err := w.ImportConversation(t.Context(), caller, c, items()); err != nil || !written {
		t.Fatal(written, err)
	}
	got, err := w.Conversation(t.Context(), caller.Owner, c.ID)
	if err != nil || got.Title != "Are we there?" || got.Usage.TotalTokens != 7 || !got.CreatedAt.Equal(then) || !got.UpdatedAt.Equal(then.Add(time.Hour)) || got.MessageCount != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	// It goes on, and a second import leaves that alone.
	w.mustAsk(c.ID, "And now?")
	if written, err := w.ImportConversation(t.Context(), caller, c, items()); err != nil || written {
		t.Fatal(written, err)
	}
	if got, err := w.Conversation(t.Context(), caller.Owner, c.ID); err != nil || got.MessageCount != 4 {
		t.Errorf("%+v, %v", got, err)
	}
	long := c
	long.ID, long.Title = chat.FixedID(chat.PrefixConversation, then, "b"), strings.Repeat("x", chat.MaxTitle+1)
	if _, err := w.ImportConversation(t.Context(), caller, long, nil); code(err) != chat.CodeInvalid {
		t.Errorf("a title that is too long: %v", err)
	}
	crowded := items()
	crowded[0].Metadata = map[string]string{strings.Repeat("k", chat.MaxMetadataKey+1): "v"}
	if _, err := w.ImportConversation(t.Context(), caller, c, crowded); code(err) != chat.CodeInvalid {
		t.Errorf("metadata that is too long: %v", err)
	}
	w.verify()
}

func TestImportedCallsAreMaskedAndThereOnce(t *testing.T) {
	w := newWorld(t, says("x"))
	w.AuditMaxChars = 30
	then := time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC)
	calls := []chat.ImportedCall{
		{ID: chat.FixedID(chat.PrefixAudit, then, "a"), Time: then, ConversationID: "conv_a", Model: "gpt-4", Prompt: strings.Repeat("x", 50) + " jane.doe@example.com [MASKED_PHONE]", Response: "Call +65 9123 4567" + strings.Repeat(" x", 50)},
		{ID: chat.FixedID(chat.PrefixAudit, then, "b"), Time: then, Prompt: strings.Repeat("x", 16<<20+1)},
	}
	for _, want := range []int{2, 0} {
		if n, err := w.ImportCalls(t.Context(), caller, calls); err != nil || n != want {
			t.Fatalf("%d, %v; want %d", n, err, want)
		}
	}
	rec, err := w.Audit.Record(t.Context(), caller.Owner, calls[0].ID)
	if err != nil || rec.Kind != audit.KindImported || !rec.Time.Equal(then) || rec.ConversationID != "conv_a" || rec.Model != "gpt-4" || rec.Actor != caller.Actor {
		t.Fatalf("%+v, %v", rec, err)
	}
	if prompt, response := rec.Payloads[0].Text, rec.Payloads[1].Text; prompt != " [MASKED_EMAIL] [MASKED_PHONE]" || response != "Call [MASKED_PHONE] x x x x x x"[:30] {
		t.Errorf("%q, %q", prompt, response)
	}
	rec, err = w.Audit.Record(t.Context(), caller.Owner, calls[1].ID)
	if err != nil || !rec.Mask.Failed || !strings.HasPrefix(rec.Payloads[0].Text, "[REDACTED: masking failed]") || len(rec.Payloads) != 1 {
		t.Errorf("%+v, %v", rec, err)
	}
	w.store.inject(true, "Append", errDisk)
	if _, err := w.ImportCalls(t.Context(), caller, []chat.ImportedCall{{ID: "aud_c"}}); code(err) != "audit_unavailable" {
		t.Error(err)
	}
	w.verify()
}
