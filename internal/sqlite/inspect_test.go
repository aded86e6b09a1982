package sqlite

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

func TestCompactingLeavesNoByteOfWhatWasDeleted(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "parley.db")
	s := openAt(t, path)
	now := time.Now()
	text := "canarycanary " + strings.Repeat("y", 5000)
	content, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	var items []chat.Item
	for i := range 200 {
		items = append(items, chat.Item{
			ID: "msg_" + strconv.Itoa(i), Item: llm.Item{Type: llm.TypeMessage, Role: llm.User, Content: content}, Status: chat.ItemCompleted, Version: 1, CreatedAt: now,
		})
	}
	c := chat.Conversation{ID: "conv_1", Owner: "o", Title: "canarycanary", CreatedAt: now, UpdatedAt: now}
	if err := s.CreateConversation(t.Context(), "o", nil, &c, items); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Compact(t.Context(), path); err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("a database that is served was compacted: %v", err)
	}
	if holder, held, err := LockHolder(path); err != nil || !held || holder != strconv.Itoa(os.Getpid()) {
		t.Errorf("%s %v %v", holder, held, err)
	}
	if err := s.DeleteConversation(t.Context(), "o", c.ID, 0, ""); err != nil {
		t.Fatal(err)
	}
	// What the purge has not got done by the end of the server is compaction's to do.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, after, err := Compact(t.Context(), path)
	if err != nil || before < 1<<20 || after > before/2 {
		t.Errorf("%d bytes before, %d after: %v", before, after, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil || bytes.Contains(data, []byte("canarycanary")) {
			t.Errorf("%s holds what was deleted: %v", f.Name(), err)
		}
	}
	if report, err := VerifyAudit(t.Context(), path, nil); err != nil || !report.OK {
		t.Errorf("%+v %v", report, err)
	}
	if _, held, err := LockHolder(path); err != nil || held {
		t.Errorf("%v %v", held, err)
	}
}

func TestSchemaTellsWhatThereIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.db")
	version, newest, err := Schema(path)
	if err != nil || version != 0 || newest < 1 {
		t.Errorf("%d %d %v", version, newest, err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("looking made the database")
	}
	if _, _, err := Migrate(t.Context(), path); err == nil {
		t.Error("nothing was migrated")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if from, to, err := Migrate(t.Context(), path); err != nil || from != 0 || to != newest {
		t.Errorf("%d %d %v", from, to, err)
	}
	if version, newest, err := Schema(path); err != nil || version != newest {
		t.Errorf("%d %d %v", version, newest, err)
	}
	if err := QuickCheck(t.Context(), path); err != nil {
		t.Error(err)
	}
	if err := CheckKey(path, []byte("key")); err != nil {
		t.Error(err)
	}
}
