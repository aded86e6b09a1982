package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/parley-llm/parley/api"
)

// What another client may do to a conversation while a response runs on it, and what becomes of the turn.
func TestWhatAnotherClientMayDoMeanwhile(t *testing.T) {
	w, s := steppedWorld(t)
	length := w.streamLength(s)
	s.rest()
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		// ends is how the running response ends: completed unless that is said, gone where its conversation is.
		ends string
	}{
		{"adds a message", "POST", "/messages", `{"role":"user","content":"x"}`, 409, ""},
		{"edits a message", "PATCH", "/messages/MESSAGE", `{"content":"x"}`, 409, ""},
		{"replaces a message", "PUT", "/messages/MESSAGE", `{"content":"x"}`, 409, ""},
		{"deletes a message", "DELETE", "/messages/MESSAGE", "", 409, ""},
		{"deletes the question", "DELETE", "/messages/QUESTION", "", 409, ""},
		{"prompts", "POST", "/responses", `{"prompt":"x"}`, 409, ""},
		{"prompts for a stream", "POST", "/responses", `{"prompt":"x","stream":true}`, 409, ""},
		{"prompts in the background", "POST", "/responses", `{"prompt":"x","background":true}`, 409, ""},
		{"has the last turn run again", "POST", "/responses", `{"regenerate":true}`, 409, ""},
		{"changes the settings", "PATCH", "", `{"title":"x","instructions":"y","model":"z","metadata":{"a":"b"},"params":{"seed":1}}`, 200, ""},
		{"replaces the settings", "PUT", "", `{"title":"x"}`, 200, ""},
		{"copies the conversation", "POST", "/fork", `{}`, 201, ""},
		{"copies it up to the question", "POST", "/fork", `{"after":"QUESTION"}`, 409, ""},
		{"reads it", "GET", "?include=messages", "", 200, ""},
		{"reads the messages", "GET", "/messages", "", 200, ""},
		{"reads the responses", "GET", "/responses", "", 200, ""},
		{"cancels the response", "POST", "/api/responses/RESPONSE/cancel", "", 200, "cancelled"},
		{"deletes the conversation", "DELETE", "", "", 204, "gone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.t = t
			path := w.conversation()
			w.call("POST", path+"/messages", `{"role":"user","content":"before"}`, nil)
			resp, r := w.stream(path)
			got := s.readUpTo(t, r, length/2)
			id := responseOf(t, got)
			var list api.MessageList
			w.call("GET", path+"/messages", "", &list)
			if len(list.Data) != 2 {
				t.Fatalf("%d messages", len(list.Data))
			}
			target := path + test.path
			if strings.HasPrefix(test.path, "/api/") {
				target = test.path
			}
			target = strings.NewReplacer("MESSAGE", list.Data[0].ID, "QUESTION", list.Data[1].ID, "RESPONSE", id).Replace(target)
			body := strings.NewReplacer("QUESTION", list.Data[1].ID).Replace(test.body)
			status, answer := w.ask(test.method, target, body)
			if status != test.status {
				t.Errorf("answered %d %s, want %d", status, answer, test.status)
			}
			if status == 409 && !strings.Contains(answer, `"conversation_locked"`) {
				t.Errorf("the code is in %s", answer)
			}
			if status == 201 {
				var fork api.Conversation
				if err := json.Unmarshal([]byte(answer), &fork); err != nil || fork.MessageCount != 1 {
					t.Errorf("the copy is %s, %v", answer, err)
				}
			}
			s.finish()
			rest, err := io.ReadAll(r)
			_ = resp.Body.Close()
			s.rest()
			if whole := append(got, rest...); err != nil || terminals(whole) != 1 {
				t.Errorf("the stream ended %v with %d terminal events", err, terminals(whole))
			}
			w.turnIsWhole(path, id, test.ends)
		})
	}
}

// turnIsWhole finds a question and its answer, and nothing else that came meanwhile.
func (w *world) turnIsWhole(path, id, ends string) {
	w.t.Helper()
	if ends == "gone" {
		if status, _ := w.ask("GET", path, ""); status != http.StatusNotFound {
			w.t.Errorf("the conversation is answered %d", status)
		}
		return
	}
	want := "completed"
	if ends != "" {
		want = ends
	}
	r := w.response(id)
	if r.Status != want || len(r.Output) == 0 {
		w.t.Errorf("it ended %s with %d messages", r.Status, len(r.Output))
	}
	var list api.MessageList
	w.call("GET", path+"/messages", "", &list)
	for i, m := range list.Data {
		if m.Seq != int64(i+1) || i > 1 && m.Role != "assistant" {
			w.t.Errorf("message %d is %d, %s", i, m.Seq, m.Role)
		}
	}
	// The one from before, the question, and the answer.
	if len(list.Data) != 2+len(r.Output) {
		w.t.Errorf("%d messages", len(list.Data))
	}
}

// ask sends a request and returns what is answered.
func (w *world) ask(method, path, body string) (int, string) {
	w.t.Helper()
	resp, answer := w.exchange(method, path, body)
	return resp.StatusCode, string(answer)
}
