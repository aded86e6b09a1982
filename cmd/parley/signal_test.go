//go:build unix

package main

import (
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/crashtest"
)

func TestSIGTERMStopsGentlyAndASecondOneAtOnce(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			idle := launch(t, t.TempDir(), nil)
			idle.await(t)
			if err := idle.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			<-idle.ended
			if code := idle.cmd.ProcessState.ExitCode(); code != exitOK {
				t.Errorf("exit %d: %s", code, idle.stderr)
			}

			url, asked := modelServer(t, nil)
			busy := launch(t, t.TempDir(), []string{"OPENAI_BASE_URL=" + url}, "--shutdown-timeout", "1h")
			busy.await(t)
			conv := busy.conversation(t)
			go func() {
				_, _ = busy.do(t.Context(), "POST", "/api/conversations/"+conv+"/responses", `{"prompt":"x"}`)
			}()
			<-asked
			if err := busy.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			for busy.call(t, "GET", "/readyz", "").status != http.StatusServiceUnavailable {
				continue
			}
			if err := busy.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			<-busy.ended
			if status, ok := busy.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != signal {
				t.Errorf("ended with %v", busy.cmd.ProcessState)
			}
		})
	}
}

func TestFilesAreForTheOwnerAloneAndCrashesLeaveNoImage(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := launch(t, data, nil)
	p.await(t)
	p.conversation(t)
	files := 0
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		files++
		return nil
	})
	if err != nil || files < 3 {
		t.Errorf("%d files, %v", files, err)
	}
	limits, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/limits")
	if err != nil {
		t.Skip("this system does not show a process's limits")
	}
	if !regexp.MustCompile(`Max core file size +0 +0 `).Match(limits) {
		t.Errorf("limits: %s", limits)
	}
}

// A file that may not grow is a disk that fails in the middle of a write.
func TestADatabaseThatCannotBeWrittenEndsTheServerAndLosesNothing(t *testing.T) {
	data := t.TempDir()
	broken := launchBy(t, exec.CommandContext(t.Context(), "sh", "-c", `ulimit -f 2000 && exec "$0" "$@"`, binary(t)), data, nil)
	broken.await(t)
	conv := broken.conversation(t)
	path := "/api/conversations/" + conv + "/messages"
	var stored []string
	for {
		text := strconv.Itoa(len(stored)) + strings.Repeat("x", 100_000)
		a, err := broken.do(t.Context(), http.MethodPost, path, `{"role":"user","content":"`+text+`"}`)
		if err != nil {
			break
		}
		if a.status == http.StatusCreated {
			stored = append(stored, text)
		} else if a.status != http.StatusServiceUnavailable {
			t.Fatalf("status %d: %s", a.status, a.body)
		}
	}
	<-broken.ended
	if code := broken.cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(broken.stderr.String(), "parley: serving: ") {
		t.Errorf("exit %d: %s", code, broken.stderr)
	}
	if len(stored) == 0 {
		t.Error("nothing was stored before the disk failed")
	}

	mended := launch(t, data, nil)
	mended.await(t)
	var found []string
	for m, err := range crashtest.Client(mended.url).AllMessages(t.Context(), conv, api.ListQuery{Limit: 100}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, m.Text())
	}
	// The message that failed may have become durable all the same.
	if len(found) > len(stored)+1 || len(found) < len(stored) || !slices.Equal(found[:len(stored)], stored) {
		t.Errorf("%d messages were acknowledged, %d are there", len(stored), len(found))
	}
	parley(t, nil, "audit", "verify", "--data", data).expect(t, exitOK)
}
