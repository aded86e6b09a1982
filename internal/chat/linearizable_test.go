package chat_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// What several clients see of one conversation must be what one after the other would have seen: each call takes effect at one moment between its beginning and its
// end. A history of calls is recorded, and porcupine looks for an order that explains it.

// operation is one call of a client, with what came of it. A turn is two: its beginning, and its end some time after that.
type operation struct {
	Kind string // append, delete, title, begin, end, list, get
	// ID is the item's that the call adds or deletes, or the response's.
	ID string
	// Version is what a title's change is conditional on; 0 is none.
	Version int64
	// Status is ok, locked, stale or missing.
	Status string
	// IDs and Now are what a reading saw.
	IDs []string
	Now int64
}

// state is a conversation.
type state struct {
	ids     []string
	version int64
	running string
}

func (s state) with(change func(*state)) (bool, state) {
	s.ids = slices.Clone(s.ids)
	s.version++
	change(&s)
	return true, s
}

func step(s state, c operation) (bool, state) {
	locked := s.running != ""
	switch c.Kind {
	case "list":
		return slices.Equal(s.ids, c.IDs), s
	case "get":
		return s.version == c.Now, s
	case "title":
		if stale := c.Version != 0 && c.Version != s.version; stale || c.Status != "ok" {
			return stale == (c.Status == "stale"), s
		}
		return s.with(func(*state) {})
	case "end":
		if s.running != c.ID {
			return false, s
		}
		return s.with(func(s *state) { s.running, s.ids = "", append(s.ids, c.ID+" answer") })
	}
	if locked || c.Status == "locked" {
		return locked == (c.Status == "locked"), s
	}
	switch c.Kind {
	case "append":
		return s.with(func(s *state) { s.ids = append(s.ids, c.ID) })
	case "begin":
		return s.with(func(s *state) { s.running, s.ids = c.ID, append(s.ids, c.ID+" question") })
	default: // delete
		at := slices.Index(s.ids, c.ID)
		if at < 0 || c.Status != "ok" {
			return (at < 0) == (c.Status == "missing"), s
		}
		return s.with(func(s *state) { s.ids = slices.Delete(s.ids, at, at+1) })
	}
}

var model = porcupine.Model{
	Init: func() any { return state{version: 1} },
	Step: func(s, input, output any) (bool, any) { return step(s.(state), output.(operation)) },
	Equal: func(a, b any) bool {
		x, y := a.(state), b.(state)
		return x.version == y.version && x.running == y.running && slices.Equal(x.ids, y.ids)
	},
}

// history records the calls of several clients on one conversation.
type history struct {
	w     *world
	conv  string
	began time.Time

	mu    sync.Mutex
	names map[string]string // of items, by their ids
	ops   []porcupine.Operation
}

func (h *history) record(client int, began, ended time.Duration, c operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Call: int64(began), Return: int64(ended), Output: c})
}

func (h *history) now() time.Duration { return time.Since(h.began) }

// name is what an item is called in the history: its text, as ids come only with the answer.
func (h *history) list() []string {
	list, err := h.w.Items(h.w.t.Context(), caller.Owner, h.conv, chat.Page{Limit: 1000})
	if err != nil {
		h.w.t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make([]string, len(list.Data))
	for i := range list.Data {
		it := &list.Data[i]
		var text string
		_ = json.Unmarshal(it.Content, &text)
		if names[i] = text; it.ResponseID != "" {
			names[i] = it.ResponseID + " question"
			if it.Output {
				names[i] = it.ResponseID + " answer"
			}
		}
		h.names[names[i]] = it.ID
	}
	return names
}

func statusOf(err error) string {
	switch code(err) {
	case "":
		if err != nil {
			return err.Error()
		}
		return "ok"
	case chat.CodeConversationLocked:
		return "locked"
	case chat.CodeVersionMismatch:
		return "stale"
	case chat.CodeMessageNotFound:
		return "missing"
	default:
		return code(err)
	}
}

// client makes calls.
func (h *history) client(n int, r *rand.Rand, calls int) {
	ctx, version := h.w.t.Context(), int64(0)
	for i := range calls {
		text := fmt.Sprintf("%d.%d", n, i)
		began := h.now()
		c := operation{Kind: []string{"append", "append", "delete", "title", "begin", "list", "list", "get"}[r.IntN(8)]}
		switch c.Kind {
		case "append":
			items, err := h.w.AppendItems(ctx, caller, h.conv, []chat.Item{user(text)})
			c.ID, c.Status = text, statusOf(err)
			if err == nil {
				h.mu.Lock()
				h.names[text] = items[0].ID
				h.mu.Unlock()
			}
		case "delete":
			h.mu.Lock()
			known := slices.Sorted(maps.Keys(h.names))
			if len(known) == 0 {
				h.mu.Unlock()
				continue
			}
			c.ID = known[r.IntN(len(known))]
			id := h.names[c.ID]
			h.mu.Unlock()
			c.Status = statusOf(h.w.DeleteItem(ctx, caller, h.conv, id, 0))
		case "title":
			if r.IntN(2) == 0 {
				c.Version = version
			}
			_, err := h.w.UpdateConversation(ctx, caller, h.conv, c.Version, func(c *chat.Conversation) error { c.Title = text; return nil })
			c.Status = statusOf(err)
		case "begin":
			run, err := h.w.Respond(ctx, chat.Request{Caller: caller, ConversationID: h.conv, Input: []chat.Item{user(text)}, Stream: r.IntN(2) == 0})
			c.Status = statusOf(err)
			if err == nil {
				c.ID = run.Response().ID
				h.record(n, began, h.now(), c)
				if _, err := run.Wait(ctx); err != nil {
					h.w.t.Error(err)
				}
				// The run takes its end some time within this: it may have before Respond returns.
				h.record(n, began, h.now(), operation{Kind: "end", ID: c.ID, Status: "ok"})
				continue
			}
		case "list":
			c.IDs = h.list()
		case "get":
			got, err := h.w.Conversation(ctx, caller.Owner, h.conv)
			if err != nil {
				h.w.t.Error(err)
			}
			c.Now = got.Version
			version = got.Version
		}
		h.record(n, began, h.now(), c)
	}
}

// linearizable makes a history and reports whether an order explains it.
func linearizable(w *world, seed uint64) porcupine.CheckResult {
	h := &history{w: w, conv: w.conversation(chat.Conversation{Title: "x"}), began: time.Now(), names: map[string]string{}}
	var clients sync.WaitGroup
	for n := range 4 {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		clients.Go(func() { h.client(n, r, 12) })
	}
	clients.Wait()
	return porcupine.CheckOperationsTimeout(model, h.ops, 20*time.Second)
}

func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// PARLEY_TEST_HISTORIES makes it longer, PARLEY_TEST_SEED repeats one.
func TestHistoriesAreLinearizable(t *testing.T) {
	seed := setting(t, "PARLEY_TEST_SEED", rand.Uint64()>>1)
	histories := setting(t, "PARLEY_TEST_HISTORIES", 20)
	t.Logf("PARLEY_TEST_SEED=%d", seed)
	w := newWorld(t, says("Hello"))
	for i := range histories {
		if got := linearizable(w, seed+i); got != porcupine.Ok {
			t.Fatalf("no order explains the history of seed %d: %s", seed+i, got)
		}
	}
	w.verify()
}

// forgetful is a store with a bug: one deletion in three is acknowledged and does not happen.
type forgetful struct {
	*faulty
	n *atomic.Int64
}

func (f forgetful) DeleteItem(ctx context.Context, owner, conversationID, id string, version int64, recs ...audit.Record) error {
	if f.n.Add(1)%3 == 0 {
		return nil
	}
	return f.faulty.DeleteItem(ctx, owner, conversationID, id, version, recs...)
}

// unlocked is another: its items can be added to while a response runs.
type unlocked struct {
	*faulty
}

func (u unlocked) AppendItems(ctx context.Context, owner string, claim *chat.Claim, conversationID, title string, items []chat.Item, recs ...audit.Record) error {
	err := u.faulty.AppendItems(ctx, owner, claim, conversationID, title, items, recs...)
	if code(err) == chat.CodeConversationLocked {
		return nil
	}
	return err
}

// stale reads what was.
type stale struct {
	*faulty
	mu   *sync.Mutex
	last *chat.List[chat.Item]
}

func (s stale) Items(ctx context.Context, owner, conversationID string, p chat.Page) (chat.List[chat.Item], error) {
	list, err := s.faulty.Items(ctx, owner, conversationID, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := *s.last; len(last.Data) > 0 && last.Data[0].ConversationID == conversationID && len(last.Data) < len(list.Data) {
		list, *s.last = last, list
		return list, err
	}
	*s.last = list
	return list, err
}

func TestAHistoryShowsABug(t *testing.T) {
	for name, plant := range map[string]func(*faulty) chat.Store{
		"a deletion is lost":       func(f *faulty) chat.Store { return forgetful{f, new(atomic.Int64)} },
		"the lock is not kept":     func(f *faulty) chat.Store { return unlocked{f} },
		"a reading is of the past": func(f *faulty) chat.Store { return stale{f, &sync.Mutex{}, &chat.List[chat.Item]{}} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(_ context.Context, yield func(llm.Event, error) bool) {
				says(strings.Fields("a longer answer")...)(t.Context(), yield)
			})
			w.Store = plant(w.store)
			for seed := range uint64(50) {
				if linearizable(w, seed) == porcupine.Illegal {
					return
				}
			}
			t.Error("fifty histories do not show it")
		})
	}
}
