package catalog_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-llm/parley/internal/catalog"
	"github.com/parley-llm/parley/internal/llm"
)

// lister is a provider that only lists models.
type lister struct {
	asked  int
	models []llm.Model
	err    error
}

func (l *lister) Models(context.Context) ([]llm.Model, error) {
	l.asked++
	return l.models, l.err
}

func (*lister) Encode(*llm.Request) ([]byte, error) { return nil, errors.New("not here") }

func (*lister) Generate(context.Context, *llm.Call) iter.Seq2[llm.Event, error] { return nil }

func TestAServerIsAskedForItsWindowsWhenAPromptMightNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{models: []llm.Model{{ID: "mine", ContextWindow: 4096}, {ID: "other"}}}
		e := llm.Endpoint{Name: "openai", Host: "127.0.0.1:8080", Provider: l}
		c := catalog.New()
		ask := func(model string, most int64, want int) {
			t.Helper()
			c.Ask(e, model, most)
			synctest.Wait()
			if l.asked != want {
				t.Errorf("asked %d times, want %d", l.asked, want)
			}
		}
		ask("mine", 2048, 0)
		ask("mine", 2049, 1)
		if got := c.Model(e, "mine").ContextWindow; got != 4096 {
			t.Errorf("learned %d", got)
		}
		ask("mine", 1e6, 1)
		ask("other", 1e6, 1)
		time.Sleep(5 * time.Minute)
		ask("mine", 1e6, 1)
		l.err = errors.New("down")
		ask("other", 1e6, 2)
	})
}

func TestNobodyIsAskedForWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{}
		c := catalog.New(catalog.Override{Endpoint: "set", ModelInfo: llm.ModelInfo{ContextWindow: 4096}})
		for _, e := range []llm.Endpoint{{Name: "openai", Host: "api.openai.com"}, {Name: llm.BuiltIn}, {Name: "set", Host: "localhost"}} {
			e.Provider = l
			c.Ask(e, "mine", 1e6)
		}
		synctest.Wait()
		if l.asked != 0 {
			t.Errorf("asked %d times", l.asked)
		}
	})
}
