package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// supply hands a worker its next request, nil when there are no more. Every worker has one of its own.
type supply func() []byte

// target is a server under load.
type target struct {
	process *process
	dialect dialect
	// supplies prepares, outside of the measured time, the supplies of c workers that may send about so many requests.
	supplies func(ctx context.Context, c, requests int) ([]supply, error)
	stream   bool
	status   int // of a success; 0 stands for 200
}

// window is what one target did in one measured stretch of time.
type window struct {
	requests  int // that ended as they should
	failed    int // another status, or a stream that said it failed
	truncated int // streams without their closing event, and broken connections
	problem   string
	elapsed   time.Duration
	p50, p99  time.Duration
	first     time.Duration // median time to the first event with text
	cpu       time.Duration // of the server process, all requests together
	rss       int64
}

func (w window) perSecond() float64 { return ratio(float64(w.requests), w.elapsed.Seconds()) }

// cpuMicros is the processor time of the server per request.
func (w window) cpuMicros() float64 { return ratio(micros(w.cpu), float64(w.requests)) }

// tally is one worker's part of a window.
type tally struct {
	latencies, firsts []time.Duration
	failed, truncated int
	problem           string
}

// measure loads the target with c connections until the time is over or the supplies are used up. Requests that are under
// way at the end are waited for and counted, with the time they took.
func measure(ctx context.Context, t target, c, expected int, length time.Duration) (window, error) {
	supplies, err := t.supplies(ctx, c, expected)
	if err != nil {
		return window{}, err
	}
	clients := make([]*client, c)
	for i := range clients {
		if clients[i], err = dial(ctx, t.process.address); err != nil {
			return window{}, fmt.Errorf("connecting to %s: %w", t.process.name, err)
		}
		defer func() { clients[i].close() }()
	}
	before, err := cpu(t.process.pid())
	if err != nil {
		return window{}, err
	}
	begin := time.Now()
	end := begin.Add(length)
	tallies := make([]tally, c)
	var workers sync.WaitGroup
	for i := range c {
		workers.Go(func() { clients[i] = t.work(ctx, clients[i], supplies[i], end, &tallies[i]) })
	}
	workers.Wait()
	w := window{elapsed: time.Since(begin)}
	after, err := cpu(t.process.pid())
	if err != nil {
		return window{}, err
	}
	w.cpu = after - before
	if w.rss, err = rss(t.process.pid()); err != nil {
		return window{}, err
	}
	w.add(tallies)
	if w.requests == 0 && ctx.Err() == nil {
		return w, fmt.Errorf("%s answered no request: %s", t.process.name, w.problem)
	}
	return w, ctx.Err()
}

// work sends requests one after the other. A broken connection is replaced; it returns the one in use at the end, closed if
// there is no other to be had.
func (t target) work(ctx context.Context, c *client, next supply, end time.Time, sum *tally) *client {
	for time.Now().Before(end) && ctx.Err() == nil {
		request := next()
		if request == nil {
			return c
		}
		begin := time.Now()
		answer, err := c.do(request, t.dialect)
		took := time.Since(begin)
		switch {
		case err != nil:
			sum.truncated++
			sum.problem = err.Error()
			c.close()
			fresh, err := dial(ctx, t.process.address)
			if err != nil {
				sum.problem = err.Error()
				return c
			}
			c = fresh
		case answer.status != cmp.Or(t.status, http.StatusOK):
			sum.failed++
			sum.problem = fmt.Sprintf("status %d: %.300s", answer.status, answer.body)
		case t.stream && !answer.terminal:
			sum.truncated++
			sum.problem = "a stream without its closing event"
		case t.stream && !answer.success:
			sum.failed++
			sum.problem = "a stream that ended in a failure"
		default:
			sum.latencies = append(sum.latencies, took)
			if t.stream {
				sum.firsts = append(sum.firsts, answer.first)
			}
		}
	}
	return c
}

func (w *window) add(tallies []tally) {
	var latencies, firsts []time.Duration
	for _, one := range tallies {
		latencies = append(latencies, one.latencies...)
		firsts = append(firsts, one.firsts...)
		w.failed += one.failed
		w.truncated += one.truncated
		if one.problem != "" {
			w.problem = one.problem
		}
	}
	w.requests = len(latencies)
	w.p50, w.p99 = percentile(latencies, 50), percentile(latencies, 99)
	w.first = percentile(firsts, 50)
}

// always supplies the same request.
func always(request []byte) func(context.Context, int, int) ([]supply, error) {
	return func(_ context.Context, c, _ int) ([]supply, error) {
		supplies := make([]supply, c)
		for i := range supplies {
			supplies[i] = func() []byte { return request }
		}
		return supplies, nil
	}
}

// turns supplies prompts: a worker sends as many as given in one conversation, then goes on to a fresh one, so that
// histories stay short. The conversations are created beforehand, a third more than are expected to be needed.
func turns(address, body string, perConversation int) func(context.Context, int, int) ([]supply, error) {
	return func(ctx context.Context, c, requests int) ([]supply, error) {
		n := requests*4/3/perConversation + 2*c
		ids, err := newConversations(ctx, address, n, "{}")
		if err != nil {
			return nil, err
		}
		var taken atomic.Int64
		supplies := make([]supply, c)
		for i := range supplies {
			left, request := 0, []byte(nil)
			supplies[i] = func() []byte {
				if left == 0 {
					at := taken.Add(1) - 1
					if at >= int64(len(ids)) {
						return nil
					}
					left, request = perConversation, post("/api/conversations/"+ids[at]+"/responses", body)
				}
				left--
				return request
			}
		}
		return supplies, nil
	}
}

// inParallel calls each with the numbers 0 to n-1 over c connections and stops at the first error.
func inParallel(ctx context.Context, address string, c, n int, each func(c *client, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(c, n) {
		workers.Go(func() {
			conn, err := dial(ctx, address)
			if err != nil {
				cancel(err)
				return
			}
			defer conn.close()
			for ctx.Err() == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				if err := each(conn, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	workers.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}

// limited cuts what the supplies hand out to n requests in all.
func limited(supplies []supply, n int) []supply {
	var sent atomic.Int64
	cut := make([]supply, len(supplies))
	for i, next := range supplies {
		cut[i] = func() []byte {
			if sent.Add(1) > int64(n) {
				return nil
			}
			return next()
		}
	}
	return cut
}
