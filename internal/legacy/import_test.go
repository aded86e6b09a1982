package legacy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/mongotest"
	"github.com/parley-llm/parley/internal/pii"
	"github.com/parley-llm/parley/internal/sqlite"
)

// source is a made-up database of the service.
type source struct {
	Options
	db *mongo.Database
}

func newSource(t *testing.T) *source {
	t.Helper()
	uri := os.Getenv(mongotest.Env)
	name := mongotest.Database(t, uri)
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	s := &source{db: client.Database(name)}
	t.Cleanup(func() {
		if err := client.Disconnect(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s.Options = Options{
		URI: uri, Database: s.db.Name(), Conversations: "conversations", AuditLogs: "audit_logs", Now: time.Now,
		Caller: chat.Caller{Owner: chat.DefaultOwner, Actor: "import"},
	}
	return s
}

func (s *source) insert(t *testing.T, collection string, docs []any) {
	t.Helper()
	for part := range slices.Chunk(docs, 500) {
		if _, err := s.db.Collection(collection).InsertMany(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
}

// said is what conversation i says, message by message.
func saidBy(i int) [][2]string {
	var all [][2]string
	for j := range 1 + i%7 {
		all = append(all, [2]string{[]string{"user", "assistant", "system", "function"}[j%4], fmt.Sprintf("Conversation %d, message %d: café 世界 \"quoted\"\n%s", i, j, strings.Repeat("x", i%40))})
	}
	return all
}

func (s *source) fill(t *testing.T, conversations, logs int) {
	t.Helper()
	ids := make([]bson.ObjectID, conversations)
	docs := make([]any, conversations)
	for i := range docs {
		ids[i] = bson.NewObjectIDFromTimestamp(time.Unix(1700000000+int64(i), 0))
		messages := bson.A{}
		for _, m := range saidBy(i) {
			messages = append(messages, bson.D{{Key: "role", Value: m[0]}, {Key: "content", Value: m[1]}})
		}
		docs[i] = bson.D{
			{Key: "_id", Value: ids[i]},
			{Key: "name", Value: fmt.Sprintf("Number %d", i)},
			{Key: "params", Value: bson.D{{Key: "model", Value: "gpt-4"}, {Key: "temperature", Value: 0.25}}},
			{Key: "tokens", Value: int32(i)},
			{Key: "prompts", Value: messages},
		}
	}
	s.insert(t, "conversations", docs)
	docs = make([]any, logs)
	for i := range docs {
		docs[i] = bson.D{
			{Key: "_id", Value: bson.NewObjectID()},
			{Key: "conversation_id", Value: ids[i%conversations]},
			{Key: "prompt", Value: fmt.Sprintf("Write to jane.doe%d@example.com", i)},
			{Key: "response", Value: "[MASKED_EMAIL] it is."},
			{Key: "timestamp", Value: bson.NewDateTimeFromTime(time.Unix(1700000000+int64(i), 0))},
		}
	}
	s.insert(t, "audit_logs", docs)
}

// newTarget is a core on a new SQLite store.
func newTarget(t *testing.T) *chat.Service {
	t.Helper()
	newID := chat.NewID(time.Now)
	store, err := sqlite.Open(t.Context(), sqlite.Options{
		Path: filepath.Join(t.TempDir(), "parley.db"), Log: slog.New(slog.DiscardHandler), Now: time.Now, NewID: newID, KeyFingerprint: []byte("key"),
		OnFatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &chat.Service{Store: store, Audit: store, Masker: pii.New(), Log: slog.New(slog.DiscardHandler), Now: time.Now, NewID: newID, AuditMaxChars: 2000}
}

// mortal dies after so many conversations: what it is about to write then is lost.
type mortal struct {
	*chat.Service
	left chan struct{}
	die  context.CancelFunc
}

func (m *mortal) ImportConversation(ctx context.Context, caller chat.Caller, c chat.Conversation, items []chat.Item) (bool, error) {
	select {
	case <-m.left:
	default:
		m.die()
	}
	return m.Service.ImportConversation(ctx, caller, c, items)
}

// all reads every conversation with what it says, by title.
func all(t *testing.T, s *chat.Service) (conversations map[string]chat.Conversation, said map[string][][2]string) {
	t.Helper()
	conversations, said = map[string]chat.Conversation{}, map[string][][2]string{}
	q := chat.Query{Page: chat.Page{Limit: 500}}
	for {
		list, err := s.Conversations(t.Context(), chat.DefaultOwner, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, hit := range list.Data {
			c, err := s.Conversation(t.Context(), chat.DefaultOwner, hit.ID)
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := conversations[c.Title]; twice {
				t.Fatalf("%q is there twice", c.Title)
			}
			conversations[c.Title] = c
			items, err := s.Items(t.Context(), chat.DefaultOwner, c.ID, chat.Page{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			for _, it := range items.Data {
				content := string(it.Content)
				said[c.Title] = append(said[c.Title], [2]string{string(it.Role), content})
			}
			q.After = c.ID
		}
		if !list.HasMore {
			return conversations, said
		}
	}
}

func (s *source) checkAll(t *testing.T, service *chat.Service, conversations, logs int) {
	t.Helper()
	got, said := all(t, service)
	if len(got) != conversations {
		t.Fatalf("%d conversations, %d there were", len(got), conversations)
	}
	for i := range conversations {
		title := fmt.Sprintf("Number %d", i)
		c := got[title]
		if c.Model != "gpt-4" || *c.Params.Temperature != 0.25 || c.Usage.TotalTokens != int64(i) || c.CreatedAt.Unix() != 1700000000+int64(i) || c.MessageCount != int64(1+i%7) {
			t.Fatalf("%+v", c)
		}
		want := saidBy(i)
		for j := range want {
			if want[j][0] == "function" {
				want[j][0] = "tool"
			}
			want[j][1] = string(quote(want[j][1]))
		}
		if !slices.Equal(said[title], want) {
			t.Fatalf("%s says %q; it said %q", title, said[title], want)
		}
	}
	n := 0
	q := audit.Query{Kind: audit.KindImported, Limit: 100, Asc: true}
	for more := true; more; {
		var list []audit.Record
		var err error
		if list, more, err = service.Audit.Records(t.Context(), chat.DefaultOwner, q); err != nil {
			t.Fatal(err)
		}
		for _, rec := range list {
			n++
			q.After = rec.ID
		}
	}
	if n != logs {
		t.Fatalf("%d audit records, %d there were", n, logs)
	}
	rec, err := service.Audit.Record(t.Context(), chat.DefaultOwner, q.After)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Payloads[0].Text != "Write to [MASKED_EMAIL]" || rec.Payloads[1].Text != "[MASKED_EMAIL] it is." || rec.Time.Unix() != 1700000000+int64(logs-1) || rec.Actor != "import" {
		t.Errorf("%+v", rec)
	}
}

// sizes are how many conversations and audit logs there are: a thousand of the former, or as many as PARLEY_IMPORT_CONVERSATIONS says.
func sizes(t *testing.T) (conversations, logs int) {
	t.Helper()
	conversations = 1000
	if n := os.Getenv("PARLEY_IMPORT_CONVERSATIONS"); n != "" {
		var err error
		if conversations, err = strconv.Atoi(n); err != nil || conversations < 10 {
			t.Fatalf("PARLEY_IMPORT_CONVERSATIONS=%s", n)
		}
	}
	return conversations, 50 + conversations/10
}

func TestEverythingIsImportedOnce(t *testing.T) {
	conversations, logs := sizes(t)
	s := newSource(t)
	s.fill(t, conversations, logs)
	service := newTarget(t)

	dry, err := Run(t.Context(), s.Options)
	if err != nil || dry.Conversations.Imported != int64(conversations) || dry.AuditLogs.Imported != int64(logs) {
		t.Fatalf("%+v, %v", dry, err)
	}
	if list, err := service.Conversations(t.Context(), chat.DefaultOwner, chat.Query{Page: chat.Page{Limit: 1}}); err != nil || len(list.Data) > 0 {
		t.Fatalf("a dry run has written: %+v, %v", list, err)
	}

	ctx, die := context.WithCancel(t.Context())
	dying := &mortal{Service: service, left: make(chan struct{}, conversations), die: die}
	for range conversations / 3 {
		dying.left <- struct{}{}
	}
	s.Target = dying
	first, err := Run(ctx, s.Options)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%+v, %v", first, err)
	}

	s.Target = service
	second, err := Run(t.Context(), s.Options)
	if err != nil || second.Conversations.Imported+second.Conversations.Present != int64(conversations) || second.Conversations.Present < int64(conversations/3-writers) || second.Conversations.Imported == 0 {
		t.Fatalf("%+v, %v", second.Conversations, err)
	}
	s.checkAll(t, service, conversations, logs)

	third, err := Run(t.Context(), s.Options)
	if err != nil || third.Conversations.Imported != 0 || third.AuditLogs.Imported != 0 || third.AuditLogs.Present != int64(logs) {
		t.Fatalf("%+v, %v", third, err)
	}
	s.checkAll(t, service, conversations, logs)
	t.Logf("broken off after %d, went on with %d of %d, found %d there", first.Conversations.Imported, second.Conversations.Imported, conversations, third.Conversations.Present)
}

func TestWhatIsWrongWithOneConversationIsReportedAndTheRestGoesOn(t *testing.T) {
	s := newSource(t)
	s.insert(t, "threads", []any{
		bson.D{{Key: "_id", Value: "a"}, {Key: "messages", Value: bson.A{bson.D{{Key: "role", Value: "pirate"}, {Key: "content", Value: "secret"}}}}},
		bson.D{{Key: "_id", Value: "b"}, {Key: "messages", Value: bson.A{bson.D{{Key: "role", Value: "user"}, {Key: "content", Value: "Ahoy"}}}}},
		// What Parley keeps, were it the same collection.
		bson.D{{Key: "_id", Value: "default/conv_x"}, {Key: "o", Value: "default"}, {Key: "k", Value: int64(1)}},
	})
	empty := s.Options
	empty.Database += "_no"
	if _, err := Run(t.Context(), empty); err == nil || !strings.Contains(err.Error(), "there is no database "+empty.Database) {
		t.Error(err)
	}
	before := s.dump(t, "threads")
	service := newTarget(t)
	s.Target = service
	if _, err := Run(t.Context(), s.Options); err == nil || !strings.Contains(err.Error(), "it has: threads") {
		t.Fatal(err)
	}
	s.Conversations = "threads"
	report, err := Run(t.Context(), s.Options)
	if err != nil || report.Conversations != (Count{Read: 2, Imported: 1, Failed: 1}) || len(report.Failures) != 1 || report.Failures[0].ID != "a" ||
		!strings.Contains(report.Failures[0].Reason, "--map pirate=assistant") || strings.Contains(report.Failures[0].Reason, "secret") {
		t.Fatalf("%+v, %v", report, err)
	}
	s.Map = map[string]string{"pirate": "user"}
	if report, err := Run(t.Context(), s.Options); err != nil || report.Conversations != (Count{Read: 2, Imported: 1, Present: 1}) {
		t.Fatalf("%+v, %v", report, err)
	}
	if _, said := all(t, service); len(said) != 2 || said["Ahoy"][0] != [2]string{"user", `"Ahoy"`} || said["secret"][0] != [2]string{"user", `"secret"`} {
		t.Error(said)
	}
	if after := s.dump(t, "threads"); after != before {
		t.Errorf("the originals have changed:\n%s\n%s", before, after)
	}
}

func (s *source) dump(t *testing.T, collection string) string {
	t.Helper()
	cursor, err := s.db.Collection(collection).Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	var docs []bson.D
	if err := cursor.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(docs)
}

func TestAServerThatIsNotThereIsNamedAndAPasswordIsNot(t *testing.T) {
	o := Options{URI: "mongodb://jane:hunter2@127.0.0.1:1/?serverSelectionTimeoutMS=100", Database: "chat", Now: time.Now}
	for _, uri := range []string{o.URI, "mongodb://jane:hunter2@:x:", "jane:hunter2"} {
		o.URI = uri
		report, err := Run(t.Context(), o)
		if report != nil || err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v, %v", report, err)
		}
	}
	o.URI = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100"
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Error(err)
	}
}
