package sqlite

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// openFails demands that a store is not opened, and that the error says why.
func openFails(t *testing.T, o Options, why string) {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err == nil {
		_ = s.Close()
		t.Fatalf("it was opened; want an error with %q", why)
	}
	if !strings.Contains(err.Error(), why) {
		t.Fatalf("got %q, want something with %q", err, why)
	}
}

// raw changes a database behind the store's back.
func raw(t *testing.T, path string, statements ...string) {
	t.Helper()
	c, err := openConn(path, sqliteReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range statements {
		if err := sqlitex.ExecuteTransient(c.Conn, sql, nil); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTheFilesAreForTheirOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("rights are not in the mode there")
	}
	dir := filepath.Join(t.TempDir(), "made", "here")
	path := filepath.Join(dir, "parley.db")
	s := openAt(t, path)
	check := func(name string, want os.FileMode) {
		t.Helper()
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), want)
		}
	}
	check(dir, 0o700)
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		check(path+suffix, 0o600)
	}
	closeStore(t, s)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	openAt(t, path)
	check(path, 0o600)
}

func TestADatabaseBehindALinkIsRefused(t *testing.T) {
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		dir := t.TempDir()
		elsewhere := filepath.Join(dir, "elsewhere")
		if err := os.WriteFile(elsewhere, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "parley.db")
		if err := os.Symlink(elsewhere, path+suffix); err != nil {
			t.Skip(err)
		}
		openFails(t, Options{Path: path}, "symbolic link is refused")
		if got, err := os.ReadFile(elsewhere); err != nil || len(got) != 0 {
			t.Errorf("something was written through the link: %q, %v", got, err)
		}
	}
	openFails(t, Options{Path: t.TempDir()}, "not a regular file")
}

func TestASecondServerIsKeptAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.db")
	s := openAt(t, path)
	openFails(t, Options{Path: path}, "the database is in use by process ")
	closeStore(t, s)
	openAt(t, path)
}

func TestAPathMayHoldAnyCharacter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a dir?mode=ro&x#1%20", "päth 好.db")
	closeStore(t, openAt(t, path))
	openAt(t, path)
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) < 2 {
		t.Errorf("got %v, %v", entries, err)
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.db")
	closeStore(t, openAt(t, path))
	raw(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
	openFails(t, Options{Path: path}, "schema 9999, made by a newer parley")
	if _, err := VerifyAudit(t.Context(), path, nil); err == nil || !strings.Contains(err.Error(), "made by a newer parley") {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNotOurDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign.db")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	raw(t, foreign, "CREATE TABLE theirs (x)")
	openFails(t, Options{Path: foreign}, "a database of another program")

	text := filepath.Join(dir, "text.db")
	content := bytes.Repeat([]byte("not a database\n"), 1000)
	if err := os.WriteFile(text, content, 0o600); err != nil {
		t.Fatal(err)
	}
	openFails(t, Options{Path: text}, "not a database")
	if got, err := os.ReadFile(text); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file was changed: %v", err)
	}
	if _, err := VerifyAudit(t.Context(), text, nil); err == nil {
		t.Error("a text was verified")
	}
	if _, err := VerifyAudit(t.Context(), filepath.Join(dir, "none.db"), nil); err == nil {
		t.Error("nothing was verified")
	}
}

func TestADirectoryThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	openFails(t, Options{Path: filepath.Join(file, "sub", "parley.db")}, "directory")
}

func TestAFirstStartThatBrokeOffIsTakenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	raw(t, path, `CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))`,
		`INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1)`)
	openAt(t, path)
}

func TestAnOldSQLiteIsRefused(t *testing.T) {
	if err := checkSQLite(3_051_002); err == nil || !strings.Contains(err.Error(), "too old") {
		t.Errorf("got %v", err)
	}
	if err := checkSQLite(3_051_003); err != nil {
		t.Error(err)
	}
}

func TestADatabaseKeepsItsKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.db")
	open := func(fingerprint string) {
		t.Helper()
		s, err := Open(t.Context(), Options{Path: path, KeyFingerprint: []byte(fingerprint)})
		if err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)
	}
	open("")
	open("first")
	openFails(t, Options{Path: path, KeyFingerprint: []byte("second")}, "made with another secret key: start with that key (PARLEY_SECRET_KEY")
	open("first")
	open("")
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := openNew(t)
	closeStore(t, s)
	closeStore(t, s)
	_, readErr := s.Conversation(t.Context(), "default", "conv_x")
	for _, err := range []error{
		readErr, s.Append(t.Context()), s.Ready(t.Context()), s.DeleteConversation(t.Context(), "default", "conv_x", 0, ""),
	} {
		if !fault.Is(err, chat.CodeStoreUnavailable) || !errors.Is(err, errClosed) {
			t.Errorf("got %v", err)
		}
	}
}

func TestPragmasAreInForce(t *testing.T) {
	s := openNew(t)
	want := map[string]string{
		"journal_mode": "wal", "synchronous": "2", "secure_delete": "1", "foreign_keys": "1", "wal_autocheckpoint": "0", "trusted_schema": "0", "busy_timeout": "5000",
	}
	err := s.writer.submit(t.Context(), 0, func(tx *tx) error {
		for pragma, want := range want {
			q := tx.prepare("PRAGMA " + pragma)
			if _, err := q.next(); err != nil {
				return err
			}
			if got := q.getText(&arena{}); got != want {
				t.Errorf("%s is %s, want %s", pragma, got, want)
			}
			q.reset()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.readers.read(t.Context(), func(c *conn) error {
		return c.exec(c.prepare("DELETE FROM items"))
	})
	if !fault.Is(err, chat.CodeStoreUnavailable) {
		t.Errorf("a reader could write: %v", err)
	}
}
