package mongo

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/mongotest"
	"github.com/parley-llm/parley/internal/storetest"
)

// testStore is a store whose leases a test lets run out.
type testStore struct {
	*Store
	t        *testing.T
	database string
	ahead    *atomic.Int64
}

// Orphans lists what all processes make, as if none of them had renewed anything for a whole term.
func (s *testStore) Orphans(ctx context.Context) ([]chat.Response, error) {
	for _, id := range s.held.ids() {
		s.held.drop(id)
	}
	if _, err := s.Store.Orphans(ctx); err != nil {
		return nil, err
	}
	s.ahead.Add(int64(LeaseTerm))
	return s.Store.Orphans(ctx)
}

// openAt opens a database, by default a new one, that is dropped when the test ends.
func openAt(t *testing.T, o Options) *testStore {
	t.Helper()
	if o.URI == "" {
		o.URI = os.Getenv(mongotest.Env)
	}
	if o.Database == "" {
		o.Database = mongotest.Database(t, o.URI)
	}
	ahead := &atomic.Int64{}
	start := time.Now()
	o.Elapsed = func() time.Duration { return time.Since(start) + time.Duration(ahead.Load()) }
	o.SearchTimeout = time.Minute
	if o.Now == nil {
		// The suite has a time of its own; by today's clock, what it keeps for a day would be gone.
		o.Now = func() time.Time { return storetest.Began }
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &testStore{s, t, o.Database, ahead}
}

func TestStore(t *testing.T) {
	asked := &questions{seen: map[string]bool{}}
	storetest.Run(t, func(t *testing.T) storetest.Store { return openAt(t, Options{monitor: asked.monitor()}) })
	if os.Getenv(mongotest.Env) != "" {
		asked.haveIndexes(t)
	}
}

func TestStoreReopened(t *testing.T) {
	storetest.RunReopen(t, func(t *testing.T) storetest.Store { return openAt(t, Options{}) }, func(t *testing.T, s storetest.Store) storetest.Store {
		old := s.(*testStore)
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
		return openAt(t, Options{Database: old.database})
	})
}
