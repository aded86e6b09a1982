package mongo

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/mongotest"
)

// While a server is leaving, and its connections are given up, what wants one waits for the next.
func TestWhatFindsNoConnectionIsTriedAgain(t *testing.T) {
	p := mongotest.NewProxy(t, os.Getenv(mongotest.Env))
	s := openAt(t, Options{URI: p.URI()})
	talked(t, s, "here")
	p.Have(func(c mongotest.Command) mongotest.Fate {
		if c.Again {
			return mongotest.Passed
		}
		return mongotest.Leaving
	})
	t.Cleanup(p.Pass)
	var readers sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for range 64 {
		readers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := s.Store.Items(t.Context(), owner, conversationOf("here"), chat.Page{Limit: 10}); err != nil {
					t.Errorf("read %d: %v", n, err)
					return
				}
			}
		})
	}
	const changes = 6
	for i := range changes {
		if err := s.AppendItems(t.Context(), owner, nil, conversationOf("here"), "", []chat.Item{message(fmt.Sprint("msg_more_", i), llm.User)}); err != nil {
			t.Error(err)
		}
	}
	stop()
	readers.Wait()
	if fired := p.Fired(mongotest.Leaving); fired < changes {
		t.Errorf("it was leaving %d times: the test has shown nothing", fired)
	}
}
