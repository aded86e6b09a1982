package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/crashtest"
)

const (
	crashClients = 8
	defaultKills = 10
	// killsOfAnEra is how often a server is killed on the same data. The next era begins with none, as what is checked after
	// each kill grows with it.
	killsOfAnEra = 50
)

func envInt(t *testing.T, name string, fallback int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// seedOf is where a test's choices come from. PARLEY_SEED repeats a run's.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := envInt(t, "PARLEY_SEED", time.Now().UnixNano())
	t.Logf("PARLEY_SEED=%d", seed)
	return uint64(seed)
}

// era is a database with what was promised of it.
type era struct {
	data, file string
	history    *crashtest.History
	upstream   *crashtest.Upstream
	load       *crashtest.Load
	random     *rand.Rand
	restarts   []time.Duration
}

// newEra makes one. `go test -artifacts` keeps its history.
func newEra(t *testing.T, seed uint64) *era {
	t.Helper()
	e := &era{data: t.TempDir(), file: filepath.Join(t.ArtifactDir(), "history.jsonl"), random: rand.New(rand.NewPCG(seed, 0))}
	f, err := os.Create(e.file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	e.history = crashtest.NewHistory(f)
	e.upstream = crashtest.NewUpstream(t, e.history)
	e.upstream.Database = e.database()
	e.load = &crashtest.Load{History: e.history, Seed: seed, Clients: crashClients}
	return e
}

func (e *era) database() crashtest.SQLite {
	return crashtest.SQLite(filepath.Join(e.data, "parley.db"))
}

// launch starts a server on the era's data and waits until it is ready.
func (e *era) launch(t *testing.T) *process {
	t.Helper()
	began := time.Now()
	p := launch(t, e.data, e.upstream.Environ())
	p.await(t)
	e.restarts = append(e.restarts, time.Since(began))
	return p
}

func (e *era) promise(t *testing.T) *crashtest.Promise {
	t.Helper()
	entries, err := crashtest.ReadHistory(e.file)
	if err != nil || e.history.Err() != nil {
		t.Fatal(err, e.history.Err())
	}
	return crashtest.Promised(entries, time.Time{}, time.Time{})
}

// check looks for violations of every invariant: in the file, and, through the server, in some conversations, which take
// a further turn each.
func (e *era) check(t *testing.T, p *process, conversations []string) {
	t.Helper()
	promise, client := e.promise(t), crashtest.Client(p.url)
	found, err := promise.CheckDatabase(t.Context(), e.database(), true)
	if err != nil {
		t.Fatal(err)
	}
	found = append(found, promise.CheckServer(t.Context(), client, conversations)...)
	found = append(found, crashtest.Probe(t.Context(), client, e.history, conversations)...)
	for _, v := range found {
		t.Error(v)
	}
	for _, v := range e.load.Violations() {
		t.Error(v)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// round starts a server, every fifth time after one that was killed while it started, checks what the last one has left, loads
// it, and kills it. It returns how many requests were under way then.
func (e *era) round(t *testing.T, kill int) (caught int) {
	t.Helper()
	if kill%5 == 4 {
		// In the middle of starting, which is where a crash is repaired.
		p := launch(t, e.data, e.upstream.Environ())
		<-time.After(time.Duration(e.random.Int64N(int64(30 * time.Millisecond))))
		p.kill()
	}
	p := e.launch(t)
	e.check(t, p, e.load.Touched())
	var clients sync.WaitGroup
	clients.Go(func() { e.load.Run(t.Context(), p.url) })
	<-time.After(time.Duration(5+e.random.Int64N(400)) * time.Millisecond)
	caught = e.load.InFlight()
	p.kill()
	clients.Wait()
	return caught
}

// interrupted counts the responses that a crash has interrupted.
func (e *era) interrupted(t *testing.T, p *process) int {
	t.Helper()
	n := 0
	for r, err := range crashtest.Client(p.url).AllAuditRecords(t.Context(), api.AuditQuery{Kind: "llm.outcome", ListQuery: api.ListQuery{Limit: 100}}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Status == "unknown_after_crash" {
			n++
		}
	}
	return n
}

// TestKilledServerLosesNothingAcknowledged kills the real server again and again while clients create, append, prompt, stream,
// fork, edit and delete, and looks after each start whether every invariant holds. PARLEY_KILLS says how often, and PARLEY_SECONDS
// after how many seconds it is content with fewer.
func TestKilledServerLosesNothingAcknowledged(t *testing.T) {
	kills := int(envInt(t, "PARLEY_KILLS", defaultKills))
	budget := time.Duration(envInt(t, "PARLEY_SECONDS", 24*60*60)) * time.Second
	seed := seedOf(t)
	binary(t) // ahead of the clock
	began := time.Now()
	caught, interrupted, done := 0, 0, map[crashtest.Op]int{}
	var restarts []time.Duration
	for first := 0; first < kills; first += killsOfAnEra {
		t.Run(strconv.Itoa(first), func(t *testing.T) {
			e := newEra(t, seed+uint64(first))
			for kill := first; kill < min(first+killsOfAnEra, kills); kill++ {
				if time.Since(began) > budget {
					kills = kill
				}
				caught += e.round(t, kill)
			}
			last := e.launch(t)
			e.check(t, last, e.promise(t).Conversations())
			interrupted += e.interrupted(t, last)
			restarts = append(restarts, e.restarts...)
			for op, n := range e.load.Counts() {
				done[op] += n
			}
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	slices.Sort(restarts)
	at := func(percent int) time.Duration { return restarts[len(restarts)*percent/100].Round(time.Millisecond) }
	t.Logf("%d kills in %v; acknowledged: %v; %d requests caught in flight, %d responses interrupted; ready again in %v (median), %v (p99), %v (longest)",
		kills, time.Since(began).Round(time.Second), done, caught, interrupted, at(50), at(99), restarts[len(restarts)-1].Round(time.Millisecond))
	if idle := crashtest.Idle(done); kills >= 10 && len(idle) > 0 {
		t.Errorf("never done: %v. The test has shown nothing of these", idle)
	}
	if caught == 0 || kills >= 50 && interrupted == 0 {
		t.Errorf("%d requests caught, %d responses interrupted: the test has shown nothing", caught, interrupted)
	}
}
