package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/chat"
)

// size is how much a test does: n, or what the environment says for a long run.
func size(t *testing.T, name string, n int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return n
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// random is a generator whose seed is printed and taken back from PARLEY_TEST_SEED.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := size(t, "PARLEY_TEST_SEED", int(rand.Uint32()))
	t.Logf("PARLEY_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(uint64(seed), 0))
}

// send is call for many goroutines: it neither checks nor decodes, and takes headers as name, value, name, value.
func (w *world) send(ctx context.Context, path, body string, headers ...string) (int, http.Header, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(text), err
}

// TestDuplicatesOfOneKeyAreOneCall: PARLEY_TEST_KEYS and PARLEY_TEST_DUPLICATES make it longer.
func TestDuplicatesOfOneKeyAreOneCall(t *testing.T) {
	w, r := newWorld(t, settings{}), random(t)
	keys, duplicates := size(t, "PARLEY_TEST_KEYS", 8), size(t, "PARLEY_TEST_DUPLICATES", 64)
	w.upstream.Always(helloAnswer)
	w.client.Transport.(*http.Transport).MaxIdleConnsPerHost = duplicates
	replayed := 0
	for k := range keys {
		path := w.conversation() + "/responses"
		type answer struct {
			status int
			head   http.Header
			body   string
			err    error
		}
		answers := make([]answer, duplicates)
		var wg sync.WaitGroup
		for i := range answers {
			// The same request, written in several ways.
			body := []string{`{"prompt":"Hi","model":"small"}`, `{ "model": "small", "prompt": "\u0048i" }`}[r.IntN(2)]
			wg.Go(func() {
				a := &answers[i]
				a.status, a.head, a.body, a.err = w.send(t.Context(), path, body, "Idempotency-Key", fmt.Sprint("key-", k))
			})
		}
		wg.Wait()
		for _, a := range answers {
			if a.err != nil || a.status != http.StatusOK || a.body != answers[0].body {
				t.Fatalf("key %d: %d %s %v, want %s", k, a.status, a.body, a.err, answers[0].body)
			}
			if a.head.Get("Idempotent-Replayed") == "true" {
				replayed++
			}
		}
	}
	if n := len(w.upstream.Requests()); n != keys {
		t.Errorf("%d upstream calls for %d keys of %d duplicates each", n, keys, duplicates)
	}
	if want := keys * (duplicates - 1); replayed != want {
		t.Errorf("%d answers say that they are replayed, want %d", replayed, want)
	}
}

// leave sends a prompt by a client that goes as soon as the upstream has it, and returns when the server has noticed.
func (w *world) leave(path, body string, headers ...string) {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(body))
	req.Host = "localhost"
	req.Header.Set("Content-Type", "application/json")
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	before := len(w.upstream.Requests())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.handler.ServeHTTP(httptest.NewRecorder(), req)
	}()
	for len(w.upstream.Requests()) == before {
		time.Sleep(time.Millisecond)
	}
	stop()
	<-done
}

const heldAnswer = "HTTP/1.1 200 OK\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n" +
	"%% hold\n" +
	`{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`

func TestAnSDKsRetryGetsTheAnswerThatItsFirstTryHasLost(t *testing.T) {
	for name, c := range map[string]struct {
		body, held, want string
		ended            bool
	}{
		"whole, still running":    {`{"prompt":"Hi"}`, heldAnswer, `"output_text":"Hello."`, false},
		"whole, ended":            {`{"prompt":"Hi"}`, heldAnswer, `"output_text":"Hello."`, true},
		"streamed, still running": {`{"prompt":"Hi","stream":true}`, heldStream, "response.completed", false},
		"streamed, ended":         {`{"prompt":"Hi","stream":true}`, heldStream, "response.completed", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, settings{})
			path := w.conversation() + "/responses"
			w.upstream.Answer(c.held)
			w.leave(path, c.body, "X-Stainless-Retry-Count", "0")
			if c.ended {
				w.upstream.Release()
				w.ended(path)
			} else {
				time.AfterFunc(20*time.Millisecond, w.upstream.Release)
			}
			status, head, body, err := w.send(t.Context(), path, c.body, "X-Stainless-Retry-Count", "1")
			if err != nil || status != http.StatusOK || !strings.Contains(body, c.want) || head.Get("Idempotent-Replayed") != "true" {
				t.Errorf("%d %s %v", status, body, err)
			}
			if n := len(w.upstream.Requests()); n != 1 {
				t.Errorf("%d upstream calls", n)
			}
			// It has been delivered: the same prompt is a new one.
			w.upstream.Always(helloAnswer)
			if strings.Contains(c.body, "stream") {
				return
			}
			if status, head, _, err := w.send(t.Context(), path, c.body, "X-Stainless-Retry-Count", "2"); err != nil || status != http.StatusOK || head.Get("Idempotent-Replayed") != "" {
				t.Errorf("after it was delivered: %d %v", status, err)
			}
			if n := len(w.upstream.Requests()); n != 2 {
				t.Errorf("%d upstream calls", n)
			}
		})
	}
}

// ended waits until the last response of a conversation has ended.
func (w *world) ended(responses string) {
	w.t.Helper()
	for range 5000 {
		var list api.ResponseList
		w.call("GET", responses, "", &list)
		if list.Data[0].Status != string(chat.InProgress) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	w.t.Fatal("the response does not end")
}

func TestARetryThatLosesItsAnswerTooMayBeSentAgain(t *testing.T) {
	w := newWorld(t, settings{})
	path := w.conversation() + "/responses"
	w.upstream.Answer(heldAnswer)
	const body = `{"prompt":"Hi"}`
	w.leave(path, body, "X-Stainless-Retry-Count", "0")
	ctx, stop := context.WithCancel(t.Context())
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(body))
	req.Host = "localhost"
	req.Header.Set("X-Stainless-Retry-Count", "1")
	stop()
	w.handler.ServeHTTP(httptest.NewRecorder(), req)
	w.upstream.Release()
	if status, head, got, err := w.send(t.Context(), path, body, "X-Stainless-Retry-Count", "2"); err != nil || status != http.StatusOK || head.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %s %v", status, got, err)
	}
	if n := len(w.upstream.Requests()); n != 1 {
		t.Errorf("%d upstream calls", n)
	}
}

func TestWhatIsNoRetryOfALostAnswerIsCarriedOut(t *testing.T) {
	w := newWorld(t, settings{})
	w.upstream.Always(helloAnswer)
	first, second := w.conversation()+"/responses", w.conversation()+"/responses"
	w.upstream.Answer(heldAnswer)
	w.leave(first, `{"prompt":"Hi"}`, "X-Stainless-Retry-Count", "0")
	w.upstream.Release()
	w.ended(first)
	calls := 1
	for name, c := range map[string]struct{ path, body, count string }{
		"another prompt":       {first, `{"prompt":"Ho"}`, "1"},
		"another conversation": {second, `{"prompt":"Hi"}`, "1"},
		"a first try":          {first, `{"prompt":"Hi"}`, "0"},
		"no count":             {first, `{"prompt":"Hi"}`, "x"},
	} {
		status, head, body, err := w.send(t.Context(), c.path, c.body, "X-Stainless-Retry-Count", c.count)
		if err != nil || status != http.StatusOK || head.Get("Idempotent-Replayed") != "" {
			t.Errorf("%s: %d %s %v", name, status, body, err)
		}
		calls++
	}
	if n := len(w.upstream.Requests()); n != calls {
		t.Errorf("%d upstream calls, want %d", n, calls)
	}
}

func TestParallelIdenticalPromptsAreTwo(t *testing.T) {
	w := newWorld(t, settings{})
	path := w.conversation() + "/responses?on_conflict=wait"
	w.upstream.Always(helloAnswer)
	ids := make([]string, 2)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			status, _, body, err := w.send(t.Context(), path, `{"prompt":"Hi"}`, "X-Stainless-Retry-Count", "0")
			var r api.Response
			if err != nil || status != http.StatusOK || json.Unmarshal([]byte(body), &r) != nil {
				t.Errorf("%d %s %v", status, body, err)
			}
			ids[i] = r.ID
		})
	}
	wg.Wait()
	if n := len(w.upstream.Requests()); n != 2 || ids[0] == ids[1] {
		t.Errorf("%d upstream calls, responses %v", n, ids)
	}
}

func TestALockedConversationIsWaitedFor(t *testing.T) {
	w := newWorld(t, settings{})
	conversation := w.conversation()
	w.upstream.Answer(heldStream, helloAnswer)
	stream, events := w.stream(conversation)
	defer func() { _ = stream.Body.Close() }()
	until(t, events, "response.output_text.delta")
	for _, query := range []string{"", "?on_conflict=error"} {
		resp := w.problem("POST", conversation+"/responses"+query, `{"prompt":"Hi"}`, 409, chat.CodeConversationLocked)
		if resp.Header.Get("X-Should-Retry") != "true" || resp.Header.Get("Retry-After-Ms") != "500" || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("headers %v", resp.Header)
		}
	}
	w.problem("POST", conversation+"/responses?on_conflict=ignore", `{"prompt":"Hi"}`, 422, chat.CodeInvalid)
	time.AfterFunc(20*time.Millisecond, w.upstream.Release)
	var r api.Response
	if resp := w.call("POST", conversation+"/responses?on_conflict=wait", `{"prompt":"Hi"}`, &r); resp.StatusCode != http.StatusOK || r.OutputText != "Hello." {
		t.Errorf("%d %+v", resp.StatusCode, r)
	}
}

// TestManyClientsWaitForOneConversation: PARLEY_TEST_CLIENTS and PARLEY_TEST_PROMPTS make it longer.
func TestManyClientsWaitForOneConversation(t *testing.T) {
	w := newWorld(t, settings{contextMessages: 2})
	clients, prompts := size(t, "PARLEY_TEST_CLIENTS", 20), size(t, "PARLEY_TEST_PROMPTS", 100)
	conversation := w.conversation()
	w.upstream.Always(helloAnswer)
	w.client.Transport.(*http.Transport).MaxIdleConnsPerHost = clients
	next := make(chan int)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for n := range next {
				status, _, body, err := w.send(t.Context(), conversation+"/responses?on_conflict=wait", fmt.Sprintf(`{"prompt":"question %d"}`, n))
				if err != nil || status != http.StatusOK {
					t.Errorf("prompt %d: %d %s %v", n, status, body, err)
				}
			}
		})
	}
	for n := range prompts {
		next <- n
	}
	close(next)
	wg.Wait()
	if n := len(w.upstream.Requests()); n != prompts {
		t.Errorf("%d upstream calls for %d prompts", n, prompts)
	}
	w.alternates(conversation, prompts)
}

// alternates demands of a conversation that it has so many questions, each with its answer right behind it, and none twice.
func (w *world) alternates(conversation string, prompts int) {
	w.t.Helper()
	asked := map[string]bool{}
	after := ""
	var messages []api.Message
	for more := true; more; {
		var list api.MessageList
		w.call("GET", conversation+"/messages?limit=100"+after, "", &list)
		messages = append(messages, list.Data...)
		if more = list.HasMore; more {
			after = "&after=" + *list.LastID
		}
	}
	if len(messages) != 2*prompts {
		w.t.Fatalf("%d messages for %d prompts", len(messages), prompts)
	}
	for i, m := range messages {
		role := []string{"user", "assistant"}[i%2]
		if m.Role != role || m.ResponseID == nil || *m.ResponseID != *messages[i-i%2].ResponseID {
			w.t.Fatalf("message %d: %+v", i, m)
		}
		if role == "user" {
			asked[string(m.Content)] = true
		}
	}
	if len(asked) != prompts {
		w.t.Errorf("%d different questions, want %d", len(asked), prompts)
	}
}
