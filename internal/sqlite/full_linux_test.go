package sqlite

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// fillDisk writes files until nothing more fits, and returns what empties the disk again.
func fillDisk(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for chunk := bytes.Repeat([]byte("x"), 64<<10); len(chunk) > 0; {
		switch _, err := f.Write(chunk); {
		case errors.Is(err, syscall.ENOSPC):
			chunk = chunk[:len(chunk)/2]
		case err != nil:
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnAFullDiskWhatRunsEndsAndNothingElseIsWritten(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skip("no small disk can be made here: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	path := filepath.Join(dir, "parley.db")
	s := openAt(t, path)
	longConversation(t, s, "conv_1", 1, 10)
	running, err := beginResponse(t, s, 1, "running")
	if err != nil {
		t.Fatal(err)
	}
	empty := fillDisk(t, dir)

	message := chat.Item{ID: "msg_new", Item: llm.Item{Type: llm.TypeMessage, Role: llm.User, Content: []byte(`"` + string(bytes.Repeat([]byte("x"), 1<<20)) + `"`)}, Version: 1}
	refusedForRoom(t, "AppendItems", s.AppendItems(t.Context(), "default", nil, "conv_1", "", []chat.Item{message}))
	refusedForRoom(t, "Ready", s.Ready(t.Context()))
	if _, err := os.Stat(s.space.reserve); err != nil {
		t.Errorf("the reserve was given up for a message: %v", err)
	}
	running.Output = []chat.Item{message}
	if err := endResponseOf(t, s, 3, running); err != nil {
		t.Errorf("what ran could not end: %v", err)
	}
	if _, err := os.Stat(s.space.reserve); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the reserve is there: %v", err)
	}
	refusedForRoom(t, "Append", s.Append(t.Context(), record(4)))

	empty()
	next, err := beginResponse(t, s, 5, "welcome")
	if err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if err := endResponseOf(t, s, 6, next); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(s.space.reserve); err != nil || info.Size() != reserveBytes {
		t.Errorf("the reserve was not made again: %v", err)
	}
	closeStore(t, s)
	if report := verify(t, path); len(report.Findings) != 0 {
		t.Errorf("the log does not verify: %+v", report.Findings)
	}
}
