// Package faulttest has a server face every way in which a model's provider fails: the fault matrix, on the real handler, core, store
// and clients, against a provider that speaks bytes over TCP. It holds tests alone.
package faulttest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/llm"
)

const allFaults = 32

// atOnce is how many cases run at the same time: most of what they do is to wait.
const atOnce = "32"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	net.DefaultResolver = resolver()
	os.Exit(m.Run())
}

// TestFaults runs the table over every surface and protocol, whole and streamed: a typed error or the documented success, a terminal
// state, one outcome for each intent, nothing leaked, and the conversation usable at once.
//
// PARLEY_FAULT_ROUNDS says how often, PARLEY_SEED repeats a run's choices.
func TestFaults(t *testing.T) {
	rounds := int(envInt(t, "PARLEY_FAULT_ROUNDS", 1))
	seed := envInt(t, "PARLEY_SEED", time.Now().UnixNano())
	t.Logf("PARLEY_SEED=%d", seed)
	names := newNameServer(t)
	names.use(t)
	counter.Count("loaded ahead of what is compared", 1)
	before := inUse(t)
	fired := &tally{counts: map[string]int{}}
	for round := range rounds {
		t.Run(fmt.Sprintf("round %d", round+1), func(t *testing.T) {
			cases(t, names, fired, uint64(seed)+uint64(round))
		})
	}
	before.check(t, func() {})
	t.Logf("a fault happened %d times", fired.total())
	for n := 1; n <= allFaults; n++ {
		for _, mode := range []string{"whole", "streamed"} {
			if fired.counts[fmt.Sprintf("F%d %s", n, mode)] == 0 {
				t.Errorf("F%d never happened, %s", n, mode)
			}
		}
	}
}

// cases runs each row of the table once for each way to ask, all at the same time.
func cases(t *testing.T, names *nameServer, fired *tally, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	rows := table(names)
	random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	for _, s := range surfaces {
		for i := range spoken {
			for _, r := range rows {
				for _, stream := range []bool{false, true} {
					mode := map[bool]string{false: "whole", true: "streamed"}[stream]
					own := rand.New(rand.NewPCG(random.Uint64(), 0))
					t.Run(strings.Join([]string{s.name, protocols[i].name, r.id, r.name, mode}, "/"), func(t *testing.T) {
						t.Parallel()
						fired.add(r.id+" "+mode, face(t, &s, newScene(t, &protocols[i], stream, own), r))
					})
				}
			}
		}
	}
}

// tally counts.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tally) total() int {
	n := 0
	for _, count := range c.counts {
		n += count
	}
	return n
}

func (c *tally) add(name string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[name] += n
}

// face has a prompt meet a fault, holds what comes of it against the table, and returns how often the fault has happened.
func face(t *testing.T, via *surface, s *scene, r row) int {
	r.attempts = max(r.attempts, 1)
	r.set(s)
	w := newWorld(t, llm.Endpoint{Name: "faulty", Host: "faulty.test", Provider: s.provider(&r)})
	conversation := w.conversation()

	got := via.prompt(w, conversation, faulty, s.stream)
	want := r.whole
	if s.stream {
		want = r.streamed
	}
	if got.code != want.code || !s.stream && got.status != want.status || s.stream && got.status != 200 {
		t.Errorf("answered %d %q, want %d %q", got.status, got.code, want.status, want.code)
	}
	if s.stream {
		checkText(t, got.text, s.said, want.keeps)
	}
	// The other side may see a moment later what this one has done.
	fired := s.fired()
	for deadline := time.Now().Add(patience); fired < r.attempts && time.Now().Before(deadline); fired = s.fired() {
		<-time.After(time.Millisecond)
	}
	if fired != r.attempts {
		t.Errorf("the fault happened %d times, want %d", fired, r.attempts)
	}
	if n := s.dials.Load(); n > int64(r.attempts) {
		t.Errorf("%d connections were tried for %d attempts", n, r.attempts)
	}
	if n := s.trap.Connections(); n != 0 {
		t.Errorf("the trap was called %d times", n)
	}
	checkStored(w, conversation, got.responseID, want, &r)
	checkAudit(w, got.responseID, want, &r)

	next := healthy
	if r.heals {
		s.upstream.Always(s.protocol.answer)
		next = faulty
	}
	if again := via.prompt(w, conversation, next, false); again.status != 200 || again.text != "I am well." {
		t.Errorf("the next prompt is answered %d %q", again.status, again.code)
	}
	w.verify()
	said, logged := w.heard.String(), w.logs.String()
	for _, secret := range secrets {
		if strings.Contains(said, secret) {
			t.Errorf("an answer holds %s", secret)
		}
		if strings.Contains(logged, secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
	return fired
}

// checkText holds the text that was kept against the one that came.
func checkText(t *testing.T, got, said string, k keeping) {
	t.Helper()
	ok := false
	switch k {
	case nothing:
		ok = got == ""
	case all:
		ok = got == said
	case some:
		ok = got != "" && strings.HasPrefix(said, got)
	case more:
		ok = len(got) > len(said) && strings.HasPrefix(got, said)
	}
	if !ok {
		t.Errorf("kept %d bytes of text, %.60q; there were %d, %.60q", len(got), got, len(said), said)
	}
}

// checkStored holds what is stored against what was told.
func checkStored(w *world, conversation, id string, want answer, r *row) {
	w.t.Helper()
	var stored api.Response
	w.get("/api/responses/"+id, &stored)
	status, code := "completed", ""
	if want.code != "" {
		status = "failed"
	}
	if stored.Error != nil {
		code = stored.Error.Code
	}
	if stored.Status != status || code != want.code || stored.CompletedAt == nil || stored.Attempts != r.attempts {
		w.t.Errorf("stored is %s %q after %d attempts", stored.Status, code, stored.Attempts)
	}
	var list api.MessageList
	w.get("/api/conversations/"+conversation+"/messages", &list)
	if len(list.Data) == 0 || string(list.Data[0].Content) != `"Hello?"` {
		w.t.Errorf("the question is not stored: %+v", list.Data)
	}
	text := ""
	for _, m := range list.Data[min(1, len(list.Data)):] {
		var part string
		w.decode(m.Content, &part)
		text += part
	}
	if text != stored.OutputText || len(stored.Input) != 1 {
		w.t.Errorf("the conversation shows %d bytes of the answer, the response %d", len(text), len(stored.OutputText))
	}
}

// checkAudit looks for the intent of each attempt, and for its one outcome behind it.
func checkAudit(w *world, id string, want answer, r *row) {
	w.t.Helper()
	var list struct {
		Data []api.AuditRecord `json:"data"`
	}
	w.get("/api/audit/records?limit=100&response_id="+id, &list)
	slices.SortFunc(list.Data, func(a, b api.AuditRecord) int { return int(a.Seq - b.Seq) })
	var got, expected []string
	for _, rec := range list.Data {
		// A record keeps what the provider said; our secrets are not among it even there. What it says is no answer to a prompt.
		_, text := w.do(http.MethodGet, "/api/audit/records/"+rec.ID, "")
		w.heard.Truncate(w.heard.Len() - len(text))
		for _, secret := range []string{keyCanary, headerCanary} {
			if strings.Contains(string(text), secret) {
				w.t.Errorf("a record holds %s: %s", secret, text)
			}
		}
		// A limit is waited for, and it is that one: the others are far longer, or were not reached.
		if took := rec.DurationMS; took != nil && r.lasts > 0 {
			if d := time.Duration(*took) * time.Millisecond; d < r.lasts-r.lasts/10 || d > patience/4 {
				w.t.Errorf("an attempt took %v, the time limit is %v", d, r.lasts)
			}
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %d %s %s", rec.Kind, rec.Attempt, rec.Status, rec.ErrorCode)))
	}
	for n := 1; n <= r.attempts; n++ {
		status := "failed"
		if want.code == "" {
			status = "completed"
		}
		expected = append(expected, fmt.Sprintf("llm.intent %d", n), strings.TrimSpace(fmt.Sprintf("llm.outcome %d %s %s", n, status, want.code)))
	}
	if !slices.Equal(got, expected) {
		w.t.Errorf("recorded %q, want %q", got, expected)
	}
}

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
