package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/config"
	"github.com/parley-llm/parley/internal/mongo"
	"github.com/parley-llm/parley/internal/sqlite"
)

var errFindings = errors.New("the audit log does not verify")

func auditCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Work with the audit log",
		Example: "  parley audit verify",
		Args:    knownCommand,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("what about the audit log? There is: verify, export")}
		},
	}
	cmd.AddCommand(verifyCommand(environ), exportCommand(environ))
	return cmd
}

func verifyCommand(environ []string) *cobra.Command {
	var asJSON, isRange bool
	var export string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that nobody has altered the audit log",
		Long: `Reads the audit log from its first record to its last and checks every hash, the order, that nothing is missing, that the
texts are those that were recorded, and that each call to a model has one intent and one outcome. The server may
run meanwhile or be gone. With --export it does the same with a file that "parley audit export" or GET /api/audit/export has
written, on any machine; a file in which a byte was changed, that broke off or that was cut short does not verify. Whoever
cuts off its end and writes a closing line anew for the rest is found by comparing that line, its "records" and "heads", with
one kept elsewhere. It exits with 0 if all is well and with 1 on any finding.`,
		Example: "  parley audit verify\n  parley audit verify --json\n  parley audit verify --store backup/parley.db\n  parley audit verify --export audit.jsonl\n  parley audit verify --export may.jsonl --range",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if export != "" {
				report, err := verifyExport(cmd, export, isRange)
				if err != nil {
					return err
				}
				return printReport(cmd, report, asJSON)
			}
			if isRange {
				return usageError{errors.New("--range is for an export: name it with --export")}
			}
			cfg, path, err := auditStore(cmd, environ)
			if err != nil {
				return err
			}
			if cfg != nil && cfg.Store.MongoDB() {
				return verifyMongoDB(cmd, cfg, asJSON)
			}
			if err := mustExist(path); err != nil {
				return err
			}
			m := newMeter(cmd.ErrOrStderr(), "verified", "records")
			report, err := sqlite.VerifyAudit(cmd.Context(), path, func(n int64) { m.at(n, 0) })
			m.end()
			if err != nil {
				return fmt.Errorf("verifying %s: %w", path, err)
			}
			return printReport(cmd, report, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	cmd.Flags().StringVar(&export, "export", "", "verify this `file` of an export instead of a database; - is the standard input")
	cmd.Flags().BoolVar(&isRange, "range", false, "the export is of a range of time: chains may begin late and end early in it")
	addStoreSettings(cmd)
	return cmd
}

// auditStore is the database to read: the settings and, of SQLite, its file. A file that was named needs no settings: the log may be a copy on
// another machine.
func auditStore(cmd *cobra.Command, environ []string) (cfg *config.Config, path string, err error) {
	if store := cmd.Flags().Lookup("store").Value.String(); store != "" && !strings.Contains(store, ":") {
		return nil, store, nil
	}
	if cfg, err = settings(cmd, environ); err != nil {
		return nil, "", err
	}
	if cfg.Store.MongoDB() {
		return cfg, "", nil
	}
	return cfg, cfg.StorePath(), nil
}

// verifyMongoDB proves the audit log of a MongoDB.
func verifyMongoDB(cmd *cobra.Command, cfg *config.Config, asJSON bool) error {
	var report audit.Report
	var unsealed int64
	if err := withLog(cmd.Context(), cfg, func(log *mongo.Log) (err error) {
		m := newMeter(cmd.ErrOrStderr(), "verified", "records")
		defer m.end()
		report, unsealed, err = log.Verify(cmd.Context(), func(n int64) { m.at(n, 0) })
		return err
	}); err != nil {
		return fmt.Errorf("verifying %s: %w", cfg.StoreName(), err)
	}
	if unsealed > 0 {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%s not sealed yet: of the last moments, or of a server that has died and that another has still to take over\n", counted(unsealed, "record"))
	}
	return printReport(cmd, report, asJSON)
}

// mustExist says of a database that is not there where it was looked for, and how to name another.
func mustExist(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		// What else is wrong with it, opening it says.
		return nil
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return fmt.Errorf(`there is no database at %s
Run it in the directory that the server runs in, or name the server's data directory by --data (PARLEY_DATA) or the file by --store.
A server that has never run has none`, path)
}

// counted is a number with what it counts, which is of the plural unless it is one.
func counted[N int | int64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func printReport(cmd *cobra.Command, report audit.Report, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		if err := printJSON(cmd, report); err != nil {
			return err
		}
	} else {
		for _, f := range report.Findings {
			_, _ = fmt.Fprint(out, f.Kind)
			if f.Chain != "" || f.Seq != 0 {
				_, _ = fmt.Fprintf(out, ": chain %s, record %d", f.Chain, f.Seq)
			}
			if f.RecordID != "" {
				_, _ = fmt.Fprintf(out, " (%s)", f.RecordID)
			}
			_, _ = fmt.Fprintf(out, ": %s\n", f.Detail)
		}
		if report.Omitted > 0 {
			_, _ = fmt.Fprintf(out, "and %s more\n", counted(report.Omitted, "finding"))
		}
		_, _ = fmt.Fprintf(out, "%s in %s: %s\n", counted(report.Records, "record"), counted(report.Chains, "chain"), counted(len(report.Findings)+report.Omitted, "finding"))
		if len(report.Open) > 0 {
			_, _ = fmt.Fprintf(out, "chains still open: %d, calls without an outcome: %d (normal beside a running server; otherwise its next start settles them)\n", len(report.Open), report.Pending)
		}
	}
	if !report.OK {
		return errFindings
	}
	return nil
}
