package powerloss

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/crashtest"
)

// patience is how long a server may take to go on when the fault is gone.
const patience = 5 * time.Second

// loaded starts a server and its load, which end with the test.
func loaded(t *testing.T, m *machine) (stop func()) {
	t.Helper()
	m.start(t)
	if !m.server.Await() {
		t.Fatalf("the server does not start: exit %d: %s", m.server.Code(), m.server.Said())
	}
	var clients sync.WaitGroup
	clients.Go(func() { m.load.Run(t.Context(), m.server.URL) })
	m.until(t, func() bool { return m.load.Counts()[crashtest.OpStream] >= 20 })
	return clients.Wait
}

// until waits for something that the load brings about.
func (m *machine) until(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come to it; acknowledged %v, refused %v; the server said: %s", m.load.Counts(), m.load.Refused(), m.server.Said())
		}
	}
}

// recovers demands that prompts are answered again, soon, by the same process.
func (m *machine) recovers(t *testing.T) {
	t.Helper()
	began := time.Now()
	client := crashtest.Client(m.server.URL)
	for {
		conv, err := client.CreateConversation(t.Context(), api.NewConversation{})
		if err == nil {
			_, err = client.Respond(t.Context(), conv.ID, api.NewResponse{Prompt: api.Text("Is there room?"), Model: "parley/echo"})
		}
		if err == nil {
			t.Logf("prompts were answered again after %v", time.Since(began).Round(time.Millisecond))
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("%v after the fault: %v", patience, err)
		}
	}
}

func (m *machine) expectNoViolations(t *testing.T) {
	t.Helper()
	for _, v := range m.violations(t, nil) {
		t.Error(v)
	}
}

// A disk that is full says so by what is free, or, under a quota, only when it is written to.
func TestOnAFullDiskNothingIsLostAndTheServerGoesOn(t *testing.T) {
	needFUSE(t)
	for _, tt := range []struct {
		name       string
		fill, free func(*Disk)
	}{
		{"full", func(d *Disk) { d.Resize(0) }, func(d *Disk) { d.Resize(diskSize) }},
		{"nearly full", func(d *Disk) { d.Resize(8 << 20) }, func(d *Disk) { d.Resize(diskSize) }},
		{"out of quota", func(d *Disk) {
			d.Fail(func(op Op) syscall.Errno {
				if op.Kind == Write || op.Kind == Allocate {
					return syscall.ENOSPC
				}
				return 0
			})
		}, func(d *Disk) { d.Fail(nil) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, binaries.safe, seedOf(t))
			stop := loaded(t, m)
			tt.fill(m.disk)
			m.until(t, func() bool { return m.load.Refused()["store_unavailable"] >= 50 })
			failed := m.disk.Failed()
			tt.free(m.disk)
			m.recovers(t)
			m.load.Touched()
			before := m.load.Counts()[crashtest.OpPrompt]
			m.until(t, func() bool { return m.load.Counts()[crashtest.OpPrompt] > before })
			m.powerLoss(t, Loss{})
			stop()
			m.expectNoViolations(t)
			t.Logf("%d operations failed; answered: %v", failed, m.load.Refused())
			if failed == 0 && tt.name != "nearly full" {
				t.Error("no operation failed: the test has shown nothing")
			}
		})
	}
}

// After an error of the disk nobody knows what is on it: the server stops, and the next start says what is.
func TestADiskThatFailsStopsTheServerAndLosesNothing(t *testing.T) {
	needFUSE(t)
	for _, tt := range []struct {
		name string
		kind Kind
		file string
	}{
		{"writing the log", Write, "parley.db-wal"},
		{"syncing the log", Sync, "parley.db-wal"},
		{"writing the database", Write, "parley.db"},
		{"syncing the database", Sync, "parley.db"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, binaries.safe, seedOf(t))
			stop := loaded(t, m)
			m.disk.Fail(func(op Op) syscall.Errno {
				if op.Kind == tt.kind && op.Name == tt.file {
					return syscall.EIO
				}
				return 0
			})
			code := m.server.Code()
			stop()
			if code != 1 || !strings.Contains(m.server.Said(), "parley: serving: ") {
				t.Errorf("exit %d: %s", code, m.server.Said())
			}
			if m.disk.Failed() == 0 {
				t.Error("no operation failed: the test has shown nothing")
			}
			m.disk.Fail(nil)
			m.powerLoss(t, Loss{})
			m.expectNoViolations(t)
			m.start(t)
			if !m.server.Await() {
				t.Fatalf("the server does not start: exit %d: %s", m.server.Code(), m.server.Said())
			}
			m.recovers(t)
			t.Logf("answered: %v", m.load.Refused())
		})
	}
}
