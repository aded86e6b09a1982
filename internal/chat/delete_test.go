package chat_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

func TestDeletingAConversationCancelsItsRunningResponse(t *testing.T) {
	w := newWorld(t, until(nil, "endless"))
	conv := w.conversation(chat.Conversation{})
	run := w.stream(conv, user("go on for ever"))
	begun(t, run)
	if err := w.DeleteConversation(t.Context(), caller, conv, 0); err != nil {
		t.Fatal(err)
	}
	w.deletedUnder(conv, run)
}

// deletedUnder demands that a conversation is gone and that the run on it was cancelled and recorded first.
func (w *world) deletedUnder(conv string, run *chat.Run) {
	w.t.Helper()
	r, err := run.Wait(w.t.Context())
	if err != nil || r.Status != chat.Cancelled {
		w.t.Errorf("the run ended %s, %v", r.Status, err)
	}
	if _, err := w.Conversation(w.t.Context(), caller.Owner, conv); code(err) != chat.CodeConversationNotFound {
		w.t.Errorf("the conversation is there: %v", err)
	}
	recs := w.records(conv)
	if len(recs) != 3 || recs[1].Kind != audit.KindOutcome || recs[2].Kind != audit.KindConversationDeleted {
		w.t.Errorf("recorded %+v", recs)
	}
	w.verify()
}

func TestDeletingByAStaleVersionDoesNotTouchTheRun(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "slow"))
	conv := w.conversation(chat.Conversation{})
	run := w.stream(conv, user("hi"))
	if err := w.DeleteConversation(t.Context(), caller, conv, 99); code(err) != chat.CodeVersionMismatch {
		t.Errorf("got %v", err)
	}
	close(release)
	if r, err := run.Wait(t.Context()); err != nil || r.Status != chat.Completed {
		t.Errorf("the run ended %s, %v", r.Status, err)
	}
}

func TestAPromptThatBeginsDuringADeletionIsCancelledToo(t *testing.T) {
	w := newWorld(t, until(nil, "endless"))
	conv := w.conversation(chat.Conversation{})
	var run *chat.Run
	// The deletion has seen a conversation on which nothing runs.
	w.store.hook["DeleteConversation"] = func() {
		run = w.stream(conv, user("hi"))
		begun(t, run)
	}
	if err := w.DeleteConversation(t.Context(), caller, conv, 0); err != nil {
		t.Fatal(err)
	}
	w.deletedUnder(conv, run)
}

func TestADeletionThatFindsAPromptAtItsBeginningCancelsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, until(nil, "endless"))
		conv := w.conversation(chat.Conversation{})
		deleted := make(chan error, 1)
		// The lock is in the store, and Begin has not returned yet.
		w.store.hook["Begin done"] = func() {
			go func() { deleted <- w.DeleteConversation(t.Context(), caller, conv, 0) }()
			synctest.Wait()
		}
		run := w.stream(conv, user("hi"))
		if err := <-deleted; err != nil {
			t.Fatal(err)
		}
		w.deletedUnder(conv, run)
		if len(w.provider.calls()) != 0 {
			t.Error("the model was called all the same")
		}
	})
}

func TestTheVersionThatADeletionDemandsIsTheOneBeforeItCancelled(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(w *world, conv string)
		want      string
	}{
		"nothing else changed": {func(*world, string) {}, ""},
		"the title changed": {func(w *world, conv string) {
			if _, err := w.UpdateConversation(w.t.Context(), caller, conv, 0, func(c *chat.Conversation) error { c.Title = "new"; return nil }); err != nil {
				w.t.Error(err)
			}
		}, chat.CodeVersionMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, until(nil, "endless"))
			conv := w.conversation(chat.Conversation{})
			begun(t, w.stream(conv, user("hi")))
			c, err := w.Conversation(t.Context(), caller.Owner, conv)
			if err != nil {
				t.Fatal(err)
			}
			w.store.hook["End"] = func() { test.meanwhile(w, conv) }
			if err := w.DeleteConversation(t.Context(), caller, conv, c.Version); code(err) != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestAPromptThatBeginsDuringADeletionByVersionIsLeftAlone(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, until(release, "slow"))
	conv := w.conversation(chat.Conversation{})
	var run *chat.Run
	w.store.hook["DeleteConversation"] = func() { run = w.stream(conv, user("hi")) }
	if err := w.DeleteConversation(t.Context(), caller, conv, 1); code(err) != chat.CodeVersionMismatch {
		t.Errorf("got %v", err)
	}
	close(release)
	if r, err := run.Wait(t.Context()); err != nil || r.Status != chat.Completed {
		t.Errorf("the run ended %s, %v", r.Status, err)
	}
}

func TestADeletionDoesNotWaitForEverForAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		// A provider that does not heed its context.
		w := newWorld(t, func(_ context.Context, yield func(llm.Event, error) bool) {
			if yield(llm.TextDelta{Text: "deaf"}, nil) {
				<-release
			}
		})
		conv := w.conversation(chat.Conversation{})
		begun(t, w.stream(conv, user("hi")))
		if err := w.DeleteConversation(t.Context(), caller, conv, 0); code(err) != chat.CodeConversationLocked {
			t.Errorf("got %v", err)
		}
		close(release)
		w.Drain(t.Context())
	})
}

func TestAConversationThatACrashLeftLockedCanBeDeleted(t *testing.T) {
	w := newWorld(t, says("never"))
	conv := w.conversation(chat.Conversation{})
	w.orphan(conv, "resp_lost")
	w.takeOver()
	if err := w.DeleteConversation(t.Context(), caller, conv, 0); err != nil {
		t.Fatal(err)
	}
	if n, err := w.recover(w.Service); err != nil || n != 1 {
		t.Errorf("recovered %d, %v", n, err)
	}
	w.verify()
}
