package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parley-llm/parley/internal/config"
)

func TestSizesAreReadInEveryUsualSpelling(t *testing.T) {
	for text, want := range map[string]config.Size{
		"0": 0, "17": 17, "17B": 17, "1KiB": 1024, "1kib": 1024, "8MiB": 8 << 20, "8 MiB": 8 << 20, "1GiB": 1 << 30,
		"2KB": 2000, "2mb": 2e6, "3GB": 3e9,
	} {
		var got config.Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "1e3", "0x10", "1 000", "9223372036854775808", "8589934592GiB", "8Mi"} {
		if err := new(config.Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestASecretShowsNowhere(t *testing.T) {
	const canary = "cAnArY"
	v := struct{ Key config.Secret }{canary}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", v.Key, "struct", v)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", v.Key, "struct", v)
	fmt.Fprintf(&out, "%v %+v %#v %s %q", v, v, v, v.Key, v.Key)
	if err := json.NewEncoder(&out).Encode(v); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), canary) {
		t.Errorf("shown in %s", &out)
	}
	if !strings.Contains(out.String(), "[hidden]") {
		t.Error("that it is set does not show")
	}
	if s := config.Secret(""); s.String() != "" {
		t.Errorf("an empty one is shown as %q", s)
	}
}

func TestHostsAreNamesAndAddresses(t *testing.T) {
	c := mustLoad(t, input{env: []string{"PARLEY_ALLOWED_HOSTS=Chat.Example.com, 10.0.0.7 ,[fd00::1],my_service"}})
	want := config.Hosts{"chat.example.com", "10.0.0.7", "fd00::1", "my_service"}
	if !slices.Equal(c.AllowedHosts, want) {
		t.Errorf("AllowedHosts = %q, want %q", c.AllowedHosts, want)
	}
}

func TestStoreIsAFileInTheDataDirectoryUnlessAbsolute(t *testing.T) {
	abs := filepath.Join(t.TempDir(), "x.db")
	for store, want := range map[string]string{
		"sqlite:a.db":      filepath.Join("d", "a.db"),
		"sqlite:sub/a.db":  filepath.Join("d", "sub", "a.db"),
		"sqlite:" + abs:    abs,
		"sqlite://" + abs:  abs,
		"sqlite:./../a.db": "a.db",
	} {
		c := mustLoad(t, input{flags: map[string]string{"data": "d", "store": store}})
		if got := c.StorePath(); got != want {
			t.Errorf("StorePath of %s = %q, want %q", store, got, want)
		}
	}
}

func TestLogLevelsAreThoseOfSlog(t *testing.T) {
	for text, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		if got := mustLoad(t, input{flags: map[string]string{"log-level": text}}).Level(); got != want {
			t.Errorf("%s is %v", text, got)
		}
	}
}

func TestNoColorIsHonoured(t *testing.T) {
	if !mustLoad(t, input{env: []string{"NO_COLOR=1"}}).NoColor || mustLoad(t, input{env: []string{"NO_COLOR="}}).NoColor {
		t.Error("NO_COLOR is not read as its convention says")
	}
}
