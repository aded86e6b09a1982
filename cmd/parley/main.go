// Command parley is the server and the tools beside it. This package wires the others together and holds no logic of
// its own: it alone may import everything.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/parley-llm/parley/internal/config"
)

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	harden()
	go func() {
		// The first signal asks; with its default meaning restored, the second one ends the process at once. Restored it
		// is before anything can be seen of the first, so that no second one is lost.
		<-signals
		signal.Stop(signals)
		cancel()
	}()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// What the process says to the shell.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// run is the program. Nothing in it ends the process or reads a global, so tests run it as it is. A cancelled ctx is
// what SIGTERM is to the process.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand(environ) //nolint:contextcheck // the commands get ctx from ExecuteContextC
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	_, _ = fmt.Fprintf(stderr, "parley: %v\n", err)
	if _, ok := errors.AsType[usageError](err); ok {
		_, _ = fmt.Fprintf(stderr, "Run `%s --help` for help.\n", cmd.CommandPath())
		return exitUsage
	}
	if _, ok := errors.AsType[*config.Error](err); ok {
		return exitUsage
	}
	return exitFailed
}

func rootCommand(environ []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "parley",
		Short: "A conversation backend for LLM applications",
		Long: `Parley stores conversations, answers prompts through any LLM with the stored history as context, and writes an
audit record, with personal data masked, for every single model call.

Without a command it serves. Every setting is a flag, an environment variable, or a line in .env; see docs/configuration.md.`,
		Example: `  parley                                                     serve on http://127.0.0.1:8000, with the built-in model
  OPENAI_API_KEY=sk-... parley                               serve with OpenAI
  parley --openai-base-url http://127.0.0.1:11434/v1         serve with Ollama, or any compatible server
  parley config                                              show the settings in force, and where they came from`,
		Version:                    buildVersion(),
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		Args:                       knownCommand,
	}
	root.SetVersionTemplate("parley {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	serve := serveCommand(environ)
	root.RunE = serve.RunE
	addSettings(root)
	root.AddCommand(serve, versionCommand(), configCommand(environ), healthcheckCommand(environ), auditCommand(environ),
		chatCommand(environ), migrateCommand(environ), doctorCommand(environ), compactCommand(environ), backupCommand(environ), importCommand(environ), manCommand())
	root.SetHelpCommand(helpCommand(root))
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { printHelp(cmd) })
	return root
}

// knownCommand is the root's check of what is left of the command line: any word there is meant to be a command.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("there is no command %q", args[0])
	for i, name := range cmd.SuggestionsFor(args[0]) {
		if i == 0 {
			text += "; did you mean"
		} else {
			text += ", or"
		}
		text += fmt.Sprintf(" %q", name)
	}
	return usageError{errors.New(text)}
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

// helpCommand replaces cobra's, which is content with commands that do not exist.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usageError{fmt.Errorf("there is no command %q", args[len(args)-1])}
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// addSettings gives a command a flag for every setting.
func addSettings(cmd *cobra.Command) {
	for _, s := range config.Settings() {
		usage := s.Help + " (" + s.Name
		if s.Default != "" && !s.Bool {
			usage += ", default " + s.Default
		}
		usage += ")"
		if s.Bool {
			cmd.Flags().Bool(s.Flag, false, usage)
			continue
		}
		cmd.Flags().Var(&settingValue{name: s.Value}, s.Flag, usage)
		if s.Secret {
			cmd.Flags().Var(&settingValue{name: "file"}, config.FlagName(s.Name+config.FileSuffix), "file that holds it ("+s.Name+config.FileSuffix+")")
		}
	}
}

// settingValue is the value of a setting's flag as it was given: internal/config looks at it. Its name stands in the help.
type settingValue struct{ text, name string }

func (v *settingValue) String() string { return v.text }
func (v *settingValue) Type() string   { return v.name }

func (v *settingValue) Set(text string) error {
	v.text = text
	return nil
}

// settings loads the configuration with the flags that a command was given.
func settings(cmd *cobra.Command, environ []string) (*config.Config, error) {
	flags := map[string]string{}
	for _, s := range config.Settings() {
		for _, name := range []string{s.Flag, config.FlagName(s.Name + config.FileSuffix)} {
			if flag := cmd.Flags().Lookup(name); flag != nil && flag.Changed {
				flags[name] = flag.Value.String()
			}
		}
	}
	return config.Load(config.Input{Flags: flags, Environ: environ})
}
