package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// stepper is a provider that writes output of every kind and takes each step when it is let.
type stepper struct {
	gate chan struct{}
	// gone is told of each call that was broken off.
	gone chan struct{}
}

var steps = []llm.Event{
	llm.Started{HTTPStatus: 200},
	llm.ReasoningDelta{Text: "Hm, "},
	llm.ReasoningDelta{Text: "well."},
	llm.ReasoningEncrypted{Content: "thinking.1.EqQB/+=="},
	llm.ReasoningEncrypted{Content: "redacted_thinking.1.EqQC"},
	llm.TextDelta{Text: "It is "},
	llm.TextDelta{Text: "21 °C in Łódź."},
	llm.RefusalDelta{Text: "No more."},
	llm.ToolCallStarted{Index: 0, CallID: "call_1", Name: "weather"},
	llm.ToolCallDelta{Index: 0, Arguments: `{"city":`},
	llm.ToolCallDelta{Index: 0, Arguments: `"Łódź"}`},
	llm.TextDelta{Text: "Bye\n\ndata: x\u2028"},
	llm.Finished{FinishReason: "stop", Usage: &llm.Usage{InputTokens: 5, OutputTokens: 50, TotalTokens: 55}},
}

// wholeText is the text among them.
const wholeText = "It is 21 °C in Łódź.Bye\n\ndata: x\u2028"

func (s *stepper) Encode(*llm.Request) ([]byte, error) { return []byte("{}"), nil }

func (s *stepper) Models(context.Context) ([]llm.Model, error) { return nil, nil }

func (s *stepper) Generate(ctx context.Context, _ *llm.Call) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		for _, ev := range steps {
			select {
			case <-s.gate:
			case <-ctx.Done():
				s.gone <- struct{}{}
				yield(nil, &llm.Error{Fault: fault.Wrap(ctx.Err(), fault.Canceled, "canceled", "The call was canceled.")})
				return
			}
			if !yield(ev, nil) {
				return
			}
		}
	}
}

// steppedWorld is a server on a stepper.
func steppedWorld(t *testing.T) (*world, *stepper) {
	w := newWorld(t, settings{})
	s := &stepper{gate: make(chan struct{}, len(steps)), gone: make(chan struct{}, 100)}
	w.service.Router.Endpoints[0].Provider = s
	return w, s
}

// finish lets a call go on to its end.
func (s *stepper) finish() {
	for len(s.gate) < cap(s.gate) {
		s.gate <- struct{}{}
	}
}

// rest takes back what no call took.
func (s *stepper) rest() {
	for len(s.gate) > 0 {
		<-s.gate
	}
}

// piece reads the bytes of one event; none at the end.
func piece(t *testing.T, r *bufio.Reader) []byte {
	t.Helper()
	var ev []byte
	for {
		line, err := r.ReadBytes('\n')
		ev = append(ev, line...)
		if err == io.EOF {
			return ev
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(line) == 1 {
			return ev
		}
	}
}

// readUpTo reads a stream's events up to the one of a number, with no more steps taken than that needs.
func (s *stepper) readUpTo(t *testing.T, r *bufio.Reader, number int) []byte {
	t.Helper()
	var all []byte
	for n := 0; n <= number; n++ {
		got := make(chan []byte, 1)
		go func() { got <- piece(t, r) }()
		for ev := []byte(nil); ev == nil; {
			select {
			case ev = <-got:
				all = append(all, ev...)
			case <-time.After(10 * time.Millisecond):
				select {
				case s.gate <- struct{}{}:
				default:
				}
			}
		}
	}
	return all
}

func (w *world) body(path string) []byte {
	w.t.Helper()
	status, body := w.ask(http.MethodGet, path, "")
	if status != http.StatusOK {
		w.t.Fatalf("%s: %d %s", path, status, body)
	}
	return []byte(body)
}

func responseOf(t *testing.T, stream []byte) string {
	t.Helper()
	_, rest, _ := strings.Cut(string(stream), `"response":{"id":"`)
	id, _, found := strings.Cut(rest, `"`)
	if !found {
		t.Fatalf("no response in %q", stream)
	}
	return id
}

// types are the events in a stream.
func types(stream []byte) (list []string) {
	for line := range strings.Lines(string(stream)) {
		if name, found := strings.CutPrefix(line, "event: "); found {
			list = append(list, strings.TrimSpace(name))
		}
	}
	return list
}

func terminals(stream []byte) (n int) {
	for _, name := range types(stream) {
		if slices.Contains([]string{"response.completed", "response.incomplete", "response.failed"}, name) {
			n++
		}
	}
	return n
}

type shownResponse struct {
	Status     string `json:"status"`
	OutputText string `json:"output_text"`
	Output     []struct {
		Status string `json:"status"`
	} `json:"output"`
}

func (w *world) response(id string) (r shownResponse) {
	w.t.Helper()
	if err := json.Unmarshal(w.body("/api/responses/"+id), &r); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// streamLength is how many events the steps make.
func (w *world) streamLength(s *stepper) int {
	w.t.Helper()
	s.finish()
	resp, r := w.stream(w.conversation())
	all, err := io.ReadAll(r)
	_ = resp.Body.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	s.rest()
	return len(types(all))
}

// A client that goes at any event, and comes back, has every byte once, and what is stored is what the model wrote.
func TestAStreamCutAtEveryEventIsReadOn(t *testing.T) {
	w, s := steppedWorld(t)
	n := w.streamLength(s)
	if n < 25 {
		t.Fatalf("%d events", n)
	}
	for at := range n {
		resp, r := w.stream(w.conversation())
		got := s.readUpTo(t, r, at)
		_ = resp.Body.Close()
		s.finish()
		id := responseOf(t, got)
		rest := w.body(fmt.Sprintf("/api/responses/%s/events?after=%d", id, at))
		s.rest()
		whole := w.body("/api/responses/" + id + "/events")
		if !bytes.Equal(append(got, rest...), whole) {
			t.Fatalf("cut at %d: the pieces are\n%s\nthe whole is\n%s", at, append(got, rest...), whole)
		}
		if terminals(whole) != 1 || len(types(whole)) != n {
			t.Errorf("cut at %d: %d events, %d terminal", at, len(types(whole)), terminals(whole))
		}
		if r := w.response(id); r.Status != "completed" || r.OutputText != wholeText {
			t.Errorf("cut at %d: stored is %+v", at, r)
		}
	}
	if len(s.gone) != 0 {
		t.Errorf("%d calls were broken off", len(s.gone))
	}
}

// Cancelled at any event, a response keeps what had come, says so once, and leaves the conversation to the next.
func TestAStreamCancelledAtEveryEventKeepsWhatHasCome(t *testing.T) {
	w, s := steppedWorld(t)
	n := w.streamLength(s)
	for at := range n {
		path := w.conversation()
		resp, r := w.stream(path)
		got := s.readUpTo(t, r, at)
		id := responseOf(t, got)
		cancelled, _ := w.ask(http.MethodPost, "/api/responses/"+id+"/cancel", "")
		rest, err := io.ReadAll(r)
		_ = resp.Body.Close()
		if err != nil || cancelled != http.StatusOK {
			t.Fatalf("cancelled at %d: %d, %v", at, cancelled, err)
		}
		s.rest()
		whole := w.body("/api/responses/" + id + "/events")
		if !bytes.Equal(append(got, rest...), whole) || terminals(whole) != 1 {
			t.Fatalf("cancelled at %d: the stream is\n%s\nthe log is\n%s", at, append(got, rest...), whole)
		}
		shown := w.response(id)
		want := "cancelled"
		if slices.Contains(types(whole), "response.completed") {
			want = "completed"
		}
		if shown.Status != want || !strings.HasPrefix(wholeText, shown.OutputText) {
			t.Errorf("cancelled at %d: %+v", at, shown)
		}
		for _, it := range shown.Output {
			if it.Status == "in_progress" {
				t.Errorf("cancelled at %d: an item is left %s", at, it.Status)
			}
		}
		s.finish()
		next, r := w.stream(path)
		if all, err := io.ReadAll(r); err != nil || !slices.Contains(types(all), "response.completed") {
			// The turn that was completed called a tool, which is to be answered first.
			if next.StatusCode != http.StatusUnprocessableEntity || want == "cancelled" {
				t.Errorf("cancelled at %d: the next prompt is answered %s, %v", at, all, err)
			}
		}
		_ = next.Body.Close()
		s.rest()
	}
	if len(s.gone) < n-9 {
		t.Errorf("only %d calls were broken off", len(s.gone))
	}
}
