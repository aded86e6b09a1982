package crashtest_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/catalog"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/crashtest"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/mongotest"
	"github.com/parley-llm/parley/internal/openai"
	"github.com/parley-llm/parley/internal/opentest"
	"github.com/parley-llm/parley/internal/pii"
	"github.com/parley-llm/parley/internal/server"
	"github.com/parley-llm/parley/internal/tokens"
	"github.com/parley-llm/parley/internal/upstream"
)

// counter is shared: its vocabulary takes a while to load.
var counter tokens.Counter

// instance is a server within this process.
type instance struct {
	service *chat.Service
	store   opentest.Store
	http    *httptest.Server
}

func start(t *testing.T, d *opentest.Database, model string) *instance {
	t.Helper()
	log, now := slog.New(slog.DiscardHandler), time.Now
	newID := chat.NewID(now)
	provider, err := openai.New(upstream.Config{BaseURL: model, Key: "sk-test", FirstByteTimeout: time.Minute, IdleTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{store: d.Open(opentest.Options{Now: now, NewID: newID, Log: log})}
	i.service = &chat.Service{
		Store: i.store, Audit: i.store, Masker: pii.New(), Log: log, Now: now, NewID: newID,
		Router:       &llm.Router{Endpoints: []llm.Endpoint{{Name: "openai", Host: "llm.test", Provider: provider}}, Default: "openai"},
		DefaultModel: func(context.Context) (string, error) { return crashtest.ModelName, nil },
		Catalog:      catalog.New(), CountTokens: counter.Count, Pseudonym: func(string) string { return "u_pseudonym" },
		AuditMaxChars: 2000, UpstreamTimeout: time.Minute, UpstreamConcurrency: 64,
	}
	i.http = httptest.NewServer(server.New(server.Config{Service: i.service, Log: log, Version: "test", Metrics: server.NewMetrics()}))
	return i
}

// stop ends it, and what it runs, at once.
func (i *instance) stop() {
	i.http.CloseClientConnections()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	i.service.Drain(now)
	i.http.Close()
	_ = i.store.Close()
}

// place is a command of the scenario: the n-th of those that say the same. Counted like that it is met again in another run, in which what the clock
// has sent stands elsewhere.
type place struct {
	what string
	n    int
}

func (p place) String() string { return fmt.Sprintf("%s, number %d", p.what, p.n) }

// crash is a scenario that was cut off at a command, on a database of its own, and the instance that has come after it.
type crash struct {
	at       place
	met      bool
	commands []place
	database *opentest.Database
	survivor *instance
	history  *crashtest.History
	path     string
}

// cut runs the scenario until a command, at which everything between the instance and its database is cut; no place is never. The next instance then
// takes over.
func cut(t *testing.T, at place) *crash {
	t.Helper()
	c := &crash{at: at, path: filepath.Join(t.TempDir(), "history")}
	file, err := os.Create(c.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	c.history = crashtest.NewHistory(file)
	uri := os.Getenv(mongotest.Env)
	c.database = opentest.New(t, uri)
	proxy := mongotest.NewProxy(t, uri)
	looking, err := crashtest.NewMongoDB(uri, c.database.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = looking.Close(context.Background()) })
	model := crashtest.NewUpstream(t, c.history)
	model.Database = looking
	// It gives up soon: nobody waits for it.
	victim := start(t, c.database.By(proxy.URI("timeoutMS=5000", "serverSelectionTimeoutMS=3000")), model.BaseURL)
	ctx, gone := context.WithCancel(t.Context())
	defer gone()
	counts := map[string]int{}
	proxy.Have(func(cmd mongotest.Command) mongotest.Fate {
		what := strings.TrimSpace(cmd.Name + " " + cmd.Collection)
		counts[what]++
		c.commands = append(c.commands, place{what, counts[what]})
		if c.commands[len(c.commands)-1] != at {
			return mongotest.Passed
		}
		c.met = true
		gone()
		return mongotest.Dead
	})
	load := &crashtest.Load{History: c.history, Seed: 20261126}
	load.Scenario(ctx, victim.http.URL)
	proxy.Kill()
	var ended sync.WaitGroup
	ended.Go(victim.stop)
	t.Cleanup(ended.Wait)

	c.survivor = start(t, c.database, model.BaseURL)
	t.Cleanup(c.survivor.stop)
	// It has seen the dead one's signs of life, and sees them unchanged a term later.
	for range 2 {
		if _, err := c.survivor.service.Recover(t.Context()); err != nil {
			t.Fatalf("%v: %v", at, err)
		}
		c.database.Lapse()
	}
	return c
}

// check looks for what was lost, once the survivor has sealed what the dead one has left.
func (c *crash) check(t *testing.T) {
	t.Helper()
	db, err := crashtest.NewMongoDB(os.Getenv(mongotest.Env), c.database.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.WithoutCancel(t.Context())) }()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(100 * time.Millisecond) {
		settled, err := db.Settled(t.Context())
		if settled || err != nil || time.Now().After(deadline) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	entries, err := crashtest.ReadHistory(c.path)
	if err != nil {
		t.Fatal(err)
	}
	promise := crashtest.Promised(entries, time.Time{}, time.Time{})
	found, err := promise.CheckDatabase(t.Context(), db, true)
	if err != nil {
		t.Fatal(err)
	}
	client := crashtest.Client(c.survivor.http.URL)
	found = append(found, promise.CheckServer(t.Context(), client, promise.Conversations())...)
	found = append(found, crashtest.Probe(t.Context(), client, c.history, promise.Conversations())...)
	calls := map[string]int{}
	for _, e := range entries {
		if e.State == crashtest.Asked {
			calls[e.Messages[0].Text]++
		}
	}
	for question, n := range calls {
		if n > 1 {
			t.Errorf("cut at %v: the model was asked %d times for %q", c.at, n, question)
		}
	}
	for _, v := range found {
		t.Errorf("cut at %v: %v", c.at, v)
	}
}

// TestACrashAtEveryCommand cuts an instance off from its database at a command of a scenario of twenty calls, has another one recover, and looks for what
// must hold; with PARLEY_TEST_EVERY=1 at each command, =2 at every other one, and so on, of all or of those that PARLEY_TEST_AT names ("insert items").
func TestACrashAtEveryCommand(t *testing.T) {
	if os.Getenv(mongotest.Env) == "" || os.Getenv("PARLEY_TEST_EVERY") == "" {
		t.Skip("PARLEY_TEST_EVERY runs it where there is a MongoDB to test on")
	}
	every, err := strconv.Atoi(os.Getenv("PARLEY_TEST_EVERY"))
	if err != nil || every < 1 {
		t.Fatal("PARLEY_TEST_EVERY is no number")
	}
	// What takes its time the first time is none of the run's.
	counter.Warm()
	whole := cut(t, place{})
	whole.check(t)
	var places []place
	for _, p := range whole.commands {
		if strings.Contains(p.what, os.Getenv("PARLEY_TEST_AT")) {
			places = append(places, p)
		}
	}
	// What the dead have left is sealed after some seconds, in all databases of a group at one time.
	const group = 20
	all, met := 0, map[string][2]int{}
	for first := 0; first < len(places); first += every * group {
		t.Run(fmt.Sprint(first+1), func(t *testing.T) {
			var list []*crash
			for i := first; i < min(first+every*group, len(places)); i += every {
				list = append(list, cut(t, places[i]))
			}
			for _, c := range list {
				c.check(t)
				of := met[c.at.what]
				of[1]++
				if c.met {
					of[0]++
					all++
				}
				met[c.at.what] = of
			}
		})
	}
	// Of what the clock sends there may be less in another run: of sealing, and of looks for what has expired.
	for _, what := range slices.Sorted(maps.Keys(met)) {
		t.Logf("%s: %d of %d", what, met[what][0], met[what][1])
		if met[what][0] == 0 && !strings.HasPrefix(what, "find ") {
			t.Errorf("no crash at: %s", what)
		}
	}
	t.Logf("%d commands, a crash at each %d-th: %d", len(places), every, all)
}
