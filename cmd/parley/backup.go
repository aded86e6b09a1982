package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/parley-llm/parley/internal/sqlite"
)

// backup is what the command reports.
type backup struct {
	Database string `json:"database"`
	Backup   string `json:"backup"`
	Bytes    int64  `json:"bytes"`
	Schema   int64  `json:"schema"`
	// Verified is false where there are findings, and where the schema is older than this program's: it reads only its own.
	Verified bool  `json:"audit_verified"`
	Records  int64 `json:"audit_records"`
	Chains   int64 `json:"audit_chains"`
	Findings int   `json:"audit_findings"`
}

func backupCommand(environ []string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the database to a file, also beside a running server",
		Long: `Copies the database as it is at one moment to FILE, which must not be there yet. A server may run on it and goes on writing
meanwhile; whatever it has acknowledged before is in the copy. The copy is read back, every page of it and its audit log, and written
to the disk, before it gets its name: where FILE is, it is whole. It is for the owner alone, like the database, and holds all texts.

To restore it, stop the server and put FILE as parley.db into an empty data directory, together with the secret.key of the
old one (or the same PARLEY_SECRET_KEY). Never put it beside the parley.db-wal of another database.`,
		Example: "  parley backup /mnt/backup/parley-$(date +%F).db\n  parley backup --data /var/lib/parley --json /mnt/backup/parley.db",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("name the one file that the copy is to be written to")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := settings(cmd, environ)
			if err != nil {
				return err
			}
			if err := sqliteOnly(cfg, "back a MongoDB up by mongodump --oplog, or by snapshots of its disks"); err != nil {
				return err
			}
			b := backup{Database: cfg.StorePath()}
			if b.Backup, err = filepath.Abs(args[0]); err != nil {
				return fmt.Errorf("finding the backup's directory: %w", err)
			}
			if err := mustExist(b.Database); err != nil {
				return err
			}
			if err := b.make(cmd); err != nil {
				return fmt.Errorf("backing up %s: %w", b.Database, err)
			}
			if asJSON {
				err = printJSON(cmd, b)
			} else {
				err = b.print(cmd.OutOrStdout(), cfg.SecretKeyPath())
			}
			if err == nil && b.Findings > 0 {
				// The copy stays: it is as good as what it was made of.
				err = errFindings
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addStoreSettings(cmd)
	return cmd
}

func (b *backup) make(cmd *cobra.Command) error {
	m := newMeter(cmd.ErrOrStderr(), "", "records")
	defer m.end()
	report, err := sqlite.Backup(cmd.Context(), b.Database, b.Backup, func(step string, done, total int64) {
		m.what = step
		m.at(done, total)
	})
	if err != nil {
		return err
	}
	b.Bytes, b.Schema, b.Verified = report.Bytes, report.Schema, report.Verified()
	b.Records, b.Chains, b.Findings = report.Audit.Records, report.Audit.Chains, len(report.Audit.Findings)+report.Audit.Omitted
	return nil
}

func (b *backup) print(w io.Writer, keyFile string) error {
	log := fmt.Sprintf("%s verified", counted(b.Records, "audit record"))
	switch {
	case b.Findings > 0:
		log = fmt.Sprintf("%s in the audit log: parley audit verify --store %s", counted(b.Findings, "finding"), b.Backup)
	case !b.Verified:
		log = fmt.Sprintf("audit log not verified: schema %d is older than this parley's", b.Schema)
	}
	key := "PARLEY_SECRET_KEY set as it is now"
	if keyFile != "" {
		key = "a copy of " + keyFile
	}
	_, err := fmt.Fprintf(w, "%s: %s, every page read back, %s\nTo restore it, stop the server and put it as parley.db into an empty data directory, with %s\n",
		b.Backup, bytesText(b.Bytes), log, key)
	return err
}
