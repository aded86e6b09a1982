package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/parley-llm/parley/internal/sqlite"
)

// migration is what the command reports.
type migration struct {
	Database string `json:"database"`
	From     int64  `json:"from"`
	To       int64  `json:"to"`
	DryRun   bool   `json:"dry_run"`
}

func migrateCommand(environ []string) *cobra.Command {
	var dryRun, asJSON bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database's schema up to date",
		Long: `Brings the schema of the database to what this program wants, and says from which version to which. serve does the same when it
starts; this is for those who want it done, or known, beforehand. No server may run on the database; --dry-run changes
nothing and may run beside one.`,
		Example: "  parley migrate --dry-run\n  parley migrate\n  parley migrate --data /var/lib/parley --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd, environ)
			if err != nil {
				return err
			}
			if err := sqliteOnly(cfg, "a MongoDB has its indexes made by each server that starts on it"); err != nil {
				return err
			}
			m := migration{Database: cfg.StorePath(), DryRun: dryRun}
			if err := mustExist(m.Database); err != nil {
				return err
			}
			if dryRun {
				m.From, m.To, err = sqlite.Schema(m.Database)
				if err == nil && m.From > m.To {
					err = fmt.Errorf("the database has schema %d, made by a newer parley than this one, which knows up to %d", m.From, m.To)
				}
			} else {
				err = newMeter(cmd.ErrOrStderr(), "migrating", "").watch(func() (err error) {
					m.From, m.To, err = sqlite.Migrate(cmd.Context(), m.Database)
					return err
				})
			}
			if err != nil {
				return fmt.Errorf("migrating %s: %w", m.Database, err)
			}
			if asJSON {
				return printJSON(cmd, m)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), m)
			return err
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addStoreSettings(cmd)
	return cmd
}

// String says it in a line.
func (m migration) String() string {
	switch {
	case m.From == m.To:
		return fmt.Sprintf("%s has schema %d, which is the newest", m.Database, m.To)
	case m.DryRun:
		return fmt.Sprintf("%s would be migrated from schema %d to %d", m.Database, m.From, m.To)
	default:
		return fmt.Sprintf("%s was migrated from schema %d to %d", m.Database, m.From, m.To)
	}
}

// addStoreSettings gives a command the flags that say where the database is.
func addStoreSettings(cmd *cobra.Command) {
	cmd.Flags().String("data", "", "`directory` of the database (PARLEY_DATA)")
	cmd.Flags().String("store", "", "database `file`, if not parley.db in it, or the URI of a MongoDB (PARLEY_STORE)")
	cmd.Flags().String("mongodb-database", "", "`database` of that MongoDB (MONGODB_DATABASE)")
}
