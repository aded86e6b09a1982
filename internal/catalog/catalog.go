// Package catalog knows models: how much fits into their context and what they cost. Its table is made from another
// project's at development time; what an operator sets and what a provider says of itself go before it.
//
// It decides nothing: it answers what the core asks.
package catalog

import (
	"cmp"
	"strings"
	"sync"
	"time"

	"github.com/parley-llm/parley/internal/llm"
)

// minWindow is the smallest context window that is believed.
const minWindow = 256

// Override is what an operator says of a model. Its zero fields, and nil prices, leave the catalogue's in force.
type Override struct {
	// Endpoint is the configured provider's name. Model is the model's name there; empty, all of the endpoint's.
	Endpoint, Model string
	llm.ModelInfo
}

// Catalog is safe for concurrent use.
type Catalog struct {
	overrides map[key]llm.ModelInfo

	mu sync.Mutex
	// learned holds the windows that providers have told of.
	learned map[key]int64
	// asked is when an endpoint was last asked.
	asked map[string]time.Time
}

// key is a model at an endpoint.
type key struct{ endpoint, model string }

// New makes a catalogue. Of two overrides of the same model the later one counts.
func New(overrides ...Override) *Catalog {
	c := &Catalog{overrides: map[key]llm.ModelInfo{}, learned: map[key]int64{}, asked: map[string]time.Time{}}
	for _, o := range overrides {
		c.overrides[key{o.Endpoint, o.Model}] = o.ModelInfo
	}
	return c
}

// Model returns what is known of a model at an endpoint: what the operator has set, else what the provider has said of it,
// else what the table says.
func (c *Catalog) Model(e llm.Endpoint, model string) llm.ModelInfo {
	set := merge(c.overrides[key{e.Name, model}], c.overrides[key{e.Name, ""}])
	said := llm.ModelInfo{ContextWindow: c.window(e.Name, model)}
	info := merge(merge(set, said), listed(e, model))
	if p := set.Prices; p != nil && p.Version == "" {
		named := *p
		named.Version = operatorPrices
		info.Prices = &named
	}
	return info
}

// operatorPrices is the version of prices that an operator has set without naming one.
const operatorPrices = "operator"

// Learn remembers a context window that a provider has told of, until the process ends.
func (c *Catalog) Learn(e llm.Endpoint, model string, window int64) {
	if window < minWindow {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learned[key{e.Name, model}] = window
}

func (c *Catalog) window(endpoint, model string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.learned[key{endpoint, model}]
}

// merge fills what is unknown in a from b.
func merge(a, b llm.ModelInfo) llm.ModelInfo {
	a.ContextWindow = cmp.Or(a.ContextWindow, b.ContextWindow)
	a.MaxOutput = cmp.Or(a.MaxOutput, b.MaxOutput)
	a.Prices = cmp.Or(a.Prices, b.Prices)
	return a
}

// listed is what the table says: of the model as the endpoint's own provider offers it, by host or by name. Its limits, but
// never its prices, may also be those of the undated model, or of the same model elsewhere.
func listed(e llm.Endpoint, model string) llm.ModelInfo {
	if e.Name == llm.BuiltIn {
		return llm.ModelInfo{}
	}
	t := loaded()
	providers := t.byHost(e.Host)
	if len(providers) == 0 {
		providers = t.byName[strings.ToLower(e.Name)]
	}
	for _, p := range providers {
		if info, ok := p.model(model); ok {
			return info
		}
	}
	undated, dated := cutDate(model)
	if dated {
		for _, p := range providers {
			if info, ok := p.models[undated]; ok {
				return limits(info)
			}
		}
	}
	if info, ok := t.anywhere[model]; ok {
		return info
	}
	return t.anywhere[undated]
}

func limits(info llm.ModelInfo) llm.ModelInfo {
	return llm.ModelInfo{ContextWindow: info.ContextWindow, MaxOutput: info.MaxOutput}
}

// cutDate takes a snapshot's date off a model's name: gpt-4o-2024-08-06, claude-sonnet-4-5-20250929.
func cutDate(model string) (string, bool) {
	for _, shape := range []string{"-0000-00-00", "-00000000"} {
		at := len(model) - len(shape)
		if at > 0 && hasShape(model[at:], shape) {
			return model[:at], true
		}
	}
	return model, false
}

func hasShape(s, shape string) bool {
	for i := range len(s) {
		if digit := s[i] >= '0' && s[i] <= '9'; shape[i] == '0' && !digit || shape[i] == '-' && s[i] != '-' {
			return false
		}
	}
	return true
}
