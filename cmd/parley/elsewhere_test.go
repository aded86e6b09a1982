//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/crashtest"
	"github.com/parley-llm/parley/internal/mongotest"
)

// pieces is an answer of every kind, as a model streams it.
var pieces = []string{
	`{"reasoning_content":"Hm, "}`, `{"reasoning_content":"well."}`, `{"content":"It is "}`, `{"content":"21 °C in Łódź."}`, `{"refusal":"No more."}`,
	`{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]}`,
	`{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}`, `{"tool_calls":[{"index":0,"function":{"arguments":"\"Łódź\"}"}}]}`,
	`{"content":"Bye\n\ndata: x\u2028"}`,
}

// pieceModel streams pieces; next is asked ahead of each of them, and at the end.
func pieceModel(t *testing.T, next func(ctx context.Context, piece int) (text string, more bool)) (baseURL string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		chunk := func(delta, finish string) {
			_, _ = fmt.Fprintf(w, `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":%s,"finish_reason":%s}]}`+"\n\n", delta, finish)
			_ = http.NewResponseController(w).Flush()
		}
		for i := 0; ; i++ {
			piece, more := next(r.Context(), i)
			if !more {
				break
			}
			chunk(piece, "null")
		}
		chunk("{}", `"stop"`)
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	}))
	t.Cleanup(s.CloseClientConnections)
	t.Cleanup(s.Close)
	return s.URL + "/v1"
}

// opened is a reader of events that has its first bytes, or knows that it will have to wait for them.
func (p *process) opened(t *testing.T, id string, after int) (all func() string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/api/responses/%s/events?after=%d", p.url, id, after), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		defer func() { _ = resp.Body.Close() }()
		got <- withoutComments(resp.Body)
	}()
	return func() string { return <-got }
}

// A response that one instance makes is read on on others from every event on, while it runs and after its end: what comes is equal to the byte.
func TestInstancesReadOnAtEveryEventOfEachOther(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	f := newFleet(t, pieceModel(t, func(ctx context.Context, i int) (string, bool) {
		select {
		case <-gate:
		case <-ctx.Done():
		}
		if i == len(pieces) {
			return "", false
		}
		return pieces[i], true
	}))
	instances := f.launch(t, 3)
	maker, others := instances[0], instances[1:]
	conv := maker.conversation(t)
	// How many events there are shows when it is over; a reader may ask for those behind more.
	const most = 40
	r := decode[api.Response](t, maker.call(t, http.MethodPost, "/api/conversations/"+conv+"/responses", `{"prompt":"x","background":true}`), http.StatusAccepted)
	here := maker.opened(t, r.ID, -1)
	var readers []func() string
	for k := range most {
		readers = append(readers, others[k%len(others)].opened(t, r.ID, k-1))
	}
	for range len(pieces) + 1 {
		gate <- struct{}{}
		// So that the log has several batches.
		<-time.After(60 * time.Millisecond)
	}
	events := strings.SplitAfter(here(), "\n\n")
	events = events[:len(events)-1]
	if n := len(events); n < 2*len(pieces) || n >= most || !strings.Contains(events[n-1], "response.completed") {
		t.Fatalf("%d events: %s", n, events)
	}
	rest := func(after int) string { return strings.Join(events[min(after+1, len(events)):], "") }
	for k, all := range readers {
		// Who asks for what is behind the end gets nothing.
		if got := all(); got != rest(k-1) {
			t.Errorf("behind %d, while it runs: %q, want %q", k-1, got, rest(k-1))
		}
	}
	for i, p := range instances {
		for after := -1; after < len(events)+1; after++ {
			if got := p.eventBytes(t, r.ID, after); got != rest(after) {
				t.Errorf("instance %d, behind %d, after the end: %q, want %q", i, after, got, rest(after))
			}
		}
	}
	t.Logf("%d events, read from each of them on, on %d other instances", len(events), len(others))
}

// counter passes on what a client says to a server, and counts its messages. Its URL has clients go through it.
type counter struct {
	url   string
	count atomic.Int64
}

// counterTo is a counter before the server that a URI names.
func counterTo(t *testing.T, uri string) *counter {
	t.Helper()
	r := &counter{}
	r.url = mongotest.Relay(t, uri, r.pass, nil)
	return r
}

// pass passes messages on, each of which begins with its length.
func (r *counter) pass(to io.Writer, from io.Reader) {
	header := make([]byte, 4)
	for {
		if _, err := io.ReadFull(from, header); err != nil {
			return
		}
		r.count.Add(1)
		if _, err := to.Write(header); err != nil {
			return
		}
		if _, err := io.CopyN(to, from, int64(lengthOf(header))-int64(len(header))); err != nil {
			return
		}
	}
}

// lengthOf is a length as MongoDB writes it.
func lengthOf(header []byte) int {
	return int(header[0]) | int(header[1])<<8 | int(header[2])<<16 | int(header[3])<<24
}

// during counts the messages while something goes on, a second.
func (r *counter) during(do func()) float64 {
	began, before := time.Now(), r.count.Load()
	do()
	return float64(r.count.Load()-before) / time.Since(began).Seconds()
}

// How late another instance tells of an event, and what that costs the database, is measured and said, not bounded: it depends on the machine.
func TestInstancesTellOfEventsOfEachOtherSoon(t *testing.T) {
	t.Parallel()
	const words = 200
	random := rand.New(rand.NewPCG(seedOf(t), 0))
	said := make([]time.Time, words)
	begin, end := make(chan struct{}), make(chan struct{})
	model := pieceModel(t, func(ctx context.Context, i int) (string, bool) {
		wait := time.After(time.Duration(20+random.IntN(100)) * time.Millisecond)
		switch i {
		case 0:
			<-begin
		case words:
			<-end
			return "", false
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return "", false
		}
		said[i] = time.Now()
		return fmt.Sprintf(`{"content":"%d "}`, i), true
	})
	f := newFleet(t, model)
	here := f.launch(t, 1)[0]
	r := counterTo(t, f.uri)
	f.env[0] = "PARLEY_STORE=" + r.url
	there := f.launch(t, 1)[0]

	idle := r.during(func() { <-time.After(4 * time.Second) })
	conv := here.conversation(t)
	resp := decode[api.Response](t, here.call(t, http.MethodPost, "/api/conversations/"+conv+"/responses", `{"prompt":"x","background":true}`), http.StatusAccepted)
	delays := [2][]time.Duration{}
	var readers, heard sync.WaitGroup
	heard.Add(2)
	for i, p := range []*process{here, there} {
		readers.Go(func() {
			for ev, err := range p.client().Events(t.Context(), resp.ID, -1) {
				if err != nil {
					t.Error(err)
					break
				}
				now := time.Now()
				for range strings.Fields(ev.Delta) {
					delays[i] = append(delays[i], now.Sub(said[len(delays[i])]))
					if len(delays[i]) == words {
						heard.Done()
					}
				}
			}
		})
	}
	waiting := r.during(func() { <-time.After(2 * time.Second) })
	flowing := r.during(func() {
		close(begin)
		heard.Wait()
	})
	close(end)
	readers.Wait()
	for i, name := range []string{"the instance that makes it", "another"} {
		slices.Sort(delays[i])
		at := func(percent int) time.Duration {
			return delays[i][(len(delays[i])-1)*percent/100].Round(100 * time.Microsecond)
		}
		t.Logf("%s: %d words, each told after %v (median), %v (p99), %v (longest)", name, len(delays[i]), at(50), at(99), at(100))
	}
	t.Logf("messages to the database a second, less those of an instance that does nothing (%.1f): %.1f for a reader who waits, %.1f for one of a stream that flows", idle, waiting-idle, flowing-idle)
}

// Three instances get the same prompts with the same keys at one time: each is answered once.
func TestInstancesAnswerAKeyOnce(t *testing.T) {
	t.Parallel()
	const keys, duplicates = 4, 64
	history := crashtest.NewHistory(&buffer{})
	upstream := crashtest.NewUpstream(t, history)
	upstream.Pause = 20 * time.Millisecond
	f := newFleet(t, upstream.BaseURL)
	instances := f.launch(t, 3)
	for key := range keys {
		conv := instances[0].conversation(t)
		answers := make([]string, duplicates)
		var all sync.WaitGroup
		for i := range duplicates {
			all.Go(func() {
				ctx := api.WithIdempotencyKey(t.Context(), fmt.Sprintf("key-%d", key))
				client, prompt := instances[i%len(instances)].client(), api.NewResponse{Prompt: api.Text(fmt.Sprint("Question ", key))}
				if key%2 == 0 {
					r, err := client.Respond(ctx, conv, prompt)
					answers[i] = fmt.Sprint(r.ID, r.Status, r.OutputText, err)
					return
				}
				for ev, err := range client.Stream(ctx, conv, prompt) {
					answers[i] += string(ev.Data)
					if err != nil {
						answers[i] += err.Error()
					}
				}
			})
		}
		all.Wait()
		for i, a := range answers {
			if a != answers[0] || !strings.Contains(a, crashtest.Reply(fmt.Sprint("Question ", key))) || !strings.Contains(a, "completed") {
				t.Errorf("key %d, duplicate %d was answered %q, and the first %q", key, i, a, answers[0])
			}
		}
	}
	f.verify(t, keys)
}

// Prompts that wait for their turn on one conversation get it, whichever instance they have come to; those that do not wait are told that it is held.
func TestInstancesTakeTurns(t *testing.T) {
	t.Parallel()
	const prompts = 24
	upstream := crashtest.NewUpstream(t, crashtest.NewHistory(&buffer{}))
	upstream.Pause = 10 * time.Millisecond
	f := newFleet(t, upstream.BaseURL)
	instances := f.launch(t, 3)
	conv := instances[0].conversation(t)
	var all sync.WaitGroup
	var locked, answered atomic.Int64
	for i := range prompts {
		all.Go(func() {
			ctx := t.Context()
			if i%4 != 0 {
				ctx = api.WithTurn(ctx)
			}
			prompt := func() (api.Response, error) {
				return instances[i%len(instances)].client().Respond(ctx, conv, api.NewResponse{Prompt: api.Text(fmt.Sprint("Question ", i))})
			}
			r, err := prompt()
			// Half a minute may be too short where the machine is busy.
			for i%4 != 0 && api.ErrorCode(err) == "conversation_locked" {
				r, err = prompt()
			}
			switch {
			case err == nil && r.OutputText == crashtest.Reply(fmt.Sprint("Question ", i)):
				answered.Add(1)
			case i%4 == 0 && api.ErrorCode(err) == "conversation_locked":
				locked.Add(1)
			default:
				t.Errorf("prompt %d: %+v, %v", i, r, err)
			}
		})
	}
	all.Wait()
	role := "assistant"
	for m, err := range instances[1].client().AllMessages(t.Context(), conv, api.ListQuery{Limit: 100}) {
		if err != nil || m.Role == role {
			t.Fatalf("%s follows %s: %v", m.Role, role, err)
		}
		role = m.Role
	}
	t.Logf("%d answered, %d told that the conversation was held", answered.Load(), locked.Load())
	f.verify(t, int(answered.Load()))
}
