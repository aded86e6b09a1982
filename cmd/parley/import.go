package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/legacy"
)

var errNotImported = errors.New("not everything was imported")

func importCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "import",
		Short:   "Import what another program has kept",
		Example: "  parley import mongodb --uri mongodb://127.0.0.1:27017 --database chat --dry-run",
		Args:    knownCommand,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("from what? There is: mongodb")}
		},
	}
	cmd.AddCommand(importMongoDBCommand(environ))
	return cmd
}

func importMongoDBCommand(environ []string) *cobra.Command {
	o := legacy.Options{Caller: chat.Caller{Owner: chat.DefaultOwner, Actor: "import"}, Now: time.Now}
	var uriFile string
	var dryRun, asJSON bool
	cmd := &cobra.Command{
		Use:   "mongodb",
		Short: "Import the conversations and the audit log of the Python service",
		Long: `Reads what the Python service that came before has kept in MongoDB, and writes it to the store that is configured. It changes
nothing where it reads. A conversation comes in whole or not at all, under an id that is made of its old one, so an import
that was broken off is run again to go on, and running it twice makes nothing twice. What was imported and changed since stays as it is; what was
imported and deleted since comes again.

Fields are found under their usual names. --map has others, and says what roles mean: --map speaker=role --map bot=assistant.
What is not known becomes metadata where it fits in there, and is reported. The audit log is masked again and appended as records of kind
imported. With SQLite the server must be stopped meanwhile. --dry-run says what would be done and writes nothing. It exits with 1 if something
could not be imported. See docs/from-python.md.`,
		Example: `  parley import mongodb --uri mongodb://127.0.0.1:27017 --database chat --dry-run
  parley import mongodb --uri mongodb://127.0.0.1:27017 --database chat
  parley import mongodb --uri-file /run/secrets/uri --database chat --conversations threads --map topic=title --map bot=assistant`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd, environ)
			if err != nil {
				return err
			}
			if o.URI, err = uriOf(o.URI, uriFile); err != nil {
				return err
			}
			if o.Database == "" {
				return usageError{errors.New("name the service's database by --database")}
			}
			if err := legacy.CheckMap(o.Map); err != nil {
				return usageError{err}
			}
			m := newMeter(cmd.ErrOrStderr(), "", "documents")
			defer m.end()
			o.Progress = func(collection string, done, total int64) {
				m.what = collection
				m.at(done, total)
			}
			run := func() (*legacy.Report, error) { return legacy.Run(cmd.Context(), o) }
			if dryRun {
				return finishImport(cmd, m, true, asJSON, run)
			}
			app, err := open(cmd.Context(), cfg, newLogger(cmd.ErrOrStderr(), cfg))
			if err != nil {
				return errors.Join(err, app.close())
			}
			o.Target = app.service
			return errors.Join(finishImport(cmd, m, false, asJSON, run), app.close())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.URI, "uri", "", "`URI` of the service's MongoDB")
	flags.StringVar(&uriFile, "uri-file", "", "`file` that holds it: every user of this machine can read a command line")
	flags.StringVar(&o.Database, "database", "", "`name` of the service's database")
	flags.StringVar(&o.Conversations, "conversations", "conversations", "`collection` of the conversations")
	flags.StringVar(&o.AuditLogs, "audit-logs", "audit_logs", "`collection` of the audit log")
	flags.StringToStringVar(&o.Map, "map", nil, "what a field or a role of another name is, as `OLD=NEW`; may be given more than once")
	flags.Lookup("map").DefValue = "" // else the help shows one, []
	flags.BoolVar(&dryRun, "dry-run", false, "say what would be done, and write nothing")
	flags.BoolVar(&asJSON, "json", false, "print the report as JSON")
	addStoreSettings(cmd)
	return cmd
}

func uriOf(uri, file string) (string, error) {
	if uri != "" && file != "" {
		return "", usageError{errors.New("--uri and --uri-file name the same thing: keep one of them")}
	}
	if file != "" {
		text, err := os.ReadFile(file) //nolint:gosec // whoever runs the command names the file
		if err != nil {
			return "", fmt.Errorf("reading the URI: %w", err)
		}
		uri = strings.TrimSpace(string(text))
	}
	if uri == "" {
		return "", usageError{errors.New("name the service's MongoDB by --uri or --uri-file")}
	}
	return uri, nil
}

// finishImport runs an import and prints what came of it, also if it was broken off.
func finishImport(cmd *cobra.Command, m *meter, dry, asJSON bool, run func() (*legacy.Report, error)) error {
	report, err := run()
	m.end()
	if errors.Is(err, context.Canceled) {
		err = errors.New("broken off; run it again to go on")
	}
	if report == nil {
		return err
	}
	if asJSON {
		err = errors.Join(err, printJSON(cmd, report))
	} else {
		printImport(cmd.OutOrStdout(), report, dry)
	}
	if err == nil && report.Conversations.Failed+report.AuditLogs.Failed > 0 {
		err = errNotImported
	}
	return err
}

func printImport(w io.Writer, r *legacy.Report, dry bool) {
	done := "imported"
	if dry {
		done = "to import, where they are not there already; nothing was written"
	}
	for _, c := range []struct {
		what  string
		count legacy.Count
		more  string
	}{
		{"conversation", r.Conversations, " with " + counted(r.Messages, "message")},
		{"audit record", r.AuditLogs, ""},
	} {
		_, _ = fmt.Fprintf(w, "%s%s %s", counted(c.count.Imported, c.what), c.more, done)
		if c.count.Present > 0 {
			_, _ = fmt.Fprintf(w, ", %d were there already", c.count.Present)
		}
		if c.count.Failed > 0 {
			_, _ = fmt.Fprintf(w, ", %d failed", c.count.Failed)
		}
		_, _ = fmt.Fprintln(w)
	}
	printFields(w, "kept as metadata", r.Kept)
	printFields(w, "not kept", r.Dropped)
	for _, f := range r.Failures {
		_, _ = fmt.Fprintf(w, "failed: %s %s: %s\n", f.Collection, f.ID, f.Reason)
	}
	if more := r.Conversations.Failed + r.AuditLogs.Failed - int64(len(r.Failures)); more > 0 {
		_, _ = fmt.Fprintf(w, "and %d more\n", more)
	}
}

func printFields(w io.Writer, what string, fields map[string]int64) {
	if len(fields) == 0 {
		return
	}
	list := make([]string, 0, len(fields))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		list = append(list, fmt.Sprintf("%s (%d)", name, fields[name]))
	}
	_, _ = fmt.Fprintf(w, "%s: %s\n", what, strings.Join(list, ", "))
}
