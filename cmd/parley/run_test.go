package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

type result struct {
	code           int
	stdout, stderr string
}

// parley runs the program in an empty directory with nothing but the given environment.
func parley(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	t.Chdir(t.TempDir())
	return parleyHere(t, environ, args...)
}

func parleyHere(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, environ, strings.NewReader(""), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

func (r result) expect(t *testing.T, code int, stderr ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit %d, want %d; stderr: %s", r.code, code, r.stderr)
	}
	for _, part := range stderr {
		if !strings.Contains(r.stderr, part) {
			t.Errorf("stderr %q does not say %q", r.stderr, part)
		}
	}
	if code == exitOK && len(stderr) == 0 && r.stderr != "" {
		t.Errorf("stderr: %s", r.stderr)
	}
}

func TestWrongUsageExitsWith2AndSaysWhy(t *testing.T) {
	for _, tt := range []struct {
		args string
		says []string
	}{
		{"srve", []string{`no command "srve"`, `"serve"`, "parley --help"}},
		{"keys", []string{`no command "keys"`}},
		{"import x", []string{`no command "x"`, "parley import --help"}},
		{"backup", []string{"name the one file"}},
		{"backup x y", []string{"name the one file"}},
		{"audit", []string{"verify"}},
		{"audit export --from yesterday", []string{"--from", "2026-05-04"}},
		{"audit verify --range", []string{"--export"}},
		{"chat", []string{"no question"}},
		{"chat --addr nonsense x", []string{"PARLEY_ADDR (flag)"}},
		{"man", []string{"directory"}},
		{"migrate now", []string{"unexpected argument"}},
		{"compact now", []string{"unexpected argument"}},
		{"doctor now", []string{"unexpected argument"}},
		{"help nothing", []string{`no command "nothing"`}},
		{"help audit nothing", []string{`no command "nothing"`}},
		{"serve now", []string{`unexpected argument "now"`, "parley serve --help"}},
		{"version now", []string{"unexpected argument"}},
		{"--no-such-flag", []string{"--no-such-flag"}},
		{"serve --adr 127.0.0.1:0", []string{"--adr"}},
		{"serve --addr", []string{"--addr"}},
		{"serve --addr nonsense", []string{"PARLEY_ADDR (flag)", "host:port"}},
		{"config --max-body 1 --log-level loud", []string{"PARLEY_MAX_BODY (flag)", "PARLEY_LOG_LEVEL (flag)", "debug, info, warn, error"}},
		{"healthcheck --addr nonsense", []string{"PARLEY_ADDR (flag)"}},
		{"audit verify --store mongodb://", []string{"sqlite:FILE", "mongodb://host"}},
		{"serve --addr 0.0.0.0:0", []string{"0.0.0.0:0 can be reached", "PARLEY_API_KEY", "--insecure-no-auth"}},
		{"--addr :0", []string{"PARLEY_API_KEY"}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			r := parley(t, nil, strings.Fields(tt.args)...)
			r.expect(t, exitUsage, tt.says...)
			if r.stdout != "" {
				t.Errorf("stdout: %s", r.stdout)
			}
			if entries, _ := os.ReadDir("."); len(entries) > 0 {
				t.Errorf("files were made: %v", entries)
			}
		})
	}
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	for _, args := range []string{"--help", "serve --help", "version --help", "config --help", "healthcheck --help", "audit --help", "audit verify --help", "audit export --help", "chat --help", "migrate --help", "doctor --help", "compact --help", "backup --help", "man --help", "help serve", "help audit verify", "help"} {
		t.Run(args, func(t *testing.T) {
			r := parley(t, nil, strings.Fields(args)...)
			r.expect(t, exitOK)
			if !strings.Contains(r.stdout, "Usage:") || !strings.Contains(r.stdout, "Examples:") {
				t.Errorf("help: %s", r.stdout)
			}
		})
	}
	r := parley(t, nil, "serve", "--help")
	for _, part := range []string{"--addr host:port ", "PARLEY_ADDR, default 127.0.0.1:8000", "--api-key-file file ", "--insecure-no-auth ", "--upstream-timeout duration ", "SIGTERM"} {
		if !strings.Contains(r.stdout, part) {
			t.Errorf("help of serve lacks %q: %s", part, r.stdout)
		}
	}
	// Elsewhere the settings would bury what the command is about.
	for _, args := range []string{"--help", "config --help", "doctor --help"} {
		if r := parley(t, nil, strings.Fields(args)...); strings.Contains(r.stdout, "PARLEY_MAX_BODY") || !strings.Contains(r.stdout, `"parley serve --help"`) {
			t.Errorf("%s: %s", args, r.stdout)
		}
	}
}

func TestHelpIsNoWiderThanItsLines(t *testing.T) {
	for _, cmd := range manualCommands(manualRoot()) {
		for line := range strings.Lines(helpText(cmd, helpWidth)) {
			// Examples and lists stay as they are.
			if !strings.HasPrefix(line, "  parley ") && len(strings.TrimRight(line, "\n")) > helpWidth {
				t.Errorf("%s: a line of %d: %s", cmd.CommandPath(), len(line), line)
			}
		}
	}
	if got, want := wrap("a bb ccc\ndddd\n\n  kept   as it\n  is", 8), "a bb ccc\ndddd\n\n  kept   as it\n  is"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := wrap("a bb ccc\ndddd e", 6), "a bb\nccc\ndddd e"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestVersionSaysWhatRuns(t *testing.T) {
	r := parley(t, nil, "version")
	r.expect(t, exitOK)
	if !regexp.MustCompile(`^parley \S+ \(go1\.\S+, \w+/\w+\)\n$`).MatchString(r.stdout) {
		t.Errorf("stdout: %q", r.stdout)
	}
	r = parley(t, nil, "version", "--json")
	r.expect(t, exitOK)
	var v map[string]string
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || v["version"] == "" || v["go"] == "" || v["system"] == "" {
		t.Errorf("%v in %q", err, r.stdout)
	}
	r = parley(t, nil, "--version")
	r.expect(t, exitOK)
	if r.stdout != "parley "+v["version"]+"\n" {
		t.Errorf("stdout: %q", r.stdout)
	}
}

func TestConfigShowsValuesSourcesAndNoSecret(t *testing.T) {
	const canary = "cAnArY-0123456789abcdef0123456789abcdef"
	t.Chdir(t.TempDir())
	if err := os.WriteFile(".env", []byte("PARLEY_MODEL=parley/echo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"OPENAI_API_KEY=" + canary, "PARLEY_API_KEY=" + canary, "PARLEY_SECRET_KEY=" + canary, "PARLEY_SERVICE_HOST=10.0.0.1"}
	table := parleyHere(t, environ, "config", "--addr", "0.0.0.0:9000")
	table.expect(t, exitOK, "warning: PARLEY_SERVICE_HOST (environment)")
	for _, row := range []string{
		`PARLEY_ADDR +0\.0\.0\.0:9000 +flag`,
		`PARLEY_MODEL +parley/echo +\.env`,
		`PARLEY_API_KEY +set +environment`,
		`PARLEY_SECRET_KEY +set, fingerprint [0-9a-f]{8} +environment`,
		`PARLEY_MAX_BODY +8MiB +default`,
		`PARLEY_LOG_FORMAT +- +default`,
	} {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(table.stdout) {
			t.Errorf("no row %s in\n%s", row, table.stdout)
		}
	}
	asJSON := parleyHere(t, environ, "config", "--json")
	asJSON.expect(t, exitOK, "warning")
	var list []struct{ Name, Value, Source string }
	if err := json.Unmarshal([]byte(asJSON.stdout), &list); err != nil || len(list) < 20 {
		t.Errorf("%v, %d settings in %s", err, len(list), asJSON.stdout)
	}
	if all := table.stdout + table.stderr + asJSON.stdout + asJSON.stderr; strings.Contains(all, "cAnArY") {
		t.Errorf("a secret shows in %s", all)
	}
	if entries, _ := os.ReadDir("."); len(entries) != 1 {
		t.Errorf("files were made: %v", entries)
	}
}

func TestHealthcheckOfNothingFails(t *testing.T) {
	parley(t, nil, "healthcheck", "--addr", "127.0.0.1:1").expect(t, exitFailed, "not ready: nothing answers at 127.0.0.1:1", "parley serve", "--addr", "refused")
}

func TestVerifyingAFileThatIsNotThereFails(t *testing.T) {
	r := parley(t, nil, "audit", "verify")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	r.expect(t, exitFailed, "there is no database at "+filepath.Join(here, "data", "parley.db"), "--data", "--store")
	parleyHere(t, nil, "audit", "verify", "--store", "elsewhere.db").expect(t, exitFailed, "there is no database at "+filepath.Join(here, "elsewhere.db"))
	if entries, _ := os.ReadDir("."); len(entries) > 0 {
		t.Errorf("files were made: %v", entries)
	}
}

func TestADefaultModelThatNobodyOffersIsRefusedAtStart(t *testing.T) {
	parley(t, []string{"PARLEY_ADDR=127.0.0.1:0", "PARLEY_MODEL=gpt-9"}).expect(t, exitUsage, "PARLEY_MODEL (environment)", "OPENAI_API_KEY")
}

func TestConfigReportsAllThatServeWouldRefuse(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("data", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("data", "secret.key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--addr", "0.0.0.0:0", "--model", "gpt-9"}
	says := []string{"PARLEY_ADDR (flag): 0.0.0.0:0 can be reached", "PARLEY_MODEL (flag)", "PARLEY_SECRET_KEY (default)", "fewer than 32"}
	parleyHere(t, nil, append([]string{"serve"}, args...)...).expect(t, exitUsage, says...)
	for _, form := range []string{"--json=false", "--json"} {
		r := parleyHere(t, nil, append([]string{"config", form}, args...)...)
		r.expect(t, exitUsage, says...)
		if !strings.Contains(r.stdout, "PARLEY_ADDR") {
			t.Errorf("the settings are not shown: %s", r.stdout)
		}
	}
	parleyHere(t, nil, "config", "--data", "elsewhere").expect(t, exitOK)
}
