package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// refusedForRoom demands the fault of a disk without room.
func refusedForRoom(t *testing.T, what string, err error) {
	t.Helper()
	if f := fault.Of(err); err == nil || f.Kind != fault.Unavailable || f.Code != chat.CodeStoreUnavailable || !errors.Is(err, chat.ErrNoRoom) {
		t.Errorf("%s: got %v", what, err)
	}
}

// attempt is a record of the first attempt of a response.
func attempt(n int, kind audit.Kind, r *chat.Response) audit.Record {
	rec := record(n)
	rec.Kind, rec.ConversationID, rec.ResponseID, rec.Attempt = kind, r.ConversationID, r.ID, 1
	return rec
}

// beginResponse begins a response on a conversation of its own.
func beginResponse(t *testing.T, s *Store, n int, id string) (chat.Response, error) {
	t.Helper()
	c := chat.Conversation{ID: "conv_" + id, Owner: "default", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	if err := s.CreateConversation(t.Context(), "default", nil, &c, nil); err != nil {
		t.Fatal(err)
	}
	r := chat.Response{ID: "resp_" + id, Owner: "default", ConversationID: c.ID, Status: chat.InProgress, Attempts: 1, CreatedAt: time.Now()}
	return r, s.Begin(t.Context(), "default", &chat.Turn{Conversation: c, Response: r, Intent: attempt(n, audit.KindIntent, &r)})
}

func endResponseOf(t *testing.T, s *Store, n int, r chat.Response) error {
	t.Helper()
	r.Status, r.CompletedAt = chat.Completed, time.Now()
	return s.End(t.Context(), "default", &chat.Ending{Response: r, Outcome: attempt(n, audit.KindOutcome, &r)})
}

// openOnDisk opens a store on a disk of 1,000 MiB of which as many are free as the returned number says at the time.
func openOnDisk(t *testing.T) (*Store, *atomic.Uint64) {
	t.Helper()
	free := new(atomic.Uint64)
	free.Store(900)
	s, err := Open(t.Context(), Options{
		Path:    filepath.Join(t.TempDir(), "parley.db"),
		measure: func(string) (uint64, uint64, error) { return free.Load() << 20, 1000 << 20, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, free
}

func TestADiskIsNearlyFullAtATwentiethOfItButNotOfALargeOne(t *testing.T) {
	for total, want := range map[uint64]uint64{40 << 20: 2 << 20, 4 << 30: 4 << 30 / 20, 10 << 30: 256 << 20, 1 << 40: 256 << 20} {
		if got := low(total); got != want {
			t.Errorf("of %d bytes: %d are too few, want %d", total, got, want)
		}
	}
}

func TestNoPromptBeginsOnADiskThatIsNearlyFull(t *testing.T) {
	s, free := openOnDisk(t)
	running, err := beginResponse(t, s, 1, "running")
	if err != nil {
		t.Fatal(err)
	}
	free.Store(49)
	_, err = beginResponse(t, s, 2, "refused")
	refusedForRoom(t, "Begin", err)
	refusedForRoom(t, "Ready", s.Ready(t.Context()))
	if err := endResponseOf(t, s, 3, running); err != nil {
		t.Errorf("what ran could not end: %v", err)
	}
	free.Store(50)
	if _, err := beginResponse(t, s, 4, "welcome"); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestWithoutAReserveOnlyWhatRunsIsWritten(t *testing.T) {
	s, free := openOnDisk(t)
	running, err := beginResponse(t, s, 1, "running")
	if err != nil {
		t.Fatal(err)
	}
	s.space.giveUp()
	if _, err := os.Stat(s.space.reserve); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the reserve is there: %v", err)
	}
	free.Store(53)
	refusedForRoom(t, "Append", s.Append(t.Context(), record(2)))
	refusedForRoom(t, "Ready", s.Ready(t.Context()))
	if err := endResponseOf(t, s, 3, running); err != nil {
		t.Errorf("what ran could not end: %v", err)
	}
	if err := s.DeleteConversation(t.Context(), "default", running.ConversationID, 0, ""); err != nil {
		t.Errorf("a conversation could not be deleted: %v", err)
	}
	free.Store(54)
	if err := s.Append(t.Context(), record(4)); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if info, err := os.Stat(s.space.reserve); err != nil || info.Size() != reserveBytes {
		t.Errorf("the reserve was not made again: %v", err)
	}
}
