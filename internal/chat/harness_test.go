package chat_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/mongotest"
	"github.com/parley-llm/parley/internal/opentest"
	"github.com/parley-llm/parley/internal/pii"
)

var caller = chat.Caller{Owner: chat.DefaultOwner, Actor: "anonymous", RequestID: "req_test"}

// provider answers each call by the next of its scripts; the last one serves all further calls.
type provider struct {
	mu      sync.Mutex
	scripts []func(ctx context.Context, yield func(llm.Event, error) bool)
	sent    []sent
}

// sent is what one call carried.
type sent struct {
	Instructions string
	Messages     []string
	Params       llm.Params
	Stream       bool

	at time.Time
}

func (p *provider) Encode(req *llm.Request) ([]byte, error) {
	call := sent{Instructions: req.Instructions, Params: req.Params, Stream: req.Stream}
	for _, it := range req.Items {
		call.Messages = append(call.Messages, string(it.Role)+" "+string(it.Content)+string(it.Data))
	}
	return json.Marshal(call)
}

func (p *provider) Generate(ctx context.Context, call *llm.Call) iter.Seq2[llm.Event, error] {
	p.mu.Lock()
	defer p.mu.Unlock()
	var s sent
	if err := json.Unmarshal(call.Body, &s); err != nil {
		panic(err)
	}
	s.at = time.Now()
	script := p.scripts[min(len(p.sent), len(p.scripts)-1)]
	p.sent = append(p.sent, s)
	return func(yield func(llm.Event, error) bool) { script(ctx, yield) }
}

func (p *provider) Models(context.Context) ([]llm.Model, error) {
	return []llm.Model{{ID: "small"}, {ID: "parley/trap"}}, nil
}

func (p *provider) calls() []sent {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent)
}

type script = func(ctx context.Context, yield func(llm.Event, error) bool)

// says answers with a text, word by word, and the field's ordinary end.
func says(words ...string) script { return ends("stop", words...) }

func ends(reason string, words ...string) script {
	return func(_ context.Context, yield func(llm.Event, error) bool) {
		if !yield(llm.Started{HTTPStatus: 200}, nil) {
			return
		}
		for _, w := range words {
			if !yield(llm.TextDelta{Text: w}, nil) {
				return
			}
		}
		yield(llm.Finished{FinishReason: reason, Usage: &llm.Usage{InputTokens: 5, OutputTokens: int64(len(words))}}, nil)
	}
}

// fails answers with words and then an error.
func fails(err *llm.Error, words ...string) script {
	return func(_ context.Context, yield func(llm.Event, error) bool) {
		if len(words) > 0 && !yield(llm.Started{HTTPStatus: 200}, nil) {
			return
		}
		for _, w := range words {
			if !yield(llm.TextDelta{Text: w}, nil) {
				return
			}
		}
		yield(nil, err)
	}
}

func upstreamError(retryable bool) *llm.Error {
	return &llm.Error{
		Fault: fault.New(fault.Upstream, "upstream_failed", "The model's provider failed."), HTTPStatus: 500,
		Retryable: retryable, Detail: "quota of jane.doe@example.com exceeded",
	}
}

// until answers with a first word and then waits for the call's end or for release.
func until(release <-chan struct{}, first string, rest ...string) script {
	return func(ctx context.Context, yield func(llm.Event, error) bool) {
		if !yield(llm.Started{HTTPStatus: 200}, nil) || !yield(llm.TextDelta{Text: first}, nil) {
			return
		}
		select {
		case <-release:
		case <-ctx.Done():
			yield(nil, &llm.Error{Fault: fault.Wrap(ctx.Err(), fault.Canceled, "canceled", "The call was canceled.")})
			return
		}
		for _, w := range rest {
			if !yield(llm.TextDelta{Text: w}, nil) {
				return
			}
		}
		yield(llm.Finished{FinishReason: "stop"}, nil)
	}
}

// faulty is a store that fails on demand, before or after it took effect.
type faulty struct {
	opentest.Store
	mu     sync.Mutex
	before map[string][]error
	after  map[string][]error
	hook   map[string]func()
}

// shared is one that several processes may use.
type shared struct {
	*faulty
	chat.Shared
}

var errDisk = fault.New(fault.Unavailable, chat.CodeStoreUnavailable, "The store is unavailable.")

func (f *faulty) inject(before bool, method string, errs ...error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.after
	if before {
		m = f.before
	}
	m[method] = append(m[method], errs...)
}

func (f *faulty) do(method string, op func() error) error {
	if hook := f.takeHook(method); hook != nil {
		hook()
	}
	if err := f.take(f.before, method); err != nil {
		return err
	}
	if err := op(); err != nil {
		return err
	}
	if hook := f.takeHook(method + " done"); hook != nil {
		hook()
	}
	return f.take(f.after, method)
}

func (f *faulty) takeHook(method string) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	hook := f.hook[method]
	delete(f.hook, method)
	return hook
}

// hookNext has something done at the next call of a method, from within a hook.
func (f *faulty) hookNext(method string, hook func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook[method] = hook
}

func (f *faulty) take(from map[string][]error, method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(from[method]) == 0 {
		return nil
	}
	err := from[method][0]
	from[method] = from[method][1:]
	return err
}

func (f *faulty) Begin(ctx context.Context, owner string, t *chat.Turn) error {
	return f.do("Begin", func() error { return f.Store.Begin(ctx, owner, t) })
}

func (f *faulty) NextAttempt(ctx context.Context, owner string, r *chat.Response, recs ...audit.Record) error {
	return f.do("NextAttempt", func() error { return f.Store.NextAttempt(ctx, owner, r, recs...) })
}

func (f *faulty) AppendEvents(ctx context.Context, owner, id string, b chat.Batched) error {
	return f.do("AppendEvents", func() error { return f.Store.AppendEvents(ctx, owner, id, b) })
}

func (f *faulty) End(ctx context.Context, owner string, e *chat.Ending) error {
	return f.do("End", func() error { return f.Store.End(ctx, owner, e) })
}

func (f *faulty) DeleteConversation(ctx context.Context, owner, id string, version int64, orphan string, recs ...audit.Record) error {
	return f.do("DeleteConversation", func() error { return f.Store.DeleteConversation(ctx, owner, id, version, orphan, recs...) })
}

func (f *faulty) Claim(ctx context.Context, owner, route, key string) (claim chat.Claim, found bool, err error) {
	err = f.do("Claim", func() error {
		claim, found, err = f.Store.Claim(ctx, owner, route, key)
		return err
	})
	return claim, found, err
}

func (f *faulty) Append(ctx context.Context, recs ...audit.Record) error {
	return f.do("Append", func() error { return f.Store.Append(ctx, recs...) })
}

// world is a service on a real store with a scripted provider.
type world struct {
	*chat.Service
	t        *testing.T
	provider *provider
	store    *faulty
	database *opentest.Database
	catalog  catalog
	// made are the ids that the service has made, own those that its store has made for records of its own.
	made, own *ids
}

// ids keeps all that were made.
type ids struct {
	mu   sync.Mutex
	list []string
}

// of has ids kept that newID makes.
func (m *ids) of(newID func(prefix string) string) func(prefix string) string {
	return func(prefix string) string {
		m.mu.Lock()
		defer m.mu.Unlock()
		id := newID(prefix)
		m.list = append(m.list, id)
		return id
	}
}

func (m *ids) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list)
}

// catalog holds what is known of models by their names.
type catalog map[string]llm.ModelInfo

func (c catalog) Model(_ llm.Endpoint, model string) llm.ModelInfo { return c[model] }

func (c catalog) Learn(_ llm.Endpoint, model string, window int64) {
	info := c[model]
	info.ContextWindow = window
	c[model] = info
}

func (c catalog) Ask(llm.Endpoint, string, int64) {}

func newWorld(t *testing.T, scripts ...script) *world {
	t.Helper()
	return newWorldOn(t, opentest.New(t, os.Getenv(mongotest.Env)), scripts...)
}

func newWorldOn(t *testing.T, d *opentest.Database, scripts ...script) *world {
	t.Helper()
	w := &world{t: t, provider: &provider{scripts: scripts}, database: d, catalog: catalog{}, made: &ids{}, own: &ids{}}
	w.open()
	return w
}

// open opens the store and a service on it; after a first one was left without closing, as after a crash.
func (w *world) open() {
	w.t.Helper()
	now := time.Now
	newID := chat.NewID(now)
	log := slog.New(slog.DiscardHandler)
	w.store = &faulty{Store: w.database.Open(opentest.Options{Now: now, NewID: w.own.of(newID), Log: log}), before: map[string][]error{}, after: map[string][]error{}, hook: map[string]func(){}}
	w.Service = &chat.Service{
		Store: either(w.store), Audit: w.store, Masker: pii.New(), Log: log, Now: now, NewID: w.made.of(newID),
		Router: &llm.Router{
			Endpoints: []llm.Endpoint{{Name: "test", Host: "llm.test", Provider: w.provider}, {Name: "other", Host: "other.test", Provider: w.provider}},
			Default:   "test",
		},
		DefaultModel:  func(context.Context) (string, error) { return "small", nil },
		Catalog:       w.catalog,
		CountTokens:   func(text string, _ int64) int64 { return int64(len(strings.Fields(text))) },
		Pseudonym:     func(user string) string { return "u_" + user[:1] },
		AuditMaxChars: 2000, UpstreamTimeout: time.Minute, UpstreamConcurrency: 16, ContextBytes: 1 << 20,
	}
}

// either is the store with all that it can.
func either(f *faulty) chat.Store {
	if s, ok := f.Store.(chat.Shared); ok {
		return shared{f, s}
	}
	return f
}

// recover has a service end what is left of others, of whom no sign of life has been seen for as long as is waited.
func (w *world) recover(s *chat.Service) (int, error) {
	n, err := s.Recover(w.t.Context())
	if err != nil || !w.database.Shared() {
		return n, err
	}
	w.database.Lapse()
	lapsed, err := s.Recover(w.t.Context())
	return n + lapsed, err
}

// takeOver makes what is left of others this process's own, where others there may be, and does not end it yet.
func (w *world) takeOver() {
	w.t.Helper()
	if !w.database.Shared() {
		return
	}
	for range 2 {
		if _, err := w.store.Orphans(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.database.Lapse()
	}
}

func (w *world) conversation(c chat.Conversation) string {
	w.t.Helper()
	c, err := w.CreateConversation(w.t.Context(), caller, c, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.ID
}

// orphan leaves in the database what a crash leaves: what Begin wrote, and nothing after it. It returns the store of who has crashed.
func (w *world) orphan(conv, response string) chat.Store {
	w.t.Helper()
	store := w.another()
	c, _, err := w.store.Context(w.t.Context(), caller.Owner, conv, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	turn := chat.Turn{
		Conversation: c,
		Input: []chat.Item{{
			ID: w.NewID(chat.PrefixMessage), ConversationID: conv, Item: user("hi").Item, Status: chat.ItemCompleted, CreatedAt: c.CreatedAt, Version: 1,
			ResponseID: response,
		}},
		Response: chat.Response{
			ID: response, Owner: caller.Owner, ConversationID: conv, Status: chat.InProgress, Model: "small", Provider: "test",
			Attempts: 1, CreatedAt: c.CreatedAt,
		},
		Intent: audit.Record{
			ID: w.NewID(chat.PrefixAudit), Time: c.CreatedAt, Kind: audit.KindIntent, Owner: caller.Owner, ConversationID: conv, ResponseID: response, Attempt: 1,
		},
	}
	if err := store.Begin(w.t.Context(), caller.Owner, &turn); err != nil {
		w.t.Fatal(err)
	}
	return store
}

// another is the store of another process, or of this one where there can be only one.
func (w *world) another() opentest.Store {
	if !w.database.Shared() {
		return w.store
	}
	return w.database.Open(opentest.Options{Now: w.Now, NewID: chat.NewID(w.Now), Log: w.Log})
}

func user(text string) chat.Item { return message(llm.User, text) }

func message(role llm.Role, text string) chat.Item {
	content, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return chat.Item{Item: llm.Item{Type: llm.TypeMessage, Role: role, Content: content}}
}

func (w *world) respond(conv string, input ...chat.Item) (*chat.Run, error) {
	return w.Respond(w.t.Context(), chat.Request{Caller: caller, ConversationID: conv, Input: input})
}

func (w *world) stream(conv string, input ...chat.Item) *chat.Run {
	w.t.Helper()
	run, err := w.Respond(w.t.Context(), chat.Request{Caller: caller, ConversationID: conv, Input: input, Stream: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return run
}

// ask makes a whole turn and returns how it ended.
func (w *world) ask(conv, text string) (chat.Response, error) {
	w.t.Helper()
	run, err := w.respond(conv, user(text))
	if err != nil {
		w.t.Fatal(err)
	}
	return run.Wait(w.t.Context())
}

func (w *world) mustAsk(conv, text string) chat.Response {
	w.t.Helper()
	r, err := w.ask(conv, text)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// records are the audit records of a conversation in the order they were sealed, with their texts.
func (w *world) records(conv string) []audit.Record {
	w.t.Helper()
	list, _, err := w.store.Records(w.t.Context(), caller.Owner, audit.Query{ConversationID: conv, Limit: 100, Asc: true})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range list {
		if list[i], err = w.store.Record(w.t.Context(), caller.Owner, list[i].ID); err != nil {
			w.t.Fatal(err)
		}
	}
	return list
}

// verify closes the store and proves its audit log.
func (w *world) verify() {
	w.t.Helper()
	if err := w.store.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.database.Verify(context.WithoutCancel(w.t.Context()))
}

// events reads a response's events from the one numbered from.
func (w *world) events(id string, from int) *chat.Subscription {
	w.t.Helper()
	sub, err := w.Events(w.t.Context(), caller.Owner, id, from)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(sub.Close)
	return sub
}

// numbered is an event with its number.
type numbered struct {
	chat.Event
	number int
}

// collect takes events until their end.
func collect(t *testing.T, sub *chat.Subscription) (all []numbered) {
	t.Helper()
	for {
		b, err := sub.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b.Cut {
			t.Fatal("the reader was cut off")
		}
		for i, ev := range b.Events {
			all = append(all, numbered{ev, b.First + i})
		}
		if b.Ended {
			return all
		}
		select {
		case <-sub.C:
		case <-t.Context().Done():
			t.Fatal("the run did not end")
		}
	}
}

// read collects a response's events from the one numbered from, none left out.
func (w *world) readFrom(run *chat.Run, from int) (all []chat.Event) {
	w.t.Helper()
	for i, ev := range collect(w.t, w.events(run.Response().ID, from)) {
		if ev.number != from+i {
			w.t.Fatalf("a reader at %d was given event %d", from+i, ev.number)
		}
		all = append(all, ev.Event)
	}
	return all
}

// read collects the events of a run that was begun with a stream.
func read(t *testing.T, run *chat.Run) (all []chat.Event) {
	t.Helper()
	for i, ev := range collect(t, run.Reader()) {
		if ev.number != i {
			t.Fatalf("a reader at %d was given event %d", i, ev.number)
		}
		all = append(all, ev.Event)
	}
	return all
}

// begun waits until a run's first text has come.
func begun(t *testing.T, run *chat.Run) {
	t.Helper()
	sub := run.Reader()
	for {
		b, err := sub.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(b.Events, func(e chat.Event) bool { return e.Type() == "response.output_text.delta" }) {
			return
		}
		if b.Ended {
			t.Fatal("the run ended without a text")
		}
		<-sub.C
	}
}

func code(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Code
	}
	return ""
}
