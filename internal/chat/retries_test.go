package chat_test

import (
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/chat"
)

// lose prompts as a client does that goes before its answer.
func (w *world) lose(c chat.Caller, conv string) string {
	w.t.Helper()
	r, err := w.askAs(c, conv)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Delivered(c, false)
	return r.ID
}

func TestARetryIsForgottenAfterTenMinutes(t *testing.T) {
	w := newWorld(t, says("Hello"))
	conv, now := w.conversation(chat.Conversation{}), time.Now()
	w.Now = func() time.Time { return now }
	first := w.lose(retry(0), conv)
	now = now.Add(10*time.Minute - time.Second)
	in := retry(1)
	if got := w.lose(in, conv); got != first || !in.Idempotency.Replayed {
		t.Errorf("in time it got %s", got)
	}
	now = now.Add(time.Second)
	if got := w.lose(retry(2), conv); got == first {
		t.Errorf("too late it got %s", got)
	}
}

func TestARetryIsOneOfItsCaller(t *testing.T) {
	w := newWorld(t, says("Hello"))
	conv := w.conversation(chat.Conversation{})
	first := w.lose(retry(0), conv)
	other := retry(1)
	other.Actor = "key_2"
	if got := w.lose(other, conv); got == first {
		t.Error("another key got the answer")
	}
}

func TestTwoLostAnswersGoToTwoRetries(t *testing.T) {
	w := newWorld(t, says("Hello"))
	conv := w.conversation(chat.Conversation{})
	a, b := w.lose(retry(0), conv), w.lose(retry(0), conv)
	// The first retry loses it again, the second is still reading it when the third comes.
	if got := w.lose(retry(1), conv); got != a {
		t.Errorf("got %v, want %s", got, a)
	}
	if r, err := w.askAs(retry(1), conv); err != nil || r.ID != a {
		t.Errorf("got %v, %v; want %s", r.ID, err, a)
	}
	if r, err := w.askAs(retry(1), conv); err != nil || r.ID != b {
		t.Errorf("got %v, %v; want %s", r.ID, err, b)
	}
	if n := len(w.provider.calls()); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestARetryOfAnAnswerThatWasDeletedIsANewPrompt(t *testing.T) {
	w := newWorld(t, says("Hello"))
	gone, conv := w.conversation(chat.Conversation{}), w.conversation(chat.Conversation{})
	w.lose(retry(0), gone)
	if err := w.DeleteConversation(t.Context(), caller, gone, 0); err != nil {
		t.Fatal(err)
	}
	c := retry(1)
	if r, err := w.askAs(c, conv); err != nil || c.Idempotency.Replayed || r.ConversationID != conv {
		t.Errorf("got %+v, %v", r, err)
	}
}
