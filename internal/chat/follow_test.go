package chat_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

// looked counts how often an event log is looked at.
type looked struct {
	chat.Store
	times atomic.Int64
}

func (l *looked) EventLog(ctx context.Context, owner, id string, from int) ([][]byte, error) {
	l.times.Add(1)
	return l.Store.EventLog(ctx, owner, id, from)
}

// Who follows a response that another process makes looks at its log twenty times a second while something comes, and ten times where nothing does. What
// comes is told within the tenth of a second after which it is logged, and that time.
func TestWhoFollowsAResponseThatIsMadeElsewhereLooksSeldomAndIsToldSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const words, pace, silence = 100, 70 * time.Millisecond, 10 * time.Second
		speak := make(chan struct{})
		said := make([]time.Time, words)
		w := newWorld(t, func(_ context.Context, yield func(llm.Event, error) bool) {
			<-speak
			yield(llm.Started{HTTPStatus: 200}, nil)
			for i := range said {
				time.Sleep(pace)
				said[i] = time.Now()
				yield(llm.TextDelta{Text: "word "}, nil)
			}
			yield(llm.Finished{FinishReason: "stop"}, nil)
		})
		other := w.beside()
		log := &looked{Store: other.Store}
		other.Store = log
		run := w.stream(w.conversation(chat.Conversation{}), user("hi"))
		// The log has nothing yet.
		sub, err := other.Events(t.Context(), caller.Owner, run.Begun().ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		told := make(chan time.Time, words)
		ended := make(chan error, 1)
		go func() {
			for {
				b, err := sub.Take(t.Context())
				for _, ev := range b.Events {
					if ev.Type() == "response.output_text.delta" {
						told <- time.Now()
					}
				}
				if err != nil || b.Ended {
					ended <- err
					return
				}
				<-sub.C
			}
		}()
		// One of them may be at the end as well as at the beginning.
		looks := func(d time.Duration) int64 {
			before := log.times.Load()
			time.Sleep(d)
			return log.times.Load() - before - 1
		}
		time.Sleep(silence)
		if n := looks(silence); n > int64(silence/(100*time.Millisecond)) {
			t.Errorf("%d looks in %v at what does not speak", n, silence)
		}
		close(speak)
		if n := looks(words * pace); n > int64(words*pace/(50*time.Millisecond)) {
			t.Errorf("%d looks in %v at what speaks", n, words*pace)
		}
		for i := range said {
			if late := (<-told).Sub(said[i]); i > 0 && late > 150*time.Millisecond {
				t.Errorf("word %d is told %v late", i, late)
			}
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		w.Drain(t.Context())
	})
}
