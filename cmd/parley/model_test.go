package main

import (
	"context"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// lister is a provider that is asked for its models: it answers when answer says what.
type lister struct {
	asked  int
	answer chan []llm.Model
}

func (l *lister) Models(ctx context.Context) ([]llm.Model, error) {
	l.asked++
	select {
	case models, ok := <-l.answer:
		if !ok {
			return nil, &llm.Error{Fault: fault.New(fault.Upstream, "upstream_failed", "The model's provider could not be reached.")}
		}
		return models, nil
	case <-ctx.Done():
		return nil, &llm.Error{Fault: fault.Wrap(ctx.Err(), fault.Timeout, "upstream_timeout", "The model's provider did not answer in time.")}
	}
}

func (*lister) Encode(*llm.Request) ([]byte, error) { panic("not called") }

func (*lister) Generate(context.Context, *llm.Call) iter.Seq2[llm.Event, error] { panic("not called") }

// choosing is the choice of a model that a provider lists.
func choosing(l *lister) *modelChoice {
	endpoint := llm.Endpoint{Name: "openai", Host: "llm.test", Provider: l}
	return &modelChoice{endpoint: endpoint, router: &llm.Router{Endpoints: []llm.Endpoint{endpoint}, Default: "openai"}}
}

type chosen struct {
	id  string
	err error
}

// wants asks for the model as a prompt does.
func (c *modelChoice) wants(ctx context.Context) <-chan chosen {
	got := make(chan chosen, 1)
	go func() {
		id, err := c.model(ctx)
		got <- chosen{id, err}
	}()
	return got
}

func TestPromptsShareOneQuestionForTheDefaultModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{answer: make(chan []llm.Model)}
		c := choosing(l)
		leaving, leave := context.WithCancel(t.Context())
		left := c.wants(leaving)
		var waiting []<-chan chosen
		for range 10 {
			waiting = append(waiting, c.wants(t.Context()))
		}
		synctest.Wait()
		leave()
		if got := <-left; fault.Of(got.err).Kind != fault.Canceled {
			t.Errorf("who left got %+v", got)
		}
		l.answer <- []llm.Model{{ID: "first"}, {ID: "second"}}
		for _, w := range append(waiting, c.wants(t.Context())) {
			if got := <-w; got.id != "first" || got.err != nil {
				t.Errorf("got %+v", got)
			}
		}
		if l.asked != 1 {
			t.Errorf("the provider was asked %d times", l.asked)
		}
	})
}

func TestAServerThatDoesNotListItsModelsIsNotAskedWithEveryPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{answer: make(chan []llm.Model)}
		c := choosing(l)
		began := time.Now()
		for range 5 {
			if got := <-c.wants(t.Context()); fault.Of(got.err).Code != "upstream_timeout" {
				t.Errorf("got %+v", got)
			}
		}
		if l.asked != 1 || time.Since(began) != lookupTimeout {
			t.Errorf("asked %d times in %v", l.asked, time.Since(began))
		}
		time.Sleep(lookupPause)
		again := c.wants(t.Context())
		l.answer <- []llm.Model{{ID: "first"}}
		if got := <-again; got.id != "first" || l.asked != 2 {
			t.Errorf("after a pause: %+v, asked %d times", got, l.asked)
		}
	})
}

func TestAServerThatListsNoModelIsAskedAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{answer: make(chan []llm.Model, 1)}
		c := choosing(l)
		l.answer <- nil
		if got := <-c.wants(t.Context()); fault.Of(got.err).Code != codeModelNotFound {
			t.Errorf("got %+v", got)
		}
		time.Sleep(lookupPause)
		close(l.answer)
		if got := <-c.wants(t.Context()); fault.Of(got.err).Code != "upstream_failed" {
			t.Errorf("got %+v", got)
		}
	})
}
