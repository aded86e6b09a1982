package sqlite

import (
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// halfFork begins a fork of conv_1 and takes one step of it.
func halfFork(t *testing.T, s *Store, after func(*fork)) {
	t.Helper()
	c := chat.Conversation{ID: "conv_fork", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	reader, err := openConn(s.options.Path, sqlite.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	err = reader.snapshot(func() error {
		f, err := s.openFork(reader, "default", "conv_1", "", &c)
		if err != nil {
			return err
		}
		defer f.rows.reset()
		items, err := f.read()
		if err != nil {
			return err
		}
		rows, err := encodeItems(c.ID, items)
		if err != nil {
			return err
		}
		if err := f.step(t.Context(), rows, 0); err != nil {
			return err
		}
		after(f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
}

func (s *Store) counts(t *testing.T, tables ...string) (n []int64) {
	t.Helper()
	for _, table := range tables {
		n = append(n, s.count(t, table))
	}
	return n
}

func equalCounts(t *testing.T, got []int64, want ...int64) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("the tables have %v rows, want %v", got, want)
			return
		}
	}
}

func TestAStepOfAForkIsBoundedInRowsAndBytes(t *testing.T) {
	for name, c := range map[string]struct{ items, size, step int }{
		"rows":  {forkRows + 7, 10, forkRows},
		"bytes": {10, forkBytes / 4, 4},
	} {
		t.Run(name, func(t *testing.T) {
			s := openNew(t)
			longConversation(t, s, "conv_1", c.items, c.size)
			halfFork(t, s, func(f *fork) {
				if f.seq != int64(c.step) || !f.more {
					t.Errorf("a step took %d items, more is %v", f.seq, f.more)
				}
			})
		})
	}
}

func TestAForkThatACrashBrokeOffIsInvisibleAndPurgedByTheNextStart(t *testing.T) {
	s := openNew(t)
	longConversation(t, s, "conv_1", forkRows+10, 10)
	halfFork(t, s, func(*fork) {})
	equalCounts(t, s.counts(t, "conversations", "items", "forks"), 1, 2*forkRows+10, 1)
	list, err := s.Conversations(t.Context(), "default", chat.Query{Page: chat.Page{Limit: 10}})
	if err != nil || len(list.Data) != 1 {
		t.Errorf("%d conversations are visible, %v", len(list.Data), err)
	}
	again := openAt(t, crash(t, s))
	if err := again.purger.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	equalCounts(t, again.counts(t, "conversations", "items", "forks", "purges"), 1, forkRows+10, 0, 0)
	// Its number is not given again.
	longConversation(t, again, "conv_2", 1, 10)
	if got := again.count(t, "conversations WHERE num = 3"); got != 1 {
		t.Error("a number was given twice")
	}
}

func TestAForkThatFailsIsPurged(t *testing.T) {
	s := openNew(t)
	longConversation(t, s, "conv_1", forkRows+10, 10)
	c := chat.Conversation{ID: "conv_1", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	if err := s.ForkConversation(t.Context(), "default", nil, "conv_1", "", &c); !fault.Is(err, chat.CodeDuplicateID) {
		t.Fatalf("got %v", err)
	}
	if err := s.purger.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	equalCounts(t, s.counts(t, "conversations", "items", "forks", "purges"), 1, forkRows+10, 0, 0)
}

func TestAForkThatIsDoneLeavesNoMark(t *testing.T) {
	s := openNew(t)
	longConversation(t, s, "conv_1", 2*forkRows, 10)
	c := chat.Conversation{ID: "conv_fork", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	if err := s.ForkConversation(t.Context(), "default", nil, "conv_1", "", &c); err != nil {
		t.Fatal(err)
	}
	equalCounts(t, s.counts(t, "conversations", "conversation_settings", "items", "forks", "purges"), 2, 2, 4*forkRows, 0, 0)
}

func TestAClosedStoreForksNothing(t *testing.T) {
	s := openNew(t)
	longConversation(t, s, "conv_1", 1, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c := chat.Conversation{ID: "conv_fork"}
	if err := s.ForkConversation(t.Context(), "default", nil, "conv_1", "", &c); err == nil {
		t.Error("a fork was made")
	}
}
