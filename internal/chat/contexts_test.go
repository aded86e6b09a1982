package chat_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// reading counts how often contexts are read.
type reading struct {
	chat.Store
	contexts atomic.Int64
}

func (r *reading) Context(ctx context.Context, owner, conversation string, n int) (chat.Conversation, []chat.Item, error) {
	r.contexts.Add(1)
	return r.Store.Context(ctx, owner, conversation, n)
}

// Whatever was done to a conversation, by this service or beside it, a prompt sends what is stored.
func TestAPromptSendsWhatIsStoredThoughItMayNotBeRead(t *testing.T) {
	for _, window := range []int{0, 1, 3, 6} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("window %d, seed %d", window, seed), func(t *testing.T) { promptAtRandom(t, window, seed) })
		}
	}
}

func promptAtRandom(t *testing.T, window int, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, uint64(window)))
	var next script
	w := newWorld(t, func(ctx context.Context, yield func(llm.Event, error) bool) { next(ctx, yield) })
	if w.database.Shared() {
		t.Skip("where another process may write each prompt reads its context")
	}
	beside := w.beside()
	beside.ContextBytes, beside.ContextMessages = 0, window
	store := &reading{Store: w.Store}
	w.Store, w.ContextMessages = store, window
	// The longest are not kept.
	w.ContextBytes = 512 << 10
	ctx := t.Context()
	conversations := []string{w.conversation(chat.Conversation{}), w.conversation(chat.Conversation{Instructions: "Be brief."}), w.conversation(chat.Conversation{})}
	texts, prompts := 0, 0
	text := func() string {
		texts++
		return fmt.Sprintf("text %d é %s", texts, strings.Repeat("x", rnd.IntN(500)))
	}
	open := map[string]string{} // the call that waits for its output, by conversation
	for step := range 120 {
		conv := conversations[rnd.IntN(len(conversations))]
		service := w.Service
		if rnd.IntN(6) == 0 {
			service = beside
		}
		messages, err := w.store.Items(ctx, caller.Owner, conv, chat.Page{Limit: 100, Desc: true})
		if err != nil {
			t.Fatal(err)
		}
		var one string
		if n := len(messages.Data); n > 0 {
			one = messages.Data[rnd.IntN(n)].ID
		}
		switch op := rnd.IntN(20); {
		case op == 0:
			_, err = service.AppendItems(ctx, caller, conv, []chat.Item{message([]llm.Role{llm.User, llm.Assistant, llm.System}[rnd.IntN(3)], text())})
		case op == 1 && one != "":
			_, err = service.UpdateItem(ctx, caller, conv, one, 0, func(it *chat.Item) error {
				it.Content = message(llm.User, text()).Content
				return nil
			})
			if err != nil && strings.Contains(err.Error(), "cannot be edited") {
				err = nil
			}
		case op == 2 && one != "" && open[conv] == "":
			err = service.DeleteItem(ctx, caller, conv, one, 0)
		case op == 3:
			_, err = service.UpdateConversation(ctx, caller, conv, 0, func(c *chat.Conversation) error {
				switch rnd.IntN(3) {
				case 0:
					c.Instructions = text()
				case 1:
					c.SetTitle(fmt.Sprint("title ", step))
				default:
					c.Metadata = map[string]string{"a": text()}
				}
				return nil
			})
		case op == 4 && one != "" && open[conv] == "":
			next = says("again ", text())
			var run *chat.Run
			if run, err = service.Respond(ctx, chat.Request{Caller: caller, ConversationID: conv, Regenerate: true}); err == nil {
				_, err = run.Wait(ctx)
			} else if strings.Contains(err.Error(), "nothing to regenerate") {
				err = nil
			}
		default:
			prompts++
			input := func() []chat.Item { return []chat.Item{user(fmt.Sprint("prompt ", step))} }
			if call := open[conv]; call != "" {
				input = func() []chat.Item {
					data, _ := json.Marshal(map[string]string{"call_id": call, "output": fmt.Sprint("output ", step)})
					return []chat.Item{{Item: llm.Item{Type: llm.TypeFunctionCallOutput, Data: data}}}
				}
			}
			next = says("not kept")
			run, asked := beside.Respond(ctx, chat.Request{Caller: caller, ConversationID: conv, Input: input(), Unstored: true})
			if asked == nil {
				_, asked = run.Wait(ctx)
			}
			calls := w.provider.calls()
			opens := ""
			switch rnd.IntN(8) {
			case 0:
				next = fails(upstreamError(false), "half ")
			case 1:
				next = ends("length", "cut ", text())
			case 2:
				opens = fmt.Sprintf("call_%d", step)
				next = func(_ context.Context, yield func(llm.Event, error) bool) {
					_ = yield(llm.Started{HTTPStatus: 200}, nil) && yield(llm.ToolCallStarted{CallID: opens, Name: "weather"}, nil) &&
						yield(llm.ToolCallDelta{Arguments: "{}"}, nil) && yield(llm.Finished{FinishReason: "tool_calls"}, nil)
				}
			default:
				next = says("answer ", text())
			}
			run, err = service.Respond(ctx, chat.Request{Caller: caller, ConversationID: conv, Input: input(), Stream: rnd.IntN(2) == 0})
			if (err == nil) != (asked == nil) || err != nil && err.Error() != asked.Error() {
				t.Fatalf("step %d: %v beside %v", step, err, asked)
			}
			if err != nil {
				// An edit has taken the call away.
				open[conv], err = "", nil
				break
			}
			if reader := run.Reader(); reader != nil {
				collect(t, reader)
				reader.Close()
			}
			r, _ := run.Wait(ctx)
			sent := w.provider.calls()[len(calls):]
			if want := calls[len(calls)-1]; len(sent) != 1 || !reflect.DeepEqual(sent[0].Messages, want.Messages) || sent[0].Instructions != want.Instructions {
				t.Fatalf("step %d: sent was\n%+v, want\n%+v", step, sent, want)
			}
			if open[conv] != "" && r.Status == chat.Failed {
				break
			}
			if open[conv] = ""; r.Status == chat.Completed {
				open[conv] = opens
			}
		}
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
	}
	if n := store.contexts.Load(); n >= int64(prompts) {
		t.Errorf("%d contexts were read for %d prompts", n, prompts)
	}
}

// What is kept is bounded, and goes with its conversation.
func TestContextsThatAreKeptAreBounded(t *testing.T) {
	w := newWorld(t, says("Hello."))
	if w.database.Shared() {
		t.Skip("where another process may write each prompt reads its context")
	}
	store := &reading{Store: w.Store}
	w.Store, w.ContextBytes = store, 128<<10
	reads := func(conv string) int64 {
		before := store.contexts.Load()
		w.mustAsk(conv, "hi")
		return store.contexts.Load() - before
	}
	first := w.conversation(chat.Conversation{})
	if a, b, c := reads(first), reads(first), reads(first); a != 1 || b+c != 0 {
		t.Errorf("%d, %d and %d contexts were read for three prompts", a, b, c)
	}
	for range 100 {
		w.mustAsk(w.conversation(chat.Conversation{}), "hi")
	}
	if n := reads(first); n != 1 {
		t.Errorf("100 conversations later a context is read %d times", n)
	}
	long := w.conversation(chat.Conversation{})
	w.mustAsk(long, strings.Repeat("long ", 2000))
	if a, b := reads(long), reads(long); cmp.Or(a, b) != 1 {
		t.Errorf("a long context is read %d and %d times", a, b)
	}
}
