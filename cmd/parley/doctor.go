package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/config"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/mongo"
	"github.com/parley-llm/parley/internal/sqlite"
)

// States of a check.
const (
	sound    = "ok"
	doubtful = "warning"
	broken   = "broken"
)

const (
	// providerPatience is how long a provider has to list its models.
	providerPatience = 10 * time.Second
	// A disk with less room than so many times what the store needs is full soon.
	littleRoom = 4
)

var errBroken = errors.New("something is broken")

// finding is what one check says.
type finding struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

func doctorCommand(environ []string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is broken, and say what to do",
		Long: `Checks the settings, the data directory and its rights, the room on the disk, the lock, the secret key, the database with its schema
and every page of it, the audit chain, and whether each provider of models answers. It changes nothing, may run beside a
server, and reads the whole database, which takes seconds for each gigabyte. It exits with 0 if nothing is broken and with 1
if something is.`,
		Example: "  parley doctor\n  parley doctor --json\n  OPENAI_API_KEY=sk-... parley doctor --data /var/lib/parley",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var findings []finding
			m := newMeter(cmd.ErrOrStderr(), "looking", "")
			_ = m.watch(func() error {
				findings = examine(cmd, environ)
				return nil
			})
			return reportFindings(cmd, findings, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addSettings(cmd)
	return cmd
}

func reportFindings(cmd *cobra.Command, findings []finding, asJSON bool) error {
	sick := 0
	for _, f := range findings {
		if f.Status == broken {
			sick++
		}
	}
	if asJSON {
		if err := printJSON(cmd, struct {
			OK     bool      `json:"ok"`
			Checks []finding `json:"checks"`
		}{sick == 0, findings}); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%-8s %-14s %s\n", f.Status, f.Name, f.Detail)
			if f.Remedy != "" {
				_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%-8s %-14s -> %s\n", "", "", f.Remedy)
			}
		}
	}
	if sick > 0 {
		return errBroken
	}
	return nil
}

// examine makes all checks that can be made.
func examine(cmd *cobra.Command, environ []string) []finding {
	cfg, err := settings(cmd, environ)
	if err != nil {
		return []finding{{"settings", broken, err.Error(), "Correct these; `parley config` shows where each value comes from."}}
	}
	list := []finding{checkSettings(cfg), checkDirectory(cfg.Data), checkDisk(cfg.Data)}
	list = append(list, checkDatabase(cmd.Context(), cfg)...)
	return append(list, checkProviders(cmd.Context(), cfg)...)
}

func checkSettings(cfg *config.Config) finding {
	if err := check(cfg); err != nil {
		return finding{"settings", broken, err.Error(), "`parley config` shows where each value comes from."}
	}
	if len(cfg.Warnings) > 0 {
		return finding{"settings", doubtful, fmt.Sprintf("not used: %s", cfg.Warnings[0]), "Look for a slip of the pen; `parley config` shows what is in force."}
	}
	return finding{"settings", sound, "listening on " + string(cfg.Addr) + " would be allowed", ""}
}

// checkDirectory checks that the data directory can be written, and by the owner alone.
func checkDirectory(dir string) finding {
	const name = "data directory"
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := canMake(dir); err != nil {
			return finding{name, broken, fmt.Sprintf("%s is not there and cannot be made: %v", dir, err), "Make it, for the user that the server runs as, or name another with PARLEY_DATA."}
		}
		return finding{name, sound, dir + " is not there yet: the first start makes it", ""}
	case err != nil:
		return finding{name, broken, err.Error(), "Let this user enter the directory, or name another with PARLEY_DATA."}
	case !info.IsDir():
		return finding{name, broken, dir + " is not a directory", "Name a directory with PARLEY_DATA."}
	}
	probe, err := os.CreateTemp(dir, ".parley-doctor-*")
	if err == nil {
		err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	switch {
	case err != nil:
		return finding{name, broken, fmt.Sprintf("%s cannot be written: %v", dir, err), "Give it to the user that the server runs as (chown), or name another with PARLEY_DATA."}
	case info.Mode().Perm()&0o022 != 0:
		return finding{name, broken, fmt.Sprintf("%s can be written by other users (%v)", dir, info.Mode().Perm()), "Take their rights: chmod 700 " + dir}
	case info.Mode().Perm()&0o055 != 0:
		return finding{name, doubtful, fmt.Sprintf("%s can be listed by other users (%v); the files in it cannot be read", dir, info.Mode().Perm()), "chmod 700 " + dir}
	}
	return finding{name, sound, dir + " can be written, by its owner alone", ""}
}

// canMake reports why a directory could not be made, if so. It makes and removes one beside the first that is missing.
func canMake(dir string) error {
	probe, err := os.MkdirTemp(existing(dir), ".parley-doctor-*")
	if err != nil {
		return err
	}
	return os.Remove(probe)
}

// existing is the closest directory above one, or itself, that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func checkDisk(dir string) finding {
	free, needed, err := sqlite.Room(existing(dir))
	return judgeDisk(free, needed, err)
}

// judgeDisk says what so many free bytes mean where the store takes no prompt below those that it needs.
func judgeDisk(free, needed uint64, err error) finding {
	const name = "disk"
	if err != nil {
		return finding{name, doubtful, fmt.Sprintf("the free room is not known: %v", err), ""}
	}
	detail := fmt.Sprintf("%s are free; below %s no prompt is taken", bytesText(int64(free)), bytesText(int64(needed))) //nolint:gosec // no disk overflows it
	switch {
	case free < needed:
		return finding{name, broken, detail, "Make room. Without it the end of a turn might not be recorded, so none is begun."}
	case free < littleRoom*needed:
		return finding{name, doubtful, detail, "Make room soon; `parley compact` gives back what was deleted."}
	}
	return finding{name, sound, detail, ""}
}

// checkDatabase checks the files of the store; what there is to check depends on what was found before.
func checkDatabase(ctx context.Context, cfg *config.Config) []finding {
	if cfg.Store.MongoDB() {
		return checkMongoDB(ctx, cfg)
	}
	path := cfg.StorePath()
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return []finding{checkKey(cfg, false), {"database", sound, path + " is not there yet: the first start makes it", ""}}
		}
		return []finding{{"database", broken, err.Error(), "Let this user read it."}}
	}
	version, newest, err := sqlite.Schema(path)
	if err != nil {
		// A database that cannot be read says nothing of its key.
		return []finding{checkLock(path), {"database", broken, path + ": " + err.Error(), "Look at the file's rights and at PARLEY_STORE; if it is damaged, restore a backup."}}
	}
	list := []finding{checkKey(cfg, true), checkLock(path)}
	switch {
	case version > newest:
		return append(list, finding{"schema", broken, fmt.Sprintf("the database has schema %d, this parley knows up to %d", version, newest), "Run the newer parley that made it, or restore a backup from before the upgrade."})
	case version < newest:
		return append(list, finding{"schema", doubtful, fmt.Sprintf("the database has schema %d, this parley's is %d", version, newest), "`parley migrate` brings it up to date; so does the next start."})
	}
	list = append(list, finding{"schema", sound, fmt.Sprintf("version %d, the newest", version), ""})
	if err := sqlite.QuickCheck(ctx, path); err != nil {
		list = append(list, finding{"database", broken, err.Error(), "Restore a backup. Keep the damaged file: much of it can be read."})
	} else {
		list = append(list, finding{"database", sound, "every page can be read", ""})
	}
	return append(list, checkChain(ctx, path))
}

func checkLock(path string) finding {
	holder, held, err := sqlite.LockHolder(path)
	switch {
	case err != nil:
		return finding{"lock", broken, err.Error(), "Let this user read and write " + path + ".lock."}
	case held:
		return finding{"lock", sound, "a server runs on it, process " + holder, ""}
	}
	return finding{"lock", sound, "no server runs on it", ""}
}

// checkKey checks the secret key without making one.
func checkKey(cfg *config.Config, database bool) finding {
	const name = "secret key"
	file := cfg.SecretKeyPath()
	if file != "" {
		if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
			if database {
				return finding{name, broken, file + " is not there, and the database was made with a key", "Put the file back from a backup, or set PARLEY_SECRET_KEY to that key. Without it pseudonyms change."}
			}
			return finding{name, sound, file + " is not there yet: the first start makes it", ""}
		}
	}
	keys, err := cfg.Keys()
	if err != nil {
		return finding{name, broken, err.Error(), "Give the key file to the user that the server runs as, with mode 600."}
	}
	if database {
		if err := sqlite.CheckKey(cfg.StorePath(), keys.Fingerprint); err != nil {
			return finding{name, broken, err.Error(), "Put the right key back: it lay beside the database, or in PARLEY_SECRET_KEY."}
		}
	}
	return finding{name, sound, "readable, by its owner alone", ""}
}

func checkChain(ctx context.Context, path string) finding {
	report, err := sqlite.VerifyAudit(ctx, path, nil)
	return judgeChain(report, err)
}

// checkMongoDB checks what can be seen of a MongoDB: whether it can serve, whose key it was made with, and its audit log.
func checkMongoDB(ctx context.Context, cfg *config.Config) []finding {
	const name = "database"
	log, err := openLog(ctx, cfg)
	switch {
	case errors.Is(err, mongo.ErrNoDatabase):
		return []finding{checkKey(cfg, false), {name, sound, cfg.StoreName() + " serves, and holds nothing of Parley's yet: the first start makes it", ""}}
	case err != nil:
		return []finding{{name, broken, err.Error(), "Look at PARLEY_STORE, and whether the server there runs."}}
	}
	defer func() { _ = log.Close(ctx) }()
	list := []finding{checkKey(cfg, false), {name, sound, cfg.StoreName() + " serves, with transactions", ""}}
	if keys, err := cfg.Keys(); list[0].Status == sound && err == nil {
		if err := log.CheckKey(ctx, keys.Fingerprint); err != nil {
			list[0] = finding{"secret key", broken, err.Error(), "Put the right key into PARLEY_SECRET_KEY: all servers on one database have the same."}
		}
	}
	report, unsealed, err := log.Verify(ctx, nil)
	chain := judgeChain(report, err)
	if unsealed > 0 && chain.Status == sound {
		chain.Detail += fmt.Sprintf("; %s not sealed yet", counted(unsealed, "record"))
	}
	return append(list, chain)
}

func judgeChain(report audit.Report, err error) finding {
	const name = "audit chain"
	switch {
	case err != nil:
		return finding{name, broken, err.Error(), "`parley audit verify` says more."}
	case !report.OK:
		f := report.Findings[0]
		return finding{name, broken, fmt.Sprintf("%s, the first: %s at record %d of chain %s", counted(len(report.Findings)+report.Omitted, "finding"), f.Kind, f.Seq, f.Chain), "`parley audit verify` lists them. Keep the database as it is, and find out who could write to it."}
	}
	return finding{name, sound, counted(report.Records, "record") + " in " + counted(report.Chains, "chain") + ", verified", ""}
}

// checkProviders asks every configured provider for its models.
func checkProviders(ctx context.Context, cfg *config.Config) []finding {
	router, err := newRouter(cfg)
	if err != nil {
		return []finding{{"provider", broken, err.Error(), "Correct the settings of the provider."}}
	}
	var list []finding
	for _, e := range router.Endpoints {
		if e.Name == llm.BuiltIn {
			continue
		}
		list = append(list, checkProvider(ctx, e))
	}
	if len(list) == 0 {
		list = append(list, finding{"provider", sound, "the built-in stand-in answers; set OPENAI_API_KEY or OPENAI_BASE_URL for a real model", ""})
	}
	return list
}

func checkProvider(ctx context.Context, e llm.Endpoint) finding {
	ctx, cancel := context.WithTimeout(ctx, providerPatience)
	defer cancel()
	name := "provider " + e.Name
	models, err := e.Provider.Models(ctx)
	if err == nil {
		return finding{name, sound, fmt.Sprintf("%s offers %d models", e.Host, len(models)), ""}
	}
	f := fault.Of(err)
	remedy := "Look at the provider's status, and whether this machine reaches it: " + e.Host
	switch f.Code {
	case "upstream_auth":
		remedy = "Check the key: it may be revoked, or another service's."
	case "upstream_rate_limited":
		remedy = "Wait, or raise the quota at the provider."
	}
	return finding{name, broken, e.Host + ": " + f.Message, remedy}
}
