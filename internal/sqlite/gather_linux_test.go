package sqlite

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"zombiezen.com/go/sqlite"
)

// writeCalls is how often this process has called the system to write.
func writeCalls(t *testing.T) int {
	t.Helper()
	counts, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := bytes.Cut(counts, []byte("syscw: "))
	number, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.Atoi(string(number))
	if err != nil {
		t.Fatalf("%q: %v", counts, err)
	}
	return n
}

func TestACommitGoesToTheLogByOneWrite(t *testing.T) {
	s := openNew(t)
	const commits = 100
	before := writeCalls(t)
	for i := range commits {
		if err := s.Append(t.Context(), record(i)); err != nil {
			t.Fatal(err)
		}
	}
	// SQLite alone makes two for each page, and a record lies on three. What else the process writes is little.
	if n := writeCalls(t) - before; n < commits || n > 2*commits {
		t.Errorf("%d commits made %d writes", commits, n)
	}
}

// TestALargeTransactionIsWrittenWhole has one that does not fit the cache, so that pages go to the log ahead of the commit, are read
// from it again and written over.
func TestALargeTransactionIsWrittenWhole(t *testing.T) {
	const rows, size = 400, 64 << 10
	path := filepath.Join(t.TempDir(), "parley.db")
	s := openAt(t, path)
	closeStore(t, s)
	c, err := openWriter(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	exec := func(sql string, args ...any) {
		t.Helper()
		q := c.prepare(sql)
		for _, arg := range args {
			switch arg := arg.(type) {
			case int:
				q.int(int64(arg))
			case []byte:
				q.blob(arg)
			}
		}
		if err := c.exec(q); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec("CREATE TABLE large (n INTEGER PRIMARY KEY, b BLOB)")
	contents := func(n, version int) []byte { return bytes.Repeat([]byte{byte(n), byte(version)}, size/2) }
	fill := func(version int) {
		exec("BEGIN IMMEDIATE")
		for n := range rows {
			exec("INSERT OR REPLACE INTO large VALUES (?, ?)", n, contents(n, 0))
		}
		for n := range rows {
			exec("UPDATE large SET b = ? WHERE n = ?", contents(n, version), n)
		}
	}
	look := func(version int) {
		t.Helper()
		r, err := openConn(path, sqlite.OpenReadOnly)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		q := r.prepare("SELECT n, b FROM large ORDER BY n")
		a := &arena{}
		n := 0
		for ; ; n++ {
			more, err := q.next()
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				break
			}
			if at := int(q.getInt()); at != n || !bytes.Equal(q.getRaw(a), contents(n, version)) {
				t.Fatalf("row %d is not as it was written", n)
			}
		}
		check := r.prepare("PRAGMA integrity_check")
		if _, err := check.next(); err != nil {
			t.Fatal(err)
		}
		if verdict := check.getText(a); n != rows || verdict != "ok" {
			t.Errorf("%d rows of %d; %s", n, rows, verdict)
		}
		check.reset()
	}
	fill(1)
	exec("COMMIT")
	look(1)
	fill(2)
	look(1)
	exec("ROLLBACK")
	look(1)
	fill(3)
	exec("COMMIT")
	look(3)
}

// A commit that changes the length of the log makes the file system write that down as well.
func TestTheLogGrowsInLargeSteps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.db")
	s := openAt(t, path)
	lengths := map[int64]bool{}
	const commits = 200
	for i := range commits {
		if err := s.Append(t.Context(), record(i)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		lengths[info.Size()] = true
	}
	var longest int64
	for n := range lengths {
		longest = max(longest, n)
	}
	if n := int64(len(lengths)); n > longest/growth+1 {
		t.Errorf("%d commits gave the log %d lengths, up to %d", commits, n, longest)
	}

	// What a process that dies leaves behind ends in zeros.
	left := filepath.Join(t.TempDir(), "parley.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(left+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := openConn(left, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	q := c.prepare("SELECT count(*), (SELECT group_concat(integrity_check) FROM pragma_integrity_check) FROM audit WHERE kind <> 'server.started'")
	if _, err := q.next(); err != nil {
		t.Fatal(err)
	}
	if n, verdict := q.getInt(), q.getText(&arena{}); n < commits || verdict != "ok" {
		t.Errorf("of %d commits %d are there; %s", commits, n, verdict)
	}
	q.reset()
}
