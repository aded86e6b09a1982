package main

import (
	"fmt"

	"github.com/parley-llm/parley/internal/anthropic"
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
	return router, nil
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
		Version:          buildVersion(),
		FirstByteTimeout: cfg.UpstreamFirstByteTimeout,
		IdleTimeout:      cfg.UpstreamIdleTimeout,
	}
	var c hosted
	var err error
	switch p.Protocol {
	case config.ProtocolAnthropic:
		c, err = anthropic.New(anthropic.Config{Config: common})
	default:
		c, err = openai.New(common)
	}
	if err != nil {
		return llm.Endpoint{}, err
	}
	return llm.Endpoint{Name: p.Name, Host: c.Host(), Provider: c}, nil
}
