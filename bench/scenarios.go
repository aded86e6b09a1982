package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"
)

// settle is how long a server is left alone before its memory is read.
const settle = time.Second

type memoryResult struct {
	streams       int
	proxy, parley []float64 // KiB per open stream, one a round
}

// memory opens many streams that stay open and reads what each costs. Servers are fresh in every round.
func (b *bench) memory(ctx context.Context) (*memoryResult, error) {
	result := &memoryResult{streams: b.open}
	for round := range b.memoryRounds() {
		proxy, err := startChild(ctx, "proxy", "proxy", "http://"+b.mock.address)
		if err != nil {
			return nil, err
		}
		chat := post("/v1/chat/completions", chatBody(holdModel, true))
		kib, err := b.perStream(ctx, b.turnTargetOf(proxy), func(int) []byte { return chat })
		proxy.kill()
		if err != nil {
			return nil, fmt.Errorf("open streams of the proxy: %w", err)
		}
		result.proxy = append(result.proxy, kib)

		kib, err = b.parleyPerStream(ctx)
		if err != nil {
			return nil, fmt.Errorf("open streams of Parley: %w", err)
		}
		result.parley = append(result.parley, kib)
		b.say("memory: round %d done", round+1)
	}
	return result, nil
}

func (b *bench) memoryRounds() int { return min(b.rounds, 3) }

func (b *bench) turnTargetOf(proxy *process) target {
	return target{
		process: proxy, dialect: chatDialect, stream: true,
		supplies: always(post("/v1/chat/completions", chatBody(mockModel, true))),
	}
}

func (b *bench) parleyPerStream(ctx context.Context) (float64, error) {
	parley, err := b.startParley(ctx, "PARLEY_UPSTREAM_CONCURRENCY="+strconv.Itoa(b.open+100))
	if err != nil {
		return 0, err
	}
	defer parley.kill()
	ids, err := newConversations(ctx, parley.address, b.open, "{}")
	if err != nil {
		return 0, err
	}
	body := promptBody(holdModel, true)
	return b.perStream(ctx, b.turnTarget(parleyTarget, parley, true), func(i int) []byte {
		return post("/api/conversations/"+ids[i]+"/responses", body)
	})
}

// perStream warms a server up, opens the streams and returns the KiB of resident memory that came on for each.
func (b *bench) perStream(ctx context.Context, t target, request func(i int) []byte) (float64, error) {
	if _, err := measure(ctx, t, 16, 1000, time.Second); err != nil {
		return 0, err
	}
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	before, err := rss(t.process.pid())
	if err != nil {
		return 0, err
	}
	for i := range b.open {
		c, err := dial(ctx, t.process.address)
		if err != nil {
			return 0, err
		}
		defer c.close()
		if err := c.open(request(i), t.dialect); err != nil {
			return 0, err
		}
	}
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	after, err := rss(t.process.pid())
	return float64(after-before) / 1024 / float64(b.open), err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

type startResult struct {
	first, again []float64 // ms from exec to the first 200 of /readyz: on an empty directory, and on one with a database
	idle         []float64 // MiB resident, a second after
	binary       int64     // bytes
}

func (b *bench) start(ctx context.Context) (*startResult, error) {
	info, err := os.Stat(b.binary)
	if err != nil {
		return nil, err
	}
	result := &startResult{binary: info.Size()}
	for range 10 {
		data, err := os.MkdirTemp(b.dir, "start-")
		if err != nil {
			return nil, err
		}
		for _, times := range []*[]float64{&result.first, &result.again} {
			begin := time.Now()
			parley, err := b.startParleyOn(ctx, data)
			if err != nil {
				return nil, err
			}
			*times = append(*times, millis(time.Since(begin)))
			err = b.idle(ctx, parley, result)
			parley.stop()
			if err != nil {
				return nil, err
			}
		}
		if err := os.RemoveAll(data); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func (b *bench) idle(ctx context.Context, parley *process, result *startResult) error {
	if len(result.idle) == 3 {
		return nil
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	bytes, err := rss(parley.pid())
	result.idle = append(result.idle, float64(bytes)/(1<<20))
	return err
}

type crudResult struct{ create, list []window }

// crud measures the calls that reach no model: a message created, and a page of 50 of a conversation of 1,000.
func (b *bench) crud(ctx context.Context) (*crudResult, error) {
	const c = 64
	parley, err := b.startParley(ctx)
	if err != nil {
		return nil, err
	}
	defer parley.stop()
	ids, err := newConversations(ctx, parley.address, c, "{}")
	if err != nil {
		return nil, err
	}
	thousand, err := longConversation(ctx, parley.address, 1000)
	if err != nil {
		return nil, err
	}
	create := target{process: parley, dialect: nativeDialect, status: http.StatusCreated, supplies: each(ids, func(id string) []byte {
		return post("/api/conversations/"+id+"/messages", message(0))
	})}
	list := target{process: parley, dialect: nativeDialect, supplies: always(get("/api/conversations/" + thousand + "/messages?limit=50"))}
	result := &crudResult{}
	for range b.rounds {
		w, err := measure(ctx, create, c, 0, b.window)
		if err != nil {
			return nil, err
		}
		result.create = append(result.create, w)
		if w, err = measure(ctx, list, c, 0, b.window); err != nil {
			return nil, err
		}
		result.list = append(result.list, w)
	}
	return result, nil
}

// each supplies worker i with requests about ids[i] alone.
func each(ids []string, request func(id string) []byte) func(context.Context, int, int) ([]supply, error) {
	return func(_ context.Context, c, _ int) ([]supply, error) {
		supplies := make([]supply, c)
		for i := range supplies {
			bytes := request(ids[i%len(ids)])
			supplies[i] = func() []byte { return bytes }
		}
		return supplies, nil
	}
}

type longResult struct{ short, long []window }

// long compares a turn in a conversation of 10,000 messages with one of 50, both with the newest 50 as context.
func (b *bench) long(ctx context.Context) (*longResult, error) {
	const c = 4
	parley, err := b.startParley(ctx, "PARLEY_CONTEXT_MESSAGES=50")
	if err != nil {
		return nil, err
	}
	defer parley.stop()
	targets := map[int]target{}
	for _, size := range []int{50, 10_000} {
		ids, err := longConversations(ctx, parley.address, c, size)
		if err != nil {
			return nil, err
		}
		targets[size] = target{process: parley, dialect: nativeDialect, supplies: each(ids, func(id string) []byte {
			return post("/api/conversations/"+id+"/responses", promptBody(mockModel, false))
		})}
	}
	b.say("long: conversations made")
	result := &longResult{}
	for round := range b.rounds {
		order := []int{50, 10_000}
		if round%2 == 1 {
			order = []int{10_000, 50}
		}
		for _, size := range order {
			w, err := measure(ctx, targets[size], c, 0, b.window)
			if err != nil {
				return nil, err
			}
			if size == 50 {
				result.short = append(result.short, w)
			} else {
				result.long = append(result.long, w)
			}
		}
	}
	return result, nil
}

type largeResult struct {
	conversations int
	calls         []string
	small, large  map[string][]window
}

// large compares a store of many conversations with one of 1,000.
func (b *bench) large(ctx context.Context) (*largeResult, error) {
	const c = 16
	result := &largeResult{
		conversations: b.conversations, calls: []string{"list", "get", "turn", "page from the middle", "search"},
		small: map[string][]window{}, large: map[string][]window{},
	}
	stores := make([]map[string]target, 2)
	for i, n := range []int{1000, b.conversations} {
		parley, err := b.startParley(ctx)
		if err != nil {
			return nil, err
		}
		defer parley.stop()
		ids, err := eachConversation(ctx, parley.address, n, func(i int) []byte {
			return post("/api/conversations", `{"title":"`+rareWord(i)+`","messages":[`+message(0)+`]}`)
		})
		if err != nil {
			return nil, err
		}
		stores[i] = map[string]target{
			"list": {process: parley, dialect: nativeDialect, supplies: always(get("/api/conversations?limit=20"))},
			"get":  {process: parley, dialect: nativeDialect, supplies: anyOf(len(ids), func(i int) string { return "/api/conversations/" + ids[i] })},
			// A cursor costs the same wherever it stands, and a word that one conversation has the same however many there are.
			"page from the middle": {process: parley, dialect: nativeDialect, supplies: always(get("/api/conversations?limit=20&after=" + ids[n/2]))},
			"search":               {process: parley, dialect: nativeDialect, supplies: anyOf(n, func(i int) string { return "/api/conversations?q=" + rareWord(i) })},
			"turn":                 b.turnTarget(parleyTarget, parley, false),
		}
		b.say("large: %d conversations made", n)
	}
	for round := range b.rounds {
		for _, call := range result.calls {
			for i := range stores {
				i = (i + round) % len(stores)
				w, err := measure(ctx, stores[i][call], c, 10_000, b.window)
				if err != nil {
					return nil, err
				}
				if i == 0 {
					result.small[call] = append(result.small[call], w)
				} else {
					result.large[call] = append(result.large[call], w)
				}
			}
		}
	}
	return result, nil
}

// rareWord is a word that only one conversation has.
func rareWord(i int) string { return fmt.Sprintf("tide%07d", i) }

// anyOf supplies reads of n things picked at random.
func anyOf(n int, path func(i int) string) func(context.Context, int, int) ([]supply, error) {
	return func(_ context.Context, c, _ int) ([]supply, error) {
		supplies := make([]supply, c)
		for i := range supplies {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			supplies[i] = func() []byte { return get(path(random.IntN(n))) }
		}
		return supplies, nil
	}
}

type streamResult struct{ all, truncated, failed int }

// streams sends many streams, a third of them at each level, and counts the ones that ended early.
func (b *bench) streams(ctx context.Context) (*streamResult, error) {
	parley, err := b.startParley(ctx)
	if err != nil {
		return nil, err
	}
	defer parley.stop()
	result := &streamResult{}
	for i, c := range levels {
		n := b.count / len(levels)
		if i == 0 {
			n += b.count % len(levels)
		}
		t := b.turnTarget(parleyTarget, parley, true)
		supplies := t.supplies
		t.supplies = func(ctx context.Context, c, _ int) ([]supply, error) {
			all, err := supplies(ctx, c, n)
			return limited(all, n), err
		}
		w, err := measure(ctx, t, c, n, 20*time.Minute)
		if err != nil {
			return nil, err
		}
		result.all += w.requests + w.failed + w.truncated
		result.truncated += w.truncated
		result.failed += w.failed
		b.say("streams: %d at c=%d: %d truncated, %d failed %s", w.requests, c, w.truncated, w.failed, w.problem)
	}
	return result, nil
}
