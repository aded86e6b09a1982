package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/config"
	"github.com/parley-llm/parley/internal/terminal"
)

func chatCommand(environ []string) *cobra.Command {
	var url, model, conversation string
	cmd := &cobra.Command{
		Use:   "chat [question]",
		Short: "Talk to a model in the terminal, through a running server",
		Long: `Talks to a running server and writes the answers as they come. On a terminal it takes one prompt after the other, and commands
such as /list, /open, /fork and /model: /help lists them. With a question, or with the standard input no terminal, it asks
once, writes the answer to the standard output and nothing else, and exits: 0 if the answer is whole, 1 if not.

The server is the one of the settings (PARLEY_ADDR, PARLEY_API_KEY), or the one that --url names.`,
		Example: `  parley chat
  parley chat "What is the capital of Portugal?"
  parley chat --conversation last "And of Spain?"
  git diff | parley chat --model gpt-4o
  parley chat --url https://parley.example.com --api-key-file key.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := settings(cmd, environ)
			if err != nil {
				return err
			}
			if url == "" {
				url = "http://" + cfg.Addr.Dialable()
			}
			return runChat(cmd, &terminal.Session{
				Client: &api.Client{BaseURL: strings.TrimSuffix(url, "/"), APIKey: cfg.APIKey.Reveal()},
				Out:    cmd.OutOrStdout(), Notes: cmd.ErrOrStderr(), Now: time.Now,
				Model: model, Conversation: conversation, Plain: !isTerminal(cmd.OutOrStdout()),
			}, strings.Join(args, " "))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&url, "url", "", "`URL` of the server, such as http://127.0.0.1:8000")
	flags.StringVar(&model, "model", "", "`model` to ask; else the conversation's, or the server's default")
	flags.StringVar(&conversation, "conversation", "", "`id` of the conversation to go on with, or \"last\"; else a new one")
	flags.String("api-key", "", "the server's `key` (PARLEY_API_KEY)")
	flags.String("api-key-file", "", "`file` that holds it (PARLEY_API_KEY"+config.FileSuffix+")")
	flags.String("addr", "", "`address` of the server on this machine, if there is no --url (PARLEY_ADDR)")
	return cmd
}

// runChat asks once where there is a question or no terminal, and talks else.
func runChat(cmd *cobra.Command, s *terminal.Session, question string) error {
	ctx := cmd.Context()
	in, isFile := cmd.InOrStdin().(*os.File)
	if question == "" && isFile && terminal.IsTerminal(in) && isTerminal(cmd.OutOrStdout()) {
		out, _ := cmd.OutOrStdout().(*os.File)
		return talk(ctx, s, terminal.NewEditor(in, out))
	}
	from := "the argument"
	if question == "" {
		from = "the standard input"
		text, err := io.ReadAll(cmd.InOrStdin())
		if err != nil {
			return fmt.Errorf("reading the prompt: %w", err)
		}
		question = strings.TrimRight(string(text), "\r\n")
	}
	if strings.TrimSpace(question) == "" {
		return usageError{errors.New("there is no question: give one as an argument or on the standard input")}
	}
	// As JSON it would arrive as another text, or be refused after a conversation has been made for it.
	if !utf8.ValidString(question) || strings.ContainsRune(question, 0) {
		return usageError{fmt.Errorf("%s is no text in UTF-8, so nothing was sent", from)}
	}
	if err := s.Ask(ctx, question); err != nil {
		return s.Explain(err)
	}
	return nil
}

// talk takes prompts until the person is done. An interrupt stops an answer and not the talk, so the process's own meaning
// of it is put aside; SIGTERM ends the talk as ever.
func talk(ctx context.Context, s *terminal.Session, lines terminal.Lines) error {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	s.Interrupts = interrupts
	ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM)
	defer stop()
	if err := s.Talk(ctx, lines); err != nil {
		return s.Explain(err)
	}
	return nil
}
