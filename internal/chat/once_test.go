package chat_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/mongotest"
	"github.com/parley-llm/parley/internal/opentest"
)

// account keeps the books of one call: what is made for it, what is kept of that, and who is told.
type account struct {
	*world
	conv string
	// before are the ids of all that was there, and made before.
	before       map[string]bool
	made, called int
	events       []string

	mu   sync.Mutex
	told []string
	// heard is told of it.
	heard chan struct{}
	// verdicts count what the breakers were told, the last word on each attempt.
	verdicts int
}

func (a *account) Attempt(_, code string, _ time.Duration) { a.tell("attempt " + cmp.Or(code, "ok")) }
func (a *account) Response(r *chat.Response)               { a.tell(string(r.Status)) }

func (a *account) tell(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = append(a.told, what)
	a.heard <- struct{}{}
}

func (a *account) Allow(string, string) (func(chat.Verdict), bool) {
	return func(v chat.Verdict) {
		if v == chat.Answering {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.verdicts++
	}, true
}

func (a *account) Wait(string, string) time.Duration { return 0 }

// open begins the books with what there is.
func (a *account) open() {
	a.t.Helper()
	a.before = a.kept()
	a.made, a.called = len(a.world.made.all()), len(a.provider.calls())
	a.Observer, a.Breakers, a.heard = a, a, make(chan struct{}, 64)
}

// kept are the ids of all that is stored of the conversation.
func (a *account) kept() map[string]bool {
	a.t.Helper()
	kept := map[string]bool{}
	keep := func(id string) {
		if kept[id] {
			a.t.Errorf("%s is stored twice", id)
		}
		kept[id] = true
	}
	for _, rec := range a.records(a.conv) {
		keep(rec.ID)
	}
	c, err := a.store.Conversation(a.t.Context(), caller.Owner, a.conv)
	if code(err) == chat.CodeConversationNotFound {
		return kept
	}
	if err != nil {
		a.t.Fatal(err)
	}
	keep(c.ID)
	page := chat.Page{Limit: 100}
	items, err := a.store.Items(a.t.Context(), caller.Owner, a.conv, page)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, it := range items.Data {
		keep(it.ID)
	}
	if int(c.MessageCount) != len(items.Data) {
		a.t.Errorf("it counts %d messages, and has %d", c.MessageCount, len(items.Data))
	}
	responses, err := a.store.Responses(a.t.Context(), caller.Owner, a.conv, page)
	if err != nil {
		a.t.Fatal(err)
	}
	var used llm.Usage
	for _, r := range responses.Data {
		keep(r.ID)
		if r.Usage != nil {
			used.InputTokens += r.Usage.InputTokens
			used.OutputTokens += r.Usage.OutputTokens
		}
	}
	if c.Usage.InputTokens != used.InputTokens || c.Usage.OutputTokens != used.OutputTokens {
		a.t.Errorf("its usage is %+v, that of its responses %+v", c.Usage, used)
	}
	return kept
}

// close ends the service, so that all is done that was begun, and says what the books have.
func (a *account) close() string {
	a.t.Helper()
	a.Drain(a.t.Context())
	kept := a.kept()
	made := map[string]bool{}
	for _, id := range a.world.made.all()[a.made:] {
		made[id] = true
	}
	kinds, stored, gone := map[string]int{}, map[string]bool{}, map[string]bool{}
	for id := range kept {
		if !a.before[id] {
			stored[id] = true
			if !made[id] {
				a.t.Errorf("%s is stored, and nobody has made it", id)
			}
		}
	}
	for id := range a.before {
		if !kept[id] {
			gone[id] = true
		}
	}
	for _, rec := range a.records(a.conv) {
		if stored[rec.ID] {
			kinds[string(rec.Kind)]++
		}
	}
	a.verify()
	if own := prefixes(a.own.all()); a.database.Shared() && own != "aud 2" {
		// Of the chain's beginning and of its end.
		a.t.Errorf("the store has made %s", own)
	}
	var b strings.Builder
	say := func(what, of string) {
		if of != "" {
			fmt.Fprintf(&b, "; %s %s", what, of)
		}
	}
	fmt.Fprintf(&b, "calls %d", len(a.provider.calls())-a.called)
	say("made", prefixes(slices.Collect(maps.Keys(made))))
	say("stored", prefixes(slices.Collect(maps.Keys(stored))))
	say("gone", prefixes(slices.Collect(maps.Keys(gone))))
	say("records", counts(kinds))
	say("told", strings.Join(a.told, ", "))
	say("events", strings.Join(a.events, " "))
	if attempts := strings.Count(b.String(), "attempt "); attempts != a.verdicts {
		a.t.Errorf("%d attempts, and %d verdicts on them", attempts, a.verdicts)
	}
	return b.String()
}

// prefixes counts ids by theirs.
func prefixes(ids []string) string {
	n := map[string]int{}
	for _, id := range ids {
		prefix, _, _ := strings.Cut(id, "_")
		n[prefix]++
	}
	return counts(n)
}

func counts(n map[string]int) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		list = append(list, fmt.Sprint(k, " ", n[k]))
	}
	return strings.Join(list, " ")
}

// stream prompts, and notes the types of the events that come, each of which is told once, and by the log as well.
func (a *account) streamed(run *chat.Run) {
	a.t.Helper()
	all := collect(a.t, a.world.events(run.Begun().ID, 0))
	if run.Reader() != nil {
		sameFrom(a.t, "its own reader", collect(a.t, run.Reader()), all, 0)
	}
	sub, err := a.beside().Events(a.t.Context(), caller.Owner, run.Begun().ID, 0)
	if err != nil {
		a.t.Fatal(err)
	}
	sameFrom(a.t, "the log", collect(a.t, sub), all, 0)
	for i, ev := range all {
		if ev.number != i {
			a.t.Errorf("event %d has the number %d", i, ev.number)
		}
		a.events = append(a.events, strings.TrimPrefix(ev.Type(), "response."))
	}
}

// must waits for the end of a run.
func (a *account) must(run *chat.Run, err error) {
	a.t.Helper()
	if err == nil {
		_, err = run.Wait(a.t.Context())
	}
	a.mustDo(err)
}

func (a *account) mustDo(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// first is the first message of the conversation.
func (a *account) first() string {
	a.t.Helper()
	items, err := a.store.Items(a.t.Context(), caller.Owner, a.conv, chat.Page{Limit: 1})
	a.mustDo(err)
	return items.Data[0].ID
}

// soon is a failure after which is tried again at once.
func soon() *llm.Error {
	e := upstreamError(true)
	e.RetryAfter = time.Millisecond
	return e
}

// once are calls, each on a conversation with one turn in it, and all that each is to make.
var once = []struct {
	name    string
	scripts []script
	do      func(a *account)
	want    string
}{
	{"messages", nil, func(a *account) {
		_, err := a.AppendItems(a.t.Context(), caller, a.conv, []chat.Item{user("one"), user("two")})
		a.mustDo(err)
	}, "calls 0; made msg 2; stored msg 2"},
	{"a prompt", []script{says("Hello", " there")}, func(a *account) {
		a.must(a.respond(a.conv, user("hi")))
	}, "calls 1; made aud 2 msg 2 resp 1; stored aud 2 msg 2 resp 1; records llm.intent 1 llm.outcome 1; told attempt ok, completed"},
	{"a stream", []script{says("Hello", " there")}, func(a *account) {
		a.streamed(a.stream(a.conv, user("hi")))
	}, "calls 1; made aud 2 msg 2 resp 1; stored aud 2 msg 2 resp 1; records llm.intent 1 llm.outcome 1; told attempt ok, completed; " +
		"events created in_progress output_item.added content_part.added output_text.delta output_text.delta output_text.done content_part.done output_item.done completed"},
	{"an answer of all kinds", []script{everything}, func(a *account) {
		a.must(a.respond(a.conv, user("hi")))
	}, "calls 1; made aud 2 fc 2 msg 3 resp 1 rs 4; stored aud 2 fc 2 msg 3 resp 1 rs 4; records llm.intent 1 llm.outcome 1; told attempt ok, completed"},
	{"attempts that fail", []script{fails(soon()), fails(soon()), says("Hello")}, func(a *account) {
		a.streamed(a.stream(a.conv, user("hi")))
	}, "calls 3; made aud 6 msg 2 resp 1; stored aud 6 msg 2 resp 1; records llm.intent 3 llm.outcome 3; " +
		"told attempt upstream_failed, attempt upstream_failed, attempt ok, completed; " +
		"events created in_progress output_item.added content_part.added output_text.delta output_text.done content_part.done output_item.done completed"},
	{"an answer that breaks off", []script{fails(upstreamError(false), "Hel")}, func(a *account) {
		a.streamed(a.stream(a.conv, user("hi")))
	}, "calls 1; made aud 2 msg 2 resp 1; stored aud 2 msg 2 resp 1; records llm.intent 1 llm.outcome 1; told attempt upstream_failed, failed; " +
		"events created in_progress output_item.added content_part.added output_text.delta output_text.done content_part.done output_item.done failed"},
	{"another model", []script{fails(outage(), "Hel")}, func(a *account) {
		other := withOthers(a.world, says("Hello"))
		a.provider.scripts = append(a.provider.scripts, fails(&llm.Error{Fault: upstreamError(true).Fault, Retryable: true, RetryAfter: time.Hour, HTTPStatus: 429}))
		_, _ = a.ask(a.conv, "hi")
		a.must(a.respond(a.conv, user("hi")))
		if len(other.calls()) != 1 {
			a.t.Errorf("%d calls of the other", len(other.calls()))
		}
	}, "calls 2; made aud 6 msg 4 resp 2; stored aud 6 msg 4 resp 2; records llm.intent 3 llm.outcome 3; " +
		"told attempt upstream_stream_truncated, failed, attempt upstream_failed, attempt ok, completed"},
	{"a turn that is run again", []script{says("Hello again")}, func(a *account) {
		run, err := a.regenerate(a.conv, true)
		a.mustDo(err)
		a.streamed(run)
	}, "calls 1; made aud 2 msg 1 resp 1; stored aud 2 msg 1 resp 1; gone msg 1; records llm.intent 1 llm.outcome 1; told attempt ok, completed; " +
		"events created in_progress output_item.added content_part.added output_text.delta output_text.done content_part.done output_item.done completed"},
	{"in the background", []script{says("Hello")}, func(a *account) {
		run, err := a.Respond(a.t.Context(), chat.Request{Caller: caller, ConversationID: a.conv, Input: []chat.Item{user("hi")}, Background: true})
		a.must(run, err)
		a.streamed(run)
	}, "calls 1; made aud 2 msg 2 resp 1; stored aud 2 msg 2 resp 1; records llm.intent 1 llm.outcome 1; told attempt ok, completed; " +
		"events created queued in_progress output_item.added content_part.added output_text.delta output_text.done content_part.done output_item.done completed"},
	{"nothing is kept", []script{says("Hello")}, func(a *account) {
		run, err := a.Respond(a.t.Context(), chat.Request{Caller: caller, ConversationID: a.conv, Input: []chat.Item{user("hi")}, Unstored: true})
		a.must(run, err)
	}, "calls 1; made aud 2 msg 2 resp 1; stored aud 2; records llm.intent 1 llm.outcome 1; told attempt ok, completed"},
	{"a key, three times", []script{says("Hello")}, func(a *account) {
		for range 3 {
			_, err := a.askAs(keyed("k", "a"), a.conv)
			a.mustDo(err)
		}
	}, "calls 1; made aud 2 msg 2 resp 1; stored aud 2 msg 2 resp 1; records llm.intent 1 llm.outcome 1; told attempt ok, completed"},
	{"a title", []script{says("Hello"), says("A title")}, func(a *account) {
		a.ModelTitles = true
		c, err := a.CreateConversation(a.t.Context(), caller, chat.Conversation{}, nil)
		a.mustDo(err)
		a.conv, a.before = c.ID, nil
		a.must(a.respond(a.conv, user("hi")))
		for range 4 {
			<-a.heard
		}
	}, "calls 2; made aud 4 conv 1 msg 3 resp 2; stored aud 4 conv 1 msg 2 resp 1; records llm.intent 2 llm.outcome 2; told attempt ok, completed, attempt ok, completed"},
	{"a cancelled answer", []script{until(nil, "Hel")}, func(a *account) {
		run := a.stream(a.conv, user("hi"))
		begun(a.t, run)
		_, err := a.Cancel(a.t.Context(), caller.Owner, run.Begun().ID)
		a.mustDo(err)
	}, "calls 1; made aud 2 msg 2 resp 1; stored aud 2 msg 2 resp 1; records llm.intent 1 llm.outcome 1; told attempt canceled, cancelled"},
	{"other settings", nil, func(a *account) {
		_, err := a.UpdateConversation(a.t.Context(), caller, a.conv, 0, func(c *chat.Conversation) error { c.Title = "Another"; return nil })
		a.mustDo(err)
	}, "calls 0"},
	{"an edit", nil, func(a *account) {
		_, err := a.UpdateItem(a.t.Context(), caller, a.conv, a.first(), 0, func(it *chat.Item) error { it.Content = user("other").Content; return nil })
		a.mustDo(err)
	}, "calls 0; made aud 1; stored aud 1; records message.edited 1"},
	{"a message is deleted", nil, func(a *account) {
		a.mustDo(a.DeleteItem(a.t.Context(), caller, a.conv, a.first(), 0))
	}, "calls 0; made aud 1; stored aud 1; gone msg 1; records message.deleted 1"},
	{"a fork", nil, func(a *account) {
		_, err := a.ForkConversation(a.t.Context(), caller, a.conv, "", "")
		a.mustDo(err)
	}, "calls 0; made conv 1"},
	{"a conversation is deleted", nil, func(a *account) {
		a.mustDo(a.DeleteConversation(a.t.Context(), caller, a.conv, 0))
	}, "calls 0; made aud 1; stored aud 1; gone conv 1 msg 2 resp 1; records conversation.deleted 1"},
}

// TestACallMakesWhatItIsToMakeOnce counts what each call makes, stores and tells. On a MongoDB every transaction is repeated meanwhile, for conflicts
// after its body has run, and because the outcome of its commit is not known.
func TestACallMakesWhatItIsToMakeOnce(t *testing.T) {
	for _, c := range once {
		t.Run(c.name, func(t *testing.T) {
			database, unrest := repeating(t)
			w := newWorldOn(t, database, append([]script{says("Well.")}, c.scripts...)...)
			a := &account{world: w, conv: w.conversation(chat.Conversation{})}
			w.mustAsk(a.conv, "How are you?")
			a.open()
			c.do(a)
			if got := a.close(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			unrest(t)
		})
	}
}

// repeating is a database each of whose transactions is repeated, where it is a MongoDB; fired fails the test if none was.
func repeating(t *testing.T) (d *opentest.Database, fired func(t *testing.T)) {
	t.Helper()
	uri := os.Getenv(mongotest.Env)
	d = opentest.New(t, uri)
	if !d.Shared() {
		return d, func(*testing.T) {}
	}
	p := mongotest.NewProxy(t, uri)
	p.Have(mongotest.Unrest())
	return d.By(p.URI()), func(t *testing.T) {
		t.Helper()
		if conflicts, unknown := p.Fired(mongotest.Conflict), p.Fired(mongotest.Unknown); unknown < 3 || conflicts < unknown {
			t.Errorf("%d conflicts and %d unknown outcomes: the test has shown nothing", conflicts, unknown)
		}
	}
}

// A side effect in the body of a transaction is noticed: there it is done more than once.
func TestASideEffectOfATransactionShows(t *testing.T) {
	mongotest.Need(t, os.Getenv(mongotest.Env))
	database, unrest := repeating(t)
	w := newWorldOn(t, database, says("Well."))
	a := &account{world: w, conv: w.conversation(chat.Conversation{})}
	w.mustAsk(a.conv, "How are you?")
	a.open()
	_, err := a.store.UpdateConversation(t.Context(), caller.Owner, a.conv, 0, func(c *chat.Conversation) error {
		c.Title = "Another"
		a.NewID(chat.PrefixMessage)
		a.tell("a change")
		_ = a.provider.Generate(t.Context(), &llm.Call{Body: []byte("{}")})
		return nil
	})
	a.mustDo(err)
	if got := a.close(); got == "calls 1; made msg 1; told a change" {
		t.Errorf("got %s, as if it had been done once", got)
	}
	unrest(t)
}

var (
	_ chat.Observer = (*account)(nil)
	_ chat.Breakers = (*account)(nil)
	_ audit.Log     = (*faulty)(nil)
)
