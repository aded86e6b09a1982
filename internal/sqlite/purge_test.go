package sqlite

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

func (s *Store) count(t *testing.T, table string) (n int64) {
	t.Helper()
	if err := s.readers.read(t.Context(), func(c *conn) (err error) {
		n, err = c.number("SELECT count(*) FROM " + table)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// longConversation has items of a size, in the background or not.
func longConversation(t *testing.T, s *Store, id string, items, size int) {
	t.Helper()
	c := chat.Conversation{ID: id, Owner: "default", Instructions: "Be brief.", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	content := []byte(`"` + strings.Repeat("x", size) + `"`)
	list := make([]chat.Item, items)
	for i := range list {
		list[i] = chat.Item{ID: fmt.Sprintf("msg_%d", i), Item: llm.Item{Type: llm.TypeMessage, Role: llm.User, Content: content}, Status: chat.ItemCompleted, Version: 1, CreatedAt: time.Now()}
	}
	if err := s.CreateConversation(t.Context(), "default", nil, &c, list); err != nil {
		t.Fatal(err)
	}
}

func TestDeletedConversationsLeaveTheDatabaseInSteps(t *testing.T) {
	s := openNew(t)
	longConversation(t, s, "conv_gone", 3*purgeRows+1, 10)
	longConversation(t, s, "conv_kept", 10, 10)
	if err := s.DeleteConversation(t.Context(), "default", "conv_gone", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.purger.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]int64{"conversations": 1, "conversation_settings": 1, "items": 10, "responses": 0, "purges": 0} {
		if got := s.count(t, table); got != want {
			t.Errorf("%s has %d rows, want %d", table, got, want)
		}
	}
}

func TestAStepOfAPurgeIsBoundedInRowsAndBytes(t *testing.T) {
	for name, c := range map[string]struct {
		items, size int
		left        int64
	}{
		"rows":  {purgeRows + 7, 10, 7},
		"bytes": {10, purgeBytes / 4, 6},
	} {
		t.Run(name, func(t *testing.T) {
			s := openNew(t)
			s.stop()
			<-s.purger.done
			longConversation(t, s, "conv_1", c.items, c.size)
			if err := s.DeleteConversation(t.Context(), "default", "conv_1", 0, ""); err != nil {
				t.Fatal(err)
			}
			more := false
			if err := s.writer.submit(t.Context(), 0, func(tx *tx) (err error) {
				more, err = tx.purge(1)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if got := s.count(t, "items"); got != c.left || !more {
				t.Errorf("after a step %d items are left, more is %v", got, more)
			}
		})
	}
}

func TestAPurgeGoesOnAfterARestart(t *testing.T) {
	s := openNew(t)
	s.stop()
	<-s.purger.done
	longConversation(t, s, "conv_1", 2*purgeRows, 10)
	if err := s.DeleteConversation(t.Context(), "default", "conv_1", 0, ""); err != nil {
		t.Fatal(err)
	}
	if got := s.count(t, "items"); got != 2*purgeRows {
		t.Fatalf("%d items are left though nothing purges", got)
	}
	again := openAt(t, crash(t, s))
	if err := again.purger.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := again.count(t, "items") + again.count(t, "purges"); got != 0 {
		t.Errorf("%d rows are left", got)
	}
}

func TestTheEndOfTheLastResponseHasItsConversationPurged(t *testing.T) {
	s := openNew(t)
	s.stop()
	<-s.purger.done
	longConversation(t, s, "conv_1", 1, 10)
	c, err := s.Conversation(t.Context(), "default", "conv_1")
	if err != nil {
		t.Fatal(err)
	}
	r := chat.Response{ID: "resp_1", Owner: "default", ConversationID: c.ID, Status: chat.InProgress, Attempts: 1, CreatedAt: time.Now()}
	if err := s.Begin(t.Context(), "default", &chat.Turn{Conversation: c, Response: r, Intent: record(1)}); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteConversation(t.Context(), "default", c.ID, 0, r.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.purger.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := []int64{s.count(t, "items"), s.count(t, "responses"), s.count(t, "purges")}; !slices.Equal(got, []int64{0, 1, 1}) {
		t.Fatalf("while it runs, the rows left are %v", got)
	}
	for len(s.purger.wake) > 0 {
		<-s.purger.wake
	}
	r.Status, r.CompletedAt = chat.Cancelled, time.Now()
	if err := s.End(t.Context(), "default", &chat.Ending{Response: r, Outcome: record(2)}); err != nil {
		t.Fatal(err)
	}
	if len(s.purger.wake) != 1 {
		t.Error("the purger was not called")
	}
	if err := s.purger.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.count(t, "responses") + s.count(t, "purges"); got != 0 {
		t.Errorf("%d rows are left", got)
	}
}
