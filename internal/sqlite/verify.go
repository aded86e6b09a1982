package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-llm/parley/internal/audit"
)

// verifyPage is how many records are read in one transaction. Between two of them the server can shorten its log.
const verifyPage = 2000

// unreadable is the part that stands for what is kept beside a record's payloads. No header names it.
const unreadable = "unreadable"

const (
	selectLastRecord = `SELECT coalesce(max(pos), 0) FROM audit`
	listForVerifying = `SELECT a.pos, a.id, a.time, a.kind, a.owner, a.conversation_id, a.response_id, a.attempt, a.header, a.hash, a.texts, a.salts, c.name
  FROM audit a LEFT JOIN chains c ON c.epoch = a.pos >> 40 WHERE a.pos > ? AND a.pos <= ? ORDER BY a.pos LIMIT ?`
)

// VerifyAudit proves the audit log of a database, also of one that a server has open: it verifies what was there when it
// began. progress, if not nil, is called from time to time with the number of records that have been read.
func VerifyAudit(ctx context.Context, path string, progress func(n int64)) (report audit.Report, err error) {
	err = inspect(path, func(c *conn) (err error) {
		report, err = c.verifyAudit(ctx, progress)
		return err
	})
	return report, err
}

func (c *conn) verifyAudit(ctx context.Context, progress func(n int64)) (audit.Report, error) {
	if err := requireSchema(c); err != nil {
		return audit.Report{}, err
	}
	last, err := c.number(selectLastRecord)
	if err != nil {
		return audit.Report{}, err
	}
	v := audit.NewVerifier()
	total := int64(0)
	for from := int64(0); ; {
		n, to, err := c.verifyRange(v, from, last)
		if err != nil {
			return audit.Report{}, fmt.Errorf("reading the audit log: %w", err)
		}
		if n == 0 {
			return v.Finish(), nil
		}
		if ctx.Err() != nil {
			return audit.Report{}, context.Cause(ctx)
		}
		from, total = to, total+n
		if progress != nil {
			progress(total)
		}
	}
}

// requireSchema refuses what this program cannot read: an older schema is for the server to migrate.
func requireSchema(c *conn) error {
	version, err := c.schemaVersion()
	if err != nil {
		return err
	}
	newest, err := newestSchema()
	if err != nil {
		return err
	}
	if version < newest {
		return fmt.Errorf("the database has schema %d, older than this parley's %d: start the server once to migrate it", version, newest)
	}
	return checkSchema(version, newest)
}

// verifyRange feeds one page of records and returns their number and the position of the last.
func (c *conn) verifyRange(v *audit.Verifier, from, last int64) (n, to int64, err error) {
	rows := c.auditRows(from, last, verifyPage)
	defer rows.reset()
	for {
		row, at, err := rows.next(&arena{})
		if err != nil || row == nil {
			return n, to, err
		}
		n, to = n+1, at
		v.Add(row)
	}
}

// auditRows reads the records behind a position, up to and including another one.
type auditRows struct{ *stmt }

func (c *conn) auditRows(from, last, limit int64) auditRows {
	return auditRows{c.prepare(listForVerifying).int(from).int(last).int(limit)}
}

// next returns the next record and its position, or nil behind the last.
func (q auditRows) next(a *arena) (*audit.Row, int64, error) {
	more, err := q.stmt.next()
	if err != nil || !more {
		return nil, 0, err
	}
	at := q.getInt()
	row := &audit.Row{
		Seq: at & (1<<recordBits - 1), ID: q.getText(a), Time: time.UnixMilli(q.getInt()), Kind: audit.Kind(q.getText(a)), Owner: q.getText(a),
		ConversationID: q.getText(a), ResponseID: q.getText(a), Attempt: int(q.getInt()),
		Header: q.getRaw(a), Hash: q.getRaw(a),
	}
	var whole bool
	if row.Payloads, whole = unpackPayloads(q.getText(a), q.getRaw(a)); !whole {
		row.Payloads = append(row.Payloads, audit.StoredPayload{Part: unreadable})
	}
	row.Chain = q.getText(a)
	return row, at, nil
}
