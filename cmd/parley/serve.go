package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-llm/parley/internal/config"
)

// lastWords is how long connections have after the last response has ended, to read the end of it.
const lastWords = 5 * time.Second

func serveCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the API (also what parley does without a command)",
		Long: `Serves the API and its docs. It says on the standard output where, and with which model; log lines go to the standard
error. SIGTERM or Ctrl-C ends it gently: new prompts are refused, running ones have PARLEY_SHUTDOWN_TIMEOUT to end, and
what is left is stored as interrupted. A second signal ends it at once.`,
		Example: `  parley serve
  parley serve --addr 127.0.0.1:9000 --data /var/lib/parley
  parley serve --openai-base-url http://127.0.0.1:11434/v1 --openai-model llama3.2
  parley serve --addr 0.0.0.0:8000 --api-key-file /run/secrets/parley_api_key`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd, environ)
			if err != nil {
				return err
			}
			if err := check(cfg); err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	addSettings(cmd)
	return cmd
}

// serve runs the server until ctx ends or something fails that it cannot go on after.
func serve(ctx context.Context, cfg *config.Config, out, errOut io.Writer) (err error) {
	log := newLogger(errOut, cfg)
	for _, warning := range cfg.Warnings {
		log.WarnContext(ctx, "setting not used", "reason", warning)
	}
	// Deferred first, it is the last word: by then the store is closed.
	defer func() {
		if err == nil {
			log.InfoContext(context.WithoutCancel(ctx), "stopped")
		}
	}()
	listener, err := listen(ctx, string(cfg.Addr))
	if err != nil && ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	app, err := open(ctx, cfg, log)
	if ctx.Err() != nil {
		// Stopped while starting: that is no failure, whatever it broke off.
		return errors.Join(app.close(), listener.Close())
	}
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, app.close()) }()

	group, _ := memoryOf()
	app.reserve = setCollector(group)
	unmapBinary()
	log.InfoContext(ctx, "ready", "address", listener.Addr().String(), "model", cmp.Or(app.model.id, "the first one listed"), "version", buildVersion())
	web := app.httpServer(log)
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	if err := announce(out, cfg, app.model, listener.Addr()); err != nil {
		log.WarnContext(ctx, "the greeting could not be printed", "error", err)
	}
	select {
	case err = <-served:
	case err = <-app.fatal:
	case <-ctx.Done():
		log.InfoContext(ctx, "shutting down", "timeout", cfg.ShutdownTimeout.String())
		err = app.shutDown(context.WithoutCancel(ctx), web, cfg.ShutdownTimeout)
		select {
		case fatal := <-app.fatal:
			return errors.Join(fatal, err)
		default:
			return err
		}
	}
	// The store or the listener is lost: whoever waits for an answer is better off with a restart.
	return errors.Join(fmt.Errorf("serving: %w", err), app.shutDown(context.WithoutCancel(ctx), web, 0))
}

// shutDown lets running responses go on for a while, then the connections that read their ends. The server goes on
// answering meanwhile, so that new prompts are told why they are refused.
func (a *app) shutDown(ctx context.Context, web *http.Server, timeout time.Duration) error {
	draining, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	a.service.Drain(draining)
	ending, stop := context.WithTimeout(ctx, lastWords)
	defer stop()
	if web.Shutdown(ending) != nil {
		return web.Close()
	}
	return nil
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use, maybe by another Parley: stop that, or listen elsewhere with --addr or PARLEY_ADDR", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return listener, nil
}
