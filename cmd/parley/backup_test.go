package main

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-llm/parley/api"
)

func TestABackupMadeBesideTheServerIsRestoredAsItSays(t *testing.T) {
	data, n := oneTurn(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "parley-1.db")
	r := parleyHere(t, nil, "backup", "--data", data, file)
	r.expect(t, exitOK)
	for _, part := range []string{file + ": ", "every page read back, 3 audit records verified\n", "To restore it, stop the server", "as parley.db into an empty data directory, with a copy of " + filepath.Join(data, "secret.key") + "\n"} {
		if !strings.Contains(r.stdout, part) {
			t.Errorf("%q lacks %q", r.stdout, part)
		}
	}
	later := n.conversation(t)
	parleyHere(t, nil, "backup", "--data", data, file).expect(t, exitFailed, file+" is there already")
	again := parleyHere(t, nil, "backup", "--data", data, "--json", filepath.Join(dir, "parley-2.db"))
	again.expect(t, exitOK)
	var b backup
	if err := json.Unmarshal([]byte(again.stdout), &b); err != nil || b.Database != filepath.Join(data, "parley.db") || b.Backup != filepath.Join(dir, "parley-2.db") ||
		b.Bytes == 0 || !b.Verified || b.Records != 3 || b.Chains != 1 || b.Findings != 0 {
		t.Errorf("%v %s", err, again.stdout)
	}
	parleyHere(t, nil, "audit", "verify", "--store", file).expect(t, exitOK)
	n.stop()
	n.wait()

	restored := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(restored, 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{file: "parley.db", filepath.Join(data, "secret.key"): "secret.key"} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(restored, to), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n = start(t, restored, nil)
	list := decode[api.ConversationList](t, n.call(t, "GET", "/api/conversations", ""), http.StatusOK)
	if len(list.Data) != 1 || list.Data[0].ID == later || list.Data[0].MessageCount != 2 {
		t.Errorf("%+v", list.Data)
	}
}

// alter changes a database behind the server's back.
func alter(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func TestABackupOfAnAlteredLogIsKeptAndFails(t *testing.T) {
	data, n := oneTurn(t)
	n.stop()
	n.wait()
	file := filepath.Join(t.TempDir(), "backup.db")
	alter(t, filepath.Join(data, "parley.db"), "UPDATE audit SET owner = 'nobody' WHERE kind = 'llm.intent'")
	r := parleyHere(t, []string{"PARLEY_SECRET_KEY=" + strings.Repeat("x", 32)}, "backup", "--data", data, file)
	r.expect(t, exitFailed, "the audit log does not verify")
	if !strings.Contains(r.stdout, "1 finding in the audit log: parley audit verify --store "+file) || !strings.Contains(r.stdout, "with PARLEY_SECRET_KEY set as it is now") {
		t.Errorf("%s", r.stdout)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestABackupIsOfOneDatabaseToOneFile(t *testing.T) {
	parley(t, nil, "backup", "x.db").expect(t, exitFailed, "there is no database at ", "--data")
	if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("%v %v", err, entries)
	}
}
