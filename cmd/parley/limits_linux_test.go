package main

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/crashtest"
)

// limitFiles lets a process open so many files.
func limitFiles(t *testing.T, pid int, n uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = n
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
}

// A process that may open no more files can neither call its model nor fork a conversation. What it has acknowledged it keeps, and no call is
// without its intent.
func TestAServerOutOfFilesRefusesAndGoesOn(t *testing.T) {
	e := newEra(t, seedOf(t))
	e.load.Expected = func(p *api.Problem) bool { return p.Status == 503 }
	e.load.Whole = true
	e.upstream.Hasty()
	p := e.launch(t)
	pid := p.cmd.Process.Pid
	var clients sync.WaitGroup
	clients.Go(func() { e.load.Run(t.Context(), p.url) })
	for e.load.Counts()[crashtest.OpPrompt] < 20 {
		<-time.After(5 * time.Millisecond)
	}
	// What is open stays so, also where it is more: only what is opened from now on fails.
	limitFiles(t, pid, 3)
	refused := func() (n int) {
		for code, count := range e.load.Refused() {
			if code != "conversation_locked" {
				n += count
			}
		}
		return n
	}
	for deadline := time.Now().Add(20 * time.Second); refused() < 20 && time.Now().Before(deadline); {
		<-time.After(5 * time.Millisecond)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	limitFiles(t, pid, 1024)
	began := time.Now()
	for {
		conv, err := crashtest.Client(p.url).CreateConversation(t.Context(), api.NewConversation{})
		if err == nil {
			_, err = crashtest.Client(p.url).Respond(t.Context(), conv.ID, api.NewResponse{Prompt: api.Text("Is there room?")})
		}
		if err == nil {
			break
		}
		if time.Since(began) > 5*time.Second {
			t.Fatal(err)
		}
	}
	t.Logf("%d files were open; answered: %v; acknowledged: %v; prompts were answered again after %v", len(open), e.load.Refused(), e.load.Counts(), time.Since(began))
	p.kill()
	clients.Wait()
	again := e.launch(t)
	e.check(t, again, e.promise(t).Conversations())
	if refused() == 0 {
		t.Error("nothing was refused: the test has shown nothing")
	}
}
