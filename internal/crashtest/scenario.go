package crashtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"

	"github.com/parley-llm/parley/api"
)

// ScenarioCalls is how many calls a Scenario has, not counting the reads ahead of an edit, a deletion and a fork.
const ScenarioCalls = 20

// Scenario makes twenty calls, always the same ones with the same texts, one after the other. It ends early where the server is
// gone.
func (l *Load) Scenario(ctx context.Context, url string) {
	l.mu.Lock()
	if l.touched == nil {
		l.touched, l.count = map[string]bool{}, map[Op]int{}
	}
	l.mu.Unlock()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := &client{load: l, alone: true, running: map[string]string{}, random: rand.New(rand.NewPCG(l.Seed, 0)), api: api.Client{BaseURL: url, HTTPClient: &http.Client{Transport: transport}}}
	last := func() string {
		if len(c.own) == 0 {
			return "conv_none"
		}
		return c.own[len(c.own)-1]
	}
	for _, do := range []func(context.Context, string) error{
		c.append, c.prompt, c.stream, c.append, c.edit, c.fork, c.prompt, c.delete, c.stream,
		nil, c.append, c.stream, c.edit, c.prompt, c.fork, c.append, c.deleteConversation, c.prompt, c.stream,
	} {
		if ctx.Err() != nil {
			return
		}
		if do == nil || len(c.own) == 0 {
			if errors.Is(c.create(ctx), errGone) {
				return
			}
		}
		if do != nil && errors.Is(do(ctx, last()), errGone) {
			return
		}
	}
}
