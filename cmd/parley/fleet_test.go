//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/crashtest"
	"github.com/parley-llm/parley/internal/mongotest"
)

const (
	fleetInstances = 3
	// fleetClients work at a time, and fewClients in less than a whole round. They share half as many conversations.
	fleetClients = 100
	fewClients   = 40
	// fleetRound is how long one database is used: a stand-in reads all of a collection for much of what it is asked.
	fleetRound = time.Minute
	// fleetPace is about how long a client waits between two requests, so that a stand-in can follow a hundred.
	fleetPace = 4 * time.Second
)

// squadron is a fleet under load.
type squadron struct {
	*fleet
	file     string
	history  *crashtest.History
	upstream *crashtest.Upstream
	load     *crashtest.Load
	database *crashtest.MongoDB
	random   *rand.Rand

	mu        sync.Mutex
	instances []*process
}

func newSquadron(t *testing.T, seed uint64, clients, retrying int) *squadron {
	t.Helper()
	s := &squadron{file: filepath.Join(t.ArtifactDir(), "history.jsonl"), random: rand.New(rand.NewPCG(seed, 0))}
	f, err := os.Create(s.file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	s.history = crashtest.NewHistory(f)
	s.upstream = crashtest.NewUpstream(t, s.history)
	// An answer takes a while, so that a server is hit while it reads one.
	s.upstream.Pause = 150 * time.Millisecond
	s.fleet = newFleet(t, s.upstream.BaseURL)
	if s.database, err = crashtest.NewMongoDB(s.uri, s.fleet.database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.database.Close(context.WithoutCancel(t.Context())) })
	s.upstream.Database = s.database
	s.load = &crashtest.Load{
		History: s.history, Seed: seed, Clients: clients, Retrying: retrying, Pace: fleetPace, Shared: clients / 2, Together: 80, Servers: s.any, Finish: true,
		// A database that is too slow, as a stand-in is on a busy machine, is answered by a 503. How often is told.
		Expected: func(p *api.Problem) bool {
			return slices.Contains([]string{"interrupted", "store_unavailable", "audit_unavailable"}, p.Code)
		},
	}
	s.instances = s.launch(t, fleetInstances)
	return s
}

// any is one of the instances; it may be gone.
func (s *squadron) any(random *rand.Rand) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instances[random.IntN(len(s.instances))].url
}

// replace starts an instance in the place of one that has ended, again where the database was too slow for its start.
func (s *squadron) replace(t *testing.T, i int) {
	t.Helper()
	for {
		p := launch(t, t.TempDir(), s.env)
		if <-p.ready; p.url != "" {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.instances[i] = p
			return
		}
		<-p.ended
		if !strings.Contains(p.stderr.String(), "does not serve") {
			t.Fatalf("an instance does not start: %s", p.stderr)
		}
	}
}

// check waits until what dead instances have left is ended, and looks for violations of every invariant: in the database, and, through the
// instances, in all conversations, which take a further turn each.
func (s *squadron) check(t *testing.T) (settling time.Duration) {
	t.Helper()
	began := time.Now()
	for {
		settled, err := s.database.Settled(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if settled {
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	settling = time.Since(began)
	entries, err := crashtest.ReadHistory(s.file)
	if err != nil || s.history.Err() != nil {
		t.Fatal(err, s.history.Err())
	}
	promise := crashtest.Promised(entries, time.Time{}, time.Time{})
	found, err := promise.CheckDatabase(t.Context(), s.database, true)
	if err != nil {
		t.Fatal(err)
	}
	all := promise.Conversations()
	var looks sync.WaitGroup
	lists := make([][]crashtest.Violation, len(s.instances))
	for i, p := range s.instances {
		some := all[len(all)*i/len(s.instances) : len(all)*(i+1)/len(s.instances)]
		looks.Go(func() {
			lists[i] = append(promise.CheckServer(t.Context(), p.client(), some), crashtest.Probe(t.Context(), p.client(), s.history, some)...)
		})
	}
	looks.Wait()
	found = append(found, slices.Concat(lists...)...)
	for _, v := range found {
		t.Error(v)
	}
	for _, v := range s.load.Violations() {
		t.Error(v)
	}
	if t.Failed() {
		for _, p := range s.instances {
			t.Log(p.stderr)
		}
		t.FailNow()
	}
	return settling
}

// ended counts the responses by how they have ended.
func (s *squadron) ended(t *testing.T) map[string]int {
	t.Helper()
	contents, err := s.database.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for i := range contents.Responses {
		n[contents.Responses[i].Status]++
	}
	return n
}

// run loads the fleet for a while, and does something to it meanwhile.
func (s *squadron) run(t *testing.T, d time.Duration, meanwhile func(ctx context.Context)) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	var clients sync.WaitGroup
	clients.Go(func() { s.load.Run(ctx, "") })
	meanwhile(ctx)
	clients.Wait()
}

// clientsFor is how many clients a round has.
func clientsFor(d time.Duration) int {
	if d < fleetRound {
		return fewClients
	}
	return fleetClients
}

// rounds is how a time is spent.
func rounds(t *testing.T, fallback time.Duration) (list []time.Duration) {
	t.Helper()
	for left := time.Duration(envInt(t, "PARLEY_SECONDS", int64(fallback/time.Second))) * time.Second; left > 0; left -= fleetRound {
		list = append(list, min(left, fleetRound))
	}
	return list
}

// Three instances serve a hundred clients, half of which send again what was not answered, while one after the other is killed and another started in its
// place. PARLEY_SECONDS says for how long, in rounds of a minute, each on a database of its own.
func TestInstancesThatAreKilledLoseNothingAcknowledged(t *testing.T) {
	t.Parallel()
	mongotest.Need(t, os.Getenv(mongotest.Env))
	seed := seedOf(t)
	kills, interrupted, caught, resent, done := 0, 0, 0, 0, map[crashtest.Op]int{}
	var longest, took time.Duration
	for i, d := range rounds(t, 10*time.Second) {
		took += d
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			s := newSquadron(t, seed+uint64(i), clientsFor(d), clientsFor(d)/2)
			s.run(t, d, func(ctx context.Context) {
				for {
					select {
					case <-ctx.Done():
						return
					case <-time.After(time.Duration(1500+s.random.Int64N(3000)) * time.Millisecond):
					}
					victim := s.random.IntN(len(s.instances))
					caught += s.load.InFlight()
					s.instances[victim].kill()
					kills++
					s.replace(t, victim)
				}
			})
			longest = max(longest, s.check(t))
			ended := s.ended(t)
			interrupted += ended["interrupted"]
			resent += s.load.Resent()
			for op, n := range s.load.Counts() {
				done[op] += n
			}
			t.Logf("ended: %v; refused: %v", ended, s.load.Refused())
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d kills; acknowledged: %v; %d requests under way at a kill, %d sent again, %d responses interrupted, the last of a round within %v of its end",
		kills, done, caught, resent, interrupted, longest.Round(100*time.Millisecond))
	if idle := crashtest.Idle(done); took >= fleetRound && len(idle) > 0 {
		t.Errorf("never done: %v. The test has shown nothing of these", idle)
	}
	if kills == 0 || caught == 0 || resent == 0 || took >= fleetRound && interrupted == 0 {
		t.Error("the test has shown nothing")
	}
}

// One instance after the other is stopped by SIGTERM and another started in its place, as an upgrade does, while a hundred clients send again what was not
// answered: all of it is, once, and no answer is cut short.
func TestInstancesThatAreReplacedAnswerEverything(t *testing.T) {
	t.Parallel()
	mongotest.Need(t, os.Getenv(mongotest.Env))
	seed := seedOf(t)
	replaced, resent, done := 0, 0, map[crashtest.Op]int{}
	for i, d := range rounds(t, 10*time.Second) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			s := newSquadron(t, seed+uint64(i), clientsFor(d), fleetClients)
			s.run(t, d, func(ctx context.Context) {
				for victim := 0; ctx.Err() == nil; victim = (victim + 1) % len(s.instances) {
					p := s.instances[victim]
					p.signal(t, syscall.SIGTERM)
					<-p.ended
					if code := p.cmd.ProcessState.ExitCode(); code != exitOK {
						t.Errorf("exit %d: %s", code, p.stderr)
					}
					replaced++
					s.replace(t, victim)
				}
			})
			s.check(t)
			ended := s.ended(t)
			if n := ended["interrupted"] + ended["failed"]; n > 0 {
				t.Errorf("%d answers were cut short: %v", n, ended)
			}
			resent += s.load.Resent()
			for op, n := range s.load.Counts() {
				done[op] += n
			}
			t.Logf("ended: %v; refused: %v", ended, s.load.Refused())
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d instances replaced; acknowledged: %v; %d requests sent again", replaced, done, resent)
	if replaced == 0 || resent == 0 {
		t.Error("the test has shown nothing")
	}
}
