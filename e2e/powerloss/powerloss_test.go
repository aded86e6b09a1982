package powerloss

import (
	"errors"
	"fmt"
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

// diskSize is that of a disk on which there is always room.
const diskSize = 4 << 30

// dataDir is where the server's directory is on the disk. It makes all of them.
const dataDir = "srv/parley/data"

var binaries struct {
	dir          string
	once         sync.Once
	safe, unsafe string
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "parley-powerloss-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// needFUSE skips a test where no file system can be mounted.
func needFUSE(t *testing.T) {
	t.Helper()
	unmount, err := NewDisk(1 << 20).Mount(t.TempDir())
	if err != nil {
		t.Skipf("NOT TESTED: no FUSE file system can be mounted here: %v", err)
	}
	if err := unmount(); err != nil {
		t.Fatal(err)
	}
	binaries.once.Do(func() {
		binaries.safe = crashtest.Build(t, "../..", filepath.Join(binaries.dir, "parley"), "")
		binaries.unsafe = crashtest.Build(t, "../..", filepath.Join(binaries.dir, "parley-unsafe"), "parley_unsafe_sync")
	})
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

func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := envInt(t, "PARLEY_SEED", time.Now().UnixNano())
	t.Logf("PARLEY_SEED=%d", seed)
	return uint64(seed)
}

// machine is a server on a disk whose power may fail, with what it has promised.
type machine struct {
	binary   string
	disk     *Disk
	dir      string
	unmount  func() error
	server   *crashtest.Server
	file     string
	history  *crashtest.History
	upstream *crashtest.Upstream
	load     *crashtest.Load
}

func newMachine(t *testing.T, binary string, seed uint64) *machine {
	t.Helper()
	m := &machine{binary: binary, disk: NewDisk(diskSize), dir: t.TempDir(), file: filepath.Join(t.ArtifactDir(), "history.jsonl")}
	f, err := os.Create(m.file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	m.history = crashtest.NewHistory(f)
	m.upstream = crashtest.NewUpstream(t, m.history)
	// What cannot be written is refused, and a server that ends takes no prompts.
	m.load = &crashtest.Load{History: m.history, Seed: seed, Clients: 8, Expected: func(p *api.Problem) bool {
		return p.Code == "store_unavailable" || p.Code == "audit_unavailable" || p.Code == "draining"
	}}
	t.Cleanup(func() { m.off(t) })
	return m
}

// start mounts the disk and starts the server on it. It does not wait.
func (m *machine) start(t *testing.T) {
	t.Helper()
	var err error
	if m.unmount, err = m.disk.Mount(m.dir); err != nil {
		t.Fatal(err)
	}
	m.server = crashtest.StartServer(t, m.binary, filepath.Join(m.dir, dataDir), m.upstream.Environ())
}

// off ends the server and takes the disk away.
func (m *machine) off(t *testing.T) {
	t.Helper()
	if m.unmount == nil {
		return
	}
	m.server.Kill()
	if err := m.unmount(); err != nil {
		t.Error(err)
	}
	m.unmount = nil
}

// powerLoss cuts the power, and goes on with the disk as it is then.
func (m *machine) powerLoss(t *testing.T, l Loss) (lost int) {
	t.Helper()
	m.disk.Cut()
	m.off(t)
	m.disk, lost = m.disk.PowerLoss(l)
	return lost
}

// violations are those that are found on a copy of what the disk holds, which is a sound one. Of the conversations the API is asked for
// those alone.
func (m *machine) violations(t *testing.T, conversations []string) []crashtest.Violation {
	t.Helper()
	data, err := os.MkdirTemp(t.TempDir(), "copy-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(data) }()
	if err := m.disk.Dump(data); err != nil {
		t.Fatal(err)
	}
	data = filepath.Join(data, dataDir)
	// It answers by itself: what the model notes is of the machine alone.
	server := crashtest.StartServer(t, m.binary, data, nil)
	defer server.Kill()
	if !server.Await() {
		return []crashtest.Violation{{Invariant: crashtest.Sound, Detail: fmt.Sprintf("the server does not start: exit %d: %s", server.Code(), server.Said())}}
	}
	entries, err := crashtest.ReadHistory(m.file)
	if err := errors.Join(err, m.history.Err()); err != nil {
		t.Fatal(err)
	}
	promise := crashtest.Promised(entries, time.Time{}, time.Time{})
	if conversations == nil {
		conversations = promise.Conversations()
	}
	found, err := promise.CheckDatabase(t.Context(), crashtest.SQLite(filepath.Join(data, "parley.db")), true)
	if err != nil {
		t.Fatal(err)
	}
	client := crashtest.Client(server.URL)
	found = append(found, promise.CheckServer(t.Context(), client, conversations)...)
	// What is noted of these turns is of the copy.
	scratch, err := os.Create(filepath.Join(filepath.Dir(data), "scratch"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = scratch.Close() }()
	found = append(found, crashtest.Probe(t.Context(), client, crashtest.NewHistory(scratch), conversations)...)
	for _, text := range m.load.Violations() {
		found = append(found, crashtest.Violation{Invariant: "only what is documented is answered", Detail: text})
	}
	return found
}

// losses are the ways in which a power loss treats what was not synced, one after the other.
func loss(n int, random *rand.Rand) Loss {
	return Loss{Keep: []float64{0, 0.5, 0.9}[n%3], Random: random}
}

// outage loads a server, most often after it is ready, and cuts the power at some moment.
func (m *machine) outage(t *testing.T, n int, random *rand.Rand) (lost int) {
	t.Helper()
	m.start(t)
	var clients sync.WaitGroup
	if n%5 == 4 {
		// In the middle of starting, which is where a crash is repaired.
		m.disk.CutAt(1 + random.IntN(40))
	}
	started := make(chan bool, 1)
	go func() { started <- m.server.Await() }()
	select {
	case <-m.disk.Dark():
	case ok := <-started:
		if !ok {
			select {
			case <-m.disk.Dark():
			default:
				t.Fatalf("the server does not start: exit %d: %s", m.server.Code(), m.server.Said())
			}
			break
		}
		m.disk.CutAt(1 + random.IntN(3000))
		clients.Go(func() { m.load.Run(t.Context(), m.server.URL) })
		select {
		case <-m.disk.Dark():
		case <-time.After(time.Second):
		}
	}
	lost = m.powerLoss(t, loss(n, random))
	clients.Wait()
	return lost
}

// TestPowerLossLosesNothingAcknowledged cuts the power of a loaded server again and again. What was not synced is lost, or a random
// part of it. PARLEY_LOSSES says how often.
func TestPowerLossLosesNothingAcknowledged(t *testing.T) {
	needFUSE(t)
	losses, seed := int(envInt(t, "PARLEY_LOSSES", 10)), seedOf(t)
	budget := time.Duration(envInt(t, "PARLEY_SECONDS", 24*60*60)) * time.Second
	began := time.Now()
	lost, done := 0, map[crashtest.Op]int{}
	// What is checked grows with the database, so that it begins anew from time to time.
	const era = 25
	for first := 0; first < losses; first += era {
		t.Run(strconv.Itoa(first), func(t *testing.T) {
			m := newMachine(t, binaries.safe, seed+uint64(first))
			random := rand.New(rand.NewPCG(seed+uint64(first), 1))
			for n := first; n < min(first+era, losses); n++ {
				if time.Since(began) > budget {
					losses = n
				}
				lost += m.outage(t, n, random)
				for _, v := range m.violations(t, m.load.Touched()) {
					t.Error(v)
				}
				if t.Failed() {
					t.FailNow()
				}
			}
			for _, v := range m.violations(t, nil) {
				t.Error(v)
			}
			for op, n := range m.load.Counts() {
				done[op] += n
			}
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d power losses in %v; acknowledged: %v; %d bytes were lost that were not synced", losses, time.Since(began).Round(time.Second), done, lost)
	if idle := crashtest.Idle(done); losses >= 20 && len(idle) > 0 {
		t.Errorf("never done: %v. The test has shown nothing of these", idle)
	}
	if lost == 0 {
		t.Error("nothing was lost: the test has shown nothing")
	}
}

// TestWithoutSyncingEachCommitPowerLossLosesWhatWasAcknowledged is the other test's control: a server that syncs less must fail it.
func TestWithoutSyncingEachCommitPowerLossLosesWhatWasAcknowledged(t *testing.T) {
	needFUSE(t)
	seed := seedOf(t)
	m := newMachine(t, binaries.unsafe, seed)
	random := rand.New(rand.NewPCG(seed, 1))
	const most = 10
	for n := range most {
		m.outage(t, n, random)
		found := m.violations(t, m.load.Touched())
		if i := slices.IndexFunc(found, func(v crashtest.Violation) bool { return v.Invariant == crashtest.AcknowledgedIsStored }); i >= 0 {
			t.Logf("%d violations after %d power losses, such as: %v", len(found), n+1, found[i])
			return
		}
	}
	t.Errorf("nothing was found in %d power losses: the test of power losses sees nothing", most)
}
