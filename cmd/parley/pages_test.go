package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sample is a block of code on a page, and what it is said to print.
type sample struct {
	language, code, output string
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// samples are the blocks of a page that name a language, each with the block of text behind it, if there is one.
func samples(t *testing.T, page string) []sample {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var list []sample
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		switch language, content := m[1], m[2]; language {
		case "":
		case "text":
			list[len(list)-1].output = content
		default:
			list = append(list, sample{language: language, code: content})
		}
	}
	if len(list) < 4 {
		t.Fatalf("only %d blocks on %s", len(list), page)
	}
	return list
}

// matches compares an output with what a page shows of it, where three dots stand for anything.
func matches(shown, got string) bool {
	parts := strings.Split(shown, "...")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("(?s)^" + strings.Join(parts, ".*") + "$").MatchString(got)
}

// runner runs the samples of pages against a server of its own.
type runner struct {
	node   *node
	data   string
	dir    string
	module string
}

func newRunner(t *testing.T) *runner {
	t.Helper()
	module, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{data: filepath.Join(t.TempDir(), "data"), dir: t.TempDir(), module: module}
	r.node = start(t, r.data, nil)
	return r
}

func (r *runner) adapt(code, program string) string {
	return strings.NewReplacer("http://127.0.0.1:8000", r.node.url, "./bin/parley", program).Replace(code)
}

func (r *runner) run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), isSetting), "PARLEY_ADDR="+strings.TrimPrefix(r.node.url, "http://"), "PARLEY_DATA="+r.data)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// isSetting says of a variable of this process that a reader of the documentation would not have it.
func isSetting(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return name == "PORT" || slices.ContainsFunc([]string{"PARLEY_", "OPENAI_", "ANTHROPIC_", "MONGODB_"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

// needs skips a test where something is not installed. In CI everything is.
func needs(t *testing.T, name string, args ...string) {
	t.Helper()
	if err := exec.CommandContext(t.Context(), name, args...).Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
		}
		t.Skipf("%s %s: %v", name, strings.Join(args, " "), err)
	}
}

func TestTheQuickstartIsTrue(t *testing.T) {
	needs(t, "bash", "-c", "command -v curl grep sed uniq head")
	list := samples(t, "quickstart.md")
	r := newRunner(t)
	// One shell runs all blocks, because the later ones use variables of the earlier ones.
	const end = "--- the end of a block ---"
	script := "set -u\n"
	for _, s := range list {
		if s.language != "sh" {
			t.Fatalf("a block of %s", s.language)
		}
		script += r.adapt(s.code, binary(t)) + "echo '" + end + "'\n"
	}
	outputs := strings.Split(r.run(t, r.dir, "bash", "-c", script), end+"\n")
	for i, s := range list {
		if !matches(s.output, outputs[i]) {
			t.Errorf("%s\n--- printed\n%s--- the page says\n%s", s.code, outputs[i], s.output)
		}
	}
}

func TestTheProgramsOfTheGuideDoWhatItSays(t *testing.T) {
	r := newRunner(t)
	for _, s := range samples(t, "api-guide.md") {
		t.Run(s.language, func(t *testing.T) {
			var out string
			file := func(name string) string {
				path := filepath.Join(r.dir, name)
				if err := os.WriteFile(path, []byte(r.adapt(s.code, "")), 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			switch s.language {
			case "sh":
				needs(t, "bash", "-c", "command -v curl grep cut head")
				out = r.run(t, r.dir, "bash", "-eu", file("guide.sh"))
			case "python":
				needs(t, "python3", "-c", "import requests")
				out = r.run(t, r.dir, "python3", file("guide.py"))
			case "js":
				needs(t, "node", "-e", "if (+process.versions.node.split('.')[0] < 20) process.exit(1)")
				out = r.run(t, r.dir, "node", file("guide.mjs"))
			case "go":
				out = r.run(t, r.module, "go", "run", file("guide.go"))
			default:
				t.Fatalf("a block of %s", s.language)
			}
			if !matches(s.output, out) {
				t.Errorf("--- printed\n%s--- the page says\n%s", out, s.output)
			}
		})
	}
}

func TestThreeDotsStandForAnything(t *testing.T) {
	for _, test := range []struct {
		shown, got string
		want       bool
	}{{"a...c\n", "abbc\n", true}, {"a...c\n", "abbd\n", false}, {"a.c\n", "abc\n", false}, {"...", "", true}, {"x\n", "x\ny\n", false}} {
		if got := matches(test.shown, test.got); got != test.want {
			t.Errorf("%+v", test)
		}
	}
}
