package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/mongo"
	"github.com/parley-llm/parley/internal/sqlite"
)

// maxExportLine bounds a line of an export: a record holds a text of at most PARLEY_AUDIT_MAX_CHARS for each payload.
const maxExportLine = 256 << 20

func exportCommand(environ []string) *cobra.Command {
	var from, to, output string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the audit log as JSON lines",
		Long: `Writes the audit log as JSON lines, one record each, in the order of the chains, with the masked texts, their salts, and the exact
bytes under each hash: "parley audit verify --export" proves it anywhere. The last line is no record: its "object" is
"audit.export.end", and it says how many records there are and how far each chain goes, so that a file without it is known to
be cut short. It reads page by page, also beside a running server.
With --from or --to it writes a range; verify that with --range. Times are RFC 3339, or a date, which begins at midnight UTC.

It reads the file of the database, for whoever may do that anyway. GET /api/audit/export is the same over HTTP, and leaves an
audit.exported record.`,
		Example: "  parley audit export > audit.jsonl\n  parley audit export --from 2026-05-01 --to 2026-06-01 --output may.jsonl\n  parley audit export | jq -r 'select(.kind == \"llm.outcome\") | [.time, .model, .status] | @tsv'",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			since, err := timeFlag("from", from)
			if err != nil {
				return err
			}
			until, err := timeFlag("to", to)
			if err != nil {
				return err
			}
			if from != "" && to != "" && !since.Before(until) {
				return usageError{errors.New("--from must be ahead of --to: no record can be in that range")}
			}
			cfg, path, err := auditStore(cmd, environ)
			if err != nil {
				return err
			}
			if cfg != nil && cfg.Store.MongoDB() {
				return withLog(cmd.Context(), cfg, func(log *mongo.Log) error {
					return into(cmd.OutOrStdout(), output, func(w io.Writer) error {
						return writeExport(cmd, cfg.StoreName(), w, func(yield func(*audit.Row) error) error {
							return log.Export(cmd.Context(), since, until, yield)
						})
					})
				})
			}
			if err := mustExist(path); err != nil {
				return err
			}
			return into(cmd.OutOrStdout(), output, func(w io.Writer) error {
				return writeExport(cmd, path, w, func(yield func(*audit.Row) error) error {
					return sqlite.ExportAudit(cmd.Context(), path, since, until, yield)
				})
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "only records from this `time` on")
	cmd.Flags().StringVar(&to, "to", "", "only records ahead of this `time`")
	cmd.Flags().StringVarP(&output, "output", "o", "", "`file` to write, instead of the standard output; there only once it is whole")
	addStoreSettings(cmd)
	return cmd
}

// writeExport writes what export yields of the store of that name.
func writeExport(cmd *cobra.Command, name string, w io.Writer, export func(yield func(*audit.Row) error) error) error {
	m := newMeter(cmd.ErrOrStderr(), "exported", "records")
	defer m.end()
	out := bufio.NewWriterSize(w, 64<<10)
	var exporter audit.Exporter
	var line []byte
	n := int64(0)
	err := export(func(row *audit.Row) error {
		line = exporter.Append(line[:0], row)
		n++
		m.at(n, 0)
		_, err := out.Write(line)
		return err
	})
	if err != nil {
		return fmt.Errorf("exporting %s: %w", name, err)
	}
	if _, err := out.Write(exporter.AppendEnd(line[:0])); err != nil {
		return err
	}
	return out.Flush()
}

// timeFlag reads a time, or a date.
func timeFlag(name, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, value); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError{fmt.Errorf("--%s: expected an RFC 3339 date-time, such as 2026-05-04T09:30:00Z, or a date", name)}
}

// into writes to a file, which is there under its name only once it is whole, or to out where no file is named.
func into(out io.Writer, name string, write func(io.Writer) error) (err error) {
	if name == "" || name == "-" {
		return write(out)
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part-*")
	if err != nil {
		return fmt.Errorf("making the file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// verifyExport proves an export. A name of "-" is the standard input.
func verifyExport(cmd *cobra.Command, name string, isRange bool) (audit.Report, error) {
	in, size := cmd.InOrStdin(), int64(0)
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // the operator's own path
		if err != nil {
			return audit.Report{}, fmt.Errorf("opening the export: %w", err)
		}
		defer func() { _ = f.Close() }()
		if info, err := f.Stat(); err == nil {
			size = info.Size()
		}
		in = f
	}
	m := newMeter(cmd.ErrOrStderr(), "verified", "bytes")
	defer m.end()
	v := audit.NewVerifier()
	v.Range = isRange
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxExportLine)
	read := int64(0)
	for lines.Scan() {
		v.AddExport(lines.Bytes())
		read += int64(len(lines.Bytes())) + 1
		m.at(read, size)
		if err := cmd.Context().Err(); err != nil {
			return audit.Report{}, err
		}
	}
	if err := lines.Err(); err != nil {
		return audit.Report{}, fmt.Errorf("reading the export: %w", err)
	}
	return v.FinishExport(), nil
}
