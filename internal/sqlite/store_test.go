package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/storetest"
)

// openAt opens a store that is closed when the test ends, if it has not been before.
func openAt(t *testing.T, path string) *Store { return openThen(t, path, time.Now) }

// openThen is openAt by a clock.
func openThen(t *testing.T, path string, now func() time.Time) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Path: path, SearchTimeout: time.Minute, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	// What takes long on a busy machine is not what is tested.
	s.indexer.patience = time.Minute
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openNew(t *testing.T) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "parley.db"))
}

// The suite has a time of its own; by today's clock, what it keeps for a day would be gone.
func suiteTime() time.Time { return storetest.Began }

func openForSuite(t *testing.T) storetest.Store {
	t.Helper()
	return openThen(t, filepath.Join(t.TempDir(), "parley.db"), suiteTime)
}

func TestStore(t *testing.T) { storetest.Run(t, openForSuite) }

func TestStoreReopened(t *testing.T) {
	storetest.RunReopen(t, openForSuite, func(t *testing.T, s storetest.Store) storetest.Store {
		old := s.(*Store)
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
		return openThen(t, old.options.Path, suiteTime)
	})
}
