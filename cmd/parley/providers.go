package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/parley-llm/parley/internal/anthropic"
	"github.com/parley-llm/parley/internal/catalog"
	"github.com/parley-llm/parley/internal/config"
	"github.com/parley-llm/parley/internal/echo"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/openai"
	"github.com/parley-llm/parley/internal/upstream"
)

// newRouter makes the endpoints of the configured providers, with the built-in one behind them.
func newRouter(cfg *config.Config) (*llm.Router, error) {
	router := &llm.Router{Default: llm.BuiltIn}
	for _, p := range cfg.Providers() {
		endpoint, err := newEndpoint(cfg, &p)
		if err != nil {
			return nil, fmt.Errorf("setting the provider %s up: %w", p.Name, err)
		}
		if len(router.Endpoints) == 0 {
			router.Default = p.Name
		}
		router.Endpoints = append(router.Endpoints, endpoint)
	}
	router.Endpoints = append(router.Endpoints, llm.Endpoint{Name: llm.BuiltIn, Provider: echo.Provider{}})
	router.Fallbacks = map[string][]string{}
	for model, others := range cfg.Fallbacks() {
		router.Fallbacks[router.Full(model)] = others
	}
	return router, nil
}

// newCatalog knows of models what the table does and what the operator says.
func newCatalog(cfg *config.Config) *catalog.Catalog {
	var overrides []catalog.Override
	for _, p := range cfg.Providers() {
		for _, m := range p.ModelInfo {
			o := catalog.Override{Endpoint: p.Name, ModelInfo: llm.ModelInfo{ContextWindow: m.ContextWindow, MaxOutput: m.MaxOutput}}
			if m.Model != "*" {
				o.Model = m.Model
			}
			if m.Prices != nil {
				o.Prices = &llm.Prices{Input: m.Prices.Input, CachedInput: m.Prices.CachedInput, CacheWrite: m.Prices.CacheWrite, Output: m.Prices.Output}
			}
			overrides = append(overrides, o)
		}
	}
	return catalog.New(overrides...)
}

// hosted is what the clients of all protocols are.
type hosted interface {
	llm.Provider
	Host() string
}

func newEndpoint(cfg *config.Config, p *config.Provider) (llm.Endpoint, error) {
	common := upstream.Config{
		BaseURL:          p.BaseURL,
		Key:              p.Key.Reveal(),
		Header:           map[string]string{},
		Version:          buildVersion(),
		FirstByteTimeout: cmp.Or(p.FirstByteTimeout, cfg.UpstreamFirstByteTimeout),
		IdleTimeout:      cmp.Or(p.IdleTimeout, cfg.UpstreamIdleTimeout),
		PublicOnly:       p.PublicOnly,
	}
	for name, value := range p.Headers {
		common.Header[name] = value.Reveal()
	}
	var c hosted
	var err error
	switch p.Protocol {
	case config.ProtocolAnthropic:
		c, err = anthropic.New(anthropic.Config{Config: common, MaxTokens: p.MaxOutputTokens})
	default:
		c, err = openai.New(common)
	}
	if err != nil {
		return llm.Endpoint{}, err
	}
	endpoint := llm.Endpoint{Name: p.Name, Host: c.Host(), Provider: c}
	if len(p.Models) > 0 {
		endpoint.Provider = listed{c, p.Models}
	}
	return endpoint, nil
}

// listed is a provider that offers what the operator says.
type listed struct {
	llm.Provider
	models []string
}

// Models asks nobody.
func (l listed) Models(context.Context) ([]llm.Model, error) {
	models := make([]llm.Model, len(l.models))
	for i, id := range l.models {
		models[i].ID = id
	}
	return models, nil
}
