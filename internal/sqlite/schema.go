package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the database/sql driver, for migrations only
)

// minSQLite is the first version without the WAL-reset bug, by which older ones can corrupt a database.
const minSQLite = 3_051_003

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks our databases; the first migration sets it.
const applicationID = 0x50726c79

const (
	selectSchema = `SELECT max(version_id) FROM goose_db_version WHERE is_applied`
	// The migrations' own table may be all that a first start which broke off has left.
	selectForeign = `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE tbl_name NOT IN ('goose_db_version', 'sqlite_sequence'))`
)

func checkSQLite(version int) error {
	if version < minSQLite {
		return fmt.Errorf("SQLite %d is too old: versions before 3.51.3 can corrupt a database in WAL mode", version)
	}
	return nil
}

// schemaVersion is the version of the database's schema, 0 for an empty database.
func (c *conn) schemaVersion() (int64, error) {
	id, err := c.number("PRAGMA application_id")
	if err != nil {
		return 0, err
	}
	if id == applicationID {
		return c.number(selectSchema)
	}
	foreign, err := c.number(selectForeign)
	if err == nil && (foreign != 0 || id != 0) {
		err = errors.New("the file is a database of another program")
	}
	return 0, err
}

// number reads the one number that a statement returns.
func (c *conn) number(sql string) (int64, error) {
	q := c.prepare(sql)
	if _, err := q.next(); err != nil {
		return 0, fmt.Errorf("reading the database: %w", err)
	}
	defer q.reset()
	return q.getInt(), nil
}

// newestSchema is the version that this program's migrations lead to.
func newestSchema() (int64, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		return 0, errors.Join(errors.New("there are no migrations"), err)
	}
	newest := int64(0)
	for _, name := range names {
		number, _, _ := strings.Cut(filepath.Base(name), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the migrations: %w", err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}

func checkSchema(version, newest int64) error {
	if version > newest {
		return fmt.Errorf("the database has schema %d, made by a newer parley than this one, which knows up to %d: run that version, or restore a backup from before the upgrade", version, newest)
	}
	return nil
}

// migrate brings the schema of the database up to date. It costs a second library a connection, so it is called only
// when there is something to do.
func migrate(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite", dataSource(path))
	if err != nil {
		return fmt.Errorf("opening the database to migrate it: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating the database: %w", err)
	}
	return nil
}

// dataSource names the file to database/sql, whatever characters are in its path.
func dataSource(path string) string {
	name := filepath.ToSlash(path)
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	u := url.URL{Scheme: "file", Path: name, RawQuery: "_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)"}
	return u.String()
}
