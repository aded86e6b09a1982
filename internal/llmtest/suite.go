package llmtest

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// Canary stands in every text of an upstream that fails. It must reach nobody but the audit, by llm.Error.Detail.
const Canary = "CANARY-sk-1234567890"

// waitLimit only keeps a broken provider from hanging the suite.
const waitLimit = 20 * time.Second

// Run checks a provider against everything that llm.Provider promises. newProvider makes one that talks to the upstream,
// with its time limits set to the upstream's Patience.
//
// The answers are the provider's own: testdata/NAME.http in its protocol, each saying what the suite's cases (cases.go)
// say of it; those that need no protocol are here. lacks names the files of answers that the protocol has no words for.
func Run(t *testing.T, newProvider func(t *testing.T, upstream *Upstream) llm.Provider, lacks ...string) {
	s := suite{newProvider, lacks}
	t.Run("answers", s.answers)
	t.Run("failures", s.failures)
	t.Run("what Encode makes is sent as it is", s.sendsTheBody)
	t.Run("Encode is pure", s.encodeIsPure)
	t.Run("an item that cannot be expressed is the caller's fault", s.unsupportedItem)
	t.Run("a server that cannot be reached has not been sent the prompt", s.refused)
	t.Run("breaking off the loop closes the connection", s.breakingOff)
	t.Run("cancelling closes the connection", s.cancelling)
	t.Run("a call that is cancelled beforehand is not sent", s.cancelledBefore)
	t.Run("a deadline is a timeout", s.deadline)
	t.Run("many calls at once do not mix", s.concurrent)
	t.Run("one call after the other shares connections", s.keepAlive)
	t.Run("models", s.models)
}

type suite struct {
	newProvider func(t *testing.T, upstream *Upstream) llm.Provider
	lacks       []string
}

//go:embed testdata
var common embed.FS

// File reads testdata/NAME.http, the provider's own or the one that serves all protocols.
func File(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".http"))
	if errors.Is(err, fs.ErrNotExist) {
		text, err = common.ReadFile("testdata/" + name + ".http")
	}
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	return string(text)
}

// call encodes a small request.
func call(t testing.TB, p llm.Provider, stream bool) *llm.Call {
	t.Helper()
	body, err := p.Encode(request(stream))
	if err != nil {
		t.Fatalf("encoding: %v", err)
	}
	return &llm.Call{Model: "model-1", Stream: stream, Body: body}
}

func request(stream bool) *llm.Request {
	return &llm.Request{
		Model:        "model-1",
		Instructions: "Be brief.",
		Items:        []llm.Item{{Type: llm.TypeMessage, Role: llm.User, Content: json.RawMessage(`"Hello?"`)}},
		Stream:       stream,
	}
}

func wait(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(waitLimit):
		t.Fatalf("waited in vain: %s", what)
	}
}

func (s suite) answers(t *testing.T) {
	for _, tc := range answerCases {
		if slices.Contains(s.lacks, tc.file) {
			continue
		}
		for _, stream := range []bool{false, true} {
			t.Run(tc.sentence+modeName(stream), func(t *testing.T) {
				u := NewUpstream(t)
				u.Answer(File(t, modePrefix(stream)+tc.file))
				p := s.newProvider(t, u)
				a := Collect(t.Context(), t, p, call(t, p, stream))
				if a.Err != nil {
					t.Fatalf("failed: %v (%s)", a.Err, a.Err.Detail)
				}
				checkAnswer(t, &a, &tc)
			})
		}
	}
}

func checkAnswer(t *testing.T, a *Answer, tc *answerCase) {
	t.Helper()
	if a.Text != tc.text || a.Refusal != tc.refusal || a.Reasoning != tc.reasoning {
		t.Errorf("text %q, refusal %q, reasoning %q", a.Text, a.Refusal, a.Reasoning)
	}
	if !slices.Equal(a.Calls, tc.calls) {
		t.Errorf("calls %q, want %q", a.Calls, tc.calls)
	}
	if a.Finished.FinishReason != tc.finish || a.Finished.Model != "model-1" {
		t.Errorf("finished with %q by %q", a.Finished.FinishReason, a.Finished.Model)
	}
	switch u := a.Finished.Usage; {
	case tc.usage == nil && u != nil:
		t.Errorf("usage %+v out of nothing", *u)
	case tc.usage != nil && (u == nil || *u != *tc.usage):
		t.Errorf("usage %+v, want %+v", u, *tc.usage)
	}
	if a.Started.HTTPStatus != 200 {
		t.Errorf("started with status %d", a.Started.HTTPStatus)
	}
}

func modeName(stream bool) string {
	if stream {
		return ", streamed"
	}
	return ", whole"
}

func modePrefix(stream bool) string {
	if stream {
		return "stream-"
	}
	return "whole-"
}

func (s suite) failures(t *testing.T) {
	for _, tc := range failureCases {
		for _, stream := range []bool{false, true} {
			if stream && tc.only == whole || !stream && tc.only == streamed {
				continue
			}
			t.Run(tc.sentence+modeName(stream), func(t *testing.T) { s.failure(t, &tc, stream) })
		}
	}
}

func (s suite) failure(t *testing.T, tc *failureCase, stream bool) {
	u, trap := NewUpstream(t), NewUpstream(t)
	if tc.stalls {
		u.Patience = 300 * time.Millisecond
	}
	name := tc.file
	if !tc.sameFile {
		name = modePrefix(stream) + name
	}
	u.Answer(strings.ReplaceAll(File(t, name), "{{trap}}", trap.URL))
	p := s.newProvider(t, u)
	a := Collect(t.Context(), t, p, call(t, p, stream))
	if a.Err == nil {
		t.Fatalf("it passed for a success: %+v", a)
	}
	checkFailure(t, a.Err, tc)
	if (a.Started != nil) != tc.started {
		t.Errorf("started: %v, want %v", a.Started != nil, tc.started)
	}
	if !strings.HasPrefix(a.Text, tc.text) {
		t.Errorf("the text that came before is %q, want %q", a.Text, tc.text)
	}
	if n := trap.Connections(); n != 0 {
		t.Errorf("the trap was called %d times", n)
	}
	if n := len(u.Requests()); n != 1 {
		t.Errorf("%d attempts, want one", n)
	}
}

func checkFailure(t *testing.T, got *llm.Error, tc *failureCase) {
	t.Helper()
	if got.Fault.Kind != tc.kind || got.Fault.Code != tc.code {
		t.Errorf("kind %d code %s, want %d %s (%v; %s)", got.Fault.Kind, got.Fault.Code, tc.kind, tc.code, got, got.Detail)
	}
	if got.HTTPStatus != tc.status {
		t.Errorf("HTTP status %d, want %d", got.HTTPStatus, tc.status)
	}
	if got.Retryable != tc.retryable || got.NotSent {
		t.Errorf("retryable %v, not sent %v", got.Retryable, got.NotSent)
	}
	if got.Outage != tc.outage {
		t.Errorf("outage %v, want %v", got.Outage, tc.outage)
	}
	if got.RetryAfter != tc.retryAfter || got.Fault.RetryAfter != tc.retryAfter {
		t.Errorf("retry after %v, in the fault %v, want %v", got.RetryAfter, got.Fault.RetryAfter, tc.retryAfter)
	}
	if got.Fault.Message == "" || strings.Contains(got.Error()+got.Fault.Message+got.Fault.Code, Canary) {
		t.Errorf("the upstream's text leaked, or there is none: %q, %q", got.Fault.Message, got.Error())
	}
	if tc.explained && !strings.Contains(got.Detail, Canary) {
		t.Errorf("the detail for the audit is %q", got.Detail)
	}
	if len(got.Detail) > 2<<10 {
		t.Errorf("the detail has %d bytes", len(got.Detail))
	}
	if tc.names != "" && !strings.Contains(got.Fault.Message, tc.names) {
		t.Errorf("the message %q does not name %q", got.Fault.Message, tc.names)
	}
}

func (s suite) sendsTheBody(t *testing.T) {
	u := NewUpstream(t)
	u.Answer(File(t, "stream-text"))
	p := s.newProvider(t, u)
	c := call(t, p, true)
	Collect(t.Context(), t, p, c)
	got := u.Requests()[0]
	if string(got.Body) != string(c.Body) {
		t.Errorf("sent %s, encoded %s", got.Body, c.Body)
	}
	if !json.Valid(c.Body) || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("content type %q of %s", got.Header.Get("Content-Type"), c.Body)
	}
	if ua := got.Header.Get("User-Agent"); !strings.HasPrefix(ua, "parley/") {
		t.Errorf("user agent %q", ua)
	}
}

func (s suite) encodeIsPure(t *testing.T) {
	p := s.newProvider(t, NewUpstream(t))
	req := request(true)
	first, err := p.Encode(req)
	second, err2 := p.Encode(req)
	if err := errors.Join(err, err2); err != nil || string(first) != string(second) {
		t.Errorf("%s then %s: %v", first, second, err)
	}
	if &first[0] == &second[0] {
		t.Error("two encodings share their bytes")
	}
}

func (s suite) unsupportedItem(t *testing.T) {
	p := s.newProvider(t, NewUpstream(t))
	req := request(false)
	req.Items = append(req.Items, llm.Item{Type: "no_such_item", Data: json.RawMessage(`{"type":"no_such_item","x":"` + Canary + `"}`)})
	_, err := p.Encode(req)
	f := fault.Of(err)
	if f.Kind != fault.Invalid || f.Code != "unsupported_item" || strings.Contains(f.Message, Canary) {
		t.Errorf("got %v", err)
	}
}

func (s suite) refused(t *testing.T) {
	u := NewUpstream(t)
	u.Close()
	p := s.newProvider(t, u)
	a := Collect(t.Context(), t, p, call(t, p, true))
	if a.Err == nil || a.Err.Fault.Code != "upstream_failed" || !a.Err.NotSent || !a.Err.Retryable || !a.Err.Outage || a.Started != nil {
		t.Errorf("got %+v", a.Err)
	}
}

func (s suite) breakingOff(t *testing.T) {
	u := NewUpstream(t)
	u.Answer(File(t, "stream-stall"))
	p := s.newProvider(t, u)
	for ev, err := range p.Generate(t.Context(), call(t, p, true)) {
		if err != nil {
			t.Fatalf("failed: %v", err)
		}
		if _, ok := ev.(llm.TextDelta); ok {
			break
		}
	}
	wait(t, "the connection to close", u.Gone)
}

func (s suite) cancelling(t *testing.T) {
	cause := errors.New("the user has left")
	for name, file := range map[string]string{"before an answer": "no-headers", "in mid-stream": "stream-stall"} {
		t.Run(name, func(t *testing.T) {
			u := NewUpstream(t)
			u.Answer(File(t, file))
			p := s.newProvider(t, u)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			go func() {
				<-u.Arrived
				cancel(cause)
			}()
			a := Collect(ctx, t, p, call(t, p, true))
			if a.Err == nil || a.Err.Fault.Kind != fault.Canceled || !errors.Is(a.Err, cause) || a.Err.Retryable || a.Err.NotSent || a.Err.Outage {
				t.Errorf("got %+v", a.Err)
			}
			wait(t, "the connection to close", u.Gone)
		})
	}
}

func (s suite) cancelledBefore(t *testing.T) {
	u := NewUpstream(t)
	p := s.newProvider(t, u)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := Collect(ctx, t, p, call(t, p, false))
	if a.Err == nil || a.Err.Fault.Kind != fault.Canceled || !a.Err.NotSent || a.Err.Retryable || a.Err.Outage {
		t.Errorf("got %+v", a.Err)
	}
	if n := len(u.Requests()); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

func (s suite) deadline(t *testing.T) {
	u := NewUpstream(t)
	u.Answer(File(t, "no-headers"))
	p := s.newProvider(t, u)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	a := Collect(ctx, t, p, call(t, p, false))
	if a.Err == nil || a.Err.Fault.Kind != fault.Timeout || a.Err.Fault.Code != "upstream_timeout" || a.Err.Retryable || !a.Err.Outage {
		t.Errorf("got %+v", a.Err)
	}
}

func (s suite) concurrent(t *testing.T) {
	u := NewUpstream(t)
	u.Always(File(t, "stream-text"))
	p := s.newProvider(t, u)
	c := call(t, p, true)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if a := Collect(t.Context(), t, p, c); a.Text != helloWorld {
				t.Errorf("text %q, %v", a.Text, a.Err)
			}
		})
	}
	all.Wait()
}

func (s suite) keepAlive(t *testing.T) {
	const calls = 20
	for _, stream := range []bool{false, true} {
		u := NewUpstream(t)
		u.Always(File(t, modePrefix(stream)+"text"))
		p := s.newProvider(t, u)
		for range calls {
			if a := Collect(t.Context(), t, p, call(t, p, stream)); a.Err != nil {
				t.Fatalf("failed: %v", a.Err)
			}
		}
		// A stream's connection may be given back a moment after its last event.
		if n := u.Connections(); n > calls/2 {
			t.Errorf("%d connections for %d calls%s", n, calls, modeName(stream))
		}
	}
}

func (s suite) models(t *testing.T) {
	t.Run("are listed", func(t *testing.T) {
		u := NewUpstream(t)
		u.Answer(File(t, "models"))
		got, err := s.newProvider(t, u).Models(t.Context())
		want := []llm.Model{{ID: "model-1", OwnedBy: "someone", Created: time.Unix(1700000000, 0).UTC()}, {ID: "model-2"}}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v", got, err)
		}
	})
	for file, code := range map[string]string{"401": "upstream_auth", "500": "upstream_failed", "not-json": "upstream_failed"} {
		t.Run("fail with "+file, func(t *testing.T) {
			u := NewUpstream(t)
			u.Answer(File(t, file))
			_, err := s.newProvider(t, u).Models(t.Context())
			if !fault.Is(err, code) || strings.Contains(err.Error(), Canary) {
				t.Errorf("got %v, want %s", err, code)
			}
		})
	}
	t.Run("a deadline is a timeout", func(t *testing.T) {
		u := NewUpstream(t)
		u.Answer(File(t, "no-headers"))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := s.newProvider(t, u).Models(ctx)
		if !fault.Is(err, "upstream_timeout") {
			t.Errorf("got %v", err)
		}
	})
}
