package sqlite

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// streamedTurn makes a turn, begun at a time, whose event log has so many batches. It ends at the other time, unless that is zero.
func streamedTurn(t *testing.T, s *Store, conversation, id string, batches int, begun, ended time.Time) {
	t.Helper()
	ctx := t.Context()
	c, _, err := s.Context(ctx, "default", conversation, 0)
	if err != nil {
		t.Fatal(err)
	}
	rec := func(kind audit.Kind) audit.Record {
		return audit.Record{ID: "aud_" + id + string(kind), Time: begun, Kind: kind, Owner: "default", ConversationID: conversation, ResponseID: id, Attempt: 1}
	}
	r := chat.Response{ID: id, Owner: "default", ConversationID: conversation, Status: chat.InProgress, Stream: true, LastEvent: 1000, Attempts: 1, CreatedAt: begun}
	turn := chat.Turn{Conversation: c, Response: r, Intent: rec(audit.KindIntent), Input: []chat.Item{{
		ID: "msg_" + id, Item: llm.Item{Type: llm.TypeMessage, Role: llm.User, Content: []byte(`"hi"`)}, Status: chat.ItemCompleted, Version: 1, CreatedAt: begun,
	}}}
	if err := s.Begin(ctx, "default", &turn); err != nil {
		t.Fatal(err)
	}
	for n := range batches {
		if err := s.AppendEvents(ctx, "default", id, chat.Batched{Number: n, Steps: []byte("steps"), LastEvent: 1000}); err != nil {
			t.Fatal(err)
		}
	}
	if ended.IsZero() {
		return
	}
	r.Status, r.CompletedAt = chat.Completed, ended
	if err := s.End(ctx, "default", &chat.Ending{Response: r, Outcome: rec(audit.KindOutcome)}); err != nil {
		t.Fatal(err)
	}
}

func TestEventLogsThatHaveExpiredLeaveTheDatabase(t *testing.T) {
	s := openNew(t)
	now := time.Now()
	old, recent := now.Add(-chat.EventLogLife-time.Hour), now.Add(-chat.EventLogLife+time.Hour)
	for i, turn := range []struct {
		batches      int
		begun, ended time.Time
	}{
		{2*purgeBatches + 1, old, old.Add(time.Minute)}, {1, old, now.Add(-time.Minute)}, {1, old, time.Time{}}, {1, old, old}, {3, recent, recent}, {1, now, now},
	} {
		conversation := fmt.Sprintf("conv_%d", i)
		longConversation(t, s, conversation, 0, 0)
		streamedTurn(t, s, conversation, fmt.Sprintf("resp_%d", i), turn.batches, turn.begun, turn.ended)
	}
	if err := s.sweeper.sweepLogs(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{0, 1, 1, 0, 3, 1} {
		batches, err := s.EventLog(t.Context(), "default", fmt.Sprintf("resp_%d", i), 0)
		if err != nil || len(batches) != want {
			t.Errorf("resp_%d has %d batches, want %d, %v", i, len(batches), want, err)
		}
	}
}

func TestADeletedConversationTakesItsEventLogsAlong(t *testing.T) {
	s := openNew(t)
	for _, conversation := range []string{"conv_gone", "conv_kept"} {
		longConversation(t, s, conversation, 0, 0)
		for i := range 3 {
			streamedTurn(t, s, conversation, fmt.Sprintf("resp_%s_%d", conversation, i), purgeBatches, time.Now(), time.Now())
		}
	}
	if err := s.DeleteConversation(t.Context(), "default", "conv_gone", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.purger.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]int64{"events": 3 * purgeBatches, "responses": 3, "purges": 0} {
		if got := s.count(t, table); got != want {
			t.Errorf("%s has %d rows, want %d", table, got, want)
		}
	}
}
