package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/config"
	"github.com/parley-llm/parley/internal/legacy"
	"github.com/parley-llm/parley/internal/mongotest"
)

// An import of PARLEY_IMPORT_CONVERSATIONS conversations and of an audit log is killed PARLEY_IMPORT_KILLS times at random places, and run again
// each time. Then everything is there, once, as it was.
func TestAKilledImportFromMongoDBLosesAndRepeatsNothing(t *testing.T) {
	conversations, kills := int(envInt(t, "PARLEY_IMPORT_CONVERSATIONS", 300)), int(envInt(t, "PARLEY_IMPORT_KILLS", 6))
	random := rand.New(rand.NewPCG(seedOf(t), 0))
	// Enough records for several batches.
	d := newDump(t, conversations, max(conversations/10, min(conversations, 250)))
	for _, into := range []string{"SQLite", "MongoDB"} {
		t.Run("into "+into, func(t *testing.T) {
			var env []string
			if into == "MongoDB" {
				env = onMongoDB(t)
			}
			d.killAndGoOn(t, env, kills, random)
		})
	}
}

// dump is a made-up database of the service, and what is on the way from it.
type dump struct {
	uri, database string
	conversations []saved
	logs          int
	// all is how many bytes a reader of everything is sent.
	all int64
}

type saved struct {
	title    string
	at       time.Time
	messages [][2]string
}

func newDump(t *testing.T, conversations, logs int) *dump {
	t.Helper()
	d := &dump{uri: os.Getenv(mongotest.Env), logs: logs}
	d.database = mongotest.Database(t, d.uri)
	client, err := mongo.Connect(options.Client().ApplyURI(d.uri))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(t.Context())) }()
	var docs, calls []any
	for i := range conversations {
		c := saved{title: fmt.Sprintf("Number %d", i), at: time.Unix(1700000000+int64(i), 0).UTC()}
		messages := bson.A{}
		for j := range i % 9 {
			role := []string{"user", "assistant", "user", "function"}[j%4]
			text := fmt.Sprintf("Conversation %d, message %d: café 世界 🎈 \"quoted\" \\ <&>\r\n\t%s", i, j, strings.Repeat("wörds ", i%200))
			messages = append(messages, bson.D{{Key: "role", Value: role}, {Key: "content", Value: text}, {Key: "created_at", Value: c.at.Add(time.Duration(j) * time.Second)}})
			c.messages = append(c.messages, [2]string{strings.ReplaceAll(role, "function", "tool"), text})
		}
		id := bson.NewObjectIDFromTimestamp(c.at)
		docs = append(docs, bson.D{{Key: "_id", Value: id}, {Key: "name", Value: c.title}, {Key: "tokens", Value: int32(i)}, {Key: "messages", Value: messages}})
		if len(calls) < logs {
			calls = append(calls, bson.D{
				{Key: "_id", Value: bson.NewObjectIDFromTimestamp(c.at)},
				{Key: "conversation_id", Value: id},
				{Key: "response", Value: "Done."},
				{Key: "timestamp", Value: c.at},
				{Key: "prompt", Value: strings.Repeat("and on ", 500) + fmt.Sprintf("Call %d: write to jane.doe%d@example.com", i, i)},
			})
		}
		d.conversations = append(d.conversations, c)
	}
	for name, list := range map[string][]any{"conversations": docs, "audit_logs": calls} {
		for part := range slices.Chunk(list, 500) {
			if _, err := client.Database(d.database).Collection(name).InsertMany(t.Context(), part); err != nil {
				t.Fatal(err)
			}
		}
	}
	return d
}

// killAndGoOn imports until an import is left alone.
func (d *dump) killAndGoOn(t *testing.T, env []string, kills int, random *rand.Rand) {
	dir := t.TempDir()
	dry := d.run(t, dir, env, 0, "--dry-run")
	d.all = dry.sent
	if want := int64(len(d.conversations)); dry.report.Conversations != (legacy.Count{Read: want, Imported: want}) || dry.report.AuditLogs.Imported != int64(d.logs) {
		t.Fatalf("a dry run: %+v", dry.report)
	}
	broken := 0
	for i := range kills {
		// One in each part of the way, so that some are among the conversations and some behind them.
		at := 1 + (int64(i)*d.all+random.Int64N(d.all))/int64(kills)
		if r := d.run(t, dir, env, at); r.killed {
			broken++
		}
	}
	if broken < kills/2 {
		t.Errorf("only %d of %d kills came before the import's end", broken, kills)
	}
	last := d.run(t, dir, env, 0).report
	if got := last.Conversations; got.Failed != 0 || got.Imported+got.Present != int64(len(d.conversations)) || got.Present == 0 {
		t.Fatalf("after the kills: %+v", last)
	}
	if again := d.run(t, dir, env, 0).report; again.Conversations.Imported != 0 || again.AuditLogs.Imported != 0 || again.AuditLogs.Present != int64(d.logs) {
		t.Fatalf("once more: %+v", again)
	}
	d.check(t, dir, env)
	// What a killed process had not sealed waits on MongoDB for a server to do so, which is told and is no finding.
	verified := parleyHere(t, env, "audit", "verify", "--data", dir)
	if verified.expect(t, exitOK, ""); !strings.Contains(verified.stdout, ": 0 findings\n") {
		t.Errorf("%s%s", verified.stdout, verified.stderr)
	}
	t.Logf("%d kills; the last run had %d of %d conversations and %d of %d records of the audit log left to import",
		broken, last.Conversations.Imported, len(d.conversations), last.AuditLogs.Imported, d.logs)
}

// imported is what came of one run of the command.
type imported struct {
	report struct {
		Conversations legacy.Count `json:"conversations"`
		AuditLogs     legacy.Count `json:"audit_logs"`
	}
	// killed: it was, before it had ended by itself. sent is what it was sent.
	killed bool
	sent   int64
}

// run imports by a process that is killed when it has been sent so many bytes, if that is not 0.
func (d *dump) run(t *testing.T, dir string, env []string, killAt int64, args ...string) (r imported) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary(t), append([]string{"import", "mongodb", "--uri-file", filepath.Join(t.TempDir(), "uri"), "--database", d.database, "--data", dir, "--json"}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = t.TempDir(), append([]string{}, env...), &stdout, &stderr
	var sent atomic.Int64
	reached := make(chan struct{})
	uri := d.relayed(t, func(n int) {
		if now := sent.Add(int64(n)); killAt > 0 && now >= killAt && now-int64(n) < killAt {
			close(reached)
		}
	})
	if err := os.WriteFile(cmd.Args[4], []byte(uri), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-reached:
		_ = cmd.Process.Kill()
		err = <-ended
	}
	if r.killed = err != nil && killAt > 0 && cmd.ProcessState.ExitCode() == -1; r.killed {
		return r
	}
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	if err := json.Unmarshal(stdout.Bytes(), &r.report); err != nil {
		t.Fatalf("%v in %s", err, &stdout)
	}
	r.sent = sent.Load()
	return r
}

// relayed is the address of a relay to the service's database, which tells how much it passes on to its reader.
func (d *dump) relayed(t *testing.T, passed func(int)) string {
	t.Helper()
	return mongotest.Relay(t, d.uri, nil, func(to io.Writer, from io.Reader) { _, _ = io.Copy(counting{to, passed}, from) })
}

type counting struct {
	io.Writer
	passed func(int)
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.passed(n)
	return n, err
}

// check reads everything that was imported.
func (d *dump) check(t *testing.T, dir string, env []string) {
	t.Helper()
	cfg, err := config.Load(config.Input{Environ: append([]string{"PARLEY_DATA=" + dir}, env...), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	a, err := open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	}()
	want := map[string]saved{}
	for _, c := range d.conversations {
		want[c.title] = c
	}
	q := chat.Query{Page: chat.Page{Limit: 100}}
	for more := true; more; {
		list, err := a.service.Conversations(t.Context(), chat.DefaultOwner, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list.Data {
			d.checkConversation(t, a.service, c.Conversation, want)
			q.After = c.ID
		}
		more = list.HasMore
	}
	if len(want) > 0 {
		t.Errorf("%d conversations are lost", len(want))
	}
	d.checkLogs(t, a.service)
}

// checkConversation takes one that is there and as it was out of those that are wanted.
func (d *dump) checkConversation(t *testing.T, s *chat.Service, c chat.Conversation, want map[string]saved) {
	t.Helper()
	was, ok := want[c.Title]
	if !ok {
		t.Errorf("%q is there twice, or was never", c.Title)
		return
	}
	delete(want, c.Title)
	items, err := s.Items(t.Context(), chat.DefaultOwner, c.ID, chat.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var said [][2]string
	for _, it := range items.Data {
		var text string
		if err := json.Unmarshal(it.Content, &text); err != nil {
			t.Errorf("%q: %v in %s", c.Title, err, it.Content)
		}
		said = append(said, [2]string{string(it.Role), text})
	}
	if !slices.Equal(said, was.messages) || c.MessageCount != int64(len(was.messages)) || !c.CreatedAt.Equal(was.at) {
		t.Errorf("%q, of %v, says in %d messages %q; it was of %v and said %q", c.Title, c.CreatedAt, c.MessageCount, said, was.at, was.messages)
	}
}

// checkLogs finds each record of the old audit log once, in its order, and masked.
func (d *dump) checkLogs(t *testing.T, s *chat.Service) {
	t.Helper()
	n := 0
	q := audit.Query{Kind: audit.KindImported, Limit: 100, Asc: true}
	for more := true; more; {
		var list []audit.Record
		var err error
		if list, more, err = s.Audit.Records(t.Context(), chat.DefaultOwner, q); err != nil {
			t.Fatal(err)
		}
		for _, rec := range list {
			q.After = rec.ID
			full, err := s.Audit.Record(t.Context(), chat.DefaultOwner, rec.ID)
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("and on Call %d: write to [MASKED_EMAIL]", n); !strings.HasSuffix(full.Payloads[0].Text, want) || full.Time.Unix() != 1700000000+int64(n) {
				t.Errorf("record %d of the audit log: %q of %v", n, full.Payloads[0].Text, full.Time)
			}
			n++
		}
	}
	if n != d.logs {
		t.Errorf("%d records of the audit log, there were %d", n, d.logs)
	}
}
