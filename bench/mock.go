package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	mockModel = "mock"
	// holdModel asks the mock for a stream that begins and then stays open until the client leaves.
	holdModel = "mock-hold"

	jsonBytes    = 593
	streamChunks = 24 // without [DONE]: the role, the text, the finish reason, the usage
	heldChunks   = 3
)

// mock is an upstream that speaks the Chat Completions protocol and answers at once.
type mock struct {
	answer []byte
	chunks [][]byte
}

func newMock() *mock { return &mock{answer: jsonAnswer(), chunks: sseChunks()} }

// jsonAnswer is a whole completion of exactly jsonBytes bytes.
func jsonAnswer() []byte {
	const (
		head = `{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"mock",` +
			`"choices":[{"index":0,"message":{"role":"assistant","content":"`
		tail  = `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"completion_tokens":21,"total_tokens":45}}`
		prose = "The tide rises and falls because the moon pulls on the sea, and the earth turns under that pull. "
	)
	room := jsonBytes - len(head) - len(tail)
	text := strings.Repeat(prose, room/len(prose)+1)[:room]
	return []byte(head + text + tail)
}

// sseChunks are the events of a streamed completion, ready to be written, without the closing [DONE].
func sseChunks() [][]byte {
	chunk := func(choices, rest string) []byte {
		return fmt.Appendf(nil, "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"+
			"\"model\":\"mock\",\"choices\":[%s]%s}\n\n", choices, rest)
	}
	chunks := [][]byte{chunk(`{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}`, "")}
	words := strings.Fields("The tide rises and falls because the moon pulls on the sea, and the earth turns steadily under that pull each day.")
	for i := range streamChunks - 3 {
		text := " " + words[i%len(words)]
		chunks = append(chunks, chunk(fmt.Sprintf(`{"index":0,"delta":{"content":%q},"finish_reason":null}`, text), ""))
	}
	return append(chunks,
		chunk(`{"index":0,"delta":{},"finish_reason":"stop"}`, ""),
		chunk("", `,"usage":{"prompt_tokens":24,"completion_tokens":21,"total_tokens":45}`))
}

func (m *mock) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"mock","object":"model","created":1700000000,"owned_by":"bench"}]}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", m.complete)
	return mux
}

func (m *mock) complete(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "cannot read the body", http.StatusBadRequest)
		return
	}
	if !asksStream(body) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(m.answer)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	send := func(chunks ...[]byte) bool {
		for _, chunk := range chunks {
			if _, err := w.Write(chunk); err != nil {
				return false
			}
			if err := out.Flush(); err != nil {
				return false
			}
		}
		return true
	}
	if bytes.Contains(body, []byte(`"`+holdModel+`"`)) {
		if send(m.chunks[:heldChunks]...) {
			<-r.Context().Done()
		}
		return
	}
	if send(m.chunks...) {
		send([]byte("data: [DONE]\n\n"))
	}
}

// asksStream tells whether the body has "stream":true. The text of the prompts here never contains it, so a scan will do:
// the mock must cost as little as possible.
func asksStream(body []byte) bool {
	return bytes.Contains(body, []byte(`"stream":true`)) || bytes.Contains(body, []byte(`"stream": true`))
}

func runMock(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	return serveChild(ctx, stdin, stdout, newMock().handler())
}
