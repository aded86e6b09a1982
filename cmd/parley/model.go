package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/parley-llm/parley/internal/config"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

const (
	echoModel         = "echo"
	noModel           = "The model server lists no model. Name one in the request, or set PARLEY_MODEL."
	codeModelNotFound = "model_not_found"
)

const (
	// lookupTimeout bounds one question for the models, whoever waits for its answer.
	lookupTimeout = 10 * time.Second
	// lookupPause is how long a failed question stands for all, so that a server that is down is not asked with every prompt.
	lookupPause = 2 * time.Second
)

// modelChoice is the server's default model. Where the operator named none and the endpoint offers its own, it is the
// first one of its list, asked for when it is first needed, because a model server may start after this one.
type modelChoice struct {
	// id is the model, or empty where the endpoint is asked.
	id string

	router   *llm.Router
	endpoint llm.Endpoint

	mu   sync.Mutex
	last *lookup
}

// lookup is one question to the endpoint for its models, which all who need the answer share.
type lookup struct {
	done chan struct{}
	// The rest is set before done closes.
	id    string
	err   error
	ended time.Time
}

// stands reports whether nobody needs to ask again: it runs, has succeeded, or has only just failed.
func (l *lookup) stands() bool {
	select {
	case <-l.done:
		return l.err == nil || time.Since(l.ended) < lookupPause
	default:
		return true
	}
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

// model is chat.Service's DefaultModel. A caller that leaves does not end the question that it shares with others.
func (c *modelChoice) model(ctx context.Context) (string, error) {
	if c.id != "" {
		return c.id, nil
	}
	l := c.lookup(ctx)
	select {
	case <-l.done:
		return l.id, l.err
	case <-ctx.Done():
		return "", fault.Wrap(context.Cause(ctx), fault.Canceled, "canceled", "The request was given up before the model was known.")
	}
}

// lookup is the question whose answer holds now.
func (c *modelChoice) lookup(ctx context.Context) *lookup {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil || !c.last.stands() {
		c.last = &lookup{done: make(chan struct{})}
		go c.ask(context.WithoutCancel(ctx), c.last)
	}
	return c.last
}

func (c *modelChoice) ask(ctx context.Context, l *lookup) {
	ctx, stop := context.WithTimeout(ctx, lookupTimeout)
	defer stop()
	models, err := c.endpoint.Provider.Models(ctx)
	switch {
	case err != nil:
		l.err = fmt.Errorf("asking %s for its models: %w", c.endpoint.Host, err)
	case len(models) == 0:
		l.err = fault.New(fault.NotFound, codeModelNotFound, noModel)
	default:
		l.id = c.router.ID(c.endpoint.Name, models[0].ID)
	}
	l.ended = time.Now()
	close(l.done)
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
