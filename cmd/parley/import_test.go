package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestImportSaysWhatItNeeds(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	uri := filepath.Join(t.TempDir(), "uri")
	if err := os.WriteFile(uri, []byte("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	parleyHere(t, nil, "import").expect(t, exitUsage, "mongodb")
	parleyHere(t, nil, "import", "mongo").expect(t, exitUsage, `did you mean "mongodb"`)
	parleyHere(t, nil, "import", "mongodb", "--database", "chat").expect(t, exitUsage, "--uri")
	parleyHere(t, nil, "import", "mongodb", "--uri-file", uri).expect(t, exitUsage, "--database")
	parleyHere(t, nil, "import", "mongodb", "--uri", "mongodb://127.0.0.1:1", "--uri-file", uri, "--database", "chat").expect(t, exitUsage, "keep one of them")
	parleyHere(t, nil, "import", "mongodb", "--uri-file", uri, "--database", "chat", "--map", "topic=titel").expect(t, exitUsage, "--map topic=titel", "there are ")
	parleyHere(t, nil, "import", "mongodb", "--uri-file", uri, "--database", "chat", "--dry-run", "--data", data).expect(t, exitFailed, "127.0.0.1:1")
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("a dry run has made the data directory: %v", err)
	}
	parleyHere(t, nil, "import", "mongodb", "--uri-file", uri, "--database", "chat", "--data", data).expect(t, exitFailed, "127.0.0.1:1")
}
