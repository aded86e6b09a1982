package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// backUp makes a backup beside nothing else in a directory of its own.
func backUp(t *testing.T, path string) (string, BackupReport, error) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "backup.db")
	report, err := Backup(t.Context(), path, to, nil)
	return to, report, err
}

// leavesNothing demands that a backup which failed has left no file, or only those named.
func leavesNothing(t *testing.T, to string, but ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(to))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if strings.Join(names, " ") != strings.Join(but, " ") {
		t.Errorf("there are %v", names)
	}
}

func TestABackupIsWhatWasCommittedWhenItBegan(t *testing.T) {
	s := openNew(t)
	longConversation(t, s, "conv_1", 50, 2000)
	appendRecords(t, s, 1, 3)
	// The copy must come from the write-ahead log as well as from the file.
	to, report, err := backUp(t, s.options.Path)
	if err != nil {
		t.Fatal(err)
	}
	if report.Bytes < 50*2000 || !report.Verified() || report.Audit.Records != 4 || report.Schema == 0 {
		t.Errorf("%+v", report)
	}
	leavesNothing(t, to, "backup.db")
	if info, err := os.Stat(to); err != nil || info.Size() != report.Bytes || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	appendRecords(t, s, 4, 5)
	restored := openAt(t, to)
	for n := range 6 {
		if want := n >= 1 && n <= 3; has(t, restored, n) != want {
			t.Errorf("record %d: got %v", n, !want)
		}
	}
	if c, err := restored.Conversation(t.Context(), "default", "conv_1"); err != nil || c.MessageCount != 50 {
		t.Errorf("%+v %v", c, err)
	}
	verifyClosed(t, restored)
}

func TestABackupOverwritesNothing(t *testing.T) {
	s := openNew(t)
	for _, make := range []func(string) error{
		func(path string) error { return os.WriteFile(path, []byte("precious"), 0o600) },
		func(path string) error { return os.Symlink("nowhere", path) },
	} {
		to := filepath.Join(t.TempDir(), "backup.db")
		if err := make(to); err != nil {
			t.Fatal(err)
		}
		if _, err := Backup(t.Context(), s.options.Path, to, nil); err == nil || !strings.Contains(err.Error(), "overwrites nothing") {
			t.Errorf("got %v", err)
		}
		leavesNothing(t, to, "backup.db")
	}
	// Also where the file came while the copy was made.
	part := filepath.Join(t.TempDir(), "part")
	to := filepath.Join(filepath.Dir(part), "backup.db")
	for _, name := range []string{part, to} {
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := publish(part, to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	if data, err := os.ReadFile(to); err != nil || string(data) != to {
		t.Errorf("%q %v", data, err)
	}
}

func TestABackupThatFailsLeavesNothing(t *testing.T) {
	s := openNew(t)
	longConversation(t, s, "conv_1", 500, 2000)
	closeStore(t, s)
	path := s.options.Path

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	to := filepath.Join(t.TempDir(), "backup.db")
	_, err := Backup(ctx, path, to, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	leavesNothing(t, to)

	raw(t, path, "UPDATE goose_db_version SET version_id = version_id + 1000")
	if to, _, err = backUp(t, path); err == nil || !strings.Contains(err.Error(), "newer parley") {
		t.Errorf("got %v", err)
	}
	leavesNothing(t, to)
	raw(t, path, "UPDATE goose_db_version SET version_id = version_id - 1000")

	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for at := info.Size() / 2; at < info.Size(); at += 1 << 10 {
		if _, err := f.WriteAt([]byte("damage"), at); err != nil {
			t.Fatal(err)
		}
	}
	if to, _, err = backUp(t, path); err == nil {
		t.Error("a damaged database was backed up")
	}
	leavesNothing(t, to)
	if to, _, err = backUp(t, filepath.Join(t.TempDir(), "none.db")); err == nil {
		t.Error("nothing was backed up")
	}
	leavesNothing(t, to)
}

func TestADatabaseOfAnOlderSchemaIsBackedUpAheadOfItsMigration(t *testing.T) {
	s := openNew(t)
	appendRecords(t, s, 1, 3)
	closeStore(t, s)
	raw(t, s.options.Path, "DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)")
	to, report, err := backUp(t, s.options.Path)
	if err != nil || report.Verified() || report.Schema == 0 || report.Schema >= report.Newest || report.Audit.Records != 0 {
		t.Errorf("%+v %v", report, err)
	}
	leavesNothing(t, to, "backup.db")
}

func TestABackupOfALogThatWasAlteredSaysSo(t *testing.T) {
	s := openNew(t)
	appendRecords(t, s, 1, 3)
	closeStore(t, s)
	raw(t, s.options.Path, "UPDATE audit SET owner = 'nobody' WHERE pos = (SELECT min(pos) + 1 FROM audit)")
	_, report, err := backUp(t, s.options.Path)
	if err != nil || report.Verified() || len(report.Audit.Findings) == 0 {
		t.Errorf("%+v %v", report, err)
	}
}
