package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a server under measurement: a child of the benchmark, known by its id.
type process struct {
	name    string
	address string // host:port
	command *exec.Cmd
	done    chan struct{}
	errors  *tail
}

// startChild runs this program again with a subcommand and waits for the address it prints.
func startChild(ctx context.Context, name string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// The children hold the read end of a pipe that nobody writes to: it closes when the benchmark dies, however it dies.
	keep, hold, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self, args...)
	command.Stdin = keep
	command.SysProcAttr = childAttributes()
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p, err := launch(name, command)
	_ = keep.Close()
	if err != nil {
		_ = hold.Close()
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("starting %s: %w: %s", name, err, p.errors)
	}
	p.address = strings.TrimSpace(line)
	go func() {
		<-p.done
		_ = hold.Close()
	}()
	return p, nil
}

func launch(name string, command *exec.Cmd) (*process, error) {
	p := &process{name: name, command: command, done: make(chan struct{}), errors: &tail{}}
	command.Stderr = p.errors
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = command.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.command.Process.Pid }

// stop asks the process to end and, after ten seconds, ends it.
func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.kill()
	}
}

func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.done
}

// tail keeps the last bytes written to it: what a child said before it failed.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - 4096; extra > 0 {
		t.text = t.text[extra:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// cpu is the time that all threads of a process have run, by the scheduler's own account in nanoseconds.
func cpu(pid int) (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("no accounting for process %d: the benchmark needs Linux", pid)
	}
	var total time.Duration
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		ran, err := parseSchedstat(string(text))
		if err != nil {
			return 0, err
		}
		total += ran
	}
	return total, nil
}

func parseSchedstat(text string) (time.Duration, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return 0, errors.New("an empty schedstat")
	}
	nanoseconds, err := strconv.ParseInt(fields[0], 10, 64)
	return time.Duration(nanoseconds), err
}

// rss is the resident memory of a process in bytes.
func rss(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parseRSS(string(text))
}

func parseRSS(status string) (int64, error) {
	for line := range strings.Lines(status) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmRSS in the status")
}

// freeAddress is a loopback address that was free a moment ago.
func freeAddress(ctx context.Context) (string, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String(), nil
}

// waitReady polls /readyz until it answers 200, for at most limit.
func waitReady(ctx context.Context, p *process, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pause := time.NewTicker(500 * time.Microsecond)
	defer pause.Stop()
	for {
		if ready(ctx, p.address) {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready: %s", p.name, p.errors)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %s", p.name, limit, p.errors)
		case <-pause.C:
		}
	}
}

func ready(ctx context.Context, address string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return false
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}
