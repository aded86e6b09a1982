package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

const helloAnswer = "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: auto\n\n" +
	`{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`

// heldStream says one word, waits to be released and says another.
const heldStream = `HTTP/1.1 200 OK
Content-Type: text/event-stream
Transfer-Encoding: chunked

data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"One"},"finish_reason":null}]}

%% hold
data: {"choices":[{"index":0,"delta":{"content":" two"},"finish_reason":"stop"}]}

data: [DONE]

`

// exchange sends a request and returns the answer with its body.
func (w *world) exchange(method, path, body string) (*http.Response, []byte) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, data
}

// call is exchange that decodes the answer into out, if there is one.
func (w *world) call(method, path, body string, out any) *http.Response {
	w.t.Helper()
	resp, data := w.exchange(method, path, body)
	conforms(w.t, w.spec(), method, resp.Request.URL.Path, resp, data)
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			w.t.Fatalf("%s %s: %d %v", method, path, resp.StatusCode, err)
		}
	}
	return resp
}

func (w *world) problem(method, path, body string, status int, code string) *http.Response {
	w.t.Helper()
	var p api.Problem
	resp := w.call(method, path, body, &p)
	if resp.StatusCode != status || p.Status != status || p.Code != code || p.RequestID != resp.Header.Get("X-Request-Id") {
		w.t.Errorf("%s %s: %d %+v; want %d %s", method, path, resp.StatusCode, p, status, code)
	}
	return resp
}

func (w *world) conversation() string {
	w.t.Helper()
	var c api.Conversation
	w.call("POST", "/api/conversations", "{}", &c)
	return "/api/conversations/" + c.ID
}

// event is one event of a stream.
type event struct {
	id, name string
	data     map[string]any
}

// stream prompts for a stream; the caller reads and closes it.
func (w *world) stream(path string) (*http.Response, *bufio.Reader) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+path+"/responses", strings.NewReader(`{"prompt":"Count","stream":true}`))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, bufio.NewReader(resp.Body)
}

// next reads one event; at the end of the stream its name is empty.
func next(t *testing.T, r *bufio.Reader) event {
	t.Helper()
	var ev event
	for {
		line, err := r.ReadString('\n')
		line = strings.TrimSuffix(line, "\n")
		if err != nil || line == "" {
			return ev
		}
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "id":
			ev.id = value
		case "event":
			ev.name = value
		case "data":
			if err := json.Unmarshal([]byte(value), &ev.data); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func until(t *testing.T, r *bufio.Reader, name string) event {
	t.Helper()
	for {
		ev := next(t, r)
		if ev.name == "" {
			t.Fatalf("the stream ended ahead of %s", name)
		}
		if ev.name == name {
			return ev
		}
	}
}

func TestEventsComeAsTheModelSpeaks(t *testing.T) {
	w := newWorld(t, settings{})
	conversation := w.conversation()
	w.upstream.Answer(heldStream)
	resp, events := w.stream(conversation)
	defer func() { _ = resp.Body.Close() }()
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if ev := until(t, events, "response.output_text.delta"); ev.data["delta"] != "One" {
		t.Errorf("%v", ev)
	}
	// The first word is here while the model still holds back the second.
	w.upstream.Release()
	if ev := until(t, events, "response.completed"); ev.data["response"].(map[string]any)["output_text"] != "One two" {
		t.Errorf("%v", ev)
	}
	if ev := next(t, events); ev.name != "" {
		t.Errorf("%v after the end", ev)
	}
}

func TestWhileAResponseRuns(t *testing.T) {
	w := newWorld(t, settings{})
	conversation := w.conversation()
	w.upstream.Answer(helloAnswer, heldStream)
	w.call("POST", conversation+"/responses", `{"prompt":"Hi"}`, nil)
	var messages api.MessageList
	w.call("GET", conversation+"/messages", "", &messages)
	message := conversation + "/messages/" + messages.Data[0].ID

	resp, events := w.stream(conversation)
	defer func() { _ = resp.Body.Close() }()
	created := next(t, events)
	until(t, events, "response.output_text.delta")

	for _, test := range []struct{ method, path, body string }{
		{"POST", conversation + "/responses", `{"prompt":"Me too"}`},
		{"POST", conversation + "/responses", `{"prompt":"Me too","stream":true}`},
		{"POST", conversation + "/messages", `{"role":"user","content":"x"}`},
		{"PATCH", message, `{"content":"x"}`},
		{"PUT", message, `{"content":"x"}`},
		{"DELETE", message, ""},
	} {
		refused := w.problem(test.method, test.path, test.body, http.StatusConflict, "conversation_locked")
		if refused.Header.Get("X-Should-Retry") != "true" || refused.Header.Get("Retry-After-Ms") == "" {
			t.Errorf("%s %s: %v", test.method, test.path, refused.Header)
		}
	}
	var c api.Conversation
	if resp := w.call("PATCH", conversation, `{"title":"Renamed","metadata":{"k":"v"}}`, &c); resp.StatusCode != http.StatusOK || *c.Title != "Renamed" {
		t.Errorf("%d %+v", resp.StatusCode, c)
	}
	id, _ := created.data["response"].(map[string]any)["id"].(string)
	var r api.Response
	if w.call("GET", "/api/responses/"+id, "", &r); r.Status != "in_progress" || r.StartedAt == nil || r.CompletedAt != nil {
		t.Errorf("%+v", r)
	}
	w.upstream.Release()
	until(t, events, "response.completed")
	if resp := w.call("POST", conversation+"/messages", `{"role":"user","content":"x"}`, nil); resp.StatusCode != http.StatusCreated {
		t.Errorf("%d after the end", resp.StatusCode)
	}
}

func TestAClientThatLeavesLosesNothing(t *testing.T) {
	for _, body := range []string{`{"prompt":"Count","stream":true}`, `{"prompt":"Count"}`} {
		w := newWorld(t, settings{})
		conversation := w.conversation()
		if strings.Contains(body, "stream") {
			w.upstream.Answer(heldStream)
		} else {
			w.upstream.Answer("%% hold\n" + helloAnswer)
		}
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+conversation+"/responses", strings.NewReader(body))
			if err != nil {
				left <- err
				return
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := w.client.Do(req)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			left <- err
		}()
		<-w.upstream.Arrived
		leave()
		if err := <-left; err == nil {
			t.Error("the client did not leave")
		}
		w.upstream.Release()
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		defer stop()
		w.service.Drain(ctx)
		var list api.ResponseList
		w.call("GET", conversation+"/responses", "", &list)
		if len(list.Data) != 1 || list.Data[0].Status != "completed" || len(list.Data[0].Output) != 1 {
			t.Fatalf("%s: %+v", body, list.Data)
		}
		for _, line := range w.logs.lines(t) {
			if line["level"] == "ERROR" {
				t.Errorf("%s: %v", body, line)
			}
		}
		records, _, err := w.store.Records(t.Context(), chat.DefaultOwner, audit.Query{ResponseID: list.Data[0].ID, Limit: 10})
		if err != nil || len(records) != 2 || records[0].Kind != audit.KindOutcome || records[0].Status != "completed" {
			t.Errorf("%+v %v", records, err)
		}
	}
}

func TestDeletingAConversationEndsItsResponse(t *testing.T) {
	w := newWorld(t, settings{})
	conversation := w.conversation()
	w.upstream.Answer(heldStream)
	resp, events := w.stream(conversation)
	defer func() { _ = resp.Body.Close() }()
	until(t, events, "response.output_text.delta")
	if resp := w.call("DELETE", conversation, "", nil); resp.StatusCode != http.StatusNoContent {
		t.Errorf("%d", resp.StatusCode)
	}
	if ev := until(t, events, "response.incomplete"); ev.data["response"].(map[string]any)["status"] != "cancelled" {
		t.Errorf("%v", ev)
	}
}

func TestADrainingServer(t *testing.T) {
	w := newWorld(t, settings{})
	conversation := w.conversation()
	w.service.Drain(t.Context())
	var h api.Health
	if resp := w.call("GET", "/readyz", "", &h); resp.StatusCode != http.StatusServiceUnavailable || h.Checks["server"].Status != "unavailable" || h.Checks["server"].Reason == "" || h.Checks["store"].Status != "ok" {
		t.Errorf("%d %+v", resp.StatusCode, h)
	}
	if resp := w.call("GET", "/livez", "", &h); resp.StatusCode != http.StatusOK {
		t.Errorf("%d", resp.StatusCode)
	}
	resp := w.problem("POST", conversation+"/responses", `{"prompt":"Hi"}`, http.StatusServiceUnavailable, "draining")
	if resp.Header.Get("Retry-After") == "" || resp.Header.Get("X-Should-Retry") != "true" {
		t.Errorf("%v", resp.Header)
	}
	if resp := w.call("GET", conversation, "", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestAStoreThatIsGone(t *testing.T) {
	w := newWorld(t, settings{})
	conversation := w.conversation()
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	var h api.Health
	if resp := w.call("GET", "/readyz", "", &h); resp.StatusCode != http.StatusServiceUnavailable || h.Checks["store"].Status != "unavailable" || h.Checks["store"].Reason == "" {
		t.Errorf("%d %+v", resp.StatusCode, h)
	}
	w.problem("POST", conversation+"/messages", `{"role":"user","content":"x"}`, http.StatusServiceUnavailable, "store_unavailable")
	w.problem("GET", conversation, "", http.StatusServiceUnavailable, "store_unavailable")
	if n := len(w.upstream.Requests()); n != 0 {
		t.Errorf("%d calls without an audit", n)
	}
}

func TestAThousandMessagesAtOnceAndNoMore(t *testing.T) {
	w := newWorld(t, settings{})
	messages := func(n int) string {
		one := `{"role":"user","content":"x"}`
		return `{"messages":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}`
	}
	var c api.Conversation
	if resp := w.call("POST", "/api/conversations", messages(1000), &c); resp.StatusCode != http.StatusCreated || c.MessageCount != 1000 {
		t.Fatalf("%d %+v", resp.StatusCode, c)
	}
	path := "/api/conversations/" + c.ID
	w.call("POST", path+"/messages", `{"role":"user","content":"newest"}`, nil)
	if w.call("GET", path+"?include=messages", "", &c); len(c.Messages) != 1000 || !*c.HasMore || string(c.Messages[999].Content) != `"newest"` || c.Messages[0].Seq != 2 {
		t.Errorf("%d messages, more %v", len(c.Messages), *c.HasMore)
	}
	w.problem("POST", "/api/conversations", messages(1001), http.StatusUnprocessableEntity, "validation_failed")
	w.problem("POST", path+"/responses", `{"prompt":`+strings.TrimSuffix(strings.TrimPrefix(messages(1001), `{"messages":`), "}")+`}`, http.StatusUnprocessableEntity, "validation_failed")
}

func TestAPageEndsAfter16MiB(t *testing.T) {
	w := newWorld(t, settings{})
	conversation := w.conversation()
	body := `{"role":"user","content":"` + strings.Repeat("x", 7<<20) + `"}`
	for range 4 {
		if resp := w.call("POST", conversation+"/messages", body, nil); resp.StatusCode != http.StatusCreated {
			t.Fatal(resp.StatusCode)
		}
	}
	var c api.Conversation
	if w.call("GET", conversation+"?include=messages", "", &c); len(c.Messages) != 3 || !*c.HasMore || c.Messages[0].Seq != 2 {
		t.Errorf("%d messages with the conversation, more %v", len(c.Messages), *c.HasMore)
	}
	var list api.MessageList
	if w.call("GET", conversation+"/messages", "", &list); len(list.Data) != 3 || !list.HasMore {
		t.Errorf("%d messages, more %v", len(list.Data), list.HasMore)
	}
	if w.call("GET", conversation+"/messages?after="+*list.LastID, "", &list); len(list.Data) != 1 || list.HasMore {
		t.Errorf("%d messages, more %v", len(list.Data), list.HasMore)
	}
}

func TestPagesNeitherSkipNorRepeatWhatIsAddedMeanwhile(t *testing.T) {
	w := newWorld(t, settings{})
	conversation := w.conversation()
	add := func(i int) {
		w.call("POST", conversation+"/messages", fmt.Sprintf(`{"role":"user","content":"%d"}`, i), nil)
	}
	for i := range 25 {
		add(i)
	}
	seen, after := []string{}, ""
	for page := 0; ; page++ {
		var list api.MessageList
		w.call("GET", conversation+"/messages?limit=10"+after, "", &list)
		for _, m := range list.Data {
			seen = append(seen, string(m.Content))
		}
		if page == 0 {
			add(25)
		}
		if !list.HasMore {
			break
		}
		after = "&after=" + *list.LastID
	}
	for i := range 26 {
		if i >= len(seen) || seen[i] != fmt.Sprintf(`"%d"`, i) {
			t.Fatalf("%d of %v", i, seen)
		}
	}
}

// recordingStore keeps the page that a list of conversations was asked for.
type recordingStore struct {
	chat.Store
	page chat.Page
}

func (s *recordingStore) Conversations(ctx context.Context, owner string, q chat.Query) (chat.List[chat.Hit], error) {
	s.page = q.Page
	return s.Store.Conversations(ctx, owner, q)
}

func TestTheCursorOfConversationsCarriesItsSortKey(t *testing.T) {
	w := newWorld(t, settings{})
	store := &recordingStore{Store: w.store}
	w.service.Store = store
	w.conversation()
	w.conversation()
	var list api.ConversationList
	w.call("GET", "/api/conversations?limit=1", "", &list)
	w.call("GET", "/api/conversations?after="+*list.Next, "", nil)
	if store.page.After != list.Data[0].ID || !store.page.AfterActivity.Equal(list.Data[0].UpdatedAt) {
		t.Errorf("%+v, want %s at %v", store.page, list.Data[0].ID, list.Data[0].UpdatedAt)
	}
}

func TestABodyTooLargeInChunks(t *testing.T) {
	w := newWorld(t, settings{})
	pr, pw := io.Pipe()
	go func() {
		_, _ = io.WriteString(pw, `{"title":"`)
		piece := bytes.Repeat([]byte("x"), 1<<20)
		for range 9 {
			_, _ = pw.Write(piece)
		}
		_, _ = io.WriteString(pw, `"}`)
		_ = pw.Close()
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/api/conversations", pr)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestABodyOfExactlyTheLimit(t *testing.T) {
	w := newWorld(t, settings{})
	conversation := w.conversation()
	frame := `{"role":"user","content":""}`
	fits := strings.Replace(frame, `""`, `"`+strings.Repeat("x", 8<<20-len(frame))+`"`, 1)
	if resp := w.call("POST", conversation+"/messages", fits, nil); resp.StatusCode != http.StatusCreated {
		t.Errorf("%d for %d bytes", resp.StatusCode, len(fits))
	}
	w.problem("POST", conversation+"/messages", fits+" ", http.StatusRequestEntityTooLarge, "body_too_large")
}

func TestABodyThatBreaksOff(t *testing.T) {
	w := newWorld(t, settings{})
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "POST /api/conversations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestLogLinesHoldNoText(t *testing.T) {
	w := newWorld(t, settings{apiKey: "secret-key-canary"})
	send := func(method, path, body, key string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, w.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("X-Request-Id", "mine-1")
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	send("POST", "/api/conversations", `{"title":"canary","instructions":"canary","metadata":{"canary":"canary"}}`, "secret-key-canary")
	send("POST", "/api/conversations", `{"canary":"canary"}`, "secret-key-canary")
	send("GET", "/api/conversations/canary?canary=canary", "", "secret-key-canary")
	send("GET", "/canary\u2028", "", "secret-key-canary")
	send("CANARY", "/api/conversations", "", "secret-key-canary")
	send("GET", "/api/conversations", "", "wrong-canary")
	send("GET", "/livez", "", "")
	var requests int
	for _, line := range w.logs.lines(t) {
		if line["msg"] != "request" {
			continue
		}
		requests++
		if (line["route"] == "/livez") != (line["level"] == "DEBUG") {
			t.Errorf("%v", line)
		}
		if status, _ := line["status"].(float64); (status >= 400) != (line["code"] != nil) {
			t.Errorf("%v", line)
		}
		if line["request_id"] != "mine-1" || line["route"] == "" || line["status"] == nil || line["duration_ms"] == nil || line["bytes"] == nil {
			t.Errorf("%v", line)
		}
	}
	if requests != 7 {
		t.Errorf("%d lines for 7 requests", requests)
	}
	if text := strings.ToLower(w.logs.String()); strings.Contains(text, "canary") {
		t.Errorf("the log quotes a client: %s", text)
	}
	if !strings.Contains(w.logs.String(), `"route":"/api/conversations/{conversation_id}"`) || !strings.Contains(w.logs.String(), `"route":"unmatched"`) || !strings.Contains(w.logs.String(), `"method":"OTHER"`) {
		t.Errorf("%s", w.logs)
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, settings{})
	conversation := w.conversation()
	w.upstream.Answer(helloAnswer, "HTTP/1.1 401 No\nContent-Length: auto\n\nx")
	w.call("POST", conversation+"/responses", `{"prompt":"Hi"}`, nil)
	w.problem("POST", conversation+"/responses", `{"prompt":"Hi"}`, http.StatusBadGateway, "upstream_auth")
	w.call("GET", "/nowhere", "", nil)

	w.upstream.Answer(heldStream)
	stream, events := w.stream(conversation)
	defer func() { _ = stream.Body.Close() }()
	until(t, events, "response.output_text.delta")
	w.metricsHave(`parley_http_streams 1`)
	w.upstream.Release()
	until(t, events, "response.completed")
	for next(t, events).name != "" {
	}
	w.metricsHave(
		`parley_http_requests_total{method="POST",route="/api/conversations/{conversation_id}/responses",status="200"} 2`,
		`parley_http_requests_total{method="POST",route="/api/conversations/{conversation_id}/responses",status="502"} 1`,
		`parley_http_requests_total{method="GET",route="unmatched",status="404"} 1`,
		`parley_http_request_duration_seconds_count{method="POST",route="/api/conversations"} 1`,
		`parley_http_streams 0`,
		`parley_llm_attempts_total{code="ok",provider="openai"} 2`,
		`parley_llm_attempts_total{code="upstream_auth",provider="openai"} 1`,
		`parley_llm_attempt_duration_seconds_count{provider="openai"} 3`,
		`parley_responses_total{provider="openai",status="completed"} 2`,
		`parley_responses_total{provider="openai",status="failed"} 1`,
		`parley_tokens_total{direction="input",provider="openai"} 22`,
		`parley_tokens_total{direction="output",provider="openai"} 4`,
		`go_goroutines `,
	)
}

func (w *world) metricsHave(want ...string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+"/metrics", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	// The stream's own line comes when its handler has returned, which its client cannot see.
	for range 200 {
		resp, err := w.client.Do(req)
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			w.t.Fatal(err)
		}
		missing := ""
		for _, line := range want {
			if !strings.Contains(string(text), "\n"+line) {
				missing = line
			}
		}
		if missing == "" {
			return
		}
		if req.Header.Get("Last") != "" {
			w.t.Fatalf("%s is missing in:\n%s", missing, text)
		}
		time.Sleep(time.Millisecond)
	}
	w.t.Fatalf("not all of %q came", want)
}
