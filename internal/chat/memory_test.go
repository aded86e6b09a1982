package chat_test

import (
	"context"
	"iter"
	"testing"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// keeper is a provider that keeps the call that it was last given.
type keeper struct {
	*provider
	call *llm.Call
}

func (k *keeper) Generate(ctx context.Context, call *llm.Call) iter.Seq2[llm.Event, error] {
	k.call = call
	return k.provider.Generate(ctx, call)
}

func TestAnAnswerThatComesDoesNotHoldWhatWasAsked(t *testing.T) {
	k, held := &keeper{}, true
	w := newWorld(t, func(_ context.Context, yield func(llm.Event, error) bool) {
		_ = yield(llm.Started{HTTPStatus: 200}, nil)
		held = k.call.Body != nil
		_ = yield(llm.TextDelta{Text: "Hello"}, nil) && yield(llm.Finished{FinishReason: "stop"}, nil)
	})
	k.provider = w.provider
	w.Router.Endpoints[0].Provider = k
	if r := w.mustAsk(w.conversation(chat.Conversation{}), "hi"); r.Status != chat.Completed || held {
		t.Errorf("%s, the prompt is held: %v", r.Status, held)
	}
}
