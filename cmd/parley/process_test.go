package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// TestMain makes a place for the binary that the tests of real processes share.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "parley-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built.path = filepath.Join(dir, "parley")
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// built is the binary, made when the first test asks for it. PARLEY_TEST_BINARY names one that is there already, for test
// runs that are themselves built in another way.
var built struct {
	once sync.Once
	path string
	err  error
}

func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if path := os.Getenv("PARLEY_TEST_BINARY"); path != "" {
			built.path = path
			return
		}
		cmd := exec.Command("go", "build", "-o", built.path, "github.com/parley-llm/parley/cmd/parley") //nolint:noctx // it is made for all tests, beyond the one that asks first
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatalf("building the server: %v", built.err)
	}
	return built.path
}

// process is a server in a process of its own, so that it can be killed.
type process struct {
	node
	cmd *exec.Cmd
	// ready is closed when the server has printed its address, or will not any more.
	ready  chan struct{}
	ended  chan struct{}
	stderr *buffer
}

// launch starts the binary and does not wait for it.
func launch(t *testing.T, data string, environ []string, args ...string) *process {
	t.Helper()
	return launchBy(t, exec.CommandContext(t.Context(), binary(t)), data, environ, args...)
}

// launchBy is launch through a command that runs what is appended to it.
func launchBy(t *testing.T, cmd *exec.Cmd, data string, environ []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: cmd, ready: make(chan struct{}), ended: make(chan struct{}), stderr: &buffer{}}
	p.cmd.Args = append(append(p.cmd.Args, "serve", "--addr", "127.0.0.1:0", "--data", data, "--log-level", "warn"), args...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = t.TempDir(), append([]string{}, environ...), p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(stdout)
	t.Cleanup(func() { p.kill() })
	return p
}

func (p *process) read(stdout io.Reader) {
	announced := sync.OnceFunc(func() { close(p.ready) })
	var text bytes.Buffer
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		text.Write(append(lines.Bytes(), '\n'))
		if url := readyURL(text.String()); url != "" && p.url == "" {
			p.url = url
			announced()
		}
	}
	announced()
	_ = p.cmd.Wait()
	close(p.ended)
}

// kill is SIGKILL, or a power cut without the disk: nothing of the process runs after it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// await returns when the server serves.
func (p *process) await(t *testing.T) {
	t.Helper()
	<-p.ready
	if p.url == "" {
		<-p.ended
		t.Fatalf("the server does not start (%v): %s", p.cmd.ProcessState, p.stderr)
	}
}
