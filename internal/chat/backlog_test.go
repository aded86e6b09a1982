package chat_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// What a model says while the store takes nothing is held in memory up to a bound. Then the run waits, and with it its model, however long
// that is patient.
func TestARunWaitsForAStoreThatStalls(t *testing.T) {
	const piece, pieces = 1 << 10, 1000
	for name, test := range map[string]struct {
		back   bool // the store comes back in time
		status chat.Status
		code   string
	}{
		"and goes on with it":          {true, chat.Completed, ""},
		"and fails when its time ends": {false, chat.Failed, chat.CodeStoreUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			given, stalled, back := 0, make(chan struct{}), make(chan struct{})
			w := newWorld(t, func(ctx context.Context, yield func(llm.Event, error) bool) {
				if !yield(llm.Started{HTTPStatus: 200}, nil) {
					return
				}
				if !test.back {
					defer close(back)
				}
				for given < pieces {
					if !yield(llm.TextDelta{Text: strings.Repeat("a", piece)}, nil) {
						return
					}
					if given++; given == 64 && test.back {
						<-stalled
						close(back)
					}
				}
				yield(llm.Finished{FinishReason: "stop"}, nil)
			})
			if !test.back {
				w.UpstreamTimeout = time.Second
			}
			w.store.hook["AppendEvents"] = func() {
				close(stalled)
				<-back
			}
			run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
			r, _ := run.Wait(t.Context())
			code := ""
			if r.Error != nil {
				code = r.Error.Code
			}
			if r.Status != test.status || code != test.code {
				t.Errorf("the response is %s, code %q", r.Status, code)
			}
			if !test.back && given > 130 {
				t.Errorf("%d KiB were taken while nothing could be logged", given)
			}
			if test.back && given != pieces {
				t.Errorf("%d pieces came", given)
			}
			if stored, err := w.Response(t.Context(), caller.Owner, r.ID); err != nil || len(stored.Output) != 1 || len(stored.Output[0].Content) != given*piece+2 {
				t.Errorf("stored is something else, %v", err)
			}
		})
	}
}
