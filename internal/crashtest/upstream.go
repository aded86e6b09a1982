package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ModelName is the one model of an Upstream.
const ModelName = "scripted"

// Upstream is a model that speaks OpenAI's Chat Completions, notes each call in a history before it answers, and then answers
// with the question. It outlives the servers that it serves.
type Upstream struct {
	// BaseURL is for OPENAI_BASE_URL.
	BaseURL string
	// Pause is the time between two pieces of an answer: a server is to be hit while it reads one.
	Pause time.Duration
	// Database, if set, is looked into at each call: the intent must be committed by then. Only one of a server that calls it may be
	// named.
	Database Database

	h      *History
	server *http.Server
}

// NewUpstream serves until the test ends.
func NewUpstream(t testing.TB, h *History) *Upstream {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &Upstream{BaseURL: "http://" + listener.Addr().String() + "/v1", Pause: time.Millisecond, h: h}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", u.models)
	mux.HandleFunc("POST /v1/chat/completions", u.complete)
	u.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = u.server.Serve(listener) }()
	t.Cleanup(func() { _ = u.server.Close() })
	return u
}

// Hasty has it close each connection behind its answer, so that each call makes a new one.
func (u *Upstream) Hasty() { u.server.SetKeepAlivesEnabled(false) }

// Environ are the settings of a server that calls it.
func (u *Upstream) Environ() []string {
	return []string{"OPENAI_BASE_URL=" + u.BaseURL, "OPENAI_MODEL=" + ModelName}
}

func (u *Upstream) models(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"`+ModelName+`","object":"model","created":1700000000,"owned_by":"test"}]}`)
}

// Reply is what the model answers to a question. No two questions have the same.
func Reply(question string) string { return "You have asked: " + question }

func (u *Upstream) complete(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Stream   bool
		Messages []struct{ Content json.RawMessage }
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Messages) == 0 {
		http.Error(w, `{"error":{"message":"no messages"}}`, http.StatusBadRequest)
		return
	}
	question := contentText(body.Messages[len(body.Messages)-1].Content)
	call := Entry{Op: OpCall, State: Asked, Messages: []Message{{Text: question}}}
	if u.Database != nil {
		// Also where the caller is gone by now.
		call.Code = u.Database.intent(context.WithoutCancel(r.Context()), question)
	}
	u.h.Note(call)
	text := Reply(question)
	usage := fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, len(body.Messages), len(text), len(body.Messages)+len(text))
	if !body.Stream {
		u.wait(r)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"%s","choices":[{"index":0,"message":{"role":"assistant","content":%s},"finish_reason":"stop"}],"usage":%s}`,
			ModelName, quoted(text), usage)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	chunk := func(choices, usage string) {
		_, _ = fmt.Fprintf(w, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":%q,\"choices\":[%s]%s}\n\n", ModelName, choices, usage)
		_ = out.Flush()
	}
	for piece := range pieces(text) {
		if !u.wait(r) {
			return
		}
		chunk(`{"index":0,"delta":{"role":"assistant","content":`+quoted(piece)+`},"finish_reason":null}`, "")
	}
	chunk(`{"index":0,"delta":{},"finish_reason":"stop"}`, "")
	chunk("", `,"usage":`+usage)
	_, _ = io.WriteString(w, "data: [DONE]\n\n")
}

// wait pauses, and reports whether somebody still listens.
func (u *Upstream) wait(r *http.Request) bool {
	select {
	case <-time.After(u.Pause):
		return true
	case <-r.Context().Done():
		return false
	}
}

// pieces cuts a text into some pieces between characters.
func pieces(text string) func(yield func(string) bool) {
	const count = 8
	runes := []rune(text)
	return func(yield func(string) bool) {
		for i := range count {
			if !yield(string(runes[len(runes)*i/count : len(runes)*(i+1)/count])) {
				return
			}
		}
	}
}

// contentText is the text of a content, be it a string or an array of parts.
func contentText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var parts []struct{ Text string }
	if json.Unmarshal(raw, &parts) != nil {
		return ""
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

func quoted(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		return strconv.Quote(text)
	}
	return string(data)
}
