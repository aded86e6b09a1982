package mongo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/mongotest"
	"github.com/parley-llm/parley/internal/storetest"
)

// writing is an operation of the store: what is made ready for it, and what it does. All ids that it uses hold the place's name.
type writing struct {
	name  string
	ready func(t *testing.T, s *testStore, at string)
	do    func(ctx context.Context, s *testStore, at string) error
	// partly: it is two writes, of which the first alone is as good as none.
	partly bool
	// again are the codes of what it may be refused with when it is done again and has been done.
	again []string
}

func conversationOf(at string) string { return "conv_" + at }
func responseOf(at string) string     { return "resp_" + at }

func claimOf(at string) *chat.Claim {
	return &chat.Claim{Route: "POST /x", Key: "key_" + at, ResourceID: at, CreatedAt: storetest.Began}
}

func noted(kind audit.Kind, at string) audit.Record {
	return audit.Record{ID: "aud_" + string(kind) + "_" + at, Time: storetest.Began, Kind: kind, Owner: owner, ConversationID: conversationOf(at)}
}

// talked is a conversation with two messages.
func talked(t *testing.T, s *testStore, at string) {
	t.Helper()
	c := chat.Conversation{ID: conversationOf(at), CreatedAt: storetest.Began, UpdatedAt: storetest.Began}
	if err := s.CreateConversation(t.Context(), owner, nil, &c, []chat.Item{message("msg_1_"+at, llm.User), message("msg_2_"+at, llm.User)}); err != nil {
		t.Fatal(err)
	}
}

// talkedMuch is one whose fork is copied in more than one step.
func talkedMuch(t *testing.T, s *testStore, at string) {
	t.Helper()
	talked(t, s, at)
	more := make([]chat.Item, forkRows)
	for i := range more {
		more[i] = message(fmt.Sprintf("msg_more_%d_%s", i, at), llm.User)
	}
	if err := s.AppendItems(t.Context(), owner, nil, conversationOf(at), "", more); err != nil {
		t.Fatal(err)
	}
}

// answering is one on which a response runs.
func answering(t *testing.T, s *testStore, at string) {
	t.Helper()
	talked(t, s, at)
	begin(t, s, conversationOf(at), responseOf(at))
}

func responseAt(at string) chat.Response {
	return chat.Response{
		ID: responseOf(at), Owner: owner, ConversationID: conversationOf(at), Status: chat.InProgress, Stream: true, LastEvent: 1000, Attempts: 1, CreatedAt: storetest.Began,
	}
}

var writings = []writing{
	{"create", func(*testing.T, *testStore, string) {}, func(ctx context.Context, s *testStore, at string) error {
		c := chat.Conversation{ID: conversationOf(at), CreatedAt: storetest.Began, UpdatedAt: storetest.Began}
		return s.CreateConversation(ctx, owner, claimOf(at), &c, []chat.Item{message("msg_1_"+at, llm.User), message("msg_2_"+at, llm.User)}, noted(audit.KindConversationDeleted, at))
	}, false, []string{"claimed"}},
	{"append", talked, func(ctx context.Context, s *testStore, at string) error {
		return s.AppendItems(ctx, owner, claimOf(at), conversationOf(at), "A title", []chat.Item{message("msg_3_"+at, llm.User), message("msg_4_"+at, llm.User)}, noted(audit.KindMessageDeleted, at))
	}, false, []string{"claimed"}},
	{"append without key or record", talked, func(ctx context.Context, s *testStore, at string) error {
		return s.AppendItems(ctx, owner, nil, conversationOf(at), "", []chat.Item{message("msg_3_"+at, llm.User)})
	}, false, []string{chat.CodeDuplicateID}},
	{"update", talked, func(ctx context.Context, s *testStore, at string) error {
		_, err := s.UpdateConversation(ctx, owner, conversationOf(at), 1, func(c *chat.Conversation) error { c.Title = "Another"; return nil }, noted(audit.KindConversationDeleted, at))
		return err
	}, false, []string{chat.CodeVersionMismatch}},
	{"edit", talked, func(ctx context.Context, s *testStore, at string) error {
		_, err := s.UpdateItem(ctx, owner, conversationOf(at), "msg_1_"+at, 1, func(it *chat.Item) error { it.Content = json.RawMessage(`"other"`); return nil }, noted(audit.KindMessageEdited, at))
		return err
	}, false, []string{chat.CodeVersionMismatch}},
	{"delete a message", talked, func(ctx context.Context, s *testStore, at string) error {
		return s.DeleteItem(ctx, owner, conversationOf(at), "msg_1_"+at, 0, noted(audit.KindMessageDeleted, at))
	}, false, []string{chat.CodeMessageNotFound}},
	{"begin", talked, func(ctx context.Context, s *testStore, at string) error {
		r := responseAt(at)
		return s.Begin(ctx, owner, &chat.Turn{
			Conversation: chat.Conversation{ID: conversationOf(at), ContextVersion: 1}, Input: []chat.Item{message("msg_3_"+at, llm.User)}, Response: r,
			Intent: record(audit.KindIntent, &r), Claim: claimOf(at), Title: "A title",
		})
	}, false, []string{"claimed"}},
	{"next attempt", answering, func(ctx context.Context, s *testStore, at string) error {
		r := responseAt(at)
		outcome := record(audit.KindOutcome, &r)
		r.Attempts = 2
		return s.NextAttempt(ctx, owner, &r, outcome, record(audit.KindIntent, &r))
	}, false, []string{chat.CodeDuplicateID}},
	{"events", answering, func(ctx context.Context, s *testStore, at string) error {
		return s.AppendEvents(ctx, owner, responseOf(at), chat.Batched{Number: 0, Steps: []byte("steps"), LastEvent: 2000})
	}, true, nil},
	{"end", answering, func(ctx context.Context, s *testStore, at string) error {
		e := ending(responseAt(at), chat.Completed)
		e.Log = []chat.Batched{{Number: 0, Steps: []byte("last"), LastEvent: 7}}
		e.Response.Usage = &llm.Usage{InputTokens: 1, OutputTokens: 2, TotalTokens: 3}
		return s.End(ctx, owner, e)
	}, false, []string{chat.CodeResponseEnded}},
	{"fork", talked, func(ctx context.Context, s *testStore, at string) error {
		c := chat.Conversation{ID: "conv_fork_" + at, CreatedAt: storetest.Began, UpdatedAt: storetest.Began}
		return s.ForkConversation(ctx, owner, claimOf(at), conversationOf(at), "", &c, noted(audit.KindConversationDeleted, at))
	}, false, []string{"claimed"}},
	{"fork in steps", talkedMuch, func(ctx context.Context, s *testStore, at string) error {
		c := chat.Conversation{ID: "conv_fork_" + at, CreatedAt: storetest.Began, UpdatedAt: storetest.Began}
		return s.ForkConversation(ctx, owner, claimOf(at), conversationOf(at), "", &c)
	}, false, []string{"claimed"}},
	{"delete", talked, func(ctx context.Context, s *testStore, at string) error {
		return s.DeleteConversation(ctx, owner, conversationOf(at), 0, "", noted(audit.KindConversationDeleted, at))
	}, false, []string{chat.CodeConversationNotFound}},
	{"delete under an orphan", answering, func(ctx context.Context, s *testStore, at string) error {
		return s.DeleteConversation(ctx, owner, conversationOf(at), 0, responseOf(at), noted(audit.KindConversationDeleted, at))
	}, false, []string{chat.CodeConversationNotFound}},
}

// state is all that can be read of a place, as a text in which its name is left out.
func (s *testStore) state(at string) string {
	s.t.Helper()
	ctx := s.t.Context()
	var b strings.Builder
	note := func(what string, v any, err error) {
		if err != nil {
			v = fault.Of(err).Code
			if v == chat.CodeStoreUnavailable {
				s.t.Fatal(err)
			}
		}
		data, err := json.Marshal(v)
		if err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s\n", what, data)
	}
	for _, id := range []string{conversationOf(at), "conv_fork_" + at} {
		c, err := s.Conversation(ctx, owner, id)
		note("conversation", c, err)
		items, err := s.Items(ctx, owner, id, chat.Page{Limit: 100})
		note("items", items, err)
	}
	r, err := s.Response(ctx, owner, responseOf(at))
	note("response", r, err)
	log, err := s.EventLog(ctx, owner, responseOf(at), 0)
	note("log", log, err)
	claim, found, err := s.Claim(ctx, owner, "POST /x", "key_"+at)
	note("claim", []any{claim, found}, err)
	recs, _, err := s.Records(ctx, owner, audit.Query{ConversationID: conversationOf(at), Limit: 100, Asc: true})
	for i := range recs {
		recs[i] = audit.Record{ID: recs[i].ID, Kind: recs[i].Kind, Attempt: recs[i].Attempt}
	}
	note("records", recs, err)
	return strings.ReplaceAll(b.String(), at, "@")
}

// answered tells by a code how an operation went; an error that has none fails the test.
func (s *testStore) answered(err error) string {
	s.t.Helper()
	if err == nil {
		return ""
	}
	if _, ok := errors.AsType[*chat.ClaimedError](err); ok {
		return "claimed"
	}
	if _, ok := errors.AsType[*fault.Error](err); !ok {
		s.t.Errorf("an error without a code: %v", err)
	}
	return fault.Of(err).Code
}

// meeting is an operation that meets a fate.
type meeting struct {
	*writing
	proxy       *mongotest.Proxy
	s, watching *testStore
	fate        mongotest.Fate
	// on: at that command, and all behind it.
	on bool
}

// patience is what an operation has where it gives up.
const patience = time.Second

// impatient reports whether it ends only when it gives up.
func (m *meeting) impatient() bool { return m.fate == mongotest.Held || m.on }

// forged reports whether what makes a document is told that there is one.
func (m *meeting) forged() bool {
	return m.fate == mongotest.Duplicate || m.fate == mongotest.DoneDuplicate
}

// repeated reports whether a transaction is told to be done over.
func (m *meeting) repeated() bool {
	return m.fate == mongotest.Conflict || m.fate == mongotest.Unknown
}

// counts reports whether a command can meet the fate. What is done beside an operation, such as removing what was deleted, comes when it comes.
func (m *meeting) counts(c mongotest.Command) bool {
	switch m.fate {
	case mongotest.Conflict:
		return c.InTransaction
	case mongotest.Unknown:
		return c.Name == "commitTransaction"
	case mongotest.Duplicate, mongotest.DoneDuplicate:
		return c.Makes
	default:
		return true
	}
}

func (m *meeting) place(n int) string {
	return fmt.Sprintf("%s%d.", strings.ReplaceAll(m.name, " ", "-"), n)
}

// step is how many commands there are from one that meets a fate to the next that does; 0 is none.
func (m *meeting) step() int {
	const eighth = 8
	switch every := os.Getenv("PARLEY_TEST_EVERY"); {
	case every == "1", m.forged(), m.repeated():
		return 1
	case every == "", m.impatient():
		return 0
	case m.fate == mongotest.Unanswered:
		return 1
	default:
		return eighth
	}
}

// TestEveryCommandOfAWritingMayFail has each operation that writes meet each fate at each of its commands: it succeeds, or says that the database is not
// available, or that there is something already where a forged answer has said so; what it has to write is there once and whole or not at all, and
// there if it said so; and done again, it is there. A conflict, and a commit whose outcome is not known, show nowhere. What takes minutes is done by
// hand: with PARLEY_TEST_EVERY=8 an answer is lost at every command, and other things happen at some, with 1 all of them at each.
func TestEveryCommandOfAWritingMayFail(t *testing.T) {
	for _, some := range []meeting{
		{fate: mongotest.Conflict},
		{fate: mongotest.Unknown},
		{fate: mongotest.Duplicate},
		{fate: mongotest.DoneDuplicate},
		{fate: mongotest.Unanswered},
		{fate: mongotest.Lost},
		{fate: mongotest.NotPrimary},
		{fate: mongotest.Held},
		{fate: mongotest.Unanswered, on: true},
	} {
		step := some.step()
		if step == 0 {
			continue
		}
		name := some.fate.String()
		if some.on {
			name += ", and all behind it"
		}
		t.Run(name, func(t *testing.T) {
			p := mongotest.NewProxy(t, os.Getenv(mongotest.Env))
			watching := openAt(t, Options{})
			var options []string
			if some.impatient() {
				options = []string{fmt.Sprint("timeoutMS=", patience.Milliseconds())}
			}
			s := openAt(t, Options{Database: watching.database, URI: p.URI(options...)})
			t.Cleanup(p.Pass)
			some.proxy, some.s, some.watching = p, s, watching
			for i, w := range writings {
				t.Run(w.name, func(t *testing.T) {
					s.t, watching.t, some.writing = t, t, &w
					commands, before, after := some.well()
					for n := 1 + i%step; n <= commands; n += step {
						some.meets(n, before, after)
					}
				})
			}
			if fired := p.Fired(some.fate); fired < (len(writings)-1)/step {
				t.Errorf("it happened %d times: the test has shown nothing", fired)
			}
			s.t, watching.t = t, t
			s.sealAll()
			s.purgeAll()
			if report, unsealed := verify(t, watching); !report.OK || unsealed != 0 {
				t.Errorf("%+v, %d not sealed", report.Findings, unsealed)
			}
		})
	}
}

// well does it undisturbed, and returns how many commands that takes, and what there is before and after it.
func (m *meeting) well() (commands int, before, after string) {
	t, at := m.s.t, m.place(0)
	t.Helper()
	m.ready(t, m.s, at)
	before = m.watching.state(at)
	m.s.sealAll()
	m.proxy.Have(func(c mongotest.Command) mongotest.Fate {
		if m.counts(c) {
			commands++
		}
		return mongotest.Passed
	})
	if err := m.do(t.Context(), m.s, at); err != nil {
		t.Fatal(err)
	}
	m.proxy.Pass()
	if after = m.watching.state(at); before == after {
		t.Fatal("it does nothing that shows")
	}
	return commands, before, after
}

// meets has it meet its fate at command n.
func (m *meeting) meets(n int, before, after string) {
	t, at := m.s.t, m.place(n)
	t.Helper()
	m.ready(t, m.s, at)
	m.s.sealAll()
	var at1 string
	seen := 0
	m.proxy.Have(func(c mongotest.Command) mongotest.Fate {
		if !m.counts(c) {
			return mongotest.Passed
		}
		if seen++; seen != n && (!m.on || seen < n) {
			return mongotest.Passed
		}
		if at1 == "" {
			at1 = c.String()
		}
		return m.fate
	})
	began := time.Now()
	err := m.s.answered(m.do(t.Context(), m.s, at))
	if took := time.Since(began); m.impatient() && took > 10*patience {
		t.Errorf("%s at %q: it took %v, and an operation has %v", m.fate, at1, took, patience)
	}
	m.proxy.Pass()
	got := m.watching.state(at)
	switch {
	case err != "" && err != chat.CodeStoreUnavailable && (err != chat.CodeDuplicateID || !m.forged()):
		t.Errorf("%s at %q: it failed with %s", m.fate, at1, err)
	case err == "" && got != after:
		t.Errorf("%s at %q: it was acknowledged, and there is\n%s\nwant\n%s", m.fate, at1, got, after)
	case err != "" && got != before && got != after && !m.partly:
		t.Errorf("%s at %q: a part of it is there:\n%s\nwant\n%s\nor\n%s", m.fate, at1, got, before, after)
	}
	t.Logf("%s at %q: %s", m.fate, at1, cmp.Or(err, "stored"))
	if err == "" {
		return
	}
	if !m.impatient() && !m.forged() {
		t.Errorf("%s at %q: it was not tried again", m.fate, at1)
	}
	again := m.s.answered(m.do(t.Context(), m.s, at))
	// Where there is little patience a busy machine may not be done in time either.
	for n := 0; m.impatient() && again == chat.CodeStoreUnavailable && n < 10; n++ {
		again = m.s.answered(m.do(t.Context(), m.s, at))
	}
	if again != "" && (got != after || !slices.Contains(m.again, again)) {
		t.Errorf("%s at %q: done again it failed with %s", m.fate, at1, again)
	}
	if got := m.watching.state(at); got != after {
		t.Errorf("%s at %q: done again there is\n%s\nwant\n%s", m.fate, at1, got, after)
	}
}

// A fork that fails while nothing reaches the database leaves nothing behind: this process takes it for one that it copies no more.
func TestAForkThatCannotBeAbandonedIsRemovedLater(t *testing.T) {
	p := mongotest.NewProxy(t, os.Getenv(mongotest.Env))
	s := openAt(t, Options{URI: p.URI(fmt.Sprint("timeoutMS=", (2 * patience).Milliseconds()))})
	t.Cleanup(p.Pass)
	talkedMuch(t, s, "x")
	copied := false
	p.Have(func(c mongotest.Command) mongotest.Fate {
		if copied = copied || c.Name == "insert" && c.Collection == "conversations"; copied {
			return mongotest.Lost
		}
		return mongotest.Passed
	})
	c := chat.Conversation{ID: "conv_fork", CreatedAt: storetest.Began, UpdatedAt: storetest.Began}
	if err := s.ForkConversation(t.Context(), owner, nil, conversationOf("x"), "", &c); fault.Of(err).Code != chat.CodeStoreUnavailable {
		t.Fatal(err)
	}
	p.Pass()
	s.purgeAll()
	if n, err := s.items().CountDocuments(t.Context(), bson.D{}); err != nil || n != forkRows+2 {
		t.Errorf("%d items, %v", n, err)
	}
}

// A fork whose holder was taken for dead, and has published it since it was looked at, is not removed.
func TestAForkThatWasPublishedMeanwhileIsNotRemoved(t *testing.T) {
	s := openAt(t, Options{})
	taken, err := s.takeFork(t.Context(), &purgeDoc{K: "k", Conversation: "conv_fork", Fork: true, Holder: "dead"})
	if taken || err != nil {
		t.Errorf("%v, %v", taken, err)
	}
}

// sealAll waits until all is sealed that was written, whether that was known of it or not.
func (s *testStore) sealAll() {
	s.t.Helper()
	if err := s.sealer.tend(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.sealer.flush(s.t.Context())
}

// purgeAll removes what is to be removed, and demands that nothing is taken for what is still being copied.
func (s *testStore) purgeAll() {
	s.t.Helper()
	if err := s.purger.all(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	left, err := list[purgeDoc](s.t.Context(), s.purges(), bson.D{elem("fork", true)}, options.Find())
	if err != nil || len(left) > 0 {
		s.t.Errorf("forks that have ended are left to be removed: %+v, %v", left, err)
	}
}
