package config

import "math"

// ModelInfo is what the operator says of a provider's model. Zero fields, and nil prices, leave what is known otherwise.
type ModelInfo struct {
	// Model is the model's name, or * for all of the provider's.
	Model         string
	ContextWindow int64
	MaxOutput     int64
	Prices        *Prices
}

// Prices are in millionths of a US dollar for a million tokens.
type Prices struct{ Input, CachedInput, CacheWrite, Output int64 }

// modelInfo reads the members of "model_info", each named by its model.
func (f *providersFile) modelInfo(at string, p *Provider) error {
	return f.members(at, func(name string) error {
		m := ModelInfo{Model: name}
		err := f.object(at+"[...]", map[string]func(at string) error{
			"context_window":    func(at string) error { return f.tokens(at, &m.ContextWindow) },
			"max_output_tokens": func(at string) error { return f.tokens(at, &m.MaxOutput) },
			"prices": func(at string) error {
				m.Prices = &Prices{CachedInput: -1, CacheWrite: -1}
				return f.prices(at, m.Prices)
			},
		})
		p.ModelInfo = append(p.ModelInfo, m)
		return err
	})
}

func (f *providersFile) tokens(at string, into *int64) error {
	const must = "a whole number from 256 to 1000000000"
	err := f.take(at, into, must)
	if err == nil && (*into < 256 || *into > 1e9) && !f.blamed(at) {
		f.wrong(at, "must be "+must)
	}
	return err
}

// prices reads them in dollars for a million tokens. Input that is read from a cache, or written to one, costs what other input does
// if nothing is said of it.
func (f *providersFile) prices(at string, p *Prices) error {
	price := func(into *int64) func(at string) error {
		return func(at string) error {
			const must = "a number of US dollars for a million tokens, from 0 to 100000"
			dollars := -1.0
			err := f.take(at, &dollars, must)
			if err == nil && (dollars < 0 || dollars > 1e5) && !f.blamed(at) {
				f.wrong(at, "must be "+must)
			}
			*into = int64(math.Round(max(dollars, 0) * 1e6))
			return err
		}
	}
	err := f.object(at, map[string]func(at string) error{
		"input": price(&p.Input), "cached_input": price(&p.CachedInput), "cache_write": price(&p.CacheWrite), "output": price(&p.Output),
	})
	for _, other := range []*int64{&p.CachedInput, &p.CacheWrite} {
		if *other < 0 {
			*other = p.Input
		}
	}
	return err
}
