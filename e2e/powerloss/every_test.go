package powerloss

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// scenario starts a server, makes the twenty calls, stops it, and returns when it has ended, or when the power has failed.
func (m *machine) scenario(t *testing.T) {
	t.Helper()
	m.start(t)
	if !m.server.Await() {
		select {
		case <-m.disk.Dark():
			return
		default:
			t.Fatalf("the server does not start: exit %d: %s", m.server.Code(), m.server.Said())
		}
	}
	var calls sync.WaitGroup
	calls.Go(func() {
		m.load.Scenario(t.Context(), m.server.URL)
		m.server.Terminate()
	})
	select {
	case <-m.disk.Dark():
		m.server.Kill()
	case <-m.server.Ended:
	}
	calls.Wait()
}

// TestACrashAtEveryFileOperationLosesNothing cuts the power at each operation of a scenario, from the making of the first
// directory to the clean stop: the operations before it are carried out, and what of them was not synced is lost, or a part of it. PARLEY_EVERY says
// to take only each n-th operation.
func TestACrashAtEveryFileOperationLosesNothing(t *testing.T) {
	needFUSE(t)
	every, seed := int(envInt(t, "PARLEY_EVERY", 50)), seedOf(t)
	budget := time.Duration(envInt(t, "PARLEY_SECONDS", 24*60*60)) * time.Second
	whole := newMachine(t, binaries.safe, seed)
	whole.upstream.Pause = 0
	whole.scenario(t)
	total := whole.disk.Ops()
	for _, v := range whole.violations(t, nil) {
		t.Error(v)
	}
	whole.off(t)

	began, crashes, missed := time.Now(), 0, 0
	random := rand.New(rand.NewPCG(seed, 1))
	const chunk = 100
	for first := 1 + random.IntN(every); first <= total && time.Since(began) < budget; first += chunk * every {
		t.Run(fmt.Sprintf("from %d of %d", first, total), func(t *testing.T) {
			for n := first; n < first+chunk*every && n <= total && time.Since(began) < budget; n += every {
				m := newMachine(t, binaries.safe, seed)
				m.upstream.Pause = 0
				m.disk.CutAt(n)
				m.scenario(t)
				select {
				case <-m.disk.Dark():
					crashes++
				default:
					missed++
				}
				m.powerLoss(t, loss(n, random))
				for _, v := range m.violations(t, nil) {
					t.Errorf("operation %d: %v", n, v)
				}
				if t.Failed() {
					t.FailNow()
				}
			}
		})
	}
	t.Logf("%d operations, of which each %d-th; %d crashes in %v, %d runs had fewer operations", total, every, crashes, time.Since(began).Round(time.Second), missed)
	if crashes == 0 || missed > crashes/4 {
		t.Errorf("%d crashes, %d runs without: the test has shown too little", crashes, missed)
	}
}
