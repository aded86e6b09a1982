package mongo

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/storetest"
)

const owner = "default"

// two opens one database twice, as two processes do.
func two(t *testing.T) (a, b *testStore) {
	t.Helper()
	a = openAt(t, Options{})
	return a, openAt(t, Options{Database: a.database})
}

func message(id string, role llm.Role) chat.Item {
	return chat.Item{ID: id, Item: llm.Item{Type: llm.TypeMessage, Role: role, Content: json.RawMessage(`"text of ` + id + `"`)}, Status: chat.ItemCompleted, Version: 1, CreatedAt: storetest.Began}
}

func record(kind audit.Kind, r *chat.Response) audit.Record {
	rec := audit.Record{ID: fmt.Sprintf("aud_%s_%s_%d", r.ID, kind, r.Attempts), Time: storetest.Began, Kind: kind, Owner: owner, ConversationID: r.ConversationID, ResponseID: r.ID, Attempt: r.Attempts}
	return rec
}

// begin makes a conversation, if there is none yet, and begins a response with an event log on it.
func begin(t *testing.T, s *testStore, conversation, id string) *chat.Turn {
	t.Helper()
	c, err := s.Conversation(t.Context(), owner, conversation)
	if fault.Is(err, chat.CodeConversationNotFound) {
		err = s.CreateConversation(t.Context(), owner, nil, &chat.Conversation{ID: conversation, CreatedAt: storetest.Began, UpdatedAt: storetest.Began}, nil)
		if err == nil {
			c, err = s.Conversation(t.Context(), owner, conversation)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	r := chat.Response{ID: id, Owner: owner, ConversationID: conversation, Status: chat.InProgress, Stream: true, LastEvent: 1000, Attempts: 1, CreatedAt: storetest.Began}
	turn := &chat.Turn{Conversation: c, Input: []chat.Item{message("msg_in_"+id, llm.User)}, Response: r, Intent: record(audit.KindIntent, &r)}
	if err := s.Begin(t.Context(), owner, turn); err != nil {
		t.Fatal(err)
	}
	return turn
}

func ending(r chat.Response, status chat.Status) *chat.Ending {
	r.Status, r.CompletedAt = status, storetest.Began
	r.Output = []chat.Item{message("msg_out_"+r.ID+string(status), llm.Assistant)}
	return &chat.Ending{Response: r, Outcome: record(audit.KindOutcome, &r)}
}

// orphans is what a process takes over when nobody renews anything for a while.
func orphans(t *testing.T, s *testStore, passes time.Duration) []chat.Response {
	t.Helper()
	if _, err := s.Store.Orphans(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.ahead.Add(int64(passes))
	list, err := s.Store.Orphans(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAResponseIsTakenOverWhenItsLeaseHasRunOutAndNotBefore(t *testing.T) {
	a, b := two(t)
	turn := begin(t, a, "conv_1", "resp_1")
	running := []chat.Running{{Owner: owner, ID: "resp_1"}}
	for range 3 {
		if got := orphans(t, b, LeaseTerm-time.Second); len(got) != 0 {
			t.Fatalf("taken over within its term: %+v", got)
		}
		if lost, err := a.Renew(t.Context(), running); err != nil || len(lost) != 0 {
			t.Fatalf("renewing: %v, lost %v", err, lost)
		}
	}
	if got := orphans(t, a, 2*LeaseTerm); len(got) != 0 {
		t.Fatalf("taken from itself: %+v", got)
	}
	if got := orphans(t, b, LeaseTerm); len(got) != 1 || got[0].ID != turn.Response.ID {
		t.Fatalf("not taken over: %+v", got)
	}
	if lost, err := a.Renew(t.Context(), running); err != nil || len(lost) != 1 {
		t.Errorf("renewing what was taken over: %v, lost %v", err, lost)
	}
	// Who has died while taking over is taken over from.
	c := openAt(t, Options{Database: a.database})
	if got := orphans(t, c, LeaseTerm); len(got) != 1 {
		t.Errorf("the second to take it over finds %+v", got)
	}
}

func TestWhatAPausedHolderStillWritesIsRefused(t *testing.T) {
	a, b := two(t)
	for i := range 20 {
		conversation, id := fmt.Sprint("conv_", i), fmt.Sprint("resp_", i)
		turn := begin(t, a, conversation, id)
		if err := a.AppendEvents(t.Context(), owner, id, chat.Batched{Number: 0, Steps: []byte("first"), LastEvent: 1000}); err != nil {
			t.Fatal(err)
		}
		if got := orphans(t, b, LeaseTerm); len(got) != 1 {
			t.Fatalf("taken over: %+v", got)
		}
		next := turn.Response
		next.Attempts = 2
		for name, err := range map[string]error{
			"the next batch":      a.AppendEvents(t.Context(), owner, id, chat.Batched{Number: 1, Steps: []byte("late"), LastEvent: 1000}),
			"the last batch anew": a.AppendEvents(t.Context(), owner, id, chat.Batched{Number: 0, Steps: []byte("first and late"), LastEvent: 1000}),
			"more numbers":        a.AppendEvents(t.Context(), owner, id, chat.Batched{Number: 1, Steps: []byte("late"), LastEvent: 2000}),
			"another attempt":     a.NextAttempt(t.Context(), owner, &next, record(audit.KindIntent, &next)),
			"the end":             a.End(t.Context(), owner, ending(turn.Response, chat.Completed)),
		} {
			if !fault.Is(err, chat.CodeResponseEnded) {
				t.Errorf("%s was let pass: %v", name, err)
			}
		}
		if err := b.End(t.Context(), owner, ending(turn.Response, chat.Interrupted)); err != nil {
			t.Fatal(err)
		}
		r, err := a.Response(t.Context(), owner, id)
		if err != nil || r.Status != chat.Interrupted || len(r.Output) != 1 {
			t.Errorf("it ended as %+v, %v", r, err)
		}
		if log, err := b.EventLog(t.Context(), owner, id, 0); err != nil || len(log) != 1 || string(log[0]) != "first" {
			t.Errorf("its log is %q, %v", log, err)
		}
		// The conversation goes on at once.
		again := begin(t, a, conversation, id+"_again")
		if err := a.End(t.Context(), owner, ending(again.Response, chat.Completed)); err != nil {
			t.Error(err)
		}
	}
}

func TestACancelOfAnotherProcessReachesTheHolder(t *testing.T) {
	a, b := two(t)
	begin(t, a, "conv_1", "resp_1")
	begin(t, b, "conv_2", "resp_2")
	if err := b.RequestCancel(t.Context(), owner, "resp_1"); err != nil {
		t.Fatal(err)
	}
	if !fault.Is(b.RequestCancel(t.Context(), "other", "resp_1"), chat.CodeResponseNotFound) {
		t.Error("another owner's response was found")
	}
	for s, want := range map[*testStore]string{a: "[{default resp_1}]", b: "[]"} {
		if asked, err := s.CancelRequests(t.Context()); err != nil || fmt.Sprint(asked) != want {
			t.Errorf("asked to cancel %v, %v; want %s", asked, err, want)
		}
	}
	turn := chat.Response{ID: "resp_1", Owner: owner, ConversationID: "conv_1", Attempts: 1}
	if err := a.End(t.Context(), owner, ending(turn, chat.Cancelled)); err != nil {
		t.Fatal(err)
	}
	if err := b.RequestCancel(t.Context(), owner, "resp_1"); err != nil {
		t.Error(err)
	}
	if asked, err := a.CancelRequests(t.Context()); err != nil || len(asked) != 0 {
		t.Errorf("asked to cancel %v, %v", asked, err)
	}
}

func TestAConversationOfAnotherProcessIsNotDeletedWhileThatRunsAResponse(t *testing.T) {
	a, b := two(t)
	begin(t, a, "conv_1", "resp_1")
	if err := b.DeleteConversation(t.Context(), owner, "conv_1", 0, "resp_1"); !fault.Is(err, chat.CodeConversationLocked) {
		t.Errorf("deleted: %v", err)
	}
	orphans(t, b, LeaseTerm)
	if err := b.DeleteConversation(t.Context(), owner, "conv_1", 0, "resp_1"); err != nil {
		t.Errorf("what was taken over hinders: %v", err)
	}
}

// die stops a process without a word.
func (s *testStore) die() {
	s.stop()
	s.background.Wait()
	s.closing.Do(func() { s.closeFail = disconnect(s.t.Context(), s.client) })
}

func verify(t *testing.T, s *testStore) (audit.Report, int64) {
	t.Helper()
	report, unsealed, err := (&Log{s.Store}).Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return report, unsealed
}

func TestWhatADeadProcessHasNotSealedAnotherSeals(t *testing.T) {
	a, b := two(t)
	begin(t, a, "conv_1", "resp_1")
	// Its sealer has stopped; what it writes is durable all the same.
	a.stop()
	a.background.Wait()
	turn := begin(t, a, "conv_2", "resp_2")
	if err := a.End(t.Context(), owner, ending(turn.Response, chat.Completed)); err != nil {
		t.Fatal(err)
	}
	a.die()
	if _, unsealed := verify(t, b); unsealed < 2 {
		t.Fatalf("%d records are not sealed, want 2 or 3", unsealed)
	}
	recs, _, err := b.Records(t.Context(), owner, audit.Query{ResponseID: "resp_2", Limit: 10, Asc: true})
	if err != nil || len(recs) != 2 || recs[0].Chain != "" {
		t.Errorf("they read as %+v, %v", recs, err)
	}
	for range 2 {
		if err := b.sealer.tend(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.ahead.Add(int64(LeaseTerm))
	}
	for range 2 {
		if err := b.sealer.tend(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.sealer.flush(t.Context())
	}
	report, unsealed := verify(t, b)
	if !report.OK || unsealed != 0 || report.Chains != 2 || len(report.Open) != 1 {
		t.Errorf("%+v, %d not sealed", report, unsealed)
	}
}

func TestTheIntentOfADeadProcessIsSealedAheadOfTheOutcomeThatAnotherWrites(t *testing.T) {
	a, b := two(t)
	// It dies before its sealer has done anything.
	a.stop()
	a.background.Wait()
	turn := begin(t, a, "conv_1", "resp_1")
	a.die()
	if got := orphans(t, b, LeaseTerm); len(got) != 1 {
		t.Fatalf("taken over: %+v", got)
	}
	if err := b.End(t.Context(), owner, ending(turn.Response, chat.Interrupted)); err != nil {
		t.Fatal(err)
	}
	b.sealer.flush(t.Context())
	for range 2 {
		if err := b.sealer.tend(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.sealer.flush(t.Context())
		b.ahead.Add(int64(LeaseTerm))
	}
	if report, unsealed := verify(t, b); !report.OK || unsealed != 0 {
		t.Errorf("%+v, %d not sealed", report, unsealed)
	}
}

func TestAProcessThatWasTakenForDeadBeginsAnotherChain(t *testing.T) {
	a, b := two(t)
	for range 2 {
		if err := b.sealer.tend(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.ahead.Add(int64(LeaseTerm))
	}
	for i := range 3 {
		turn := begin(t, a, fmt.Sprint("conv_", i), fmt.Sprint("resp_", i))
		if err := a.End(t.Context(), owner, ending(turn.Response, chat.Completed)); err != nil {
			t.Fatal(err)
		}
		a.sealer.flush(t.Context())
	}
	report, unsealed := verify(t, b)
	if !report.OK || unsealed != 0 || report.Chains != 3 || report.Records != 10 {
		t.Errorf("%+v, %d not sealed", report, unsealed)
	}
}

func TestAForkThatADeadProcessHasLeftIsRemoved(t *testing.T) {
	a, b := two(t)
	if _, err := a.purges().InsertOne(t.Context(), purgeDoc{K: "k1", Conversation: "conv_fork", Fork: true, Holder: a.holder}); err != nil {
		t.Fatal(err)
	}
	if err := a.insertItems(t.Context(), encodeItems("k1", owner, "conv_fork", 1, []chat.Item{message("msg_1", llm.User)})); err != nil {
		t.Fatal(err)
	}
	left := func() int64 {
		n, err := b.items().CountDocuments(t.Context(), byID(itemKey("k1", "msg_1")))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := b.purger.all(t.Context()); err != nil || left() != 1 {
		t.Errorf("what a living process copies was removed: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.purger.all(t.Context()); err != nil || left() != 0 {
		t.Errorf("what a process that is gone has copied is there still: %v", err)
	}
}
