package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// oneTurn makes a database with one turn in it and returns its directory.
func oneTurn(t *testing.T) (data string, n *node) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	n = start(t, data, nil)
	r := parleyHere(t, nil, "chat", "--url", n.url, "I am jane.doe@example.com")
	r.expect(t, exitOK)
	if !strings.Contains(r.stdout, `You said: "I am jane.doe@example.com"`) {
		t.Fatalf("%q", r.stdout)
	}
	return data, n
}

func TestChatGoesOnWhereItWas(t *testing.T) {
	_, n := oneTurn(t)
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"chat", "--url", n.url + "/", "--conversation", "last"}, nil, strings.NewReader("and now?\n"), &stdout, &stderr)
	if code != exitOK || stdout.String() != "You said: \"and now?\"\n" || stderr.Len() > 0 {
		t.Errorf("%d %q %s", code, &stdout, &stderr)
	}
	before := n.call(t, "GET", "/api/conversations", "").body
	for _, text := range []string{"a\xff", "a\x00b", "\xff\n"} {
		stdout.Reset()
		stderr.Reset()
		code = run(t.Context(), []string{"chat", "--url", n.url}, nil, strings.NewReader(text), &stdout, &stderr)
		result{code, stdout.String(), stderr.String()}.expect(t, exitUsage, "the standard input is no text in UTF-8, so nothing was sent")
		parleyHere(t, nil, "chat", "--url", n.url, text).expect(t, exitUsage, "the argument is no text in UTF-8")
	}
	if after := n.call(t, "GET", "/api/conversations", "").body; !bytes.Equal(after, before) {
		t.Errorf("something was sent: %s", after)
	}
	parleyHere(t, nil, "chat", "--url", n.url, "--conversation", "conv_none", "x").expect(t, exitFailed, "conversation_not_found")
	parleyHere(t, nil, "chat", "--url", n.url, "--model", "nope", "x").expect(t, exitFailed, `no model "nope"`, "--model")
	parleyHere(t, nil, "chat", "--url", n.url, "--conversation", "last", "x").expect(t, exitOK)
	parleyHere(t, nil, "chat", "--addr", "127.0.0.1:1", "x").expect(t, exitFailed, "no Parley answers at http://127.0.0.1:1", "parley serve")
}

func TestChatSendsTheKey(t *testing.T) {
	n := start(t, filepath.Join(t.TempDir(), "data"), []string{"PARLEY_API_KEY=the-key"})
	parleyHere(t, nil, "chat", "--url", n.url, "x").expect(t, exitFailed, "PARLEY_API_KEY")
	parleyHere(t, nil, "chat", "--url", n.url, "--api-key", "bad", "x").expect(t, exitFailed, "refused this key")
	parleyHere(t, []string{"PARLEY_API_KEY=the-key"}, "chat", "--url", n.url, "x").expect(t, exitOK)
	parleyHere(t, nil, "chat", "--url", n.url, "--api-key", "the-key", "x").expect(t, exitOK)
}

func TestAnExportIsVerifiedWithoutTheDatabase(t *testing.T) {
	data, n := oneTurn(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "audit.jsonl")
	parleyHere(t, nil, "audit", "export", "--data", data, "--output", file).expect(t, exitOK)
	verified := parleyHere(t, nil, "audit", "verify", "--export", file)
	verified.expect(t, exitOK)
	if !strings.Contains(verified.stdout, "3 records in 1 chain: 0 findings") {
		t.Errorf("%s", verified.stdout)
	}
	exported, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(exported, []byte(`"text":"I am [MASKED_EMAIL]"`)) || bytes.Contains(exported, []byte("jane")) {
		t.Errorf("%v %s", err, exported)
	}
	// The same comes over HTTP.
	overHTTP := n.call(t, "GET", "/api/audit/export", "")
	lines := strings.SplitAfter(string(exported), "\n")
	if n := len(lines); n != 5 || lines[4] != "" || !strings.HasPrefix(lines[3], `{"object":"audit.export.end","records":3,"heads":[{"chain":`) {
		t.Errorf("%q", lines)
	}
	records := strings.Join(lines[:3], "")
	if !strings.HasPrefix(string(overHTTP.body), records) || bytes.Count(overHTTP.body, []byte("\n")) != 5 {
		t.Errorf("%s", overHTTP.body)
	}
	verify := func(content string, args ...string) result {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"audit", "verify", "--export", "-"}, args...), nil, strings.NewReader(content), &stdout, &stderr)
		return result{code, stdout.String(), stderr.String()}
	}
	verify(string(overHTTP.body)).expect(t, exitOK)
	// What is cut short is not whole, wherever that was.
	for n := range 4 {
		for _, args := range [][]string{nil, {"--range"}} {
			r := verify(strings.Join(lines[:n], ""), args...)
			r.expect(t, exitFailed, "does not verify")
			if !strings.Contains(r.stdout, "truncated: ") || !strings.Contains(r.stdout, "the export has no closing line") {
				t.Errorf("%d lines: %s", n, r.stdout)
			}
		}
	}
	if r := verify(""); !strings.HasPrefix(r.stdout, "truncated: the export") || !strings.HasSuffix(r.stdout, "0 records in 0 chains: 1 finding\n") {
		t.Errorf("an empty file: %s", r.stdout)
	}
	verify(strings.Join(lines[1:], "")).expect(t, exitFailed, "does not verify")
	if r := verify(strings.Replace(string(exported), "parley/echo", "parley/ecko", 1), "--json"); r.code != exitFailed || !strings.Contains(r.stdout, `"kind": "modified"`) {
		t.Errorf("%d %s", r.code, r.stdout)
	}
	none := parleyHere(t, nil, "audit", "export", "--data", data, "--to", "2020-01-01")
	none.expect(t, exitOK)
	if none.stdout != `{"object":"audit.export.end","records":0,"heads":[]}`+"\n" {
		t.Errorf("%s", none.stdout)
	}
	verify(none.stdout, "--range").expect(t, exitOK)
	parleyHere(t, nil, "audit", "verify", "--export", filepath.Join(dir, "none")).expect(t, exitFailed, "opening the export")
	for _, bounds := range [][2]string{{"2026-06-01", "2026-05-01"}, {"2026-05-01", "2026-05-01"}} {
		parleyHere(t, nil, "audit", "export", "--data", data, "--from", bounds[0], "--to", bounds[1], "-o", filepath.Join(dir, "x")).
			expect(t, exitUsage, "--from must be ahead of --to")
	}
	for _, flag := range []string{"--from", "--to"} {
		parleyHere(t, nil, "audit", "export", "--data", data, flag, "yesterday").
			expect(t, exitUsage, flag+": expected an RFC 3339 date-time, such as 2026-05-04T09:30:00Z, or a date")
	}
	// What fails leaves no file behind.
	parleyHere(t, nil, "audit", "export", "--store", filepath.Join(dir, "none.db"), "-o", filepath.Join(dir, "x")).expect(t, exitFailed, "none.db")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", err, entries)
	}
}

func TestMigrateAndCompactNeedTheDatabaseAlone(t *testing.T) {
	data, n := oneTurn(t)
	for _, name := range []string{"compact", "migrate"} {
		parleyHere(t, nil, name, "--data", data).expect(t, exitFailed, "in use by process", ": stop that server first\n")
	}
	parleyHere(t, nil, "migrate", "--data", data, "--dry-run").expect(t, exitOK)
	n.stop()
	n.wait()
	migrated := parleyHere(t, nil, "migrate", "--data", data, "--json")
	migrated.expect(t, exitOK)
	var m migration
	if err := json.Unmarshal([]byte(migrated.stdout), &m); err != nil || m.From != m.To || m.To == 0 || m.DryRun {
		t.Errorf("%v %s", err, migrated.stdout)
	}
	compacted := parleyHere(t, nil, "compact", "--data", data)
	compacted.expect(t, exitOK)
	if !strings.Contains(compacted.stdout, "before") {
		t.Errorf("%s", compacted.stdout)
	}
	parleyHere(t, nil, "audit", "verify", "--data", data).expect(t, exitOK)
	for _, args := range []string{"compact", "migrate", "migrate --dry-run"} {
		parley(t, nil, strings.Fields(args)...).expect(t, exitFailed, "there is no database at /", "parley.db\n", "--data")
	}
}

func TestTheDoctorCallsADiskFullWhereTheServerDoes(t *testing.T) {
	const needed = 256 << 20
	for _, tt := range []struct {
		free   uint64
		err    error
		status string
	}{
		{needed - 1, nil, broken},
		{needed, nil, doubtful},
		{4*needed - 1, nil, doubtful},
		{4 * needed, nil, sound},
		{0, errors.ErrUnsupported, doubtful},
	} {
		if f := judgeDisk(tt.free, needed, tt.err); f.Status != tt.status || tt.err == nil && !strings.Contains(f.Detail, "below 256.0 MiB no prompt is taken") {
			t.Errorf("%d bytes, %v: %+v", tt.free, tt.err, f)
		}
	}
}

func TestTheDoctorFindsWhatIsBroken(t *testing.T) {
	data, n := oneTurn(t)
	examined := func(environ []string, args ...string) (map[string]finding, result) {
		t.Helper()
		r := parleyHere(t, environ, append([]string{"doctor", "--json", "--data", data}, args...)...)
		var report struct {
			OK     bool
			Checks []finding
		}
		if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || report.OK != (r.code == exitOK) {
			t.Fatalf("%v: exit %d, %s", err, r.code, r.stdout)
		}
		byName := map[string]finding{}
		for _, f := range report.Checks {
			byName[f.Name] = f
			if f.Status != sound && f.Status != doubtful && f.Remedy == "" {
				t.Errorf("%+v has no remedy", f)
			}
		}
		return byName, r
	}
	all, r := examined(nil)
	if r.code != exitOK || !strings.Contains(all["lock"].Detail, "a server runs") || !strings.Contains(all["audit chain"].Detail, "3 records") || all["schema"].Status != sound || all["database"].Status != sound {
		t.Errorf("%s", r.stdout)
	}
	n.stop()
	n.wait()
	if all, r := examined([]string{"OPENAI_BASE_URL=http://127.0.0.1:1/v1"}); r.code != exitFailed || all["provider openai"].Status != broken || all["lock"].Status != sound {
		t.Errorf("%s", r.stdout)
	}
	if all, r := examined([]string{"PARLEY_SECRET_KEY=" + strings.Repeat("another key ", 4)}); r.code != exitFailed || all["secret key"].Status != broken {
		t.Errorf("%s", r.stdout)
	}
	if all, r := examined(nil, "--addr", "0.0.0.0:80"); r.code != exitFailed || all["settings"].Status != broken {
		t.Errorf("%s", r.stdout)
	}
	if all, r := examined(nil, "--addr", "nonsense"); r.code != exitFailed || all["settings"].Status != broken || len(all) != 1 {
		t.Errorf("%s", r.stdout)
	}
	if err := os.Chmod(data, 0o777); err != nil {
		t.Fatal(err)
	}
	if all, r := examined(nil); r.code != exitFailed || !strings.Contains(all["data directory"].Remedy, "chmod 700") {
		t.Errorf("%s", r.stdout)
	}
	if err := os.Chmod(data, 0o700); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(data, "secret.key")
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	if all, r := examined(nil); r.code != exitFailed || all["secret key"].Status != broken {
		t.Errorf("%s", r.stdout)
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("the doctor made a key")
	}
	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "parley.db"), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	all, r = examined(nil)
	if _, blamed := all["secret key"]; blamed || r.code != exitFailed || all["database"].Status != broken || !strings.Contains(all["database"].Detail, "parley.db") {
		t.Errorf("%s", r.stdout)
	}
	parleyHere(t, nil, "serve", "--addr", "127.0.0.1:0", "--data", data).expect(t, exitFailed, filepath.Join(data, "parley.db")+" is damaged", "restore a backup", "move it away")
	data = filepath.Join(data, "parley.db", "x")
	if all, r := examined(nil); r.code != exitFailed || all["data directory"].Status != broken {
		t.Errorf("%s", r.stdout)
	}
	if runtime.GOOS == "linux" {
		data = "/proc/parley"
		if all, r := examined(nil); r.code != exitFailed || all["data directory"].Status != broken || !strings.Contains(all["data directory"].Detail, "cannot be made") {
			t.Errorf("%s", r.stdout)
		}
	}
	plain := parley(t, nil, "doctor")
	plain.expect(t, exitOK)
	if !strings.Contains(plain.stdout, "ok       database") || !strings.Contains(plain.stdout, "the first start makes it") {
		t.Errorf("%s", plain.stdout)
	}
	if entries, _ := os.ReadDir("."); len(entries) > 0 {
		t.Errorf("the doctor made files: %v", entries)
	}
}
