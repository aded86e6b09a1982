package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/parley-llm/parley/internal/sqlite"
)

// compaction is what the command reports; sizes are in bytes.
type compaction struct {
	Database string `json:"database"`
	Before   int64  `json:"before_bytes"`
	After    int64  `json:"after_bytes"`
}

func compactCommand(environ []string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Write the database anew without what was deleted",
		Long: `Writes the database anew without what was deleted, and gives the room back to the disk. What was deleted or erased is in no
byte of its files afterwards. It needs about as much free room as the database takes, and the database for itself: where a
server runs on it, it refuses. Breaking it off leaves the database as it was.`,
		Example: "  parley compact\n  parley compact --data /var/lib/parley",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd, environ)
			if err != nil {
				return err
			}
			if err := sqliteOnly(cfg, "MongoDB gives back room by itself, or by its command compact"); err != nil {
				return err
			}
			c := compaction{Database: cfg.StorePath()}
			if err := mustExist(c.Database); err != nil {
				return err
			}
			err = newMeter(cmd.ErrOrStderr(), "compacting", "").watch(func() (err error) {
				c.Before, c.After, err = sqlite.Compact(cmd.Context(), c.Database)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, c)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s before, %s now\n", c.Database, bytesText(c.Before), bytesText(c.After))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addStoreSettings(cmd)
	return cmd
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	const unit = 1024
	switch {
	case n >= unit*unit*unit:
		return fmt.Sprintf("%.1f GiB", float64(n)/(unit*unit*unit))
	case n >= unit*unit:
		return fmt.Sprintf("%.1f MiB", float64(n)/(unit*unit))
	default:
		return fmt.Sprintf("%.0f KiB", float64(n)/unit)
	}
}
