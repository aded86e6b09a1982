package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	prompt = "Please explain in two or three plain sentences why the sea rises and falls twice a day, and why the hour of it moves on from one day to the next."

	directTarget, proxyTarget, parleyTarget = "mock, direct", "bare proxy", "Parley"
)

var (
	targetNames = []string{directTarget, proxyTarget, parleyTarget}
	levels      = []int{1, 16, 64}
)

// cell is one place of the table of turns.
type cell struct {
	target string
	stream bool
	c      int
}

type turnResult struct {
	windows map[cell][]window
	commits []commitRate
}

func (r *turnResult) figure(target string, stream bool, c int, figure func(window) float64) float64 {
	return medianOf(r.windows[cell{target, stream, c}], figure)
}

// streams counts the streams a target was sent and those of them that ended early.
func (r *turnResult) streams(target string) (all, truncated int) {
	for cell, windows := range r.windows {
		if cell.target == target && cell.stream {
			all += sumOf(windows, func(w window) int { return w.requests + w.failed + w.truncated })
			truncated += sumOf(windows, func(w window) int { return w.truncated })
		}
	}
	return all, truncated
}

// chatBody is the request that the mock and the proxy get; promptBody is the same question for Parley.
func chatBody(model string, stream bool) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"stream":%t}`, model, prompt, stream)
}

func promptBody(model string, stream bool) string {
	return fmt.Sprintf(`{"prompt":%q,"model":%q,"stream":%t}`, prompt, model, stream)
}

func (b *bench) turnTarget(name string, parley *process, stream bool) target {
	chat := post("/v1/chat/completions", chatBody(mockModel, stream))
	switch name {
	case directTarget:
		return target{process: b.mock, dialect: chatDialect, stream: stream, supplies: always(chat)}
	case proxyTarget:
		return target{process: b.proxy, dialect: chatDialect, stream: stream, supplies: always(chat)}
	default:
		body := promptBody(mockModel, stream)
		return target{process: parley, dialect: nativeDialect, stream: stream, supplies: turns(parley.address, body, b.perConversation)}
	}
}

// turns measures a turn in every mode and at every level: in each round all three targets one after the other, beginning
// with another one each time, so that a slow moment of the machine does not fall on the same one.
func (b *bench) turns(ctx context.Context) (*turnResult, error) {
	parley, err := b.startParley(ctx)
	if err != nil {
		return nil, err
	}
	defer parley.stop()
	b.say("turns: parley is process %d, the proxy %d, the mock %d", parley.pid(), b.proxy.pid(), b.mock.pid())
	result := &turnResult{windows: map[cell][]window{}}
	expected := map[cell]int{}
	for round := range b.rounds {
		for _, stream := range []bool{false, true} {
			for level, c := range levels {
				for i := range targetNames {
					at := cell{targetNames[(i+round+level)%len(targetNames)], stream, c}
					w, err := b.turnWindow(ctx, at, parley, expected)
					if err != nil {
						return nil, err
					}
					result.windows[at] = append(result.windows[at], w)
				}
			}
		}
		rate, err := measureCommits(ctx, b.dir, b.window/4)
		if err != nil {
			return nil, err
		}
		result.commits = append(result.commits, rate)
		b.say("turns: round %d of %d done", round+1, b.rounds)
	}
	return result, nil
}

func (b *bench) turnWindow(ctx context.Context, at cell, parley *process, expected map[cell]int) (window, error) {
	t := b.turnTarget(at.target, parley, at.stream)
	if expected[at] == 0 {
		warm, err := measure(ctx, t, at.c, 2000, b.window/4)
		if err != nil {
			return window{}, err
		}
		expected[at] = int(warm.perSecond() * b.window.Seconds())
	}
	w, err := measure(ctx, t, at.c, expected[at], b.window)
	if err != nil {
		return window{}, fmt.Errorf("%s at c=%d: %w", at.target, at.c, err)
	}
	if w.problem != "" {
		b.say("%s at c=%d, stream %t: %d failed, %d truncated: %s", at.target, at.c, at.stream, w.failed, w.truncated, w.problem)
	}
	expected[at] = max(int(w.perSecond()*b.window.Seconds()), 1)
	return w, nil
}

// commitRate is what the disk under the data directory can do: one 4 KiB block appended and synced at a time.
type commitRate struct {
	perSecond float64
	p50       time.Duration
}

func measureCommits(ctx context.Context, dir string, length time.Duration) (commitRate, error) {
	file, err := os.Create(filepath.Join(dir, "commits"))
	if err != nil {
		return commitRate{}, err
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	block := []byte(strings.Repeat("x", 4096))
	var latencies []time.Duration
	begin := time.Now()
	for time.Since(begin) < length && ctx.Err() == nil {
		start := time.Now()
		if _, err := file.Write(block); err != nil {
			return commitRate{}, err
		}
		if err := dataSync(file); err != nil {
			return commitRate{}, err
		}
		latencies = append(latencies, time.Since(start))
	}
	rate := ratio(float64(len(latencies)), time.Since(begin).Seconds())
	return commitRate{perSecond: rate, p50: percentile(latencies, 50)}, ctx.Err()
}
