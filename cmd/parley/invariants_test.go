package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/crashtest"
)

// Places for violations: a message of no turn, and the conversation with most turns, of those that are not being deleted.
const (
	aMessage = `(SELECT i.pos FROM items i JOIN conversations c ON c.num = i.pos >> 24 WHERE i.response_id IS NULL AND c.forked_conversation IS NULL ORDER BY i.pos LIMIT 1)`
	busiest  = `(SELECT r.conversation FROM responses r JOIN conversations c ON c.num = r.conversation WHERE r.first_seq > 0 GROUP BY r.conversation ORDER BY count(*) DESC, r.conversation LIMIT 1)`
	oneLess  = `UPDATE conversations SET message_count = message_count - 1 WHERE num = `
)

// Each violation of an invariant is planted in a copy of a sound database, and found for what it is.
func TestTheInvariantsCatchWhatTheyAreFor(t *testing.T) {
	e := newEra(t, seedOf(t))
	p := e.launch(t)
	ctx, stop := context.WithCancel(t.Context())
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		e.load.Run(ctx, p.url)
	}()
	// Bounded by the test's own time limit.
	for len(crashtest.Idle(e.load.Counts())) > 0 || e.load.Counts()[crashtest.OpStream] < 50 {
		<-time.After(10 * time.Millisecond)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	stop()
	<-loaded
	entries, err := crashtest.ReadHistory(e.file)
	if err != nil {
		t.Fatal(err)
	}
	deleted, _ := done(entries, crashtest.OpDelete)
	gone, _ := done(entries, crashtest.OpDeleteConversation)
	prompted, _ := done(entries, crashtest.OpPrompt)
	_, streamed := done(entries, crashtest.OpStream)
	aTurn := `'` + streamed.Response + `'`
	itsNumber := `(SELECT conversation FROM responses WHERE id = ` + aTurn + `)`
	asked := func(question, code string) []crashtest.Entry {
		return []crashtest.Entry{{State: crashtest.Asked, Op: crashtest.OpCall, Code: code, Time: entries[len(entries)-1].Time, Messages: []crashtest.Message{{Text: question}}}}
	}

	for _, tt := range []struct {
		name  string
		want  crashtest.Invariant
		plant []string
		more  []crashtest.Entry
	}{
		{"nothing", "", nil, nil},
		{"a message is lost", crashtest.AcknowledgedIsStored, []string{oneLess + aMessage + ` >> 24`, `DELETE FROM items WHERE pos = ` + aMessage}, nil},
		{"a message says something else", crashtest.AcknowledgedIsStored, []string{`UPDATE items SET content = '"other"' WHERE pos = ` + aMessage}, nil},
		{"a conversation is lost", crashtest.AcknowledgedIsStored, []string{`INSERT INTO purges SELECT num, id FROM conversations ORDER BY num LIMIT 1`, `DELETE FROM conversations WHERE num = (SELECT min(num) FROM conversations)`}, nil},
		{"an answer is cut", crashtest.AcknowledgedIsStored, []string{`UPDATE items SET content = '"You"' WHERE output = 1 AND response_id = ` + aTurn}, nil},
		{"an end is another", crashtest.AcknowledgedIsStored, []string{`UPDATE responses SET status = 'cancelled' WHERE id = ` + aTurn}, nil},
		{"an event is lost", crashtest.EventsOnce, []string{`DELETE FROM events WHERE pos = (SELECT max(e.pos) FROM events e JOIN responses r ON e.pos >> 20 = r.num WHERE r.id = ` + aTurn + `)`}, nil},
		{"a deleted message is back", crashtest.AcknowledgedIsStored, []string{
			`INSERT INTO items (pos, id, type, role, status, version, created_at, excluded, output, content) SELECT num << 24 | next_seq, '` +
				deleted.Messages[0].ID + `', 'message', 'user', 'completed', 1, 0, 0, 0, '"x"' FROM conversations WHERE id = '` + deleted.Conversation + `'`,
		}, nil},
		{"a deleted conversation is back", crashtest.AcknowledgedIsStored, []string{`UPDATE conversations SET id = '` + gone.Conversation + `' WHERE num = (SELECT max(num) FROM conversations)`}, nil},
		{"a message that nobody has sent", crashtest.NothingIsMadeUp, []string{`UPDATE items SET content = '"other"' WHERE pos = ` + aMessage}, nil},
		{"an answer without its question", crashtest.NoTornTurn, []string{oneLess + itsNumber, `DELETE FROM items WHERE output = 0 AND response_id = ` + aTurn}, nil},
		{"a question without its answer", crashtest.NoTornTurn, []string{oneLess + itsNumber, `DELETE FROM items WHERE output = 1 AND response_id = ` + aTurn}, nil},
		{"a turn without its response", crashtest.NoTornTurn, []string{`DELETE FROM responses WHERE id = ` + aTurn}, nil},
		{"a response that never ended", crashtest.NoTornTurn, []string{`UPDATE responses SET status = 'in_progress' WHERE id = ` + aTurn}, nil},
		{"two responses that run", crashtest.OneRunning, []string{`UPDATE responses SET status = 'in_progress' WHERE conversation = ` + busiest}, nil},
		{"messages have changed places", crashtest.SeqIncreases, []string{`UPDATE items SET pos = pos + 1000 WHERE pos = ` + aMessage}, nil},
		{"a seq is given twice", crashtest.SeqIncreases, []string{`UPDATE conversations SET next_seq = 1 WHERE num = ` + itsNumber}, nil},
		{"an outcome is lost", crashtest.OneOutcome, []string{`DELETE FROM audit WHERE kind = 'llm.outcome' AND response_id = ` + aTurn}, nil},
		{"a second outcome", crashtest.OneOutcome, []string{
			`DROP INDEX audit_by_attempt`,
			`INSERT INTO audit SELECT (SELECT max(pos) FROM audit) + 1, id || 'x', time, kind, owner, conversation_id, response_id, attempt, header, hash, texts, salts FROM audit WHERE kind = 'llm.outcome' AND response_id = ` + aTurn,
		}, nil},
		{"an intent is lost", crashtest.IntentBeforeCall, []string{`DELETE FROM audit WHERE kind = 'llm.intent' AND response_id = ` + aTurn}, nil},
		{"an intent came late", crashtest.IntentBeforeCall, []string{`UPDATE audit SET time = time + 60000 WHERE kind = 'llm.intent' AND response_id = ` + aTurn}, nil},
		{"a call that nobody has asked for", crashtest.IntentBeforeCall, nil, asked("other", "")},
		{"a call more than intents", crashtest.IntentBeforeCall, nil, asked(prompted.Messages[0].Text, "")},
		{"a call before its intent was committed", crashtest.IntentBeforeCall, nil, asked(prompted.Messages[0].Text, "no_intent")},
		{"a call before its question was committed", crashtest.IntentBeforeCall, nil, asked(prompted.Messages[0].Text, "no_question")},
		{"a record was altered", crashtest.ChainVerifies, []string{`UPDATE audit SET header = CAST(replace(CAST(header AS TEXT), 'scripted', 'scripteD') AS BLOB) WHERE kind = 'llm.intent' AND response_id = ` + aTurn}, nil},
		{"a wrong count", crashtest.Sound, []string{oneLess + itsNumber}, nil},
		{"an item of no conversation", crashtest.Sound, []string{`UPDATE items SET pos = pos + (1 << 50) WHERE pos = ` + aMessage}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			promise := crashtest.Promised(append(entries[:len(entries):len(entries)], tt.more...), time.Time{}, time.Time{})
			copied := t.TempDir()
			for _, name := range []string{"parley.db", "secret.key"} {
				content, err := os.ReadFile(filepath.Join(e.data, name))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(copied, name), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, statement := range tt.plant {
				alter(t, filepath.Join(copied, "parley.db"), statement)
			}
			found, err := promise.CheckDatabase(t.Context(), crashtest.SQLite(filepath.Join(copied, "parley.db")), true)
			if err != nil {
				t.Fatal(err)
			}
			// A start ends what runs, so that only the file shows it.
			if !slices.ContainsFunc(tt.plant, func(sql string) bool { return strings.Contains(sql, "in_progress") }) {
				server := launch(t, copied, e.upstream.Environ())
				server.await(t)
				found = append(found, promise.CheckServer(t.Context(), crashtest.Client(server.url), promise.Conversations())...)
			}
			mustFind(t, tt.want, found)
		})
	}
}

// mustFind fails a test in which what was planted was not found for what it is; where want is empty, nothing was.
func mustFind(t *testing.T, want crashtest.Invariant, found []crashtest.Violation) {
	t.Helper()
	if want == "" {
		for _, v := range found {
			t.Error(v)
		}
	} else if !slices.ContainsFunc(found, func(v crashtest.Violation) bool { return v.Invariant == want }) {
		t.Errorf("%q was not found, but %v", want, found)
	}
}

// done is a request that was acknowledged, with its answer. Nobody has changed its conversation since, and it is there, unless it has
// deleted that.
func done(entries []crashtest.Entry, op crashtest.Op) (request, answer crashtest.Entry) {
	sent, changed := map[int64]crashtest.Entry{}, map[string]int64{}
	for _, e := range entries {
		if e.State != crashtest.Sent {
			continue
		}
		sent[e.Call] = e
		if e.Op == crashtest.OpEdit || e.Op == crashtest.OpDelete || e.Op == crashtest.OpDeleteConversation {
			changed[e.Conversation] = e.Call
		}
	}
	for _, e := range entries {
		if r := sent[e.Call]; e.State == crashtest.Acknowledged && e.Op == op && changed[r.Conversation] <= e.Call {
			request, answer = r, e
		}
	}
	return request, answer
}
