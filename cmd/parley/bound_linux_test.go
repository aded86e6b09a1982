package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
)

// A model's answer, and the pieces in which it streams.
const (
	bigAnswer = 1 << 20
	bigPieces = 2048
)

// bound is a place for a process to run in that gives it only so much memory.
type bound struct {
	// kind says what it is; dir is empty where only the process's own figures are watched.
	kind, dir string
	v1        bool
}

// newBound makes a control group of so much memory, or says why it cannot.
func newBound(t *testing.T, mib int) bound {
	t.Helper()
	limit := strconv.Itoa(mib << 20)
	for _, c := range []struct {
		root, limit string
		v1          bool
	}{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", true},
		{"/sys/fs/cgroup", "memory.max", false},
		{ownGroup(), "memory.max", false},
	} {
		dir := filepath.Join(c.root, fmt.Sprintf("parley-test-%d-%d", os.Getpid(), time.Now().UnixNano()))
		if c.root == "" || os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		// Writing, not making: where the group has no such file there is no bound.
		if f, err := os.OpenFile(filepath.Join(dir, c.limit), os.O_WRONLY, 0); err == nil {
			_, err = f.WriteString(limit)
			if errors.Join(err, f.Close()) == nil {
				return bound{kind: "a control group", dir: dir, v1: c.v1}
			}
		}
	}
	return bound{kind: "resident memory alone"}
}

// ownGroup is this process's group in the unified hierarchy, if it has one.
func ownGroup() string {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(groups)) {
		if path, found := strings.CutPrefix(strings.TrimSpace(line), "0::"); found {
			return filepath.Join("/sys/fs/cgroup", path)
		}
	}
	return ""
}

// command runs what is appended to it within the bound.
func (b bound) command(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	if b.dir == "" {
		return exec.CommandContext(t.Context(), path)
	}
	return exec.CommandContext(t.Context(), "/bin/sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(b.dir, "cgroup.procs"), path)
}

// kills is how often the bound has killed something.
func (b bound) kills(t *testing.T) int {
	t.Helper()
	if b.dir == "" {
		return 0
	}
	name := "memory.events"
	if b.v1 {
		name = "memory.oom_control"
	}
	events, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(events)) {
		if n, found := strings.CutPrefix(line, "oom_kill "); found {
			kills, _ := strconv.Atoi(strings.TrimSpace(n))
			return kills
		}
	}
	return 0
}

// peak is the most memory of its own that a process had, in MiB.
func (p *process) peak(t *testing.T) int {
	t.Helper()
	return p.resident(t, "VmHWM:") >> 10
}

// resident is one of the figures of /proc/PID/status, in KiB.
func (p *process) resident(t *testing.T, figure string) int {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if kib, found := strings.CutPrefix(lines.Text(), figure); found {
			n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(kib), " kB"))
			return n
		}
	}
	t.Fatalf("the process has no %s", figure)
	return 0
}

// bigModel answers with texts of a mebibyte. It holds each answer back at its end until n calls have come so far, so that
// all are there at the same time.
type bigModel struct {
	url    string
	n      int
	coming atomic.Int64
	all    chan struct{}
}

func newBigModel(t *testing.T, n int) *bigModel {
	t.Helper()
	m := &bigModel{n: n, all: make(chan struct{})}
	s := httptest.NewServer(http.HandlerFunc(m.answer))
	t.Cleanup(s.Close)
	m.url = s.URL + "/v1"
	return m
}

func (m *bigModel) arrive(ctx context.Context) {
	if m.coming.Add(1) == int64(m.n) {
		close(m.all)
	}
	select {
	case <-m.all:
	case <-ctx.Done():
	}
}

// bigUsage is what each answer has used: counting a mebibyte takes longer than all else.
const bigUsage = `{"prompt_tokens":20,"completion_tokens":200000,"total_tokens":200020}`

// bigText is the answer to a question; a text of its own for each.
func bigText(question string) string {
	line := "The answer to " + question + ", for mail@example.com: it depends, \"as they say\", on the tide; and on the moon.\n"
	return strings.Repeat(line, bigAnswer/len(line)+1)[:bigAnswer]
}

func (m *bigModel) answer(w http.ResponseWriter, r *http.Request) {
	var call struct {
		Stream   bool
		Messages []struct{ Content string }
	}
	if json.NewDecoder(r.Body).Decode(&call) != nil || len(call.Messages) == 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	text := bigText(call.Messages[len(call.Messages)-1].Content)
	if !call.Stream {
		m.arrive(r.Context())
		quoted, _ := json.Marshal(text)
		_, _ = fmt.Fprintf(w, `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":%s},"finish_reason":"stop"}],"usage":%s}`, quoted, bigUsage)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range bigPieces {
		if i == bigPieces-1 {
			_ = http.NewResponseController(w).Flush()
			m.arrive(r.Context())
		}
		quoted, _ := json.Marshal(text[i*len(text)/bigPieces : (i+1)*len(text)/bigPieces])
		if _, err := fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%s},\"finish_reason\":null}]}\n\n", quoted); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":"+bigUsage+"}\n\ndata: [DONE]\n\n")
}

// askStreamed reads a streamed answer and checks that its pieces and its end say what the model said.
func askStreamed(ctx context.Context, client *api.Client, conversation, question string) error {
	want, pieces, ended := sha256.Sum256([]byte(bigText(question))), sha256.New(), false
	events, id, last := client.Stream(ctx, conversation, api.NewResponse{Prompt: api.Text(question)}), "", int64(-1)
	for !ended {
		lagging := false
		for ev, err := range events {
			switch {
			case err != nil && lagging:
			case err != nil:
				return err
			case ev.Type == "error":
				// A reader that a fast model leaves behind reads on.
				lagging = true
				continue
			case ev.SequenceNumber != last+1:
				return fmt.Errorf("event %d comes behind %d", ev.SequenceNumber, last)
			case ev.Type == api.EventCreated:
				id = ev.Response.ID
			case ev.Type == api.EventTextDelta:
				_, _ = io.WriteString(pieces, ev.Delta)
			case ev.Last():
				ended = true
				if sha256.Sum256([]byte(ev.Response.OutputText)) != want {
					return errors.New("the last event is not what the model said")
				}
			}
			last = ev.SequenceNumber
		}
		if !lagging && !ended {
			return errors.New("the stream ended early")
		}
		events = client.Events(ctx, id, last)
	}
	if [sha256.Size]byte(pieces.Sum(nil)) != want {
		return errors.New("the pieces are not what the model said")
	}
	return nil
}

func askWhole(ctx context.Context, client *api.Client, conversation, question string) error {
	r, err := client.Respond(ctx, conversation, api.NewResponse{Prompt: api.Text(question)})
	if err == nil && r.OutputText != bigText(question) {
		err = errors.New("the answer is not what the model said")
	}
	return err
}

// askAndStall begins to read a streamed answer and then reads nothing more until the response has ended: what is meant for it fills what the kernel
// holds for it.
func askAndStall(ctx context.Context, client *api.Client, conversation, question string) error {
	for ev, err := range client.Stream(ctx, conversation, api.NewResponse{Prompt: api.Text(question)}) {
		switch {
		case err != nil:
			return err
		case ev.Type == api.EventCreated:
			return awaitAnswer(ctx, client, ev.Response.ID, question)
		}
	}
	return errors.New("the stream has no beginning")
}

// awaitAnswer returns when a response has ended, within some minutes, and as the model said.
func awaitAnswer(ctx context.Context, client *api.Client, id, question string) error {
	for range 3000 {
		r, err := client.Response(ctx, id)
		switch {
		case err != nil:
			return err
		case r.Status == "completed" && r.OutputText == bigText(question):
			return nil
		case r.Status != "in_progress":
			return fmt.Errorf("the response is %s, with %d bytes", r.Status, len(r.OutputText))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("the response does not end")
}

// How much is asked of a server in short.
const (
	fewAnswers  = 24
	fewBoundMiB = 160
	boundMiB    = 256
)

// R18: many answers of a mebibyte at the same time in little memory. No kill, and each answer whole.
func TestBigAnswersInLittleMemory(t *testing.T) {
	n, mib := fewAnswers, fewBoundMiB
	if given := os.Getenv("PARLEY_BIG_ANSWERS"); given != "" {
		var err error
		if n, err = strconv.Atoi(given); err != nil || n < 1 {
			t.Fatalf("PARLEY_BIG_ANSWERS is %q", given)
		}
		mib = boundMiB
	}
	for name, ask := range map[string]func(ctx context.Context, client *api.Client, conversation, question string) error{
		"streamed": askStreamed, "whole": askWhole, "to readers that stall": askAndStall,
	} {
		t.Run(name, func(t *testing.T) { bigAnswers(t, n, mib, ask) })
	}
}

func bigAnswers(t *testing.T, n, mib int, ask func(ctx context.Context, client *api.Client, conversation, question string) error) {
	model, b := newBigModel(t, n), newBound(t, mib)
	environ := []string{"OPENAI_BASE_URL=" + model.url, "OPENAI_MODEL=big"}
	if b.dir == "" {
		t.Log("NOT TESTED: no control group can be made here, so nothing kills what takes too much. What is resident is watched instead.")
		environ = append(environ, fmt.Sprintf("GOMEMLIMIT=%dMiB", mib/3*2))
	}
	p := launchBy(t, b.command(t, binary(t)), t.TempDir(), environ)
	p.await(t)
	client := &api.Client{BaseURL: p.url, HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}}
	began, failures := time.Now(), make([]error, n)
	var asking sync.WaitGroup
	for i := range n {
		conversation := p.conversation(t)
		asking.Go(func() { failures[i] = ask(t.Context(), client, conversation, fmt.Sprintf("question %d", i)) })
	}
	asking.Wait()
	if kills := b.kills(t); kills > 0 {
		t.Fatalf("the server was killed for its memory: %v", failures[0])
	}
	if err := errors.Join(failures...); err != nil {
		t.Errorf("not each answer came whole: %v", err)
	}
	peak := p.peak(t)
	t.Logf("%d answers of a mebibyte in %v, bounded by %s: at most %d MiB of %d were resident", n, time.Since(began).Round(time.Millisecond), b.kind, peak, mib)
	if peak > mib {
		t.Errorf("%d MiB were resident", peak)
	}
}
