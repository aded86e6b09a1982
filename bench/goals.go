package main

import (
	"fmt"
	"strings"
)

// goal is one line of what this program wants to reach.
type goal struct {
	what, goal, measured string
	met                  verdict
}

type verdict string

const (
	yes     verdict = "yes"
	no      verdict = "NO"
	skipped verdict = "not measured"
)

func met(ok bool) verdict {
	if ok {
		return yes
	}
	return no
}

const goalLevel = 64 // connections at which a turn is judged

// goals judges a run. A goal whose section was left out, and one that needs a program from elsewhere, says so.
func (b *bench) goals(r results) []goal {
	var goals []goal
	goals = append(goals, r.turns.goals()...)
	goals = append(goals, truncation(r), r.memory.goal(), r.long.goal(), r.large.goal())
	goals = append(goals, r.start.goals()...)
	return append(goals, elsewhere()...)
}

func elsewhere() []goal {
	const peer = "needs that program, which is not part of this repository"
	return []goal{
		{"CPU of a turn against GoModel with audit", "less", peer, skipped},
		{"CPU of a turn against openresponses-gw", "<= a quarter", peer, skipped},
		{"turns per second against openresponses-gw", ">= 5x", peer, skipped},
		{"create a message; list 50 against PocketBase", ">= 3x; >= 5x", peer, skipped},
		{"Chat Completions relay, store:false", "<= 2.5x proxy", "/v1 is not there yet", skipped},
	}
}

func (r *turnResult) goals() []goal {
	goals := []goal{
		{what: "CPU of a turn, whole, c=64", goal: "<= 4x proxy"},
		{what: "CPU of a turn, streamed, c=64", goal: "<= 3.2x proxy"},
		{what: "turns per second, whole, c=64", goal: ">= fdatasyncs per second of the run"},
		{what: "time to first token, c=1", goal: "<= proxy + one durable commit + 300 us"},
	}
	if r == nil {
		return unmeasured(goals)
	}
	for i, stream := range []bool{false, true} {
		times := ratio(r.figure(parleyTarget, stream, goalLevel, window.cpuMicros), r.figure(proxyTarget, stream, goalLevel, window.cpuMicros))
		goals[i].measured = fmt.Sprintf("%.2fx", times)
		goals[i].met = met(times <= []float64{4, 3.2}[i])
	}
	turns, syncs := r.figure(parleyTarget, false, goalLevel, window.perSecond), r.commitsPerSecond()
	goals[2].measured, goals[2].met = fmt.Sprintf("%.0f against %.0f", turns, syncs), met(turns >= syncs)

	first, proxy, commit := r.figure(parleyTarget, true, 1, firstMicros), r.figure(proxyTarget, true, 1, firstMicros), r.commitMicros()
	goals[3].measured = fmt.Sprintf("%.0f us against %.0f + %.0f + 300 (%.2fx proxy beyond the two)", first, proxy, commit, ratio(first-proxy-commit, proxy))
	goals[3].met = met(first <= proxy+commit+300)
	return goals
}

// truncation counts the streams of the turns too; the goal itself is about 100,000.
func truncation(r results) goal {
	g := goal{what: "streams truncated in 100,000", goal: "0"}
	all, truncated := 0, 0
	if r.turns != nil {
		all, truncated = r.turns.streams(parleyTarget)
	}
	if r.streams != nil {
		all, truncated = all+r.streams.all, truncated+r.streams.truncated
	}
	if all == 0 {
		return unmeasured([]goal{g})[0]
	}
	g.measured, g.met = fmt.Sprintf("%d of %d", truncated, all), met(truncated == 0)
	if g.met == yes && all < 100_000 {
		g.met = "so far (-streams 100000)"
	}
	return g
}

func (r *memoryResult) goal() goal {
	g := goal{what: "memory per open stream, 1,000 streams", goal: "<= 1.3x proxy"}
	if r == nil {
		return unmeasured([]goal{g})[0]
	}
	times := ratio(median(r.parley), median(r.proxy))
	g.measured, g.met = fmt.Sprintf("%.2fx with %d", times, r.streams), met(times <= 1.3)
	return g
}

func (r *longResult) goal() goal {
	g := goal{what: "CPU of a turn on 10,000 messages against 50", goal: "<= 1.1x"}
	if r == nil {
		return unmeasured([]goal{g})[0]
	}
	times := ratio(medianOf(r.long, window.cpuMicros), medianOf(r.short, window.cpuMicros))
	g.measured, g.met = fmt.Sprintf("%.2fx", times), met(times <= 1.1)
	return g
}

func (r *largeResult) goal() goal {
	g := goal{what: "1,000,000 conversations against 1,000: list, get, turn", goal: "<= 1.3x CPU"}
	if r == nil {
		g.measured, g.met = "-conversations 1000000", skipped
		return g
	}
	// The goal is for these; the others are in the table.
	calls := []string{"list", "get", "turn"}
	worst, each := 0.0, make([]string, len(calls))
	for i, call := range calls {
		times := ratio(medianOf(r.large[call], window.cpuMicros), medianOf(r.small[call], window.cpuMicros))
		worst, each[i] = max(worst, times), fmt.Sprintf("%.2fx", times)
	}
	g.measured, g.met = fmt.Sprintf("%s with %d", strings.Join(each, ", "), r.conversations), met(worst <= 1.3)
	if g.met == yes && r.conversations < 1_000_000 {
		g.met = "so far (-conversations 1000000)"
	}
	return g
}

func (r *startResult) goals() []goal {
	goals := []goal{
		{what: "start to ready, empty directory", goal: "<= 100 ms"},
		{what: "idle memory", goal: "<= 25 MiB"},
		{what: "binary, static and stripped", goal: "<= 35 MB"},
	}
	if r == nil {
		return unmeasured(goals)
	}
	ready, idle, size := median(r.first), median(r.idle), float64(r.binary)/1e6
	goals[0].measured, goals[0].met = fmt.Sprintf("%.0f ms", ready), met(ready <= 100)
	goals[1].measured, goals[1].met = fmt.Sprintf("%.1f MiB", idle), met(idle <= 25)
	goals[2].measured, goals[2].met = fmt.Sprintf("%.1f MB", size), met(size <= 35)
	return goals
}

func unmeasured(goals []goal) []goal {
	for i := range goals {
		goals[i].measured, goals[i].met = "section left out", skipped
	}
	return goals
}

func writeGoals(out *strings.Builder, goals []goal) {
	t := table{title: "Goals", header: []string{"what", "goal", "measured", "met"}}
	for _, g := range goals {
		t.rows = append(t.rows, []string{g.what, g.goal, g.measured, string(g.met)})
	}
	out.WriteString(t.String())
}
