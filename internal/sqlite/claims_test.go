package sqlite

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/chat"
)

// claimKeys makes conversations with the keys first to last-1, all at one time.
func claimKeys(t *testing.T, s *Store, first, last int, at time.Time) {
	t.Helper()
	for i := first; i < last; i++ {
		c := chat.Conversation{ID: fmt.Sprintf("conv_%d", i), CreatedAt: at, UpdatedAt: at}
		claim := chat.Claim{Route: "POST /api/conversations", Key: fmt.Sprint("key-", i), ResourceID: c.ID, CreatedAt: at}
		if err := s.CreateConversation(t.Context(), "default", &claim, &c, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func keysLeft(t *testing.T, s *Store) int64 {
	t.Helper()
	var n int64
	if err := s.readers.read(t.Context(), func(c *conn) (err error) {
		n, err = c.number("SELECT count(*) FROM claims")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestKeysThatHaveRunOutAreRemoved(t *testing.T) {
	start := time.Now().Truncate(time.Second)
	var now atomic.Int64
	now.Store(start.UnixMilli())
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "parley.db"), Now: func() time.Time { return time.UnixMilli(now.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	const old = 2*sweepRows + 10
	claimKeys(t, s, 0, old, start)
	claimKeys(t, s, old, old+5, start.Add(time.Hour))
	for _, step := range []struct {
		after time.Duration
		left  int64
	}{{chat.ClaimLife - time.Millisecond, old + 5}, {chat.ClaimLife, 5}, {chat.ClaimLife + time.Hour, 0}} {
		now.Store(start.Add(step.after).UnixMilli())
		if err := s.sweeper.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := keysLeft(t, s); left != step.left {
			t.Errorf("%d keys are left after %v, want %d", left, step.after, step.left)
		}
	}
}

// TestAKeyThatIsTakenAgainGetsANewNumber: rows are removed in the order of their numbers, which must be that of their age.
func TestAKeyThatIsTakenAgainGetsANewNumber(t *testing.T) {
	s := openNew(t)
	start := time.Now().Truncate(time.Second)
	claimKeys(t, s, 0, 3, start)
	c := chat.Conversation{ID: "conv_again", CreatedAt: start, UpdatedAt: start}
	again := chat.Claim{Route: "POST /api/conversations", Key: "key-0", ResourceID: c.ID, CreatedAt: start.Add(chat.ClaimLife)}
	if err := s.CreateConversation(t.Context(), "default", &again, &c, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.readers.read(t.Context(), func(c *conn) error {
		newest, err := c.number("SELECT num FROM claims WHERE key = 'key-0'")
		if err == nil && (newest != 4 || keysLeft(t, s) != 3) {
			t.Errorf("it has number %d among %d", newest, keysLeft(t, s))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
