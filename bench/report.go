package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// report is the whole run as a Markdown document that also reads well in a terminal.
func (b *bench) report(ctx context.Context, r results, args []string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# Benchmarks\n\n%s\n", b.about(ctx, args))
	writeGoals(&out, b.goals(r))
	for _, t := range b.tables(r) {
		out.WriteString(t.String())
	}
	return out.String()
}

func (b *bench) about(ctx context.Context, args []string) string {
	command := strings.Join(append([]string{"go run ./bench"}, args...), " ")
	subject := "from commit " + commit(ctx)
	if b.given {
		subject = "of a binary built elsewhere (-parley-bin)"
	}
	return fmt.Sprintf(`Made by `+"`%s`"+` on %s %s.
Machine: %s, %d cores, %s; data on %s; %s; load average when the run began %s.

Client, servers and mock upstream share these cores: absolute figures mean little, ratios to the bare proxy of the same run
carry over to other machines. The mock answers at once, with %d bytes of JSON or %d events and [DONE]. The bare proxy is
net/http/httputil.ReverseProxy; it first reads the request's body and reuses its buffers. Parley stores and audits every
turn, durably, before it answers; a worker takes a fresh conversation after %d turns. CPU is the server process's own time by
the scheduler's account, per request. Figures are medians over the rounds (%d, each stretch %s long), the targets interleaved,
their order rotated.
`,
		command, time.Now().UTC().Format("2006-01-02 15:04 UTC"), subject,
		processor(), runtime.NumCPU(), kernel(), fileSystem(b.root), runtime.Version(), b.load,
		jsonBytes, streamChunks, b.perConversation, b.rounds, b.window)
}

func commit(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(text))
}

// loadAverage of the last minute: what else kept the machine busy.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// table is one table of the report. The first column is left-aligned, the others are figures.
type table struct {
	title, note string
	header      []string
	rows        [][]string
}

func (t table) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n## %s\n\n", t.title)
	if t.note != "" {
		fmt.Fprintf(&out, "%s\n\n", t.note)
	}
	widths := make([]int, len(t.header))
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, text := range row {
			widths[i] = max(widths[i], len(text), 3)
		}
	}
	line := func(row []string) {
		for i, text := range row {
			if i == 0 {
				fmt.Fprintf(&out, "| %-*s ", widths[i], text)
			} else {
				fmt.Fprintf(&out, "| %*s ", widths[i], text)
			}
		}
		out.WriteString("|\n")
	}
	line(t.header)
	rule := make([]string, len(widths))
	for i, width := range widths {
		rule[i] = strings.Repeat("-", width)
		if i > 0 {
			rule[i] = rule[i][:width-1] + ":"
		}
	}
	line(rule)
	for _, row := range t.rows {
		line(row)
	}
	return out.String()
}

func (b *bench) tables(r results) []table {
	var tables []table
	if r.turns != nil {
		tables = append(tables, r.turns.table(false), r.turns.table(true), r.turns.disk())
	}
	if r.memory != nil {
		tables = append(tables, r.memory.table())
	}
	if r.start != nil {
		tables = append(tables, r.start.table())
	}
	if r.crud != nil {
		tables = append(tables, r.crud.table())
	}
	if r.long != nil {
		tables = append(tables, r.long.table())
	}
	if r.large != nil {
		tables = append(tables, r.large.table())
	}
	return tables
}

func (r *turnResult) table(stream bool) table {
	t := table{
		title:  "A turn, whole (JSON)",
		header: []string{"target", "c", "CPU us", "x proxy", "requests/s", "p50 ms", "p99 ms", "RSS MiB", "failed"},
	}
	if stream {
		t.title = "A turn, streamed (SSE)"
		t.note = "TTFT is the time to the first event with text (of the mock and the proxy: the first chunk)."
		t.header = append(t.header, "TTFT us", "truncated")
	}
	for _, c := range levels {
		proxy := r.figure(proxyTarget, stream, c, window.cpuMicros)
		for _, name := range targetNames {
			at := cell{name, stream, c}
			cpuMicros, times := r.figure(name, stream, c, window.cpuMicros), "-"
			if name != directTarget {
				times = fmt.Sprintf("%.2f", ratio(cpuMicros, proxy))
			}
			row := []string{
				name, fmt.Sprint(c), fmt.Sprintf("%.0f", cpuMicros), times,
				fmt.Sprintf("%.0f", r.figure(name, stream, c, window.perSecond)),
				fmt.Sprintf("%.2f", r.figure(name, stream, c, func(w window) float64 { return millis(w.p50) })),
				fmt.Sprintf("%.2f", r.figure(name, stream, c, func(w window) float64 { return millis(w.p99) })),
				fmt.Sprintf("%.0f", r.figure(name, stream, c, func(w window) float64 { return float64(w.rss) / (1 << 20) })),
				fmt.Sprint(sumOf(r.windows[at], func(w window) int { return w.failed })),
			}
			if stream {
				row = append(row, fmt.Sprintf("%.0f", r.figure(name, stream, c, firstMicros)),
					fmt.Sprint(sumOf(r.windows[at], func(w window) int { return w.truncated })))
			}
			t.rows = append(t.rows, row)
		}
	}
	return t
}

func firstMicros(w window) float64 { return micros(w.first) }

func (r *turnResult) commitsPerSecond() float64 {
	return medianOf(r.commits, func(c commitRate) float64 { return c.perSecond })
}

func (r *turnResult) commitMicros() float64 {
	return medianOf(r.commits, func(c commitRate) float64 { return micros(c.p50) })
}

func (r *turnResult) disk() table {
	return table{
		title:  "The disk in the same run",
		note:   "4 KiB appended, then fdatasync, one after the other, while nothing else was measured.",
		header: []string{"disk", "syncs/s", "p50 us"},
		rows:   [][]string{{"fdatasync", fmt.Sprintf("%.0f", r.commitsPerSecond()), fmt.Sprintf("%.0f", r.commitMicros())}},
	}
}

func (r *memoryResult) table() table {
	proxy, parley := median(r.proxy), median(r.parley)
	return table{
		title:  "Memory of an open stream",
		note:   fmt.Sprintf("Resident memory that came on per stream when %d were opened and held, in a fresh process.", r.streams),
		header: []string{"target", "KiB per stream", "x proxy"},
		rows: [][]string{
			{proxyTarget, fmt.Sprintf("%.1f", proxy), "1.00"},
			{parleyTarget, fmt.Sprintf("%.1f", parley), fmt.Sprintf("%.2f", ratio(parley, proxy))},
		},
	}
}

func (r *startResult) table() table {
	return table{
		title:  "Start, idle memory, size",
		header: []string{"what", "figure"},
		rows: [][]string{
			{"exec to the first 200 of /readyz, empty directory, ms", fmt.Sprintf("%.0f", median(r.first))},
			{"the same with a database there, ms", fmt.Sprintf("%.0f", median(r.again))},
			{"resident a second later, MiB", fmt.Sprintf("%.1f", median(r.idle))},
			{"binary, static and stripped, MB", fmt.Sprintf("%.1f", float64(r.binary)/1e6)},
		},
	}
}

var callHeader = []string{"call", "CPU us", "requests/s", "p50 ms", "p99 ms", "failed"}

func callRow(name string, windows []window) []string {
	return []string{
		name,
		fmt.Sprintf("%.0f", medianOf(windows, window.cpuMicros)),
		fmt.Sprintf("%.0f", medianOf(windows, window.perSecond)),
		fmt.Sprintf("%.2f", medianOf(windows, func(w window) float64 { return millis(w.p50) })),
		fmt.Sprintf("%.2f", medianOf(windows, func(w window) float64 { return millis(w.p99) })),
		fmt.Sprint(sumOf(windows, func(w window) int { return w.failed + w.truncated })),
	}
}

func (r *crudResult) table() table {
	return table{
		title:  "Calls that reach no model, c=64",
		header: callHeader,
		rows: [][]string{
			callRow("create a message", r.create),
			callRow("list 50 messages of 1,000", r.list),
		},
	}
}

func (r *longResult) table() table {
	return table{
		title:  "A turn in a long conversation, c=4, PARLEY_CONTEXT_MESSAGES=50",
		header: callHeader,
		rows: [][]string{
			callRow("of 50 messages at first", r.short),
			callRow("of 10,000 messages", r.long),
		},
	}
}

func (r *largeResult) table() table {
	t := table{title: "A large store, c=16", header: callHeader}
	for _, call := range r.calls {
		t.rows = append(t.rows,
			callRow(call+", of 1,000 conversations", r.small[call]),
			callRow(fmt.Sprintf("%s, of %d", call, r.conversations), r.large[call]))
	}
	return t
}
