package sqlite

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// redirect has the descriptors of a file in this process lead to another open file, all but those in spare: what SQLite
// writes then ends there.
func redirect(t *testing.T, path string, to *os.File, spare ...*os.File) {
	t.Helper()
	const dir = "/proc/self/fd"
	fds, err := os.ReadDir(dir)
	if err != nil {
		t.Skip(err)
	}
	redirected := 0
	for _, fd := range fds {
		n, err := strconv.Atoi(fd.Name())
		if err != nil {
			t.Fatal(err)
		}
		target, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err != nil || target != path || slices.ContainsFunc(spare, func(f *os.File) bool { return int(f.Fd()) == n }) {
			continue
		}
		if err := syscall.Dup3(int(to.Fd()), n, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		redirected++
	}
	if redirected == 0 {
		t.Fatalf("%s is not open", path)
	}
}

func openFile(t *testing.T, path string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
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
	// A file that is open for reading only refuses writes as a broken disk does.
	redirect(t, path+"-wal", openFile(t, path+".lock", os.O_RDONLY))
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
	wal, full := openFile(t, path+"-wal", os.O_RDWR), openFile(t, "/dev/full", os.O_RDWR)
	redirect(t, path+"-wal", full, wal)
	err := s.Append(t.Context(), record(2))
	if f := fault.Of(err); f.Kind != fault.Unavailable || f.Message != "The server's disk is full." {
		t.Errorf("got %v", err)
	}
	redirect(t, "/dev/full", wal, full)
	appendRecords(t, s, 2, 3)
	verifyClosed(t, s)
}
