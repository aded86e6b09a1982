package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/storetest"
)

const sqliteReadWrite = sqlite.OpenReadWrite

// crash copies the files of a store that goes on, as a process that dies at this moment would leave them, and returns
// the path of the copy. Nothing may write meanwhile.
func crash(t *testing.T, s *Store) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "parley.db")
	for _, suffix := range []string{"", "-wal"} {
		from, err := os.Open(s.options.Path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		to, err := os.OpenFile(path+suffix, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(to, from); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(to.Close(), from.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestStoreAfterACrash(t *testing.T) {
	storetest.RunReopen(t, openForSuite, func(t *testing.T, s storetest.Store) storetest.Store {
		old := s.(*Store)
		// What is still written in the background would move under the copy.
		old.stop()
		<-old.purger.done
		<-old.sweeper.done
		copied := openThen(t, crash(t, old), suiteTime)
		<-copied.check.done
		return copied
	})
}

func record(n int) audit.Record {
	return audit.Record{
		ID: fmt.Sprintf("aud_%026d", n), Time: time.UnixMilli(int64(n)), Kind: audit.KindRead, Owner: "default", Actor: "env",
		Payloads: []audit.Payload{audit.NewPayload(audit.PartPrompt, "some text"), audit.NewCommitment(audit.PartContext, 1, []byte("sent"))},
	}
}

func appendRecords(t *testing.T, s *Store, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		if err := s.Append(t.Context(), record(n)); err != nil {
			t.Fatal(err)
		}
	}
}

func verify(t *testing.T, path string) audit.Report {
	t.Helper()
	report, err := VerifyAudit(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// headers are all records of the log, in order.
func headers(t *testing.T, path string) []audit.Record {
	t.Helper()
	c, err := openConn(path, sqlite.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	q := c.prepare("SELECT header, hash FROM audit ORDER BY pos")
	var recs []audit.Record
	for {
		more, err := q.next()
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return recs
		}
		rec, err := scanRecord(q, &arena{})
		if err != nil {
			t.Fatal(err)
		}
		recs = append(recs, rec)
	}
}

func TestEachStartHasAChainThatNamesTheOneBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.db")
	for range 3 {
		s := openAt(t, path)
		appendRecords(t, s, 1, 0)
		closeStore(t, s)
	}
	recs := headers(t, path)
	var kinds []audit.Kind
	for _, rec := range recs {
		kinds = append(kinds, rec.Kind)
	}
	start, closed := audit.KindServerStarted, audit.KindChainClosed
	if want := []audit.Kind{start, closed, start, closed, start, closed}; !slices.Equal(kinds, want) {
		t.Fatalf("got %v, want %v", kinds, want)
	}
	instance, epoch, _ := strings.Cut(recs[0].Chain, "/")
	if len(instance) < 16 || epoch != "1" || recs[2].Chain != instance+"/2" || recs[4].Chain != instance+"/3" {
		t.Errorf("chains are %s, %s, %s", recs[0].Chain, recs[2].Chain, recs[4].Chain)
	}
	if len(recs[0].Heads) != 0 {
		t.Errorf("the first start names %v", recs[0].Heads)
	}
	if want := []audit.Head{{Chain: recs[1].Chain, Seq: 2, Hash: recs[1].Hash, Closed: true}}; !slices.Equal(recs[2].Heads, want) {
		t.Errorf("the second start names %v, want %v", recs[2].Heads, want)
	}
	if report := verify(t, path); !report.OK || report.Chains != 3 || report.Records != 6 || len(report.Open) != 0 {
		t.Errorf("got %+v", report)
	}
}

func TestAChainWhoseServerDiedIsSealed(t *testing.T) {
	s := openNew(t)
	appendRecords(t, s, 1, 3)
	path := crash(t, s)
	if report := verify(t, path); !report.OK || len(report.Open) != 1 {
		t.Fatalf("before the restart: %+v", report)
	}
	closeStore(t, openAt(t, path))
	recs := headers(t, path)
	sealed := recs[4]
	if sealed.Kind != audit.KindChainSealed || sealed.Chain != recs[0].Chain || sealed.Seq != 5 || len(sealed.Heads) != 1 || sealed.Heads[0].Hash != recs[3].Hash {
		t.Errorf("got %+v", sealed)
	}
	if started := recs[5]; started.Kind != audit.KindServerStarted || len(started.Heads) != 1 || started.Heads[0].Hash != sealed.Hash {
		t.Errorf("got %+v", started)
	}
	if report := verify(t, path); !report.OK || len(report.Open) != 0 || report.Chains != 2 {
		t.Errorf("after the restart: %+v", report)
	}
}

func TestTheLogVerifiesWhileTheServerWrites(t *testing.T) {
	s := openNew(t)
	appendRecords(t, s, 1, 100)
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		for n := 101; ; n++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := s.Append(context.Background(), record(n)); err != nil {
				stopped <- err
				return
			}
		}
	}()
	for range 5 {
		last := int64(0)
		report, err := VerifyAudit(t.Context(), s.options.Path, func(n int64) { last = n })
		if err != nil {
			t.Fatal(err)
		}
		if !report.OK || report.Records < 101 || last != report.Records {
			t.Errorf("got %+v, progress %d", report, last)
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestManyPagesOfRecordsVerify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.db")
	s := openAt(t, path)
	const n, n0 = 2*verifyPage + 7, 1_000_000
	var recs []audit.Record
	for i := range n {
		recs = append(recs, record(i+1))
	}
	if err := s.Append(t.Context(), recs...); err != nil {
		t.Fatal(err)
	}
	var seen []int64
	report, err := VerifyAudit(t.Context(), path, func(n int64) {
		seen = append(seen, n)
		// What comes while the log is read is for the next time.
		appendRecords(t, s, n0+len(seen), n0+len(seen))
	})
	if err != nil || !report.OK || report.Records != n+1 || !slices.Equal(seen, []int64{verifyPage, 2 * verifyPage, n + 1}) {
		t.Errorf("got %+v, %v, progress %v", report, err, seen)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := VerifyAudit(gone, path, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTamperingIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.db")
	s := openAt(t, path)
	appendRecords(t, s, 1, 5)
	closeStore(t, s)
	closeStore(t, openAt(t, path))
	const victim = " WHERE pos = (SELECT pos FROM audit WHERE id = 'aud_00000000000000000000000003')"
	for name, sql := range map[string]string{
		"the header":                  "UPDATE audit SET header = replace(header, 'env', 'eve')" + victim,
		"the hash":                    "UPDATE audit SET hash = zeroblob(32)" + victim,
		"a column":                    "UPDATE audit SET owner = 'other'" + victim,
		"the attempt":                 "UPDATE audit SET attempt = 2" + victim,
		"the time":                    "UPDATE audit SET time = time + 1" + victim,
		"the text":                    "UPDATE audit SET texts = replace(texts, 'some', 'same')" + victim,
		"the text's end":              "UPDATE audit SET texts = texts || '!'" + victim,
		"a text where none is":        "UPDATE audit SET texts = 'a canary' WHERE kind = 'chain.closed' AND pos >> 40 = 1",
		"salts where none are":        "UPDATE audit SET salts = x'0000' WHERE kind = 'chain.closed' AND pos >> 40 = 1",
		"a part where none is":        "UPDATE audit SET salts = x'000000' WHERE kind = 'chain.closed' AND pos >> 40 = 1",
		"the salts' end":              "UPDATE audit SET salts = CAST(salts || x'00' AS BLOB)" + victim,
		"the salts' rest":             "UPDATE audit SET salts = CAST(salts || x'ffffffffffffffffff01' AS BLOB)" + victim,
		"the salts' form":             "UPDATE audit SET salts = CAST(x'8600' || substr(salts, 2) AS BLOB)" + victim,
		"the text beside empty salts": "UPDATE audit SET texts = 'a canary', salts = x''" + victim,
		"the text's absence":          "UPDATE audit SET texts = NULL" + victim,
		"the salts":                   "UPDATE audit SET salts = x'ff'" + victim,
		"the salts' absence":          "UPDATE audit SET salts = NULL" + victim,
		"a record":                    "DELETE FROM audit" + victim,
		"the end of a chain":          "DELETE FROM audit WHERE kind = 'chain.closed' AND pos >> 40 = 1",
		"a chain's name":              "UPDATE chains SET name = 'x' WHERE epoch = 1",
		"a chain":                     "DELETE FROM chains WHERE epoch = 1",
		"an insertion":                "INSERT INTO audit (pos, id, time, kind, owner, header, hash) SELECT pos + 100, 'aud_x', time, kind, owner, header, hash FROM audit" + victim,
	} {
		t.Run(name, func(t *testing.T) {
			tampered := filepath.Join(t.TempDir(), "parley.db")
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(tampered, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if report := verify(t, tampered); !report.OK {
				t.Fatalf("before: %+v", report)
			}
			sql = strings.Replace(sql, "replace(header, 'env', 'eve')", "CAST(replace(CAST(header AS TEXT), 'env', 'eve') AS BLOB)", 1)
			raw(t, tampered, sql)
			if report := verify(t, tampered); report.OK {
				t.Error("it was not found")
			}
		})
	}
}

func TestPayloadsArePackedAndUnpacked(t *testing.T) {
	text := func(s string) *string { return &s }
	payloads := []audit.Payload{
		{Part: "prompt", Stored: true, Text: "héllo", Salt: []byte("salt")},
		{Part: "context", Salt: []byte{}},
		{Part: "", Stored: true, Text: "", Salt: []byte{0}},
		{Part: "error", Stored: true, Text: "b\x00", Salt: []byte("x")},
	}
	for n := range len(payloads) + 1 {
		texts, salts := packPayloads(payloads[:n])
		got, whole := unpackPayloads(texts, salts)
		if len(got) != n || !whole {
			t.Fatalf("%d payloads came back as %d", n, len(got))
		}
		for i, p := range payloads[:n] {
			want := audit.StoredPayload{Part: p.Part, Salt: p.Salt}
			if p.Stored {
				want.Text = text(p.Text)
			}
			if got[i].Part != want.Part || !slices.Equal(got[i].Salt, want.Salt) || (got[i].Text == nil) != (want.Text == nil) || got[i].Text != nil && *got[i].Text != *want.Text {
				t.Errorf("payload %d of %d: got %+v, want %+v", i, n, got[i], want)
			}
		}
	}
}

func FuzzUnpackPayloads(f *testing.F) {
	texts, salts := packPayloads([]audit.Payload{{Part: "prompt", Stored: true, Text: "hello", Salt: []byte("salt")}, {Part: "context", Salt: []byte("s")}})
	f.Add(texts, salts)
	f.Add("text", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, texts string, salts []byte) {
		list, whole := unpackPayloads(texts, salts)
		payloads := make([]audit.Payload, len(list))
		for i, p := range list {
			payloads[i] = audit.Payload{Part: p.Part, Salt: p.Salt, Stored: p.Text != nil}
			if p.Text != nil {
				payloads[i].Text = *p.Text
			}
		}
		againTexts, againSalts := packPayloads(payloads)
		if same := againTexts == texts && bytes.Equal(againSalts, salts); same != whole {
			t.Errorf("%q and %x came back as %q and %x, whole is %v", texts, salts, againTexts, againSalts, whole)
		}
	})
}

func TestADamagedDatabaseIsNotReady(t *testing.T) {
	s := openNew(t)
	w := chat.Conversation{ID: "conv_1", Owner: "default", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	if err := s.CreateConversation(t.Context(), "default", nil, &w, nil); err != nil {
		t.Fatal(err)
	}
	path := crash(t, s)
	// A row that its table would not allow is damage that only a look at every row finds.
	c, err := openConn(path, sqliteReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"PRAGMA writable_schema = ON", "UPDATE sqlite_schema SET sql = replace(sql, 'active_response     TEXT', 'active_response     TEXT NOT NULL') WHERE name = 'conversations'"} {
		if err := c.exec(c.prepare(sql)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	damaged := openAt(t, path)
	<-damaged.check.done
	if err := damaged.Ready(t.Context()); !fault.Is(err, chat.CodeStoreUnavailable) || !strings.Contains(err.Error(), "NULL value in conversations.active_response") {
		t.Errorf("got %v", err)
	}
	closeStore(t, damaged)
	// Stopped cleanly, it is not checked again.
	if err := openAt(t, path).Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
