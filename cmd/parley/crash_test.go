package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	crashClients = 8
	defaultKills = 10
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

// TestKilledServerLosesNothingAcknowledged kills the real server again and again while clients create, append, prompt and
// stream, always on the same data, and looks after each restart whether everything that was acknowledged is there.
// PARLEY_KILLS says how often, PARLEY_SEED repeats a run's choices.
func TestKilledServerLosesNothingAcknowledged(t *testing.T) {
	kills := int(envInt(t, "PARLEY_KILLS", defaultKills))
	seed := envInt(t, "PARLEY_SEED", time.Now().UnixNano())
	t.Logf("PARLEY_SEED=%d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	binary(t) // ahead of the clock
	data := t.TempDir()
	h := newHistory()
	var restarts []time.Duration

	for kill := range kills {
		began := time.Now()
		p := launch(t, data, nil)
		if kill%5 == 4 {
			// In the middle of starting, which is where a crash is repaired.
			<-time.After(time.Duration(random.Int64N(int64(30 * time.Millisecond))))
			p.kill()
			began = time.Now()
			p = launch(t, data, nil)
		}
		p.await(t)
		restarts = append(restarts, time.Since(began))
		h.check(t, p, data, h.takeTouched())
		if t.Failed() {
			t.Fatalf("after %d kills", kill)
		}

		var clients sync.WaitGroup
		for i := range crashClients {
			c := newClient(p.url, h, rand.New(rand.NewPCG(uint64(seed), uint64(kill*crashClients+i+1))), i)
			clients.Go(func() { c.work(t) })
		}
		<-time.After(time.Duration(5+random.Int64N(400)) * time.Millisecond)
		h.caught += int(h.inFlight.Load())
		p.kill()
		clients.Wait()
	}

	last := launch(t, data, nil)
	last.await(t)
	h.check(t, last, data, h.all())
	h.checkPairs(t, last)

	slices.Sort(restarts)
	t.Logf("%d kills: %d conversations, %d messages, %d whole and %d streamed answers acknowledged; %d requests caught in flight, %d responses interrupted; ready again in %v (median), %v (longest)",
		kills, h.created, h.appended, h.whole, h.streamed, h.caught, len(h.interrupted), restarts[len(restarts)/2], restarts[len(restarts)-1])
	if h.created == 0 || h.appended == 0 || h.whole == 0 || h.streamed == 0 || h.caught == 0 {
		t.Error("a part of the load never happened: the test has shown nothing")
	}
	if kills >= 50 && len(h.interrupted) == 0 {
		t.Error("no kill has hit a running response: the test has shown nothing")
	}
}

// text makes a message: any characters that JSON can carry, now and then a long one.
func text(random *rand.Rand) string {
	alphabet := []rune("abc xyz,.\"\\\n\t<>&é漢字🙂\u2028\u200d")
	n := 1 + random.IntN(60)
	if random.IntN(20) == 0 {
		n = 4000
	}
	// The number makes each text one of a kind.
	runes := []rune(strconv.FormatUint(random.Uint64(), 36) + " ")
	for range n {
		runes = append(runes, alphabet[random.IntN(len(alphabet))])
	}
	return string(runes) + "."
}

func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		return ""
	}
	return string(b)
}
