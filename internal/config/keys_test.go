package config_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/parley-llm/parley/internal/config"
)

const secretKey = "0123456789abcdef0123456789abcdef"

func TestASecretKeyIsMadeOnceAndKeptPrivate(t *testing.T) {
	dir := t.TempDir()
	c := mustLoad(t, input{flags: map[string]string{"data": dir}})
	first, err := c.Keys()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	again, err := c.Keys()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Fingerprint, again.Fingerprint) || len(first.Fingerprint) != 32 {
		t.Errorf("fingerprints %x and %x", first.Fingerprint, again.Fingerprint)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestTwoServersThatStartAtOnceUseTheSameKey(t *testing.T) {
	dir := t.TempDir()
	c := mustLoad(t, input{flags: map[string]string{"data": dir}})
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			keys, err := c.Keys()
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[hex.EncodeToString(keys.Fingerprint)] = true
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Errorf("%d different keys", len(seen))
	}
}

func TestASecretKeyFileThatCannotBeTrustedIsRefused(t *testing.T) {
	for _, tt := range []struct {
		title, says string
		make        func(t *testing.T, path string)
	}{
		{"readable by all", "chmod 600", func(t *testing.T, path string) {
			write(t, path, secretKey)
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{"a link", "regular file", func(t *testing.T, path string) {
			write(t, path+".elsewhere", secretKey)
			if err := os.Symlink(path+".elsewhere", path); err != nil {
				t.Fatal(err)
			}
		}},
		{"a directory", "regular file", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"empty", "empty", func(t *testing.T, path string) { write(t, path, "") }},
		{"short", "32 characters", func(t *testing.T, path string) { write(t, path, secretKey[1:]) }},
	} {
		t.Run(tt.title, func(t *testing.T) {
			dir := t.TempDir()
			c := mustLoad(t, input{flags: map[string]string{"data": dir}})
			tt.make(t, filepath.Join(dir, "secret.key"))
			_, err := c.Keys()
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), secretKey[1:]) {
				t.Errorf("error = %v", err)
			}
		})
	}
	t.Run("no directory", func(t *testing.T) {
		c := mustLoad(t, input{flags: map[string]string{"data": filepath.Join(t.TempDir(), "none")}})
		if _, err := c.Keys(); err == nil {
			t.Error("a key was made nowhere")
		}
	})
}

func TestASecretKeyThatIsSetNeedsNoFile(t *testing.T) {
	dir := t.TempDir()
	c := mustLoad(t, input{flags: map[string]string{"data": dir}, env: []string{"PARLEY_SECRET_KEY=" + secretKey}})
	keys, err := c.Keys()
	if err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("written: %v", entries)
	}
	shown := effective(t, c, "PARLEY_SECRET_KEY").Value
	if want := "set, fingerprint " + hex.EncodeToString(keys.Fingerprint[:4]); shown != want {
		t.Errorf("shown as %q, want %q", shown, want)
	}
}

// These values stand in databases: they must never change.
func TestDerivedKeysStayWhatTheyAre(t *testing.T) {
	keys, err := config.NewKeys(secretKey)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(keys.Fingerprint), "d2219efacb090d6bfb2233f81425ee89661c085fbee5f3bad2df161fb2c8f1ee"; got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
	if got, want := keys.Pseudonym("ada"), "user_f0fb006c6e07f02ab35c25d95ae42bd0"; got != want {
		t.Errorf("pseudonym %s, want %s", got, want)
	}
}

func TestAPseudonymTellsUsersApartAndNothingElse(t *testing.T) {
	one, err := config.NewKeys(secretKey)
	if err != nil {
		t.Fatal(err)
	}
	other, err := config.NewKeys(secretKey + "x")
	if err != nil {
		t.Fatal(err)
	}
	ada := one.Pseudonym("ada")
	if ada != one.Pseudonym("ada") || ada == one.Pseudonym("bob") || ada == other.Pseudonym("ada") || strings.Contains(ada, "ada") {
		t.Errorf("ada is %s", ada)
	}
	if one.Pseudonym("") != "" {
		t.Error("nobody has a pseudonym")
	}
}
