package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// breakFile has every descriptor of a file in this process lead to another file, opened for reading: what SQLite
// writes then fails as on a broken disk.
func breakFile(t *testing.T, path, other string) {
	t.Helper()
	from, err := os.Open(other) //nolint:gosec // the test's own file
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	broken := 0
	for _, fd := range fds {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name()))
		if err != nil || target != path {
			continue
		}
		var n int
		if _, err := fmt.Sscan(fd.Name(), &n); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Dup3(int(from.Fd()), n, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		broken++
	}
	if broken == 0 {
		t.Fatalf("%s is not open", path)
	}
}

func TestADiskThatFailsPoisonsTheWriter(t *testing.T) {
	fatal := make(chan error, 2)
	path := filepath.Join(t.TempDir(), "parley.db")
	s, err := Open(t.Context(), Options{Path: path, OnFatal: func(err error) { fatal <- err }})
	if err != nil {
		t.Fatal(err)
	}
	appendRecords(t, s, 1, 3)
	copied := crash(t, s)
	breakFile(t, path+"-wal", path)
	for i, err := range append(together(t, s, sealing(4), sealing(5)), s.Append(t.Context(), record(6)), s.Ready(t.Context())) {
		if f := fault.Of(err); f.Kind != fault.Unavailable || f.Code != chat.CodeStoreUnavailable {
			t.Errorf("op %d: got %v", i, err)
		}
	}
	if err := <-fatal; !strings.Contains(err.Error(), "disk I/O error") {
		t.Errorf("got %v", err)
	}
	if len(fatal) != 0 {
		t.Error("the failure was told twice")
	}
	if err := s.Close(); err == nil {
		t.Error("a chain was closed that could not be written")
	}
	// What was acknowledged before is there for the next start, and nothing of what failed.
	again := openAt(t, copied)
	for n := range 6 {
		if want := n+1 <= 3; has(t, again, n+1) != want {
			t.Errorf("record %d: got %v", n+1, !want)
		}
	}
	verifyClosed(t, again)
}

func TestAFullDiskIsNotPoison(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.db")
	s := openAt(t, path)
	appendRecords(t, s, 1, 1)
	wal, err := os.OpenFile(path+"-wal", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = wal.Close() }()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = full.Close() }()
	swap := func(from, to string, file *os.File) {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		for _, fd := range fds {
			var n int
			if _, err := fmt.Sscan(fd.Name(), &n); err != nil {
				t.Fatal(err)
			}
			if target, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err != nil || target != from || n == int(wal.Fd()) || n == int(full.Fd()) {
				continue
			}
			if err := syscall.Dup3(int(file.Fd()), n, syscall.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
		}
		_ = to
	}
	swap(path+"-wal", "/dev/full", full)
	err = s.Append(t.Context(), record(2))
	if f := fault.Of(err); f.Kind != fault.Unavailable || f.Message != "The server's disk is full." {
		t.Errorf("got %v", err)
	}
	swap("/dev/full", path+"-wal", wal)
	appendRecords(t, s, 2, 3)
	verifyClosed(t, s)
}
