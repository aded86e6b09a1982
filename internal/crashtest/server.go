package crashtest

import (
	"bufio"
	"bytes"
	"io"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
)

// Server is the real program in a process of its own, on a free port of loopback.
type Server struct {
	// URL is set once Ready is closed, unless the server has ended before.
	URL   string
	Ready chan struct{}
	Ended chan struct{}

	cmd    *exec.Cmd
	mu     sync.Mutex
	stderr bytes.Buffer
}

var readyLine = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// StartServer starts a binary on a data directory and does not wait for it. It is killed when the test ends.
func StartServer(t testing.TB, binary, data string, environ []string, args ...string) *Server {
	t.Helper()
	s := &Server{Ready: make(chan struct{}), Ended: make(chan struct{}), cmd: exec.CommandContext(t.Context(), binary)}
	s.cmd.Args = append(s.cmd.Args, append([]string{"serve", "--addr", "127.0.0.1:0", "--data", data, "--log-level", "warn"}, args...)...)
	s.cmd.Dir, s.cmd.Env, s.cmd.Stderr = t.TempDir(), append([]string{}, environ...), s
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.read(stdout)
	t.Cleanup(s.Kill)
	return s
}

func (s *Server) read(stdout io.Reader) {
	announced := sync.OnceFunc(func() { close(s.Ready) })
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if url := readyLine.FindString(lines.Text()); url != "" && s.URL == "" {
			s.URL = url
			announced()
		}
	}
	_ = s.cmd.Wait()
	close(s.Ended)
	announced()
}

// Write takes what the server says on its standard error.
func (s *Server) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.Write(p)
}

// Said is what the server has said on its standard error.
func (s *Server) Said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.String()
}

// Await returns when the server serves; false where it has ended instead.
func (s *Server) Await() bool {
	<-s.Ready
	return s.URL != ""
}

// Kill is SIGKILL: nothing of the process runs after it.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.Ended
}

// Terminate is SIGTERM. It returns the exit code.
func (s *Server) Terminate() int {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	return s.Code()
}

// Code waits for the end and returns the exit code, -1 after a signal.
func (s *Server) Code() int {
	<-s.Ended
	return s.cmd.ProcessState.ExitCode()
}

// PID is the process's.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Build builds the program, with build tags if any, and returns its path. root is the directory of the module.
func Build(t testing.TB, root, name string, tags string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", tags, "-o", name, "./cmd/parley")
	cmd.Dir, cmd.Env = root, append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the server: %v: %s", err, out)
	}
	return name
}
