package sqlite

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/search"
)

// talk creates a conversation with a title and a message.
func talk(t *testing.T, s *Store, id, text string) {
	t.Helper()
	content, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	c := chat.Conversation{ID: id, Title: "titled " + id, CreatedAt: time.Now(), UpdatedAt: time.Now(), Metadata: map[string]string{"k \"'": text}}
	items := []chat.Item{{ID: "msg_1", Item: llm.Item{Type: llm.TypeMessage, Role: llm.User, Content: content}, Status: chat.ItemCompleted, Version: 1, CreatedAt: time.Now()}}
	if err := s.CreateConversation(t.Context(), "default", nil, &c, items); err != nil {
		t.Fatal(err)
	}
}

// hits is how many conversations a search finds.
func hits(t *testing.T, s *Store, text string) int {
	t.Helper()
	q, err := search.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.Conversations(t.Context(), "default", chat.Query{Page: chat.Page{Limit: 1000}, Search: q})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Data)
}

func TestTheIndexStaysInFewSegments(t *testing.T) {
	s := openNew(t)
	const n = 150
	for i := range n {
		talk(t, s, fmt.Sprintf("conv_%d", i), "needle number "+fmt.Sprint(i))
		s.indexer.catchUp(t.Context())
	}
	if got := hits(t, s, "needle"); got != n {
		t.Errorf("%d of %d are found", got, n)
	}
	if got := s.count(t, "(SELECT DISTINCT segid FROM search_idx)"); got > 40 {
		t.Errorf("the index has %d segments", got)
	}
}

// TestADatabaseFromBeforeIsIndexed: one that a program without search has written, and one whose index holds other terms.
func TestADatabaseFromBeforeIsIndexed(t *testing.T) {
	for name, spoil := range map[string][]string{
		"without an index": {`INSERT INTO search (search) VALUES ('delete-all')`, `DELETE FROM meta WHERE name LIKE 'search%'`},
		"of other terms":   {`UPDATE meta SET value = x'00' WHERE name = 'search_terms'`},
	} {
		t.Run(name, func(t *testing.T) {
			s := openNew(t)
			const n = 450
			for i := range n {
				talk(t, s, fmt.Sprintf("conv_%d", i), "needle")
			}
			s.indexer.catchUp(t.Context())
			for _, sql := range spoil {
				if err := s.writer.submit(t.Context(), 0, func(t *tx) error { return t.write(t.prepare(sql)) }); err != nil {
					t.Fatal(err)
				}
			}
			again := openAt(t, crash(t, s))
			if got := hits(t, again, "needle titled"); got != n {
				t.Errorf("%d of %d are found", got, n)
			}
		})
	}
}

func TestWhatIsIndexedIsNotIndexedAgainAfterACleanStop(t *testing.T) {
	s := openNew(t)
	<-s.indexer.early
	talk(t, s, "conv_1", "needle")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openAt(t, s.options.Path)
	if !again.indexer.idle() {
		t.Error("it is looked through again")
	}
	if got := hits(t, again, "needle"); got != 1 {
		t.Errorf("%d are found", got)
	}
}

func TestNothingOfADeletedConversationStaysInTheIndex(t *testing.T) {
	s := openNew(t)
	talk(t, s, "conv_1", "needle pineapple")
	talk(t, s, "conv_2", "needle")
	s.indexer.catchUp(t.Context())
	if err := s.DeleteConversation(t.Context(), "default", "conv_1", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.purger.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The words of what is deleted leave the file by merging, which the indexer does in its own time.
	for range 10 {
		if err := s.writer.submit(t.Context(), 0, func(t *tx) error { return t.write(t.prepare(mergeDocs).int(mergePages)) }); err != nil {
			t.Fatal(err)
		}
	}
	for table, want := range map[string]int64{"search_data WHERE instr(block, 'pineapple')": 0, "search_docsize": 2, "search('needle')": 1, "conversation_metadata": 1} {
		if got := s.count(t, table); got != want {
			t.Errorf("%s: %d rows, want %d", table, got, want)
		}
	}
}

func TestAPrefixThatIsTooCommonIsReadFromTheTexts(t *testing.T) {
	s := openNew(t)
	s.prefixPatience = time.Nanosecond
	for i := range 40 {
		talk(t, s, fmt.Sprintf("conv_%d", i), []string{"needle and hay", "hay alone"}[i%2])
	}
	for text, want := range map[string]int{"need": 20, "n": 20, "hay ne": 20, "h": 40, "needle titled": 20, "tit": 40, "conv 3": 11, "needle x": 0, "nobody need": 0} {
		if got := hits(t, s, text); got != want {
			t.Errorf("%s: %d are found, want %d", text, got, want)
		}
	}
	q, err := search.Parse("hay NEED")
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.Conversations(t.Context(), "default", chat.Query{Page: chat.Page{Limit: 3}, Search: q})
	if err != nil || len(list.Data) != 3 || !list.HasMore {
		t.Fatalf("%+v, %v", list, err)
	}
	if m := list.Data[0].Match; m.ItemID != "msg_1" || m.Text != "needle and hay" || len(m.Matches) != 2 {
		t.Errorf("%+v", m)
	}
}

func TestASearchThatTakesTooLongSaysSo(t *testing.T) {
	s := openNew(t)
	talk(t, s, "conv_1", "needle")
	s.indexer.catchUp(t.Context())
	s.options.SearchTimeout = time.Nanosecond
	q, err := search.Parse("needle")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		// The time is over already; it is noticed on the way to a reader or by the reader.
		_, err = s.Conversations(t.Context(), "default", chat.Query{Page: chat.Page{Limit: 1}, Search: q})
		f, _ := errors.AsType[*fault.Error](err)
		if f == nil || f.Code != chat.CodeSearchTooBroad && f.Code != chat.CodeOverloaded {
			t.Fatalf("got %v", err)
		}
	}
	s.options.SearchTimeout = time.Minute
	if got := hits(t, s, "needle"); got != 1 {
		t.Errorf("then %d are found", got)
	}
}

// TestAnInterruptedSearchLeavesItsConnectionUsable: there are few of them, and the snapshot must end.
func TestAnInterruptedSearchLeavesItsConnectionUsable(t *testing.T) {
	s := openNew(t)
	talk(t, s, "conv_1", "needle")
	s.indexer.catchUp(t.Context())
	over := make(chan struct{})
	close(over)
	q := chat.Query{Page: chat.Page{Limit: 1}}
	for range 2 * cap(s.readers.free) {
		err := s.readers.read(t.Context(), func(c *conn) error {
			return c.snapshot(func() error {
				c.SetInterrupt(over)
				defer c.SetInterrupt(nil)
				f := &finder{conn: c, owner: "default", q: &q, terms: []*term{newTerm(search.Term{Text: "needle"})}}
				_, err := f.page(t.Context())
				if sqlite.ErrCode(err) != sqlite.ResultInterrupt {
					t.Errorf("got %v", err)
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := hits(t, s, "needle"); got != 1 {
			t.Fatalf("then %d are found", got)
		}
	}
}
