package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/parley-llm/parley/api"
)

// node is a server in this process.
type node struct {
	url      string
	greeting string
	// stop is SIGTERM; wait returns the exit code.
	stop func()
	wait func() int
	logs *buffer
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start serves on a free port and returns once the server says that it is ready.
func start(t *testing.T, data string, environ []string, args ...string) *node {
	t.Helper()
	n := &node{logs: &buffer{}}
	ctx, cancel := context.WithCancel(t.Context())
	n.stop = cancel
	r, w := io.Pipe()
	ended := make(chan struct{})
	code := 0
	go func() {
		defer close(ended)
		code = run(ctx, append([]string{"--addr", "127.0.0.1:0", "--data", data}, args...), environ, strings.NewReader(""), w, n.logs)
		_ = w.Close()
	}()
	n.wait = func() int {
		<-ended
		return code
	}
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		n.greeting += lines.Text() + "\n"
		if strings.Contains(lines.Text(), `{"prompt"`) {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	n.url = readyURL(n.greeting)
	if n.url == "" {
		t.Fatalf("the server does not start: exit %d, stdout %q, stderr %s", n.wait(), n.greeting, n.logs)
	}
	return n
}

func readyURL(greeting string) string {
	m := regexp.MustCompile(`is ready at (http://\S+)`).FindStringSubmatch(greeting)
	if m == nil {
		return ""
	}
	return m[1]
}

// answer is what came back of a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (n *node) do(ctx context.Context, method, path, body string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, n.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, content}, err
}

func (n *node) call(t *testing.T, method, path, body string) answer {
	t.Helper()
	a, err := n.do(t.Context(), method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func decode[T any](t *testing.T, a answer, status int) T {
	t.Helper()
	var v T
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return v
}

func (n *node) conversation(t *testing.T) string {
	t.Helper()
	return decode[api.Conversation](t, n.call(t, "POST", "/api/conversations", "{}"), http.StatusCreated).ID
}

func TestServingAnswersStopsAndLosesNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	const text = "a text for the test and no log"
	n := start(t, "data", nil)
	conv := n.conversation(t)
	r := decode[api.Response](t, n.call(t, "POST", "/api/conversations/"+conv+"/responses", `{"prompt":"`+text+`"}`), http.StatusOK)
	if r.Status != "completed" || r.Model != "parley/echo" || !strings.Contains(r.OutputText, text) {
		t.Errorf("response: %+v", r)
	}
	if got := parleyHere(t, []string{"PARLEY_ADDR=" + strings.TrimPrefix(n.url, "http://")}, "healthcheck"); got.code != exitOK || got.stdout != "ready\n" {
		t.Errorf("healthcheck of a running server: %+v", got)
	}
	n.stop()
	if code := n.wait(); code != exitOK {
		t.Errorf("exit %d: %s", code, n.logs)
	}
	if !strings.HasSuffix(n.logs.String(), `"msg":"stopped"}`+"\n") {
		t.Errorf("the last word is another: %s", n.logs)
	}

	verified := parleyHere(t, nil, "audit", "verify")
	verified.expect(t, exitOK)
	if !strings.Contains(verified.stdout, "0 findings") {
		t.Errorf("audit verify: %s", verified.stdout)
	}
	again := start(t, "data", nil)
	if got := decode[api.Response](t, again.call(t, "GET", "/api/responses/"+r.ID, ""), http.StatusOK); got.OutputText != r.OutputText {
		t.Errorf("after a restart: %+v", got)
	}
	all := n.logs.String() + again.logs.String()
	if strings.Contains(all, text) {
		t.Errorf("message text in the log: %s", all)
	}
	for line := range strings.Lines(all) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a log line that is not JSON: %s", line)
		}
	}
}

func TestTheGreetingsCommandsWorkAsPrinted(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "grep", "head"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not here", tool)
		}
	}
	const key = "k-$HOME:1"
	// ask: the key is typed. shell: what the other shell's environment holds.
	for _, tt := range []struct {
		title, dotEnv string
		environ, args []string
		shell         string
		ask           bool
	}{
		{title: "without a key"},
		{title: "a key from the same environment", environ: []string{"PARLEY_API_KEY=" + key}, shell: "PARLEY_API_KEY=" + key},
		{title: "a key from another environment", environ: []string{"PARLEY_API_KEY=" + key}, ask: true},
		{title: "a key from a flag", args: []string{"--api-key", key}, ask: true},
		{title: "a key from a file", args: []string{"--api-key-file", "a key's file"}},
		{title: "a key from a file of the environment", environ: []string{"PARLEY_API_KEY_FILE=a key's file"}},
		{title: "a key from a file of .env", dotEnv: "PARLEY_API_KEY_FILE=\"a key's file\"\n"},
		{title: "a key from .env", dotEnv: "OPENAI_MODEL=x\nPARLEY_API_KEY='" + key + "'\nPARLEY_LOG_LEVEL=warn\n"},
		{title: "a key from .env with a comment", dotEnv: "export PARLEY_API_KEY = '" + key + "' # mine"},
		{title: "a key from .env in two lines", dotEnv: "PARLEY_API_KEY=other\nPARLEY_API_KEY='" + key + "'\n", ask: true},
		{title: "a key from .env made of others", dotEnv: "K='" + key + "'\nPARLEY_API_KEY=${K}\n", ask: true},
	} {
		t.Run(tt.title, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("a key's file", []byte(key+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if tt.dotEnv != "" {
				if err := os.WriteFile(".env", []byte(tt.dotEnv), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			n := start(t, t.TempDir(), tt.environ, tt.args...)
			if strings.Contains(n.greeting, key) {
				t.Errorf("the greeting shows the key: %s", n.greeting)
			}
			for _, part := range []string{n.url + "/docs", "parley/echo", "parley.db"} {
				if !strings.Contains(n.greeting, part) {
					t.Errorf("the greeting lacks %q: %s", part, n.greeting)
				}
			}
			_, script, _ := strings.Cut(n.greeting, "paste:\n\n")
			cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
			cmd.Env = append(os.Environ(), tt.shell, "no_proxy=*")
			cmd.Dir = "/"
			var asked strings.Builder
			cmd.Stderr = &asked
			if tt.ask {
				cmd.Stdin = strings.NewReader(key + "\n")
			}
			out, err := cmd.Output()
			if tt.ask != (asked.String() == "API key: ") {
				t.Errorf("it says %q", &asked)
			}
			var r api.Response
			if err != nil || json.Unmarshal(out, &r) != nil || r.Status != "completed" || r.OutputText == "" {
				t.Errorf("%v: %s\nof\n%s", err, out, script)
			}
		})
	}
}

func TestAPublicAddressIsServedWhenAskedForOrWithAKey(t *testing.T) {
	for _, args := range [][]string{{"--insecure-no-auth"}, {"--api-key", "k"}} {
		n := start(t, t.TempDir(), nil, append(args, "--addr", "0.0.0.0:0")...)
		if got := n.call(t, "GET", "/readyz", ""); got.status != http.StatusOK {
			t.Errorf("%v: %d %s", args, got.status, got.body)
		}
	}
}

func TestAKeyIsDemanded(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("k-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := start(t, t.TempDir(), nil, "--api-key-file", key)
	if got := n.call(t, "GET", "/api/conversations", ""); got.status != http.StatusUnauthorized {
		t.Errorf("without the key: %d %s", got.status, got.body)
	}
	if got := n.call(t, "GET", "/readyz", ""); got.status != http.StatusOK {
		t.Errorf("health check: %d %s", got.status, got.body)
	}
}

func TestWhatHindersStartingIsSaidPlainly(t *testing.T) {
	t.Run("the address is in use", func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		addr := strings.TrimPrefix(n.url, "http://")
		r := parley(t, nil, "serve", "--addr", addr)
		r.expect(t, exitFailed, addr+" is in use", "--addr")
		if entries, _ := os.ReadDir("."); len(entries) > 0 {
			t.Errorf("files were made: %v", entries)
		}
	})
	t.Run("the address is not ours", func(t *testing.T) {
		parley(t, nil, "serve", "--addr", "192.0.2.1:0", "--insecure-no-auth").expect(t, exitFailed, "listening")
	})
	t.Run("another server holds the database", func(t *testing.T) {
		data := t.TempDir()
		start(t, data, nil)
		parley(t, nil, "serve", "--addr", "127.0.0.1:0", "--data", data).expect(t, exitFailed, "opening the store")
	})
	t.Run("the data directory is a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		parley(t, nil, "serve", "--addr", "127.0.0.1:0", "--data", file).expect(t, exitFailed, "data directory")
	})
	t.Run("the secret key is another", func(t *testing.T) {
		data := t.TempDir()
		n := start(t, data, nil)
		n.stop()
		n.wait()
		parley(t, []string{"PARLEY_SECRET_KEY=" + strings.Repeat("k", 32)}, "serve", "--addr", "127.0.0.1:0", "--data", data).
			expect(t, exitFailed, "PARLEY_SECRET_KEY")
	})
}

// modelServer is a model server that lists two models and answers each prompt when release is closed.
func modelServer(t *testing.T, release <-chan struct{}) (url string, asked <-chan string) {
	t.Helper()
	models := make(chan string, 16)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"tiny-1","object":"model"},{"id":"tiny-2","object":"model"}]}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Model string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		models <- body.Model
		select {
		case <-release:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"id":"c","object":"chat.completion","model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":"late but whole"},"finish_reason":"stop"}]}`, body.Model)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/v1", models
}

func TestTheDefaultModelIsTheOneDocumented(t *testing.T) {
	released := make(chan struct{})
	close(released)
	for _, tt := range []struct {
		title, want string
		env         []string
	}{
		{"a base URL: the first one that it lists", "tiny-1", nil},
		{"OPENAI_MODEL", "mine", []string{"OPENAI_MODEL=mine"}},
		{"OPENAI_MODEL with a vendor's name in it", "openai/gpt", []string{"OPENAI_MODEL=openai/gpt"}},
		{"PARLEY_MODEL beats it", "other", []string{"OPENAI_MODEL=mine", "PARLEY_MODEL=other"}},
	} {
		t.Run(tt.title, func(t *testing.T) {
			url, asked := modelServer(t, released)
			n := start(t, t.TempDir(), append(tt.env, "OPENAI_BASE_URL="+url))
			for range 2 {
				decode[api.Response](t, n.call(t, "POST", "/api/conversations/"+n.conversation(t)+"/responses", `{"prompt":"x"}`), http.StatusOK)
				if got := <-asked; got != tt.want {
					t.Errorf("asked for %q, want %q", got, tt.want)
				}
			}
		})
	}
}

func TestAnthropicAloneIsTheDefaultProvider(t *testing.T) {
	type seen struct{ path, key, body string }
	asked := make(chan seen, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/v1/models" {
			_, _ = fmt.Fprint(w, `{"data":[{"type":"model","id":"claude-1"},{"type":"model","id":"claude-2"}]}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		asked <- seen{r.URL.Path, r.Header.Get("X-Api-Key"), string(body)}
		_, _ = fmt.Fprint(w, `{"type":"message","model":"claude-1","content":[{"type":"text","text":"Hi."}],"stop_reason":"end_turn"}`)
	}))
	t.Cleanup(s.Close)
	n := start(t, t.TempDir(), []string{"ANTHROPIC_API_KEY=sk-ant-1", "ANTHROPIC_BASE_URL=" + s.URL})
	for body, model := range map[string]string{`{"prompt":"x"}`: "claude-1", `{"prompt":"x","model":"anthropic/claude-2"}`: "claude-2", `{"prompt":"x","model":"claude-3"}`: "claude-3"} {
		r := decode[api.Response](t, n.call(t, "POST", "/api/conversations/"+n.conversation(t)+"/responses", body), http.StatusOK)
		got := <-asked
		if got.path != "/v1/messages" || got.key != "sk-ant-1" || !strings.Contains(got.body, `{"model":"`+model+`",`) || r.OutputText != "Hi." || r.Provider != "anthropic" {
			t.Errorf("%s: %+v, %+v", body, got, r)
		}
	}
}

func TestAFileOfProvidersRoutesByTheirNames(t *testing.T) {
	released := make(chan struct{})
	close(released)
	one, askedOne := modelServer(t, released)
	two, askedTwo := modelServer(t, released)
	file := filepath.Join(t.TempDir(), "providers.json")
	text := `{"providers": [{"name": "one", "protocol": "openai", "base_url": "` + one + `"},
		{"name": "two", "protocol": "openai", "base_url": "` + two + `", "models": ["big"], "headers": {"x-team": "blue"}},
		{"name": "down", "protocol": "anthropic", "base_url": "http://127.0.0.1:1"}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n := start(t, t.TempDir(), []string{"PARLEY_PROVIDERS=" + file})
	for _, tt := range []struct {
		body, want string
		asked      <-chan string
	}{
		{`{"prompt":"x"}`, "tiny-1", askedOne},
		{`{"prompt":"x","model":"two/big"}`, "big", askedTwo},
		{`{"prompt":"x","model":"two/vendor/big"}`, "vendor/big", askedTwo},
		{`{"prompt":"x","model":"vendor/big"}`, "vendor/big", askedOne},
	} {
		decode[api.Response](t, n.call(t, "POST", "/api/conversations/"+n.conversation(t)+"/responses", tt.body), http.StatusOK)
		if got := <-tt.asked; got != tt.want {
			t.Errorf("%s asked for %q", tt.body, got)
		}
	}
	models := decode[api.ModelList](t, n.call(t, "GET", "/api/models", ""), http.StatusOK)
	var ids []string
	for _, m := range models.Data {
		ids = append(ids, m.ID)
	}
	if strings.Join(ids, " ") != "tiny-1 tiny-2 two/big parley/echo" || len(models.Unavailable) != 1 || models.Unavailable[0].Provider != "down" {
		t.Errorf("models %q, unavailable %v", ids, models.Unavailable)
	}
}

// prompt sends a prompt in the background.
func (n *node) prompt(t *testing.T, conv string) <-chan answer {
	t.Helper()
	answered := make(chan answer, 1)
	go func() {
		a, err := n.do(t.Context(), "POST", "/api/conversations/"+conv+"/responses", `{"prompt":"x"}`)
		if err != nil {
			t.Error(err)
		}
		answered <- a
	}()
	return answered
}

// A signal may come at any time of the start, also ahead of the listener.
func TestASignalWhileStartingIsNoFailure(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for _, addr := range []string{"127.0.0.1:0", "localhost:0"} {
		var stdout, logs bytes.Buffer
		code := run(ctx, []string{"--addr", addr, "--data", t.TempDir()}, nil, strings.NewReader(""), &stdout, &logs)
		if code != exitOK || stdout.Len() > 0 || !strings.HasSuffix(logs.String(), `"msg":"stopped"}`+"\n") {
			t.Errorf("%s: exit %d: %s %s", addr, code, &stdout, &logs)
		}
	}
}

func TestShuttingDownRefusesNewPromptsAndLetsRunningOnesEnd(t *testing.T) {
	release := make(chan struct{})
	url, asked := modelServer(t, release)
	data := t.TempDir()
	n := start(t, data, []string{"OPENAI_BASE_URL=" + url})
	conv, other := n.conversation(t), n.conversation(t)
	answered := n.prompt(t, conv)
	<-asked

	n.stop()
	var refused answer
	for refused.status != http.StatusServiceUnavailable {
		refused = n.call(t, "GET", "/readyz", "")
	}
	refused = n.call(t, "POST", "/api/conversations/"+other+"/responses", `{"prompt":"x"}`)
	if p := decode[api.Problem](t, refused, http.StatusServiceUnavailable); p.Code != "draining" || refused.header.Get("Retry-After") == "" {
		t.Errorf("a new prompt: %s, %v", refused.body, refused.header)
	}
	close(release)
	if r := decode[api.Response](t, <-answered, http.StatusOK); r.Status != "completed" || r.OutputText != "late but whole" {
		t.Errorf("the running one: %+v", r)
	}
	if code := n.wait(); code != exitOK {
		t.Errorf("exit %d: %s", code, n.logs)
	}
	parley(t, nil, "audit", "verify", "--data", data).expect(t, exitOK)
}

func TestShuttingDownInterruptsWhatTakesTooLong(t *testing.T) {
	url, asked := modelServer(t, nil)
	data := t.TempDir()
	n := start(t, data, []string{"OPENAI_BASE_URL=" + url}, "--shutdown-timeout", "0s")
	conv := n.conversation(t)
	answered := n.prompt(t, conv)
	<-asked
	n.stop()
	p := decode[api.Problem](t, <-answered, http.StatusServiceUnavailable)
	if p.ResponseID == "" {
		t.Errorf("problem: %+v", p)
	}
	if code := n.wait(); code != exitOK {
		t.Errorf("exit %d: %s", code, n.logs)
	}
	again := start(t, data, nil)
	if r := decode[api.Response](t, again.call(t, "GET", "/api/responses/"+p.ResponseID, ""), http.StatusOK); r.Status != "interrupted" {
		t.Errorf("after a restart: %+v", r)
	}
	decode[api.Response](t, again.call(t, "POST", "/api/conversations/"+conv+"/responses", `{"prompt":"x"}`), http.StatusOK)
}
