package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a server of this run, ended by its id.
type process struct {
	name, address string
	command       *exec.Cmd
	log           string
	done          chan struct{}
}

func startModel(ctx context.Context, s settings, dir string) (*process, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	// The context is shared out among the slots: 2,048 tokens for each of four conversations.
	command := exec.CommandContext(ctx, s.server,
		"-m", s.model, "--alias", "smollm2", "--host", "127.0.0.1", "--port", port, "--api-key", key,
		"-c", "8192", "-np", "4", "-t", "1", "-tb", "1", "--jinja", "--no-ui", "--slots", "--offline", "--cache-ram", "0", "--no-cache-prompt")
	return start(ctx, "model server", address, "/health", command, dir, 3*time.Minute)
}

func startParley(ctx context.Context, s settings, dir string, env ...string) (*process, string, error) {
	data, err := os.MkdirTemp(dir, "data-")
	if err != nil {
		return nil, "", err
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, "", err
	}
	command := exec.CommandContext(ctx, s.parley)
	command.Dir = data // a .env of the working directory must not take part
	command.Env = append(env, "PARLEY_ADDR="+address, "PARLEY_DATA="+data)
	p, err := start(ctx, "parley", address, "/readyz", command, data, 30*time.Second)
	return p, data, err
}

// start runs the command with its output in a file and waits until the path answers 200.
func start(ctx context.Context, name, address, path string, command *exec.Cmd, dir string, limit time.Duration) (*process, error) {
	log, err := os.Create(filepath.Join(dir, "log.txt"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	command.Stdout, command.Stderr = log, log
	// A group of its own: Ctrl-C reaches this program alone, which then ends its children.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting the %s: %w", name, err)
	}
	p := &process{name: name, address: address, command: command, log: log.Name(), done: make(chan struct{})}
	go func() {
		_ = command.Wait()
		close(p.done)
	}()
	if err := p.wait(ctx, path, limit); err != nil {
		p.stop()
		text, _ := os.ReadFile(p.log)
		return nil, fmt.Errorf("%w\n%s", err, text[max(0, len(text)-2000):])
	}
	return p, nil
}

func (p *process) wait(ctx context.Context, path string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		if answers(ctx, "http://"+p.address+path) {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("the %s ended before it was ready", p.name)
		case <-ctx.Done():
			return fmt.Errorf("the %s was not ready within %s", p.name, limit)
		case <-pause.C:
		}
	}
}

func answers(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode == http.StatusOK
}

// stop asks the process to end and, after fifteen seconds, ends it. It may be called more than once.
func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		_ = p.command.Process.Kill()
		<-p.done
	}
}

func freeAddress(ctx context.Context) (string, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String(), nil
}

// verify runs `parley audit verify` over the data that the server left.
func verify(ctx context.Context, s settings, data string, out io.Writer) error {
	command := exec.CommandContext(ctx, s.parley, "audit", "verify", "--json")
	command.Dir = data
	command.Env = []string{"PARLEY_DATA=" + data}
	text, err := command.Output()
	fmt.Fprintf(out, "%s\n", text)
	if err != nil {
		return fmt.Errorf("audit verify: %w", err)
	}
	var report struct {
		OK      bool `json:"ok"`
		Records int  `json:"records"`
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return err
	}
	if !report.OK || report.Records == 0 {
		return errors.New("the audit log does not verify")
	}
	return nil
}
