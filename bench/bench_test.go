package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func dialTest(t *testing.T, url string) *client {
	t.Helper()
	c, err := dial(t.Context(), strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestMedian(t *testing.T) {
	for _, row := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{7}, 7}, {[]float64{9, 1}, 5}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5},
	} {
		before := slices.Clone(row.values)
		if got := median(row.values); got != row.want {
			t.Errorf("median(%v) = %v, want %v", row.values, got, row.want)
		}
		if !slices.Equal(before, row.values) {
			t.Errorf("median changed its input to %v", row.values)
		}
	}
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	for _, row := range []struct {
		values []time.Duration
		p      float64
		want   time.Duration
	}{
		{nil, 50, 0},
		{[]time.Duration{5}, 99, 5},
		{[]time.Duration{2, 1}, 50, 1},
		{[]time.Duration{3, 1, 2}, 50, 2},
		{[]time.Duration{3, 1, 2}, 99, 3},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 0, 1},
		{hundred, 100, 100},
	} {
		if got := percentile(slices.Clone(row.values), row.p); got != row.want {
			t.Errorf("percentile(%d values, %v) = %d, want %d", len(row.values), row.p, got, row.want)
		}
	}
}

func TestKernelAccountsAreParsed(t *testing.T) {
	if ran, err := parseSchedstat("1234567 890 12\n"); err != nil || ran != 1234567 {
		t.Errorf("schedstat: %v, %v", ran, err)
	}
	if _, err := parseSchedstat(""); err == nil {
		t.Error("an empty schedstat is accepted")
	}
	if bytes, err := parseRSS("Name:\tx\nVmHWM:\t  99 kB\nVmRSS:\t    1234 kB\n"); err != nil || bytes != 1234<<10 {
		t.Errorf("status: %v, %v", bytes, err)
	}
	if _, err := parseRSS("Name:\tx\n"); err == nil {
		t.Error("a status without VmRSS is accepted")
	}
	if runtime.GOOS != "linux" {
		t.Skip("no /proc here")
	}
	if ran, err := cpu(os.Getpid()); err != nil || ran <= 0 {
		t.Errorf("own time %v: %v", ran, err)
	}
	if bytes, err := rss(os.Getpid()); err != nil || bytes < 1<<20 {
		t.Errorf("own memory %d: %v", bytes, err)
	}
	if _, err := cpu(-1); err == nil {
		t.Error("a process that is not there has an account")
	}
}

func TestIDOf(t *testing.T) {
	if id, err := idOf([]byte(`{"object":"conversation","id":"conv_1"}`)); err != nil || id != "conv_1" {
		t.Errorf("%q, %v", id, err)
	}
	for _, body := range []string{`{}`, `{"id":""}`, `nope`} {
		if _, err := idOf([]byte(body)); err == nil {
			t.Errorf("%s has an id", body)
		}
	}
}

func TestClientTellsHowAStreamEnded(t *testing.T) {
	for _, row := range []struct {
		name, body        string
		d                 dialect
		terminal, success bool
	}{
		{"chat, done", "data: {\"a\":1}\n\ndata: [DONE]\n\n", chatDialect, true, true},
		{"chat, cut off", "data: {\"a\":1}\n\n", chatDialect, false, false},
		{
			"native, completed", "event: response.output_text.delta\ndata: {}\n\nevent: response.completed\ndata: {}\n\n",
			nativeDialect, true, true,
		},
		{
			"native, failed", "event: response.output_text.delta\ndata: {}\n\nevent: response.failed\ndata: {}\n\n",
			nativeDialect, true, false,
		},
		{"native, cut off", "event: response.output_text.delta\ndata: {}\n\n", nativeDialect, false, false},
		{
			"a line longer than the buffer",
			"event: response.output_text.delta\ndata: " + strings.Repeat("x", 100<<10) + "\n\nevent: response.completed\n\n",
			nativeDialect, true, true,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				// Small pieces, so that no event comes in one chunk.
				for piece := range slices.Chunk([]byte(row.body), max(7, len(row.body)/50)) {
					_, _ = w.Write(piece)
					_ = http.NewResponseController(w).Flush()
				}
			}))
			defer server.Close()
			c := dialTest(t, server.URL)
			for range 2 { // the connection is good for another request
				answer, err := c.do(post("/", "{}"), row.d)
				if err != nil {
					t.Fatal(err)
				}
				if answer.terminal != row.terminal || answer.success != row.success || answer.first == 0 {
					t.Errorf("terminal %t, success %t, first %v", answer.terminal, answer.success, answer.first)
				}
			}
		})
	}
}

func TestClientReadsWholeAnswersOfEveryFraming(t *testing.T) {
	long := strings.Repeat("text ", 20_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/length":
			_, _ = io.WriteString(w, "short")
		case "/chunks":
			_, _ = io.WriteString(w, long)
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/missing":
			http.Error(w, "no", http.StatusNotFound)
		}
	}))
	defer server.Close()
	c := dialTest(t, server.URL)
	for _, row := range []struct {
		path   string
		status int
		body   string
	}{
		{"/length", 200, "short"}, {"/chunks", 200, long}, {"/none", 204, ""}, {"/missing", 404, "no\n"}, {"/length", 200, "short"},
	} {
		answer, err := c.do(get(row.path), nativeDialect)
		if err != nil {
			t.Fatal(err)
		}
		if answer.status != row.status || string(answer.body) != row.body {
			t.Errorf("%s: status %d, %d bytes", row.path, answer.status, len(answer.body))
		}
	}
}

func TestClientReportsAConnectionThatBreaks(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {}\n\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	if _, err := dialTest(t, server.URL).do(get("/"), chatDialect); err == nil {
		t.Error("a broken stream is no error")
	}
}

// native answers as Parley does, as far as the load generator looks, and keeps count of the turns of each conversation.
type native struct {
	mu    sync.Mutex
	made  int
	turns map[string]int
}

func (n *native) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/conversations", func(w http.ResponseWriter, _ *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.made++
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, `{"id":"conv_%d"}`, n.made)
	})
	mux.HandleFunc("POST /api/conversations/{id}/responses", func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.turns[r.PathValue("id")]++
		_, _ = io.WriteString(w, "{}")
	})
	return mux
}

func own(url string) *process {
	return &process{name: "test", address: strings.TrimPrefix(url, "http://"), command: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}
}

func TestWorkersTakeAFreshConversationAfterTheGivenTurns(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no /proc here")
	}
	service := &native{turns: map[string]int{}}
	server := httptest.NewServer(service.handler())
	defer server.Close()
	t1 := target{process: own(server.URL), dialect: nativeDialect, supplies: turns(strings.TrimPrefix(server.URL, "http://"), promptBody("mock", false), 3)}
	w, err := measure(t.Context(), t1, 4, 90, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	// 90 expected: 40 conversations, and two more for each of the 4 workers. The window ends when they are used up.
	if service.made != 48 || w.requests != 48*3 || w.failed+w.truncated != 0 {
		t.Errorf("%d conversations, %d requests, %d failed", service.made, w.requests, w.failed)
	}
	for id, count := range service.turns {
		if count != 3 {
			t.Errorf("%s had %d turns", id, count)
		}
	}
	if w.p50 <= 0 || w.p99 < w.p50 || w.cpuMicros() <= 0 || w.perSecond() <= 0 {
		t.Errorf("figures: %+v", w)
	}
}

func TestMeasureCountsFailuresAndTruncatedStreams(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no /proc here")
	}
	answers := []string{"data: {}\n\ndata: [DONE]\n\n", "data: {}\n\n", "", "broken"}
	var mu sync.Mutex
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		answer := answers[asked%len(answers)]
		asked++
		mu.Unlock()
		switch answer {
		case "":
			http.Error(w, "no", http.StatusServiceUnavailable)
		case "broken":
			panic(http.ErrAbortHandler)
		default:
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, answer)
			_ = http.NewResponseController(w).Flush()
		}
	}))
	defer server.Close()
	one := target{process: own(server.URL), dialect: chatDialect, stream: true, supplies: func(ctx context.Context, c, n int) ([]supply, error) {
		all, err := always(get("/"))(ctx, c, n)
		return limited(all, n), err
	}}
	w, err := measure(t.Context(), one, 1, 40, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if w.requests != 10 || w.failed != 10 || w.truncated != 20 || w.problem == "" {
		t.Errorf("%d good, %d failed, %d truncated: %q", w.requests, w.failed, w.truncated, w.problem)
	}
}

func TestMessagesAlternate(t *testing.T) {
	if got := messages(3); strings.Count(got, `"role":"user"`) != 2 || strings.Count(got, `"role":"assistant"`) != 1 {
		t.Error(got)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{
		{"-rounds", "0"}, {"-window", "-1s"}, {"-only", "nothing"}, {"more"}, {"-unknown"}, {"-turns", "0"}, {"-streams", "-1"},
	} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
	b, err := parse([]string{"-short", "-only", "streams,large"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if b.rounds != 1 || b.count == 0 || b.conversations == 0 || b.given {
		t.Errorf("%+v", b)
	}
	if b, err = parse(nil, io.Discard); err != nil || slices.Contains(b.only, "large") || b.rounds != 5 {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestGoalsAreJudgedByTheirFigures(t *testing.T) {
	windows := func(cpu time.Duration, requests int, first time.Duration) []window {
		return []window{{requests: requests, cpu: cpu, elapsed: time.Second, first: first}}
	}
	good := results{
		turns: &turnResult{
			windows: map[cell][]window{
				{proxyTarget, false, 64}:  windows(100*time.Millisecond, 1000, 0),
				{parleyTarget, false, 64}: windows(390*time.Millisecond, 1000, 0),
				{proxyTarget, true, 64}:   windows(100*time.Millisecond, 1000, 0),
				{parleyTarget, true, 64}:  windows(310*time.Millisecond, 1000, 0),
				{proxyTarget, true, 1}:    windows(time.Millisecond, 10, 200*time.Microsecond),
				{parleyTarget, true, 1}:   windows(time.Millisecond, 10, 700*time.Microsecond),
			},
			commits: []commitRate{{perSecond: 900, p50: 250 * time.Microsecond}},
		},
		memory:  &memoryResult{streams: 1000, proxy: []float64{50}, parley: []float64{60}},
		start:   &startResult{first: []float64{80}, again: []float64{60}, idle: []float64{20}, binary: 30e6},
		long:    &longResult{short: windows(100, 1, 0), long: windows(105, 1, 0)},
		streams: &streamResult{all: 100_000},
	}
	b := &bench{}
	verdicts := map[verdict]int{}
	for _, g := range b.goals(good) {
		verdicts[g.met]++
	}
	if verdicts[yes] != 10 || verdicts[no] != 0 || verdicts[skipped] != 6 {
		t.Errorf("good figures: %v", verdicts)
	}

	bad := good
	bad.turns = &turnResult{windows: map[cell][]window{
		{proxyTarget, false, 64}:  windows(100*time.Millisecond, 1000, 0),
		{parleyTarget, false, 64}: windows(410*time.Millisecond, 1000, 0),
		{proxyTarget, true, 64}:   windows(100*time.Millisecond, 1000, 0),
		{parleyTarget, true, 64}:  windows(330*time.Millisecond, 1000, 0),
		{proxyTarget, true, 1}:    windows(time.Millisecond, 10, 200*time.Microsecond),
		{parleyTarget, true, 1}:   windows(time.Millisecond, 10, 800*time.Microsecond),
	}, commits: []commitRate{{perSecond: 1100, p50: 250 * time.Microsecond}}}
	bad.memory = &memoryResult{streams: 1000, proxy: []float64{50}, parley: []float64{70}}
	bad.start = &startResult{first: []float64{120}, idle: []float64{26}, binary: 36e6}
	bad.long = &longResult{short: windows(100, 1, 0), long: windows(120, 1, 0)}
	bad.streams = &streamResult{all: 100_000, truncated: 1}
	verdicts = map[verdict]int{}
	for _, g := range b.goals(bad) {
		verdicts[g.met]++
	}
	if verdicts[yes] != 0 || verdicts[no] != 10 {
		t.Errorf("bad figures: %v", verdicts)
	}
	for _, g := range b.goals(results{}) {
		if g.met != skipped {
			t.Errorf("%s is judged without a figure: %v", g.what, g.met)
		}
	}
}

func TestTablesAreAligned(t *testing.T) {
	text := table{title: "T", header: []string{"name", "n"}, rows: [][]string{{"a", "1"}, {"longer", "12345"}}}.String()
	want := "\n## T\n\n| name   |     n |\n| ------ | ----: |\n| a      |     1 |\n| longer | 12345 |\n"
	if text != want {
		t.Errorf("%q", text)
	}
}
