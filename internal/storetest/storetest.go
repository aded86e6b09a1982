// Package storetest is what every store must do: the other half of the comments at chat.Store and audit.Log, as cases
// that read as sentences. It tests through those interfaces alone and knows no database.
package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// Store is what is tested: conversations and the audit log, in one.
type Store interface {
	chat.Store
	audit.Log
}

// The two owners of the cases.
const (
	owner = "default"
	other = "other"
)

// Run runs the suite. open returns a new and empty store, which it closes when the test ends.
func Run(t *testing.T, open func(t *testing.T) Store) {
	groups := []struct {
		name  string
		cases []testCase
	}{
		{"conversations", conversationCases},
		{"items", itemCases},
		{"pages", pageCases},
		{"filters", filterCases},
		{"search", searchCases},
		{"context", contextCases},
		{"turns", turnCases},
		{"regenerate", regenerateCases},
		{"asides", asideCases},
		{"events", eventCases},
		{"deletion", deletionCases},
		{"forks", forkCases},
		{"claims", claimCases},
		{"owners", ownerCases},
		{"audit", auditCases},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(newWorld(t, open(t)))
				})
			}
		})
	}
}

// RunReopen runs the cases of what must outlive a restart. reopen ends s, by closing it or by letting it die, and opens
// the same data anew.
func RunReopen(t *testing.T, open func(t *testing.T) Store, reopen func(t *testing.T, s Store) Store) {
	for _, c := range reopenCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, open(t))
			c.run(w, func() { w.Store = reopen(t, w.Store) })
		})
	}
}

type testCase struct {
	name string
	run  func(w *world)
}

// world is a store under test with what a case needs around it.
type world struct {
	Store
	t   *testing.T
	ctx context.Context
	n   atomic.Int64
}

func newWorld(t *testing.T, s Store) *world {
	return &world{Store: s, t: t, ctx: t.Context()}
}

// id makes ids that no other call has made.
func (w *world) id(prefix string) string { return fmt.Sprintf("%s%026d", prefix, w.n.Add(1)) }

// Began is when the cases play, and what a store that is tested should take for the present.
var Began = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)

// now is a second later with every call, and finer than a store keeps times.
func (w *world) now() time.Time {
	return Began.Add(time.Duration(w.n.Add(1)) * time.Second)
}

// kept is a time as a store gives it back.
func kept(at time.Time) time.Time { return at.UTC().Truncate(time.Millisecond) }

func (w *world) message(role llm.Role, text string) chat.Item {
	content, err := json.Marshal(text)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.item(llm.Item{Type: llm.TypeMessage, Role: role, Content: content})
}

func (w *world) call(id string) chat.Item {
	return w.item(llm.Item{Type: llm.TypeFunctionCall, Data: json.RawMessage(`{"type":"function_call","call_id":"` + id + `","name":"f","arguments":"{}"}`)})
}

func (w *world) output(id string) chat.Item {
	return w.item(llm.Item{Type: llm.TypeFunctionCallOutput, Data: json.RawMessage(`{"type":"function_call_output","call_id":"` + id + `","output":"42"}`)})
}

func (w *world) item(it llm.Item) chat.Item {
	return chat.Item{ID: w.id("msg_"), Item: it, Status: chat.ItemCompleted, Version: 1, CreatedAt: w.now()}
}

// conversation creates one with items and returns it as it is stored.
func (w *world) conversation(items ...chat.Item) chat.Conversation {
	w.t.Helper()
	return w.conversationOf(owner, items...)
}

func (w *world) conversationOf(owner string, items ...chat.Item) chat.Conversation {
	w.t.Helper()
	at := w.now()
	c := chat.Conversation{ID: w.id("conv_"), Owner: owner, Title: "a title", CreatedAt: at, UpdatedAt: at}
	w.ok(w.CreateConversation(w.ctx, owner, nil, &c, items))
	return w.read(owner, c.ID)
}

// messages are n messages, of the user and the assistant by turns.
func (w *world) messages(n int) []chat.Item {
	items := make([]chat.Item, n)
	for i := range items {
		role := llm.User
		if i%2 == 1 {
			role = llm.Assistant
		}
		items[i] = w.message(role, fmt.Sprintf("message %d", i+1))
	}
	return items
}

func (w *world) read(owner, id string) chat.Conversation {
	w.t.Helper()
	c, err := w.Conversation(w.ctx, owner, id)
	w.ok(err)
	return c
}

// items are all items of a conversation.
func (w *world) items(conversationID string) []chat.Item {
	w.t.Helper()
	list, err := w.Items(w.ctx, owner, conversationID, chat.Page{Limit: 10_000})
	w.ok(err)
	return list.Data
}

func (w *world) record(kind audit.Kind, change func(r *audit.Record)) audit.Record {
	rec := audit.Record{ID: w.id("aud_"), Time: w.now(), Kind: kind, Owner: owner, Actor: "anonymous", RequestID: w.id("req_")}
	if change != nil {
		change(&rec)
	}
	return rec
}

// turn is the start of a response on a conversation as it stands now.
func (w *world) turn(c chat.Conversation, input ...chat.Item) *chat.Turn {
	r := chat.Response{
		ID: w.id("resp_"), Owner: c.Owner, ConversationID: c.ID, Status: chat.InProgress, Model: "gpt", Provider: "openai", Host: "api.example.com",
		Stream: true, Attempts: 1, RequestID: w.id("req_"), Actor: "anonymous", CreatedAt: w.now(),
	}
	for i := range input {
		input[i].ResponseID = r.ID
		r.Input = append(r.Input, input[i].ID)
	}
	return &chat.Turn{Conversation: c, Title: "from the prompt", Input: input, Response: r, Intent: w.attempt(audit.KindIntent, &r)}
}

func (w *world) attempt(kind audit.Kind, r *chat.Response) audit.Record {
	return w.record(kind, func(rec *audit.Record) {
		rec.Owner, rec.ConversationID, rec.ResponseID, rec.Attempt = r.Owner, r.ConversationID, r.ID, r.Attempts
	})
}

// begin begins a turn with a user's message.
func (w *world) begin(c chat.Conversation) *chat.Turn {
	w.t.Helper()
	t := w.turn(c, w.message(llm.User, "a question"))
	w.ok(w.Begin(w.ctx, c.Owner, t))
	return t
}

// ending is the end of a begun turn.
func (w *world) ending(t *chat.Turn, status chat.Status, output ...chat.Item) *chat.Ending {
	r := t.Response
	r.Status, r.Output, r.CompletedAt = status, output, w.now()
	for i := range r.Output {
		r.Output[i].ConversationID, r.Output[i].ResponseID, r.Output[i].Output, r.Output[i].Model = r.ConversationID, r.ID, true, r.Model
	}
	if status.LeavesContext() {
		r.Error = &chat.ResponseError{Code: "upstream_failed", Message: "The model's provider failed.", Kind: fault.Upstream}
	}
	outcome := w.attempt(audit.KindOutcome, &r)
	outcome.Status = string(status)
	return &chat.Ending{Response: r, Outcome: outcome}
}

// answered does a whole turn and returns the response as it is stored.
func (w *world) answered(conversationID string) chat.Response {
	w.t.Helper()
	t := w.begin(w.read(owner, conversationID))
	e := w.ending(t, chat.Completed, w.message(llm.Assistant, "an answer"))
	w.ok(w.End(w.ctx, owner, e))
	r, err := w.Response(w.ctx, owner, t.Response.ID)
	w.ok(err)
	return r
}

// recorded says whether the log has a record.
func (w *world) recorded(id string) bool {
	w.t.Helper()
	_, err := w.Record(w.ctx, owner, id)
	if err != nil {
		w.fault(err, fault.NotFound, chat.CodeRecordNotFound)
	}
	return err == nil
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// fault demands a classified error.
func (w *world) fault(err error, kind fault.Kind, code string) {
	w.t.Helper()
	f := fault.Of(err)
	if err == nil || f.Kind != kind || f.Code != code {
		w.t.Fatalf("got error %v, want one of kind %d, code %s", err, kind, code)
	}
}

func (w *world) equal(got, want any) {
	w.t.Helper()
	if !reflect.DeepEqual(got, want) {
		w.t.Fatalf("got\n  %+v\nwant\n  %+v", got, want)
	}
}

// ids are the ids of items, in order.
func ids(items []chat.Item) []string {
	list := make([]string, len(items))
	for i := range items {
		list[i] = items[i].ID
	}
	return list
}

// conversations are those of a list.
func conversations(list chat.List[chat.Hit]) []chat.Conversation {
	all := make([]chat.Conversation, len(list.Data))
	for i := range list.Data {
		all[i] = list.Data[i].Conversation
	}
	return all
}

func seqs(items []chat.Item) []int64 {
	list := make([]int64, len(items))
	for i := range items {
		list[i] = items[i].Seq
	}
	return list
}
