package catalog

import (
	"context"
	"time"

	"github.com/parley-llm/parley/internal/llm"
)

const (
	// askAbove: a prompt of no more tokens fits into any window.
	askAbove = 2048
	// askAgain is how long a provider's answer, or its silence, holds.
	askAgain = 5 * time.Minute
	// askTimeout bounds one question.
	askTimeout = 10 * time.Second
)

// Ask asks a provider in the background for its models' windows: servers of local models have the one that they were
// started with, and say so in their list of models. It does so only for prompts that might not fit, not at hosts that the
// table knows, not for what is known already, and seldom.
func (c *Catalog) Ask(e llm.Endpoint, model string, most int64) {
	if most <= askAbove || e.Name == llm.BuiltIn || len(loaded().byHost(e.Host)) > 0 || !c.due(e.Name, model, time.Now()) {
		return
	}
	go func() {
		ctx, stop := context.WithTimeout(context.Background(), askTimeout)
		defer stop()
		models, err := e.Provider.Models(ctx)
		if err != nil {
			// Asked again later; until then the provider's refusal will do.
			return
		}
		for _, m := range models {
			c.Learn(e, m.ID, m.ContextWindow)
		}
	}()
}

// due reports whether an endpoint should be asked now, and notes that it is.
func (c *Catalog) due(endpoint, model string, now time.Time) bool {
	if merge(c.overrides[key{endpoint, model}], c.overrides[key{endpoint, ""}]).ContextWindow != 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.learned[key{endpoint, model}] != 0 || now.Sub(c.asked[endpoint]) < askAgain {
		return false
	}
	c.asked[endpoint] = now
	return true
}
