package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/parley-llm/parley/internal/config"
)

func configCommand(environ []string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the settings in force, and where each came from",
		Long: `Shows every setting as it is in force and where it came from: a flag, the environment, .env or the default.
A secret shows only as "set". It takes the flags of serve, so that a command line can be tried: what serve would refuse
is reported, and it exits with 2 as serve would.`,
		Example: "  parley config\n  parley config --json\n  parley config --addr 0.0.0.0:8000",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd, environ)
			if err != nil {
				return err
			}
			for _, warning := range cfg.Warnings {
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "parley: warning: %s\n", warning)
			}
			if asJSON {
				return errors.Join(printJSON(cmd, cfg.Effective()), check(cfg))
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "SETTING\tVALUE\tSOURCE")
			for _, e := range cfg.Effective() {
				value := e.Value
				if value == "" {
					value = "-"
				}
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", e.Name, value, e.Source)
			}
			return errors.Join(table.Flush(), check(cfg))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addSettings(cmd)
	return cmd
}

// check refuses settings that are each well-formed and do not go together, or with what is on the disk. It reports all of
// them at once and makes nothing.
func check(cfg *config.Config) error {
	var problems []string
	for _, err := range []error{cfg.CheckExposure(), cfg.CheckSecretKey(), checkModel(cfg)} {
		if wrong, ok := errors.AsType[*config.Error](err); ok {
			problems = append(problems, wrong.Problems...)
		} else if err != nil {
			return err
		}
	}
	if problems == nil {
		return nil
	}
	return &config.Error{Problems: problems}
}
