package crashtest

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	parley "github.com/parley-llm/parley/internal/sqlite"
)

// rules are statements that return a row, of one text, for each violation.
var rules = []struct {
	invariant Invariant
	// settled: it holds when no response runs.
	settled bool
	sql     string
}{
	{OneRunning, false, `SELECT 'conversation ' || conversation || ' has ' || count(*) || ' running responses' FROM responses
  WHERE status IN ('queued', 'in_progress') AND first_seq > 0 GROUP BY conversation HAVING count(*) > 1`},
	{NoTornTurn, true, `SELECT id || ' is ' || status FROM responses WHERE status IN ('queued', 'in_progress')`},
	{OneOutcome, true, `SELECT response_id || ' attempt ' || attempt || ' has ' || sum(kind = 'llm.intent') || ' intents and ' || sum(kind = 'llm.outcome') || ' outcomes'
  FROM audit WHERE kind IN ('llm.intent', 'llm.outcome') GROUP BY response_id, attempt HAVING sum(kind = 'llm.intent') <> 1 OR sum(kind = 'llm.outcome') <> 1`},
	{OneOutcome, false, `SELECT response_id || ' attempt ' || attempt || ' has ' || sum(kind = 'llm.intent') || ' intents and ' || sum(kind = 'llm.outcome') || ' outcomes'
  FROM audit WHERE kind IN ('llm.intent', 'llm.outcome') GROUP BY response_id, attempt HAVING sum(kind = 'llm.intent') <> 1 OR sum(kind = 'llm.outcome') > 1`},
	{IntentBeforeCall, false, `SELECT r.id || ' has ' || r.attempts || ' attempts and ' || count(a.pos) || ' intents' FROM responses r
  LEFT JOIN audit a ON a.response_id = r.id AND a.kind = 'llm.intent' GROUP BY r.id HAVING count(a.pos) <> r.attempts`},
	{OneOutcome, true, `SELECT r.id || ' is ' || r.status || ' and its last outcome says unknown_after_crash' FROM responses r
  JOIN audit a ON a.response_id = r.id AND a.kind = 'llm.outcome' AND a.attempt = r.attempts
  WHERE r.status <> 'interrupted' AND json_extract(CAST(a.header AS TEXT), '$.status') = 'unknown_after_crash'`},
	{SeqIncreases, false, `SELECT c.id || ' goes on at ' || c.next_seq || ' and has an item at ' || (max(i.pos) & 16777215) FROM conversations c
  JOIN items i ON i.pos > c.num << 24 AND i.pos < (c.num + 1) << 24 GROUP BY c.num HAVING max(i.pos) & 16777215 >= c.next_seq`},
	{Sound, false, `SELECT c.id || ' counts ' || c.message_count || ' messages and has ' || count(i.pos) FROM conversations c
  LEFT JOIN items i ON i.pos > c.num << 24 AND i.pos < (c.num + 1) << 24 AND i.excluded < 2 GROUP BY c.num HAVING count(i.pos) <> c.message_count`},
	{Sound, false, `SELECT 'item ' || id || ' is of no conversation' FROM items WHERE pos >> 24 NOT IN
  (SELECT num FROM conversations UNION ALL SELECT conversation FROM purges UNION ALL SELECT conversation FROM forks)`},
	{Sound, false, `SELECT 'response ' || id || ' is of no conversation' FROM responses WHERE conversation NOT IN
  (SELECT num FROM conversations UNION ALL SELECT conversation FROM purges)`},
	{NoTornTurn, false, `SELECT i.id || ' belongs to ' || i.response_id || ', which is not there' FROM items i JOIN conversations c ON c.num = i.pos >> 24
  WHERE i.response_id IS NOT NULL AND c.forked_conversation IS NULL AND NOT EXISTS (SELECT 1 FROM responses r WHERE r.id = i.response_id AND r.conversation = c.num)`},
	{Sound, false, `SELECT * FROM pragma_quick_check WHERE quick_check <> 'ok'`},
	{Sound, false, `SELECT 'a row of ' || "table" || ' refers to nothing' FROM pragma_foreign_key_check`},
}

// CheckDatabase looks into the file of a database, which a server may have open. settled says that none has been started on it
// since a response ran, or only one that has recovered: then every response has ended.
func (p *Promise) CheckDatabase(ctx context.Context, path string, settled bool) (_ []Violation, err error) {
	f := &findings{}
	report, err := parley.VerifyAudit(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	for _, finding := range report.Findings {
		f.add(ChainVerifies, "%s: chain %s, record %d: %s", finding.Kind, finding.Chain, finding.Seq, finding.Detail)
	}
	if settled && report.Pending > 0 {
		f.add(OneOutcome, "%d intents wait for an outcome", report.Pending)
	}
	db, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetInterrupt(ctx.Done())
	// All rules are of one moment.
	if err := sqlitex.ExecuteTransient(db, "BEGIN", nil); err != nil {
		return nil, err
	}
	for _, rule := range rules {
		if rule.settled && !settled {
			continue
		}
		if err := texts(db, rule.sql, func(text string) { f.add(rule.invariant, "%s", text) }); err != nil {
			return nil, fmt.Errorf("%s: %w", rule.invariant, err)
		}
	}
	return f.list, p.checkCalls(f, db)
}

func texts(db *sqlite.Conn, sql string, yield func(string)) error {
	return sqlitex.ExecuteTransient(db, sql, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		yield(s.ColumnText(0))
		return nil
	}})
}

// checkCalls looks for the intents of the calls that have reached the model. An intent's time is taken before it is committed, so
// one that is late was certainly not there.
func (p *Promise) checkCalls(f *findings, db *sqlite.Conn) error {
	intents, questions := map[string][]int64{}, map[string]string{}
	if err := sqlitex.ExecuteTransient(db, `SELECT response_id, time FROM audit WHERE kind = 'llm.intent' ORDER BY response_id, attempt`, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		intents[s.ColumnText(0)] = append(intents[s.ColumnText(0)], s.ColumnInt64(1))
		return nil
	}}); err != nil {
		return err
	}
	if err := sqlitex.ExecuteTransient(db, `SELECT response_id, content FROM items WHERE role = 'user' AND response_id IS NOT NULL`, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		questions[contentText([]byte(s.ColumnText(1)))] = s.ColumnText(0)
		return nil
	}}); err != nil {
		return err
	}
	calls := map[string]int{}
	for _, call := range p.asked {
		question := call.Messages[0].Text
		response := p.questions[question].response
		if response == "" {
			response = questions[question]
		}
		if response == "" {
			if c := p.conversations[p.questions[question].conversation]; c == nil || !c.may && !c.gone {
				f.add(IntentBeforeCall, "the model was asked %q, which no response has asked", short(question))
			}
			continue
		}
		calls[response]++
		if n := calls[response]; len(intents[response]) < n || intents[response][n-1] > call.Time.UnixMilli() {
			f.add(IntentBeforeCall, "call %d of %s had no intent", n, response)
		}
		if call.Code == noIntent || call.Code == noQuestion && !p.removed(question, response) {
			f.add(IntentBeforeCall, "when %s called the model, its intent was not committed", response)
		}
	}
	return nil
}

// removed reports whether a question may have been taken away while its call was on its way, by a deletion, or by an edit once the
// call was cancelled.
func (p *Promise) removed(text, response string) bool {
	c := p.conversations[p.questions[text].conversation]
	return c == nil || c.may || c.gone || c.response(response).touched
}

// The codes of a call whose intent, or whose question, was not committed when it came.
const (
	noIntent   = "no_intent"
	noQuestion = "no_question"
)

// The newest responses, with their questions and whether the intent of their attempt is there.
const newestResponses = `SELECT i.content, EXISTS (SELECT 1 FROM audit a WHERE a.response_id = r.id AND a.attempt = r.attempts AND a.kind = 'llm.intent')
  FROM responses r JOIN items i ON i.pos = r.conversation << 24 | r.first_seq ORDER BY r.num DESC LIMIT 1000`

// intentOf is noIntent or noQuestion, or nothing where the intent of a question is committed.
func intentOf(path, question string) string {
	db, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = db.Close() }()
	code := noQuestion
	err = sqlitex.ExecuteTransient(db, newestResponses, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		if contentText([]byte(s.ColumnText(0))) != question {
			return nil
		}
		if code = noIntent; s.ColumnBool(1) {
			code = ""
		}
		return nil
	}})
	if err != nil {
		return err.Error()
	}
	return code
}

// Running counts the responses that have not ended in a database.
func Running(path string) (n int, err error) {
	db, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = texts(db, `SELECT id FROM responses WHERE status IN ('queued', 'in_progress')`, func(string) { n++ })
	return n, err
}
