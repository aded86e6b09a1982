// Command llm holds conversations with a real language model through Parley and checks the replies, the errors and the
// audit records. It starts the model server and Parley on loopback, prints a transcript, and ends both by their ids.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const (
	key = "key-of-this-run"
	// totalLimit bounds the whole run: the model answers some thirty tokens a second on one core.
	totalLimit = 15 * time.Minute
)

type settings struct{ parley, server, model string }

func main() {
	var s settings
	flag.StringVar(&s.parley, "parley", "", "Parley's binary")
	flag.StringVar(&s.server, "server", "", "the model server's binary")
	flag.StringVar(&s.model, "model", "", "the model's file")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, totalLimit)
	err := run(ctx, s, os.Stdout)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e-llm: FAILED:", err)
		os.Exit(1)
	}
	fmt.Println("\ne2e-llm: all of it holds")
}

func run(ctx context.Context, s settings, out io.Writer) (err error) {
	for _, path := range []*string{&s.parley, &s.server, &s.model} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "parley-e2e-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	model, err := startModel(ctx, s, dir)
	if err != nil {
		return err
	}
	defer model.stop()
	upstream := "http://" + model.address + "/v1"
	// No OPENAI_MODEL: Parley asks for the list and takes the first.
	parley, data, err := startParley(ctx, s, dir, "OPENAI_BASE_URL="+upstream, "OPENAI_API_KEY="+key)
	if err != nil {
		return err
	}
	defer parley.stop()
	// This one names its model: with a wrong key it could not even list them.
	stranger, _, err := startParley(ctx, s, dir, "OPENAI_BASE_URL="+upstream, "OPENAI_MODEL=smollm2", "OPENAI_API_KEY=wrong-"+key)
	if err != nil {
		return err
	}
	defer stranger.stop()

	good, bad := &session{base: "http://" + parley.address, out: out}, &session{base: "http://" + stranger.address, out: out}
	for _, one := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"three turns, whole: the third depends on the first", func(ctx context.Context) error { return banana(ctx, good, false) }},
		{"three turns, streamed", func(ctx context.Context) error { return banana(ctx, good, true) }},
		{"the control: without the first turn the word never comes", func(ctx context.Context) error { return control(ctx, good) }},
		{"a prompt longer than the model's context", func(ctx context.Context) error { return overflow(ctx, good) }},
		{"a conversation that outgrows the model", func(ctx context.Context) error { return outgrow(ctx, good) }},
		{"a stream that breaks, and is read on", func(ctx context.Context) error { return resume(ctx, good) }},
		{"a cancel frees the model's slot", func(ctx context.Context) error { return cancelled(ctx, good, model.address) }},
		{"a wrong key", func(ctx context.Context) error { return wrongKey(ctx, bad) }},
		{"personal data stays out of the audit log", func(ctx context.Context) error { return masked(ctx, good) }},
	} {
		fmt.Fprintf(out, "\n== %s\n", one.name)
		if err := one.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
	}

	fmt.Fprint(out, "\n== the audit log verifies\n")
	parley.stop()
	return verify(ctx, s, data, out)
}
