package chat_test

import (
	"context"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/mongo"
	"github.com/parley-llm/parley/internal/mongotest"
)

// hesitant is a store each of whose looks at what others have left takes a little less than the one before: a lease that one of them has seen late would
// not have run out yet when its time comes again.
type hesitant struct {
	shared
	looks []time.Time
	// taken is when it has taken something over.
	taken time.Time
}

func (h *hesitant) Orphans(ctx context.Context) ([]chat.Response, error) {
	time.Sleep(max(0, 50-time.Duration(len(h.looks))) * time.Millisecond)
	h.looks = append(h.looks, time.Now())
	list, err := h.shared.Orphans(ctx)
	if len(list) > 0 && h.taken.IsZero() {
		h.taken = time.Now()
	}
	return list, err
}

// What a server has left is taken over as soon as another one has seen its lease unchanged for the whole term, and that looks every two seconds.
func TestWhatAServerHasLeftIsEndedWhenItsLeaseRunsOut(t *testing.T) {
	mongotest.Need(t, os.Getenv(mongotest.Env))
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		conv := w.conversation(chat.Conversation{})
		store := &hesitant{shared: w.Store.(shared)}
		w.Store = store
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Share(ctx)
		}()
		time.Sleep(5 * time.Second)
		left := time.Now()
		w.orphan(conv, "resp_left")
		status := func() chat.Status {
			r, err := w.store.Response(t.Context(), caller.Owner, "resp_left")
			if err != nil {
				t.Fatal(err)
			}
			return r.Status
		}
		for time.Sleep(mongo.LeaseTerm - time.Second); status() != chat.Interrupted; {
			time.Sleep(50 * time.Millisecond)
		}
		stop()
		<-ended
		synctest.Wait()
		seen := store.looks[slices.IndexFunc(store.looks, left.Before)]
		if first, took := seen.Sub(left), store.taken.Sub(seen); first > 2100*time.Millisecond || took < mongo.LeaseTerm || took > mongo.LeaseTerm+100*time.Millisecond {
			t.Errorf("seen after %v, and taken over %v after that", first, took)
		}
	})
}
