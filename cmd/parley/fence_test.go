//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/crashtest"
	"github.com/parley-llm/parley/internal/mongo"
)

// heldConversations is how many conversations the instance holds that is paused.
const heldConversations = 100

// heldModes are how they were prompted; the answer of one that ends is over at the model while the instance is paused.
var heldModes = []string{"stream", "ends", "background", "whole"}

// drip is a model that streams word after word, until its caller has gone, to a question that begins with "Count"; to one that begins with "Count up"
// until it is told to end. Any other it answers at once.
type drip struct {
	url string
	// calls counts those that drip.
	calls atomic.Int64
	end   chan struct{}
}

func newDrip(t *testing.T) *drip {
	t.Helper()
	d := &drip{end: make(chan struct{})}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Stream   bool
			Messages []struct{ Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Messages) == 0 {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		question := body.Messages[len(body.Messages)-1].Content
		counting := strings.HasPrefix(question, "Count")
		if counting {
			d.calls.Add(1)
		}
		if !body.Stream {
			if counting {
				<-r.Context().Done()
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}]}`, crashtest.Reply(question))
			return
		}
		var end chan struct{}
		if strings.HasPrefix(question, "Count up") {
			end = d.end
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for n := 0; ; n++ {
			_, _ = fmt.Fprintf(w, `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"%d "},"finish_reason":null}]}`+"\n\n", n)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(400 * time.Millisecond):
			case <-end:
				_, _ = io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
				return
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(s.CloseClientConnections)
	t.Cleanup(s.Close)
	d.url = s.URL + "/v1"
	return d
}

// countedTo is what a drip says in so many bytes.
func countedTo(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		_, _ = fmt.Fprintf(&b, "%d ", i)
	}
	return b.String()[:n]
}

// hold is one response of the instance that is paused.
type hold struct {
	conversation, response string
	mode                   string
	// text is what its client was sent, end how that ended.
	text, end string
	// stored is what another instance has of it once it has taken it over.
	stored string
}

// begin prompts, and tells begun once the question is stored and a reader has had some text.
func (h *hold) begin(t *testing.T, p *process, begun func()) {
	begun = sync.OnceFunc(begun)
	defer begun()
	prompt := api.NewResponse{Prompt: api.Text("Count for " + h.conversation)}
	if h.mode == "ends" {
		prompt.Prompt = api.Text("Count up for " + h.conversation)
	}
	client := p.client()
	switch h.mode {
	case "whole":
		begun()
		_, err := client.Respond(t.Context(), h.conversation, prompt)
		h.end = api.ErrorCode(err)
		return
	case "background":
		prompt.Background = true
		r, err := client.Respond(t.Context(), h.conversation, prompt)
		if err != nil {
			h.end = err.Error()
			return
		}
		h.response = r.ID
	}
	events := client.Stream(t.Context(), h.conversation, prompt)
	if h.mode == "background" {
		events = client.Events(t.Context(), h.response, -1)
	}
	last := int64(-1)
	for ev, err := range events {
		switch {
		case err != nil && h.end == "":
			h.end = err.Error()
		case err != nil:
			h.end += api.ErrorCode(err)
		case ev.SequenceNumber <= last:
			h.end = fmt.Sprintf("event %d behind %d", ev.SequenceNumber, last)
			return
		case ev.Type == api.EventCreated:
			h.response = ev.Response.ID
		case ev.Last():
			h.end = ev.Type + " " + ev.Response.Status + " "
		case ev.Type == api.EventTextDelta:
			if h.text += ev.Delta; len(h.text) > len("0 1 2 ") {
				begun()
			}
		}
		last = max(last, ev.SequenceNumber)
	}
}

// look is all that an instance tells of it.
func (h *hold) look(t *testing.T, p *process) string {
	t.Helper()
	var b strings.Builder
	for _, path := range []string{"/api/responses/" + h.response, "/api/conversations/" + h.conversation + "/messages", "/api/conversations/" + h.conversation} {
		a := p.call(t, http.MethodGet, path, "")
		_, _ = fmt.Fprintf(&b, "%d %s\n", a.status, a.body)
	}
	return b.String() + p.eventBytes(t, h.response, -1)
}

// An instance is stopped by SIGSTOP while it holds a hundred conversations, with their responses being made. When its leases have run out another one
// ends them and goes on with the conversations. Then it is let go on: it must not touch any of them. A third one is killed, and its
// responses end likewise. PARLEY_ROUNDS repeats it.
func TestInstancesAPausedHolderIsFenced(t *testing.T) {
	t.Parallel()
	for round := range envInt(t, "PARLEY_ROUNDS", 1) {
		t.Run(fmt.Sprint(round), aPausedHolder)
	}
}

func aPausedHolder(t *testing.T) {
	model := newDrip(t)
	f := newFleet(t, model.url)
	instances := f.launch(t, 3)
	paused, other, killed := instances[0], instances[1], instances[2]
	holds := make([]*hold, heldConversations)
	var begun, ended sync.WaitGroup
	for i := range holds {
		h := &hold{conversation: paused.conversation(t), mode: heldModes[i%len(heldModes)]}
		holds[i] = h
		begun.Add(1)
		ended.Go(func() { h.begin(t, paused, begun.Done) })
	}
	dead := make([]*hold, 20)
	var broken sync.WaitGroup
	for i := range dead {
		h := &hold{conversation: killed.conversation(t), mode: "background"}
		dead[i] = h
		begun.Add(1)
		broken.Go(func() { h.begin(t, killed, begun.Done) })
	}
	begun.Wait()
	for model.calls.Load() < int64(len(holds)+len(dead)) {
		<-time.After(10 * time.Millisecond)
	}
	// A transaction that is open would hold up the stand-in, whose transactions are serial.
	f.awaitSealed(t)
	paused.signal(t, syscall.SIGSTOP)
	stopped := time.Now()
	close(model.end)
	killed.kill()
	broken.Wait()

	// Taken over by the other one, which goes on with the conversations.
	takenAfter := func(h *hold) time.Duration {
		for {
			list := decode[api.ResponseList](t, other.call(t, http.MethodGet, "/api/conversations/"+h.conversation+"/responses", ""), http.StatusOK)
			if h.response = list.Data[0].ID; list.Data[0].Status == "interrupted" {
				return time.Since(stopped)
			}
			<-time.After(100 * time.Millisecond)
		}
	}
	var takenOver time.Duration
	for _, h := range append(dead, holds...) {
		takenOver = max(takenOver, takenAfter(h))
	}
	for _, h := range append(dead, holds...) {
		a := decode[api.Response](t, other.call(t, http.MethodPost, "/api/conversations/"+h.conversation+"/responses", `{"prompt":"Go on"}`), http.StatusOK)
		if a.Status != "completed" {
			t.Errorf("the conversation %s goes on with %s", h.conversation, a.Status)
		}
		h.stored = h.look(t, other)
	}

	paused.signal(t, syscall.SIGCONT)
	ended.Wait()
	fenced := 0
	for _, h := range append(dead, holds...) {
		want := "response.failed interrupted interrupted"
		if h.mode == "whole" {
			want = "interrupted"
		}
		if h.end != want && !slices.Contains(dead, h) {
			t.Errorf("the client of %s (%s) was told %q", h.response, h.mode, h.end)
		}
		if h.text != countedTo(len(h.text)) {
			t.Errorf("the client of %s was sent %q", h.response, h.text)
		}
		for _, p := range []*process{paused, other} {
			if got := h.look(t, p); got != h.stored {
				t.Errorf("%s was changed after it was taken over:\n%s\nand was\n%s", h.response, got, h.stored)
			}
		}
		r := decode[api.Response](t, paused.call(t, http.MethodGet, "/api/responses/"+h.response, ""), http.StatusOK)
		if r.Status != "interrupted" || r.OutputText != countedTo(len(r.OutputText)) || h.mode != "whole" && r.OutputText == "" {
			t.Errorf("stored of %s (%s) is %s, %q", h.response, h.mode, r.Status, r.OutputText)
		}
		a := decode[api.Response](t, paused.call(t, http.MethodPost, "/api/conversations/"+h.conversation+"/responses", `{"prompt":"And here"}`), http.StatusOK)
		if a.Status != "completed" {
			t.Errorf("on the instance that was paused %s goes on with %s", h.conversation, a.Status)
		}
		if !t.Failed() {
			fenced++
		}
	}
	if n := strings.Count(paused.stderr.String(), "another server has taken a response over"); n < heldConversations-heldConversations/len(heldModes) {
		t.Errorf("%d of %d responses were still being made when it went on: %s", n, heldConversations, paused.stderr)
	}
	t.Logf("%d of %d; all were taken over %v after they were left (the goal is 35 s)", fenced-len(dead), heldConversations, takenOver.Round(100*time.Millisecond))

	for _, p := range []*process{paused, other} {
		p.signal(t, syscall.SIGTERM)
		<-p.ended
		if code := p.cmd.ProcessState.ExitCode(); code != exitOK {
			t.Errorf("exit %d: %s", code, p.stderr)
		}
	}
	f.verify(t, 3*(len(holds)+len(dead)))
}

func (f *fleet) log(t *testing.T) *mongo.Log {
	t.Helper()
	log, err := mongo.OpenLog(t.Context(), mongo.Options{URI: f.uri, Database: f.database})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// awaitSealed waits until each audit record has its place in a chain.
func (f *fleet) awaitSealed(t *testing.T) {
	t.Helper()
	log := f.log(t)
	defer func() { _ = log.Close(t.Context()) }()
	for {
		if _, unsealed, err := log.Verify(t.Context(), nil); err != nil || unsealed == 0 {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}

// verify looks whether the chains verify, all is sealed, and each of so many attempts has one intent and one outcome.
func (f *fleet) verify(t *testing.T, attempts int) {
	t.Helper()
	f.awaitSealed(t)
	log := f.log(t)
	defer func() { _ = log.Close(t.Context()) }()
	report, _, err := log.Verify(t.Context(), nil)
	if err != nil || !report.OK || report.Pending != 0 {
		t.Errorf("the audit log: %+v, %v", report, err)
	}
	count := map[string]int{}
	if err := log.Export(t.Context(), time.Time{}, time.Time{}, func(row *audit.Row) error {
		if row.Kind == audit.KindIntent || row.Kind == audit.KindOutcome {
			count[fmt.Sprint(row.ResponseID, " ", row.Attempt, " ", row.Kind)]++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for what, n := range count {
		if n != 1 {
			t.Errorf("there are %d of %s", n, what)
		}
	}
	if len(count) != 2*attempts {
		t.Errorf("%d intents and outcomes, want %d", len(count), 2*attempts)
	}
}
