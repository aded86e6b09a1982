package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

const healthcheckTimeout = 5 * time.Second

func healthcheckCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the running server whether it is ready",
		Long: `Asks the server at the configured address, on this machine, whether it is ready. It exits with 0 if so and with 1 if
not: what a container's health check wants, where there is neither a shell nor curl.`,
		Example: "  parley healthcheck\n  parley healthcheck --addr 127.0.0.1:9000",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd, environ)
			if err != nil {
				return err
			}
			url := "http://" + cfg.Addr.Dialable() + "/readyz"
			if err := healthy(cmd.Context(), url); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "ready")
			return err
		},
	}
	addSettings(cmd)
	return cmd
}

func healthy(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// A transport of its own: a proxy from the environment has no business between a server and its own health check.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("not ready: nothing answers at %s: start a server with `parley serve`, or name the address of the one that runs with --addr or PARLEY_ADDR (%w)", req.URL.Host, op.Err)
	}
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	reason, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	return fmt.Errorf("not ready: %s answers %s: %s", url, resp.Status, reason)
}
