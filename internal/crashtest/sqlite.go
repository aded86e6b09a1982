package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/parley-llm/parley/internal/audit"
	parley "github.com/parley-llm/parley/internal/sqlite"
)

// SQLite is the database in a file.
type SQLite string

// Verify implements Database.
func (path SQLite) Verify(ctx context.Context) (report audit.Report, unsealed int64, err error) {
	report, err = parley.VerifyAudit(ctx, string(path), nil)
	return report, 0, err
}

// Read implements Database.
func (path SQLite) Read(ctx context.Context) (_ *Contents, err error) {
	db, err := sqlite.OpenConn(string(path), sqlite.OpenReadOnly)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetInterrupt(ctx.Done())
	// All that is read is of one moment.
	if err := sqlitex.ExecuteTransient(db, "BEGIN", nil); err != nil {
		return nil, err
	}
	c := &Contents{Leaving: map[string]bool{}, Coming: map[string]bool{}}
	for _, part := range []struct {
		sql string
		row func(s *sqlite.Stmt)
	}{
		{`SELECT num, id, next_seq, message_count, forked_conversation IS NOT NULL FROM conversations`, func(s *sqlite.Stmt) {
			c.Conversations = append(c.Conversations, StoredConversation{Key: s.ColumnText(0), ID: s.ColumnText(1), NextSeq: s.ColumnInt64(2), Count: s.ColumnInt64(3), Forked: s.ColumnBool(4)})
		}},
		{`SELECT pos >> 24, id, pos & 16777215, coalesce(response_id, ''), iif(role = 'user' AND response_id IS NOT NULL, content, ''), excluded < 2 FROM items`, func(s *sqlite.Stmt) {
			c.Items = append(c.Items, StoredItem{
				Conversation: s.ColumnText(0), ID: s.ColumnText(1), Seq: s.ColumnInt64(2), Response: s.ColumnText(3), Question: contentText([]byte(s.ColumnText(4))), Message: s.ColumnBool(5),
			})
		}},
		{`SELECT conversation, id, status, first_seq > 0, attempts FROM responses`, func(s *sqlite.Stmt) {
			c.Responses = append(c.Responses, StoredResponse{Conversation: s.ColumnText(0), ID: s.ColumnText(1), Status: s.ColumnText(2), Turn: s.ColumnBool(3), Attempts: s.ColumnInt(4)})
		}},
		{`SELECT response_id, attempt, kind, CAST(header AS TEXT), time FROM audit WHERE kind IN ('llm.intent', 'llm.outcome') ORDER BY pos`, func(s *sqlite.Stmt) {
			c.Attempts = append(c.Attempts, StoredAttempt{
				Response: s.ColumnText(0), Attempt: s.ColumnInt(1), Kind: audit.Kind(s.ColumnText(2)), Status: statusOf([]byte(s.ColumnText(3))), Time: time.UnixMilli(s.ColumnInt64(4)),
			})
		}},
		{`SELECT conversation FROM purges`, func(s *sqlite.Stmt) { c.Leaving[s.ColumnText(0)] = true }},
		{`SELECT conversation FROM forks`, func(s *sqlite.Stmt) { c.Coming[s.ColumnText(0)] = true }},
		{`SELECT * FROM pragma_quick_check WHERE quick_check <> 'ok'`, func(s *sqlite.Stmt) { c.Unsound = append(c.Unsound, s.ColumnText(0)) }},
		{`SELECT 'a row of ' || "table" || ' refers to nothing' FROM pragma_foreign_key_check`, func(s *sqlite.Stmt) { c.Unsound = append(c.Unsound, s.ColumnText(0)) }},
	} {
		if err := each(db, part.sql, part.row); err != nil {
			return nil, fmt.Errorf("%s: %w", part.sql, err)
		}
	}
	return c, nil
}

func each(db *sqlite.Conn, sql string, row func(s *sqlite.Stmt)) error {
	return sqlitex.ExecuteTransient(db, sql, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		row(s)
		return nil
	}})
}

// statusOf is the status in an audit header, if there is one.
func statusOf(header []byte) string {
	var h struct{ Status string }
	if json.Unmarshal(header, &h) != nil {
		return "damaged"
	}
	return h.Status
}

// The newest responses, with their questions and whether the intent of their attempt is there.
const newestResponses = `SELECT i.content, EXISTS (SELECT 1 FROM audit a WHERE a.response_id = r.id AND a.attempt = r.attempts AND a.kind = 'llm.intent')
  FROM responses r JOIN items i ON i.pos = r.conversation << 24 | r.first_seq ORDER BY r.num DESC LIMIT 1000`

func (path SQLite) intent(_ context.Context, question string) string {
	db, err := sqlite.OpenConn(string(path), sqlite.OpenReadOnly)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = db.Close() }()
	code := noQuestion
	err = each(db, newestResponses, func(s *sqlite.Stmt) {
		if contentText([]byte(s.ColumnText(0))) != question {
			return
		}
		if code = noIntent; s.ColumnBool(1) {
			code = ""
		}
	})
	if err != nil {
		return err.Error()
	}
	return code
}
