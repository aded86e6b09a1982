package config_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/parley-llm/parley/internal/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

func TestFlagsAreTheNamesInLowerKebab(t *testing.T) {
	for name, want := range map[string]string{
		"PARLEY_ADDR": "addr", "PARLEY_UPSTREAM_FIRST_BYTE_TIMEOUT": "upstream-first-byte-timeout",
		"OPENAI_API_KEY": "openai-api-key", "PARLEY_API_KEY_FILE": "api-key-file",
	} {
		if got := config.FlagName(name); got != want {
			t.Errorf("FlagName(%s) = %s, want %s", name, got, want)
		}
	}
}

func TestEverySettingIsDescribed(t *testing.T) {
	flags := map[string]bool{}
	for _, s := range config.Settings() {
		if s.Help == "" || s.Valid == "" {
			t.Errorf("%s: help %q, valid %q", s.Name, s.Help, s.Valid)
		}
		if flags[s.Flag] {
			t.Errorf("flag --%s twice", s.Flag)
		}
		flags[s.Flag] = true
	}
}

func TestEnvExampleNamesEverySettingWithItsDefault(t *testing.T) {
	text, err := os.ReadFile("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	example := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# ([A-Z_]+)=(.*)$`).FindAllStringSubmatch(string(text), -1) {
		example[m[1]] = m[2]
	}
	// What has no fixed default shows what a value looks like.
	shown := map[string]string{"OPENAI_API_KEY": "sk-...", "OPENAI_MODEL": "gpt-4o-mini", "ANTHROPIC_API_KEY": "sk-ant-..."}
	for _, s := range config.Settings() {
		want := s.Default
		if v, ok := shown[s.Name]; ok {
			want = v
		}
		if got, found := example[s.Name]; !found || got != want {
			t.Errorf("%s=%s (found: %v), want %q", s.Name, got, found, want)
		}
		delete(example, s.Name)
		if s.Secret {
			if _, found := example[s.Name+config.FileSuffix]; !found {
				t.Errorf("%s%s is missing", s.Name, config.FileSuffix)
			}
			delete(example, s.Name+config.FileSuffix)
		}
	}
	if len(example) > 0 {
		t.Errorf("no such settings: %v", example)
	}
}

func TestEnvExampleAsItStandsIsAValidDotEnv(t *testing.T) {
	text, err := os.ReadFile("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	c := mustLoad(t, input{dotEnv: string(text)})
	for _, e := range c.Effective() {
		if e.Source != config.SourceDefault {
			t.Errorf("%s is set", e.Name)
		}
	}
}

func TestTheDocumentationListsEverySetting(t *testing.T) {
	const page = "../../docs/configuration.md"
	want := documentation()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/configuration.md is not what internal/config says: run `make generate`")
	}
}

func documentation() string {
	var b strings.Builder
	b.WriteString(`# Settings

This page is made from ` + "`internal/config`" + ` by ` + "`make generate`" + `.

A setting is a flag, an environment variable, or a line in the file ` + "`.env`" + ` of the working directory. The flag beats the environment,
the environment beats ` + "`.env`" + `, and ` + "`.env`" + ` beats the default. An empty value counts as not set, except that of
` + "`PARLEY_API_KEY`" + ` and ` + "`PARLEY_SECRET_KEY`" + `, which is refused. A wrong value, and a name that does not exist, is an error at start; in
the environment an unknown name is only a warning, because orchestrators put names of their own there.

` + "`parley config`" + ` shows what is in force and where it came from. Flags can be seen by every user of the machine in its list of
processes: give secrets by the environment or by a file, that is by the name with ` + "`_FILE`" + ` behind it, such as ` + "`PARLEY_API_KEY_FILE`" + `.

| setting | flag | default | what it does | may be |
| --- | --- | --- | --- | --- |
`)
	for _, s := range config.Settings() {
		value := ""
		if s.Default != "" {
			value = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `--%s` | %s | %s | %s |\n", s.Name, s.Flag, value, s.Help, s.Valid)
	}
	b.WriteString(`
` + "`PORT`" + ` changes the port where ` + "`PARLEY_ADDR`" + ` is not set. ` + "`HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`" + ` hold for calls to models;
` + "`NO_COLOR`" + ` takes the colours from log lines on a terminal.

With ` + "`PARLEY_AUTO_TITLE=model`" + ` the start of the first message stands at once, and the model of the first completed turn is then asked for a
title, in the background, with at most 2,000 characters each of the question and the answer. It may use 256 tokens and 30 seconds; the call has
its own response id and its own pair of audit records, and its tokens do not count as the conversation's. Nothing waits for it, and a title that
somebody has given is never replaced. It is left out when half of ` + "`PARLEY_UPSTREAM_CONCURRENCY`" + ` is taken and when the server stops.
`)
	return b.String()
}
