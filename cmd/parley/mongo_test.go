package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/mongotest"
)

// onMongoDB is the environment of servers that share one new database.
func onMongoDB(t *testing.T) []string {
	t.Helper()
	uri := os.Getenv(mongotest.Env)
	name := mongotest.Database(t, uri)
	return []string{"PARLEY_STORE=" + uri, "MONGODB_DATABASE=" + name, "PARLEY_SECRET_KEY=" + strings.Repeat("k", 32)}
}

// halfModel is a provider that streams a word, and the rest when it is let, or nothing more once its caller has gone, which it tells.
func halfModel(t *testing.T) (url string, release, gone chan struct{}) {
	t.Helper()
	release, gone = make(chan struct{}), make(chan struct{}, 16)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		say := func(delta, finish string) {
			_, _ = fmt.Fprintf(w, `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":%q},"finish_reason":%s}]}`+"\n\n", delta, finish)
			_ = http.NewResponseController(w).Flush()
		}
		say("early ", "null")
		select {
		case <-release:
			say("late", `"stop"`)
			_, _ = io.WriteString(w, "data: [DONE]\n\n")
		case <-r.Context().Done():
			gone <- struct{}{}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1", release, gone
}

// events reads the events of a response from a server until they end, and sends each as its number and name.
func (n *node) events(t *testing.T, id string) <-chan string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.url+"/api/responses/"+id+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	list := make(chan string, 100)
	go func() {
		defer close(list)
		defer func() { _ = resp.Body.Close() }()
		number, name := "", ""
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if rest, found := strings.CutPrefix(lines.Text(), "id: "); found {
				number = rest
			}
			if rest, found := strings.CutPrefix(lines.Text(), "event: "); found {
				name = rest
			}
			if lines.Text() == "" && name != "" {
				list <- number + " " + name
				name = ""
			}
		}
	}()
	return list
}

func TestTwoServersOnOneMongoDB(t *testing.T) {
	env := onMongoDB(t)
	model, release, gone := halfModel(t)
	env = append(env, "OPENAI_BASE_URL="+model, "OPENAI_MODEL=m")
	t.Chdir(t.TempDir())
	one, two := start(t, t.TempDir(), env), start(t, t.TempDir(), env)

	begin := func(conv string) string {
		t.Helper()
		return decode[api.Response](t, one.call(t, "POST", "/api/conversations/"+conv+"/responses", `{"prompt":"x","background":true}`), http.StatusAccepted).ID
	}
	conv := one.conversation(t)

	// Cancelled from the other server: the model's provider is let go at once.
	id := begin(conv)
	for ev := range two.events(t, id) {
		if strings.HasSuffix(ev, "delta") {
			break
		}
	}
	if a := two.call(t, "POST", "/api/conversations/"+conv+"/responses", `{"prompt":"me too"}`); a.status != http.StatusConflict {
		t.Errorf("the other server's lock is passed: %d %s", a.status, a.body)
	}
	asked := time.Now()
	if r := decode[api.Response](t, two.call(t, "POST", "/api/responses/"+id+"/cancel", ""), http.StatusOK); r.Status != "cancelled" {
		t.Errorf("cancelled from another server: %s", r.Status)
	}
	select {
	case <-gone:
		t.Logf("the provider was let go after %v", time.Since(asked))
	case <-time.After(10 * time.Second):
		t.Error("the provider is still held")
	}

	// Deleted from the other server while it runs.
	doomed := one.conversation(t)
	begin(doomed)
	if a := two.call(t, "DELETE", "/api/conversations/"+doomed, ""); a.status != http.StatusNoContent {
		t.Errorf("deleted from another server: %d %s", a.status, a.body)
	}

	// Followed on the other server to its end: no gap, nothing twice.
	id = begin(conv)
	here, there := one.events(t, id), two.events(t, id)
	var followed []string
	for ev := range there {
		followed = append(followed, ev)
		if strings.HasSuffix(ev, "delta") && len(followed) < 20 {
			close(release)
			break
		}
	}
	for ev := range there {
		followed = append(followed, ev)
	}
	var own []string
	for ev := range here {
		own = append(own, ev)
	}
	if strings.Join(own, ",") != strings.Join(followed, ",") || len(own) == 0 || !strings.HasSuffix(own[len(own)-1], "completed") {
		t.Errorf("here\n%s\nthere\n%s", strings.Join(own, "\n"), strings.Join(followed, "\n"))
	}
	if r := decode[api.Response](t, two.call(t, "GET", "/api/responses/"+id, ""), http.StatusOK); r.OutputText != "early late" {
		t.Errorf("read on the other server: %+v", r)
	}

	for _, n := range []*node{one, two} {
		n.stop()
		if code := n.wait(); code != exitOK {
			t.Errorf("exit %d: %s", code, n.logs)
		}
	}
	verified := parleyHere(t, env, "audit", "verify")
	verified.expect(t, exitOK)
	if !strings.Contains(verified.stdout, "in 2 chains: 0 findings") {
		t.Errorf("audit verify: %s", verified.stdout)
	}
	// The model has no list of models.
	parleyHere(t, env[:3], "doctor").expect(t, exitOK)
	exported := parleyHere(t, env, "audit", "export", "-o", "audit.jsonl")
	exported.expect(t, exitOK)
	parleyHere(t, nil, "audit", "verify", "--export", "audit.jsonl").expect(t, exitOK)
	for _, command := range [][]string{{"migrate"}, {"compact"}, {"backup", "x.db"}} {
		if got := parleyHere(t, env, command...); got.code != exitFailed || !strings.Contains(got.stderr, "for SQLite") {
			t.Errorf("%v: %+v", command, got)
		}
	}
}
