package crashtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-llm/parley/api"
)

// Load is what clients do to a server, over one or many lives of it. Its fields are set ahead of the first Run.
type Load struct {
	History *History
	Seed    uint64
	// Clients is how many work at a time, each on conversations of its own and on some that all share.
	Clients int
	// Expected says of a refusal whether it may come; one of the others is a violation. conversation_locked always may.
	Expected func(*api.Problem) bool
	// Whole has all prompts answered whole: a client then keeps its connection.
	Whole bool

	// Servers, if set, chooses one of several servers for each thing that a client does, in the place of Run's url. Where that server is gone the client goes
	// on with another.
	Servers func(random *rand.Rand) string
	// Retrying is how many of the clients send a request again, as the guide to the API says: to any server, with its Idempotency-Key where it is a
	// POST, until it is answered.
	Retrying int
	// Finish has what is under way when Run's ctx ends finished: whoever sends again gets an answer to everything then.
	Finish bool
	// Pace is about how long a client waits between two things that it does.
	Pace time.Duration
	// Shared is how many conversations all clients share, by default four, and Together of how many hundred things is done on one of these, by
	// default twenty.
	Shared, Together int

	inFlight atomic.Int64
	runs     uint64

	mu         sync.Mutex
	shared     []string
	touched    map[string]bool
	count      map[Op]int
	refused    map[string]int
	violations []string
	resent     int
}

// What Shared and Together are where they are not set.
const (
	fewShared  = 4
	aFifth     = 20
	allOfThem  = 100
	goneAWhile = 20 * time.Millisecond
)

// Run loads the server at url until it is gone or ctx ends, and returns when the last client has given up.
func (l *Load) Run(ctx context.Context, url string) {
	l.mu.Lock()
	l.runs++
	run := l.runs
	// One conversation lives on, for a while: most are best hit when they are new.
	const lives = 10
	if keep := min(len(l.shared), 1); run%lives == 0 {
		l.shared = nil
	} else {
		l.shared = l.shared[len(l.shared)-keep:]
	}
	if l.touched == nil {
		l.touched, l.count = map[string]bool{}, map[Op]int{}
	}
	l.mu.Unlock()
	var clients sync.WaitGroup
	for i := range l.Clients {
		transport := &http.Transport{}
		c := &client{
			load: l, number: i, running: map[string]string{}, random: rand.New(rand.NewPCG(l.Seed, run<<16|uint64(i))),
			api: api.Client{BaseURL: url, HTTPClient: &http.Client{Transport: transport}},
		}
		clients.Go(func() {
			defer transport.CloseIdleConnections()
			c.work(ctx)
		})
	}
	clients.Wait()
}

// InFlight is how many requests are under way.
func (l *Load) InFlight() int { return int(l.inFlight.Load()) }

// Touched are the conversations in which something was sent since it was last called.
func (l *Load) Touched() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for id := range l.touched {
		list = append(list, id)
	}
	clear(l.touched)
	slices.Sort(list)
	return list
}

// Counts is how often each operation was acknowledged.
func (l *Load) Counts() map[Op]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.count)
}

// Refused is how often each code was answered.
func (l *Load) Refused() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.refused)
}

// Idle are the operations of which none is counted.
func Idle(counts map[Op]int) []Op {
	var idle []Op
	for _, op := range []Op{OpCreate, OpAppend, OpEdit, OpDelete, OpDeleteConversation, OpFork, OpRead, OpPrompt, OpStream, OpBackground, OpCancel} {
		if counts[op] == 0 {
			idle = append(idle, op)
		}
	}
	return idle
}

// Violations are answers that should not have come.
func (l *Load) Violations() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.violations)
}

func (l *Load) violated(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violations = append(l.violations, text)
}

func (l *Load) touch(conversation string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touched[conversation] = true
}

// Text makes a message that no other is like: any characters that JSON can carry, now and then a long one.
func Text(random *rand.Rand) string {
	alphabet := []rune("abc xyz,.\"\\\n\t<>&é漢字🙂\u2028\u200d")
	n := 1 + random.IntN(60)
	if random.IntN(20) == 0 {
		n = 4000
	}
	runes := []rune(strconv.FormatUint(random.Uint64(), 36) + " ")
	for range n {
		runes = append(runes, alphabet[random.IntN(len(alphabet))])
	}
	return string(runes) + "."
}

// client does one thing after the other. Only it changes its own conversations, so it knows what is in them.
type client struct {
	load   *Load
	number int
	random *rand.Rand
	api    api.Client
	own    []string
	// running is the response that a conversation had last in the background.
	running map[string]string
	// alone: none of its conversations becomes one that all share.
	alone bool
}

// errGone says that the server has not answered: it is gone, or the test is over.
var errGone = errors.New("the server is gone")

func (c *client) work(ctx context.Context) {
	requests := ctx
	if c.load.Finish {
		requests = context.WithoutCancel(ctx)
	}
	for ctx.Err() == nil {
		c.goElsewhere()
		if errors.Is(c.step(requests), errGone) && c.load.Servers == nil {
			return
		}
		if c.load.Pace > 0 {
			wait(ctx, time.Duration(c.random.Int64N(int64(2*c.load.Pace))))
		}
	}
}

// goElsewhere chooses a server, where there are several.
func (c *client) goElsewhere() {
	if c.load.Servers != nil {
		c.api.BaseURL = c.load.Servers(c.random)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// step does one thing; a cancellation belongs to what it cancels.
func (c *client) step(ctx context.Context) error {
	own, any := c.pick()
	switch n := c.random.IntN(100); {
	case own == "" || n < 8:
		return c.create(ctx)
	case n < 28:
		return c.append(ctx, any)
	case n < 48 || n < 72 && c.load.Whole:
		return c.prompt(ctx, any)
	case n < 66:
		return c.stream(ctx, any)
	case n < 72:
		return c.background(ctx, any)
	case n < 78:
		return c.read(ctx, any, nil)
	case n < 82:
		return c.fork(ctx, own)
	case n < 91:
		return c.edit(ctx, own)
	case n < 97:
		return c.delete(ctx, own)
	default:
		return c.deleteConversation(ctx, own)
	}
}

// pick chooses one of the client's own conversations, and either that or, now and then, one that all share.
func (c *client) pick() (own, any string) {
	if len(c.own) > 0 {
		own = c.own[c.random.IntN(len(c.own))]
	}
	any = own
	c.load.mu.Lock()
	defer c.load.mu.Unlock()
	if n := len(c.load.shared); n > 0 && c.random.IntN(allOfThem) < cmp.Or(c.load.Together, aFifth) {
		any = c.load.shared[c.random.IntN(n)]
	}
	return own, any
}

// call notes a request, makes it, and notes what came of it. do returns what is to be noted of a success.
func (c *client) call(ctx context.Context, sent Entry, do func(ctx context.Context, call int64) (Entry, error)) error {
	l := c.load
	sent.Client, sent.State = c.number, Sent
	if sent.Conversation != "" {
		l.touch(sent.Conversation)
	}
	sent.Call = l.History.Note(sent)
	l.inFlight.Add(1)
	got, err := c.send(ctx, &sent, do)
	l.inFlight.Add(-1)
	got.Call, got.Client, got.Op = sent.Call, c.number, sent.Op
	problem, answered := errors.AsType[*api.Problem](err)
	switch {
	case err == nil:
		got.State = Acknowledged
		if sent.Op == OpBackground {
			// It is begun, and no more.
			got.State = Created
		}
		l.mu.Lock()
		l.count[sent.Op]++
		l.mu.Unlock()
	case !answered:
		return errGone
	default:
		got.State, got.Code, got.Response = Refused, problem.Code, problem.ResponseID
		if problem.Status >= http.StatusInternalServerError || problem.ResponseID != "" {
			got.State = Unknown
		}
		l.mu.Lock()
		if l.refused == nil {
			l.refused = map[string]int{}
		}
		l.refused[problem.Code]++
		l.mu.Unlock()
		if problem.Code != "conversation_locked" && (l.Expected == nil || !l.Expected(problem)) {
			l.violated(string(sent.Op) + ": " + problem.Error())
		}
	}
	l.History.Note(got)
	return err
}

// send makes a request, again and again where the client does so.
func (c *client) send(ctx context.Context, sent *Entry, do func(ctx context.Context, call int64) (Entry, error)) (Entry, error) {
	if c.number >= c.load.Retrying {
		return do(ctx, sent.Call)
	}
	keyed := false
	switch sent.Op {
	case OpCreate, OpAppend, OpFork, OpPrompt, OpStream, OpBackground:
		keyed = true
		ctx = api.WithIdempotencyKey(ctx, fmt.Sprintf("%d-%d", c.number, sent.Call))
	default:
	}
	for {
		got, err := do(ctx, sent.Call)
		if err == nil || ctx.Err() != nil || !again(err, keyed) {
			return got, err
		}
		c.load.mu.Lock()
		c.load.resent++
		c.load.mu.Unlock()
		wait(ctx, goneAWhile)
		c.goElsewhere()
	}
}

// again reports whether a request that came to an error is to be sent again: where the answer says so, and where none came and it can be
// harmless.
func again(err error, keyed bool) bool {
	if problem, answered := errors.AsType[*api.Problem](err); answered {
		// A conversation that is held may be so for long: that it is refused is an answer.
		return keyed && problem.ShouldRetry && problem.Code != "conversation_locked"
	}
	dial, ok := errors.AsType[*net.OpError](err)
	return keyed || ok && dial.Op == "dial"
}

// Resent is how often a request was sent again.
func (l *Load) Resent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.resent
}
