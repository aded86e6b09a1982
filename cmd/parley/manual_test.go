package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the manual")

// The page is made with -update and must be what the commands say of themselves.
func TestTheManualIsUpToDate(t *testing.T) {
	const name = "../../docs/cli.md"
	got := markdown(manualRoot())
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("docs/cli.md is not what the commands say: go test ./cmd/parley -update")
	}
	for _, part := range []string{"\n## parley audit verify\n", "| `--export FILE` |", "parley audit verify --export audit.jsonl", "It takes every [setting](configuration.md) as a flag."} {
		if !strings.Contains(got, part) {
			t.Errorf("the manual lacks %q", part)
		}
	}
}

func TestEveryCommandHasAManPage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	parleyHere(t, nil, "man", dir).expect(t, exitOK)
	for _, cmd := range manualCommands(manualRoot()) {
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		page := string(data)
		for _, part := range []string{".TH ", ".SH NAME\n", ".SH SYNOPSIS\n", ".SH DESCRIPTION\n"} {
			if !strings.Contains(page, part) {
				t.Errorf("%s lacks %q", name, part)
			}
		}
		for line := range strings.Lines(page) {
			if strings.HasPrefix(line, ".") && !strings.HasPrefix(line, ".SH ") && !strings.HasPrefix(line, ".TH ") && !strings.HasPrefix(line, ".TP") && !strings.HasPrefix(line, ".PP") && !strings.HasPrefix(line, ".B ") && line != ".nf\n" && line != ".fi\n" {
				t.Errorf("%s: man would take %q for a request", name, line)
			}
		}
	}
	verify, err := os.ReadFile(filepath.Join(dir, "parley-audit-verify.1"))
	if err != nil || !strings.Contains(string(verify), `\fB\-\-export FILE\fR`) || !strings.Contains(string(verify), `\fBparley\-audit\fR(1)`) {
		t.Errorf("%v %s", err, verify)
	}
}

func TestTheShellsGetTheirCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		r := parleyHere(t, nil, "completion", shell)
		r.expect(t, exitOK)
		if !strings.Contains(r.stdout, "parley") {
			t.Errorf("%s: %.100s", shell, r.stdout)
		}
	}
}
