package chat_test

import (
	"testing"

	"github.com/parley-llm/parley/internal/chat"
)

func TestAnItemIsSaidToBeDoneOnceItIsStored(t *testing.T) {
	w := newWorld(t, says("Hello"))
	early := ""
	var run *chat.Run
	begun := make(chan struct{})
	w.store.hook["End"] = func() {
		<-begun
		b, _ := run.Reader().Take(t.Context())
		early = b.Events[len(b.Events)-1].Type()
	}
	run, err := w.Respond(t.Context(), chat.Request{
		Caller: caller, ConversationID: w.conversation(chat.Conversation{}), Input: []chat.Item{user("hi")}, Stream: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	close(begun)
	if _, err := run.Wait(t.Context()); err != nil || early != "response.output_text.delta" {
		t.Errorf("ahead of the end %s was told, %v", early, err)
	}
}
