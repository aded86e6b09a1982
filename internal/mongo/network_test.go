package mongo

import (
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/parley-llm/parley/internal/mongotest"
	"github.com/parley-llm/parley/internal/storetest"
)

// disturbing is what a network does to one of so many commands, each case by a generator of its own. Of so many cases it runs one.
type disturbing struct {
	oneOf, cases int
	seed         uint64

	mu      sync.Mutex
	proxies []*mongotest.Proxy
}

// bad are the fates that nobody is to notice.
var bad = []mongotest.Fate{mongotest.Unanswered, mongotest.Lost, mongotest.NotPrimary, mongotest.Late}

// open opens a store behind a proxy that lets it open undisturbed.
func (d *disturbing) open(t *testing.T) storetest.Store {
	name := fnv.New64a()
	_, _ = name.Write([]byte(t.Name()))
	random := rand.New(rand.NewPCG(d.seed, name.Sum64()))
	if random.IntN(d.cases) > 0 {
		t.Skip("not one of this run's cases")
	}
	p := mongotest.NewProxy(t, os.Getenv(mongotest.Env))
	s := openAt(t, Options{URI: p.URI(), Database: mongotest.Database(t, os.Getenv(mongotest.Env))})
	t.Cleanup(p.Pass)
	p.Have(func(c mongotest.Command) mongotest.Fate {
		// The next page of an answer cannot be asked for twice.
		if random.IntN(d.oneOf) > 0 || c.Name == "getMore" {
			return mongotest.Passed
		}
		return bad[random.IntN(len(bad))]
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proxies = append(d.proxies, p)
	return s
}

// count demands that each fate was met, where anything was tested.
func (d *disturbing) count(t *testing.T) {
	t.Helper()
	for _, f := range bad {
		n := 0
		for _, p := range d.proxies {
			n += p.Fired(f)
		}
		t.Logf("%d commands were %v", n, f)
		if n == 0 && len(d.proxies) > 0 {
			t.Errorf("no command was %v", f)
		}
	}
}

// TestStoreOverABadNetwork is the store's suite where one of so many commands is lost, or its answer is, or comes late, or is that of a server which is
// not the primary: nobody is to notice. It is a third of the cases, another one each time, and with PARLEY_TEST_ONE_OF all of them: on the
// stand-in all wait for a transaction whose client looks for the server again, which takes half a second. PARLEY_TEST_SEED repeats a run's choices.
func TestStoreOverABadNetwork(t *testing.T) {
	d := &disturbing{oneOf: setting(t, "PARLEY_TEST_ONE_OF", 100), cases: 3, seed: uint64(setting(t, "PARLEY_TEST_SEED", rand.Int()))}
	if os.Getenv("PARLEY_TEST_ONE_OF") != "" {
		d.cases = 1
	}
	t.Logf("PARLEY_TEST_SEED=%d", d.seed)
	storetest.Run(t, d.open)
	d.count(t)
}

func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is no number: %q", name, text)
	}
	return n
}
