package faulttest

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/mongotest"
)

// settling is how long what has been told to end may take to.
const settling = 20 * time.Second

// resources are what the process holds.
type resources struct {
	// goroutines by where they were started.
	goroutines map[string]int
	// files that are open, but for the pool of connections to a MongoDB; -1 where that cannot be told.
	files int
}

func inUse(t testing.TB) resources {
	t.Helper()
	r := resources{goroutines: goroutines(), files: -1}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return r
	}
	r.files = 0
	pool := connectionsToStore()
	for _, e := range entries {
		if file, err := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || !pool[file] {
			r.files++
		}
	}
	return r
}

// connectionsToStore are the sockets connected to the MongoDB to test on, if there is one, by the names that Linux gives them.
func connectionsToStore() map[string]bool {
	uri, err := url.Parse(os.Getenv(mongotest.Env))
	if err != nil {
		return nil
	}
	port, err := strconv.Atoi(uri.Port())
	if err != nil {
		return nil
	}
	table, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		return nil
	}
	sockets := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		// The third field is the peer's address, the tenth the inode.
		if f := strings.Fields(line); len(f) > 9 && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", port)) {
			sockets["socket:["+f[9]+"]"] = true
		}
	}
	return sockets
}

var createdBy = regexp.MustCompile(`(?m)^created by (\S+)`)

// goroutines counts all of them but the tests' own, by the function that started them.
func goroutines() map[string]int {
	stacks := make([]byte, 1<<20)
	for {
		n := runtime.Stack(stacks, true)
		if n < len(stacks) {
			stacks = stacks[:n]
			break
		}
		stacks = make([]byte, 2*len(stacks))
	}
	counts := map[string]int{}
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		starter := "main"
		if m := createdBy.FindStringSubmatch(stack); m != nil {
			starter = m[1]
		}
		if !strings.HasPrefix(starter, "testing.") {
			counts[starter]++
		}
	}
	return counts
}

// settled is what is held when nothing has come or gone for a while. release lets go of what is only kept for later.
func settled(t *testing.T, release func()) resources {
	t.Helper()
	const quiet = 20
	now, same := inUse(t), 0
	for deadline := time.Now().Add(settling); same < quiet && time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		release()
		before := now
		if now = inUse(t); now.files == before.files && maps.Equal(now.goroutines, before.goroutines) {
			same++
		} else {
			same = 0
		}
	}
	return now
}

// check waits until no more is held than before. What then still is has leaked. release lets go of what is only kept for later.
func (r resources) check(t *testing.T, release func()) {
	t.Helper()
	var extra []string
	for deadline := time.Now().Add(settling); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		release()
		if extra = r.extra(t); len(extra) == 0 {
			break
		}
	}
	if len(extra) > 0 {
		t.Errorf("leaked: %s", strings.Join(extra, "; "))
	}
	now := inUse(t)
	t.Logf("%d goroutines and %d files are in use, %d and %d were", sum(now.goroutines), now.files, sum(r.goroutines), r.files)
	if leaks := pprof.Lookup("goroutineleak"); leaks != nil {
		var text strings.Builder
		if err := leaks.WriteTo(&text, 1); err != nil {
			t.Error(err)
		}
		t.Logf("the goroutine-leak profile counts %d", leaks.Count())
		if leaks.Count() > 0 {
			t.Errorf("goroutines that can never go on:\n%s", text.String())
		}
	}
}

func (r resources) extra(t testing.TB) []string {
	t.Helper()
	now := inUse(t)
	var extra []string
	for _, starter := range slices.Sorted(maps.Keys(now.goroutines)) {
		if n := now.goroutines[starter] - r.goroutines[starter]; n > 0 {
			extra = append(extra, fmt.Sprintf("%d goroutines of %s", n, starter))
		}
	}
	if n := now.files - r.files; n > 0 {
		extra = append(extra, fmt.Sprintf("%d files", n))
	}
	return extra
}

func sum(counts map[string]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}
