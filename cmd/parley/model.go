package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/parley-llm/parley/internal/config"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

const (
	echoModel         = "echo"
	noModel           = "The model server lists no model. Name one in the request, or set PARLEY_MODEL."
	codeModelNotFound = "model_not_found"
)

// modelChoice is the server's default model. Where the operator named none and the endpoint offers its own, it is the
// first one of its list, asked for when it is first needed, because a model server may start after this one.
type modelChoice struct {
	// id is the model, or empty where the endpoint is asked.
	id string

	router   *llm.Router
	endpoint llm.Endpoint

	mu    sync.Mutex
	first string
}

func newModelChoice(cfg *config.Config, router *llm.Router) *modelChoice {
	c := &modelChoice{router: router, id: cfg.Model}
	if c.id != "" {
		return c
	}
	providers := cfg.Providers()
	switch {
	case len(providers) == 0:
		c.id = router.ID(llm.BuiltIn, echoModel)
	case providers[0].Model != "":
		c.id = router.ID(providers[0].Name, providers[0].Model)
	default:
		c.endpoint, _, _ = router.Route(providers[0].Name + "/")
	}
	return c
}

// checkModel refuses a default model that nobody here offers. What another provider offers, only it knows.
func checkModel(cfg *config.Config) error {
	router, err := newRouter(cfg)
	if err != nil || cfg.Model == "" {
		return err
	}
	if e, name, _ := router.Route(cfg.Model); e.Name == llm.BuiltIn && name != echoModel {
		return cfg.Problem("PARLEY_MODEL", "names a model of a provider that is not configured: set OPENAI_API_KEY, OPENAI_BASE_URL or ANTHROPIC_API_KEY too, or "+router.ID(llm.BuiltIn, echoModel))
	}
	return nil
}

// model is chat.Service's DefaultModel.
func (c *modelChoice) model(ctx context.Context) (string, error) {
	if c.id != "" {
		return c.id, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first != "" {
		return c.first, nil
	}
	models, err := c.endpoint.Provider.Models(ctx)
	if err != nil {
		return "", fmt.Errorf("asking %s for its models: %w", c.endpoint.Host, err)
	}
	if len(models) == 0 {
		return "", fault.New(fault.NotFound, codeModelNotFound, noModel)
	}
	c.first = c.router.ID(c.endpoint.Name, models[0].ID)
	return c.first, nil
}

// describe says in words which model answers.
func (c *modelChoice) describe() string {
	if c.id == "" {
		return "the first one that " + c.endpoint.Host + " lists"
	}
	endpoint, _, _ := c.router.Route(c.id)
	if endpoint.Name == llm.BuiltIn {
		return c.id + ", a built-in stand-in; set OPENAI_API_KEY, OPENAI_BASE_URL or ANTHROPIC_API_KEY for a real model"
	}
	return c.id + " at " + endpoint.Host
}
