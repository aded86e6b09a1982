package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/crashtest"
)

// TestBackupsUnderLoadHoldWhatWasAcknowledged makes backups beside a server that clients load, restores each, and looks whether every
// invariant holds in it. PARLEY_BACKUPS says how many.
func TestBackupsUnderLoadHoldWhatWasAcknowledged(t *testing.T) {
	backups := int(envInt(t, "PARLEY_BACKUPS", 3))
	budget := time.Duration(envInt(t, "PARLEY_SECONDS", 24*60*60)) * time.Second
	e := newEra(t, seedOf(t))
	p := e.launch(t)
	e.ballast(t, p)
	began, longest, underWay := time.Now(), time.Duration(0), 0
	for n := range backups {
		if time.Since(began) > budget {
			backups = n
			break
		}
		took, running := e.backUp(t, p)
		longest, underWay = max(longest, took), underWay+running
	}
	info, err := os.Stat(string(e.database()))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d backups in %v, the longest in %v, of a database of up to %s; acknowledged: %v; %d responses ran at the moments of the backups",
		backups, time.Since(began).Round(time.Second), longest.Round(time.Millisecond), bytesText(info.Size()), e.load.Counts(), underWay)
	if backups >= 10 && underWay == 0 {
		t.Error("no response ever ran at the moment of a backup: the test has shown little")
	}
}

// ballast makes the database so large that a copy takes its time.
func (e *era) ballast(t *testing.T, p *process) {
	t.Helper()
	text := api.Text(strings.Repeat("ballast ", 1000))
	messages := make([]api.NewMessage, 900)
	for i := range messages {
		messages[i] = api.NewMessage{Role: "user", Content: text}
	}
	for range 3 {
		if _, err := crashtest.Client(p.url).CreateConversation(t.Context(), api.NewConversation{Messages: messages}); err != nil {
			t.Fatal(err)
		}
	}
}

// backUp loads the server, makes a backup meanwhile, and checks it. It returns how long that took, and how many responses ran at
// its moment.
func (e *era) backUp(t *testing.T, p *process) (took time.Duration, running int) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "restored")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(data, "parley.db")
	loading, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	clients.Go(func() { e.load.Run(loading, p.url) })
	<-time.After(time.Duration(20+e.random.Int64N(200)) * time.Millisecond)

	known := time.Now()
	out, err := exec.CommandContext(t.Context(), binary(t), "backup", "--data", e.data, file).CombinedOutput()
	until := time.Now()
	stop()
	clients.Wait()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	key, err := os.ReadFile(filepath.Join(e.data, "secret.key"))
	if err := errors.Join(err, os.WriteFile(filepath.Join(data, "secret.key"), key, 0o600)); err != nil {
		t.Fatal(err)
	}
	entries, err := crashtest.ReadHistory(e.file)
	if err != nil {
		t.Fatal(err)
	}
	promise := crashtest.Promised(entries, known, until)
	database := crashtest.SQLite(file)
	found, err := promise.CheckDatabase(t.Context(), database, false)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := database.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	running = len(contents.Running())
	restored := launch(t, data, nil)
	restored.await(t)
	settled, err := promise.CheckDatabase(t.Context(), database, true)
	if err != nil {
		t.Fatal(err)
	}
	client := crashtest.Client(restored.url)
	var conversations []string
	all := promise.Conversations()
	for range min(len(all), 100) {
		conversations = append(conversations, all[e.random.IntN(len(all))])
	}
	found = append(append(found, settled...), promise.CheckServer(t.Context(), client, conversations)...)
	found = append(found, crashtest.Probe(t.Context(), client, crashtest.NewHistory(&buffer{}), conversations)...)
	for _, v := range found {
		t.Error(v)
	}
	for _, v := range e.load.Violations() {
		t.Error(v)
	}
	restored.kill()
	if t.Failed() {
		t.Fatalf("the backup of %s, known %v", strconv.Quote(file), known)
	}
	return until.Sub(known), running
}
