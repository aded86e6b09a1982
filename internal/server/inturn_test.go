package server_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
)

const sentence = "of jane.doe@example.com, \u00e9; "

// hugeText is of a size of which the server holds no two at a time. The kernel does not hold four of them for a client that takes nothing.
var hugeText = strings.Repeat(sentence, 3<<20/len(sentence))

// hugeStream is what a model says that streams it.
func hugeStream() string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked\n\n")
	for piece := range slices.Chunk([]byte(hugeText), len(sentence)<<9) {
		fmt.Fprintf(&b, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%s}}]}\n\n", mustJSON(string(piece)))
	}
	b.WriteString(`data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n")
	return b.String()
}

func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// request sends a request on a connection of its own, with little room for what comes back, and reads the head of the answer.
func (w *world) request(method, path, body string) *bufio.Reader {
	w.t.Helper()
	conn, err := new(net.Dialer).DialContext(w.t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil {
		w.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body); err != nil {
		w.t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		w.t.Fatalf("%s", answer.Status)
	}
	return bufio.NewReaderSize(answer.Body, 64<<10)
}

// readEvents reads a stream without its signs of life.
func readEvents(stream io.Reader) ([]byte, error) {
	got, err := io.ReadAll(stream)
	return bytes.ReplaceAll(got, []byte(": alive\n\n"), nil), err
}

// Readers of large answers who take nothing do not keep others from theirs, and lose nothing by it.
func TestReadersOfLargeAnswersWhoTakeNothingKeepNobodyWaiting(t *testing.T) {
	w := newWorld(t, settings{})
	w.upstream.Always(hugeStream())
	conversation := w.conversation()
	var r api.Response
	w.call("POST", conversation+"/responses", `{"prompt":"Hi","background":true}`, &r)
	events := "/api/responses/" + r.ID + "/events"
	all := w.request("GET", events, "")
	want, err := readEvents(all)
	told, closing, closes := bytes.Cut(want, []byte("event: response.output_text.done\n"))
	if err != nil || !closes || !bytes.Contains(want, []byte("event: response.completed")) || len(closing) < 4*len(hugeText) {
		t.Fatalf("%d bytes, %v", len(want), err)
	}
	// What comes behind the text repeats it, four times.
	id := told[bytes.LastIndex(told, []byte("id: ")):]
	var number int
	if _, err := fmt.Sscanf(string(id), "id: %d", &number); err != nil {
		t.Fatal(err)
	}
	events = fmt.Sprintf("%s?after=%d", events, number-1)
	want = want[len(told)-len(id):]
	var stalled []*bufio.Reader
	for range 3 {
		body := w.request("GET", events, "")
		stalled = append(stalled, body)
	}
	for range 2 {
		body := w.request("GET", events, "")
		if got, err := readEvents(body); err != nil || !bytes.Equal(got, want) {
			t.Errorf("beside readers who take nothing one gets %d bytes of %d, %v", len(got), len(want), err)
		}
	}
	for _, body := range stalled {
		if got, err := readEvents(body); err != nil || !bytes.Equal(got, want) {
			t.Errorf("one who took nothing for a while gets %d bytes of %d, %v", len(got), len(want), err)
		}
	}
}

// An answer in one piece cannot be made again: who takes nothing of it is cut off when others wait.
func TestOneWhoTakesNothingOfALargeAnswerInOnePieceIsCutOffForOthers(t *testing.T) {
	w := newWorld(t, settings{})
	text := hugeText + hugeText
	w.upstream.Always(inOnePiece(text))
	nothing := w.request("POST", w.conversation()+"/responses", `{"prompt":"Hi"}`)
	var r api.Response
	if resp := w.call("POST", w.conversation()+"/responses", `{"prompt":"Hi"}`, &r); resp.StatusCode != http.StatusOK || r.OutputText != text {
		t.Errorf("%d with %d bytes", resp.StatusCode, len(r.OutputText))
	}
	if got, err := io.ReadAll(nothing); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// inOnePiece is what a model says that answers with a text in one piece.
func inOnePiece(text string) string {
	return "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: auto\n\n" +
		`{"choices":[{"index":0,"message":{"role":"assistant","content":` + mustJSON(text) + `},"finish_reason":"stop"}]}`
}

// answeredInOnePiece returns the path of a conversation and a response in it with a text in one piece.
func (w *world) answeredInOnePiece(text string) (conversation string, r api.Response) {
	w.t.Helper()
	w.upstream.Always(inOnePiece(text))
	conversation = w.conversation()
	if resp := w.call("POST", conversation+"/responses", `{"prompt":"Hi"}`, &r); resp.StatusCode != http.StatusOK {
		w.t.Fatal(resp.Status)
	}
	return conversation, r
}

// An event is made again of what is stored by then. Where that has changed it breaks off, and nobody takes it for a whole one.
func TestAnEventThatCannotBeMadeAgainBreaksOff(t *testing.T) {
	text := hugeText
	edit := func(content string) func(w *world, conversation string, r *api.Response) {
		return func(w *world, conversation string, r *api.Response) {
			w.t.Helper()
			if resp := w.call("PATCH", conversation+"/messages/"+r.Output[0].ID, `{"content":`+mustJSON(content)+`}`, nil); resp.StatusCode != http.StatusOK {
				w.t.Error(resp.Status)
			}
		}
	}
	for name, change := range map[string]func(w *world, conversation string, r *api.Response){
		"edited, shorter": edit("Short."),
		"edited, as long": edit(strings.ToUpper(text)),
		"deleted": func(w *world, conversation string, _ *api.Response) {
			w.t.Helper()
			if resp, _ := w.exchange("DELETE", conversation, ""); resp.StatusCode != http.StatusNoContent {
				w.t.Error(resp.Status)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, settings{})
			conversation, r := w.answeredInOnePiece(text)
			events := "/api/responses/" + r.ID + "/events"
			slow := w.request("GET", events, "")
			all := w.request("GET", events, "")
			want, err := readEvents(all)
			if err != nil || !bytes.Contains(want, []byte("event: response.completed")) {
				t.Fatalf("%d bytes, %v", len(want), err)
			}
			change(w, conversation, &r)
			got, err := readEvents(slow)
			if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasPrefix(want, got) || len(got) < len(text)/100 {
				t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
			}
			if log := w.logs.String(); strings.Contains(log, "panicked") {
				t.Errorf("%s", log)
			}
		})
	}
}

// clogged is a client that takes what it is given, but from the end of an item on lets nobody know.
type clogged struct {
	*lockedRecorder
	full, release chan struct{}
}

func (c *clogged) Flush() {
	if strings.Contains(c.String(), "event: response.output_item.done\n") {
		select {
		case <-c.full:
		default:
			close(c.full)
		}
		<-c.release
	}
}

// Also one who has all of the events of his turn and takes nothing of what lies on the way to him gives his turn up.
func TestOneWhoseLastBytesAreOnTheWayKeepsNobodyWaiting(t *testing.T) {
	w := newWorld(t, settings{})
	w.upstream.Always(strings.Replace(strings.ReplaceAll(hugeStream(), `"delta":{"content"`, `"delta":{"reasoning_content"`),
		`data: {"choices":[{"index":0,"delta":{},`, `data: {"choices":[{"index":0,"delta":{"content":"Bye"}}]}`+"\n\n"+`data: {"choices":[{"index":0,"delta":{},`, 1))
	var r api.Response
	w.call("POST", w.conversation()+"/responses", `{"prompt":"Hi","background":true}`, &r)
	events := "/api/responses/" + r.ID + "/events"
	want := w.body(events)
	client := &clogged{&lockedRecorder{header: http.Header{}}, make(chan struct{}), make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.handler.ServeHTTP(client, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+events, nil))
	}()
	<-client.full
	hurry := time.AfterFunc(20*time.Second, func() {
		t.Error("one waits for one who takes nothing")
		close(client.release)
	})
	got := w.body(events)
	if hurry.Stop() {
		close(client.release)
	}
	<-done
	given, err := readEvents(strings.NewReader(client.String()))
	if err != nil || !bytes.Equal(got, want) || !bytes.Equal(given, want) {
		t.Errorf("%d bytes, and %d, of %d", len(got), len(given), len(want))
	}
}
