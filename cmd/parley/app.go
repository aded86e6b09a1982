package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/parley-llm/parley/internal/breaker"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/config"
	"github.com/parley-llm/parley/internal/pii"
	"github.com/parley-llm/parley/internal/server"
	"github.com/parley-llm/parley/internal/tokens"
)

// app is everything that runs, wired.
type app struct {
	store   store
	service *chat.Service
	handler http.Handler
	model   *modelChoice
	// stop ends what the service does for a store that it shares; shared is that.
	stop   context.CancelFunc
	shared sync.WaitGroup
	// reserve is the collector's, see setCollector.
	reserve []byte
	// fatal gets what the process cannot go on after.
	fatal chan error
}

// open wires the parts in the order in which they need each other. After it the server can answer, and no response of
// an earlier process is left open.
func open(ctx context.Context, cfg *config.Config, log *slog.Logger) (_ *app, err error) {
	if err := makeDirs(cfg); err != nil {
		return nil, err
	}
	keys, err := cfg.Keys()
	if err != nil {
		return nil, err
	}
	router, err := newRouter(cfg)
	if err != nil {
		return nil, err
	}
	a := &app{fatal: make(chan error, 1), model: newModelChoice(cfg, router)}
	newID := chat.NewID(time.Now)
	if a.store, err = openStore(ctx, cfg, keys, newID, log, a.fail); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	metrics := server.NewMetrics()
	room := roomOf(memoryOf())
	a.service = &chat.Service{
		Store:               a.store,
		Audit:               a.store,
		Router:              router,
		DefaultModel:        a.model.model,
		Catalog:             newCatalog(cfg),
		CountTokens:         new(tokens.Counter).Count,
		Masker:              pii.New(),
		Log:                 log,
		Now:                 time.Now,
		NewID:               newID,
		Pseudonym:           keys.Pseudonym,
		ContextMessages:     cfg.ContextMessages,
		ModelTitles:         cfg.AutoTitle == config.TitleByModel,
		AuditMaxChars:       cfg.AuditMaxChars,
		UpstreamTimeout:     cfg.UpstreamTimeout,
		UpstreamConcurrency: cfg.UpstreamConcurrency,
		Room:                room,
		ContextBytes:        min(room, mostContexts),
		Breakers:            &breaker.Set{OnChange: metrics.Breaker},
		Observer:            metrics,
	}
	interrupted, err := a.service.Recover(ctx)
	if err != nil {
		return nil, fmt.Errorf("recovering: %w", errors.Join(err, a.store.Close()))
	}
	if interrupted > 0 {
		log.WarnContext(ctx, "responses were interrupted by the last stop", "responses", interrupted)
	}
	sharing, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop = stop
	a.shared.Go(func() { a.service.Share(sharing) })
	a.handler = server.New(server.Config{
		Service:      a.service,
		Log:          log,
		APIKey:       cfg.APIKey.Reveal(),
		AllowedHosts: cfg.AllowedHosts,
		MaxBody:      int64(cfg.MaxBody),
		Version:      buildVersion(),
		Metrics:      metrics,
	})
	return a, nil
}

// close releases the store. A nil app, as after a failed open, has none.
func (a *app) close() error {
	if a == nil {
		return nil
	}
	a.stop()
	a.shared.Wait()
	return a.store.Close()
}

// fail is called by the store, once or more often, and must not block.
func (a *app) fail(err error) {
	select {
	case a.fatal <- err:
	default:
	}
}

// makeDirs makes the data directory and, where it is another, that of the database.
func makeDirs(cfg *config.Config) error {
	dirs := []string{cfg.Data}
	if !cfg.Store.MongoDB() {
		dirs = append(dirs, filepath.Dir(cfg.StorePath()))
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the data directory: %w", err)
		}
	}
	return nil
}

// httpServer has the time limits of internal/server. There is no limit for a whole answer: a stream may take long.
func (a *app) httpServer(log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           a.handler,
		ReadHeaderTimeout: server.ReadHeaderTimeout,
		IdleTimeout:       server.IdleTimeout,
		MaxHeaderBytes:    server.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
