package chat

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/llm"
)

// What is logged as told can be made of the log: a reader that comes to it is sent there.
func TestALogMakesAllTheEventsThatItHas(t *testing.T) {
	var steps [][]byte
	batches, enough := make(chan []byte, 8), errors.New("no more than that")
	run := newRun("o", Response{ID: "resp_1", Status: InProgress}, nil)
	left := 2
	run.log = newEventLog(run, &logWriters{}, func(b Batched) error {
		if left--; left < 0 {
			return enough
		}
		batches <- b.Steps
		return nil
	})
	run.begin(1)
	s := &Service{Now: time.Now, NewID: func(prefix string) string { return prefix + "1" }}
	r := s.newReply(run, &turn{call: &llm.Call{Stream: true}})

	logged := func() (kept, told int) {
		run.mu.Lock()
		defer run.mu.Unlock()
		for run.log.writing {
			if run.log.written == nil {
				run.log.written = make(chan struct{})
			}
			written := run.log.written
			run.mu.Unlock()
			<-written
			run.mu.Lock()
		}
		return run.log.kept.events, run.log.told.events
	}
	r.add(llm.ReasoningDelta{Text: strings.Repeat("a", 2*largeAnswer)})
	steps = append(steps, <-batches)
	kept, told := logged()
	// One that closes what went before, of which the log's batch is full in the middle.
	for ; told < kept+logEvents-1; told++ {
		r.add(llm.ReasoningDelta{Text: "a"})
	}
	r.add(llm.TextDelta{Text: "b"})
	steps = append(steps, <-batches)
	kept, _ = logged()

	p := newPlayer(&run.response)
	for _, b := range steps {
		if err := p.play(b); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.events) < kept {
		t.Errorf("%d events are logged, of which the log makes %d", kept, len(p.events))
	}
}
