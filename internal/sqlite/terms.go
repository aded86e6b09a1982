package sqlite

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/search"
)

const (
	indexDoc    = `INSERT OR REPLACE INTO search (rowid, words) VALUES (?, ?)`
	unindexDocs = `DELETE FROM search WHERE rowid >= ? AND rowid <= ?`
	mergeDocs   = `INSERT INTO search (search, rank) VALUES ('merge', ?)`
	clearDocs   = `INSERT INTO search (search) VALUES ('delete-all')`

	// The table that FTS5 keeps beside the index has a row for each of its rows.
	selectDoc     = `SELECT 1 FROM search_docsize WHERE id = ?`
	selectLastDoc = `SELECT max(id) FROM search_docsize WHERE id >= ? AND id < ?`

	listTexts = `SELECT pos, type, content FROM items WHERE pos > ? AND pos < ? AND excluded < 2 ORDER BY pos DESC`

	listDocs     = `SELECT rowid FROM search WHERE search MATCH ? ORDER BY rowid LIMIT ?`
	listDocsDown = `SELECT rowid FROM search WHERE search MATCH ? AND rowid >= ? AND rowid < ? ORDER BY rowid DESC LIMIT ?`
)

// What is kept of the index: by which version of package search its terms were made, and, while no process has the
// database open, that nothing is missing in it.
const (
	metaTerms   = "search_terms"
	metaIndexed = "search_complete"
	setMeta     = `INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`
	deleteMeta  = `DELETE FROM meta WHERE name = ?`
)

// Bounds of how a term is looked up.
const (
	// fewDocs is how many rows of a term are read to see whether it is rare.
	fewDocs = 20_000
	// prefixPatience is how long the rows of a prefix may take to be read. One that takes longer is common, and whether a
	// conversation holds it is read from its texts.
	prefixPatience = 150 * time.Millisecond
	// maxProbes is how many conversations are asked one by one whether they hold a term; then all its rows are read.
	maxProbes = 64
	// shownDocs is how many rows of a conversation may be shown for a term: the newest.
	shownDocs = 50
)

// term is one of a search, and what is known of where it stands.
type term struct {
	// match is the term in the language of FTS5: a string, in which a term can end nothing, since none holds a quote.
	match string
	search.Term
	// common: there are too many rows to read them.
	common bool
	// rows are the positions of what holds it, in order: all of them if complete, else some.
	rows     []int64
	complete bool
	probes   int
}

func newTerm(t search.Term) *term {
	match := `"` + strings.ReplaceAll(t.Text, `"`, `""`) + `"`
	if t.Prefix {
		match += " *"
	}
	return &term{Term: t, match: match}
}

// load reads the term's rows up to a limit; 0 is all.
func (t *term) load(c *conn, limit int64) error {
	if t.complete || t.common {
		return nil
	}
	if limit == 0 {
		limit = -1
	}
	rows, err := c.prepare(listDocs).text(t.match).int(limit).ints()
	if err != nil {
		return err
	}
	t.rows = rows
	t.complete = limit < 0 || int64(len(t.rows)) < limit
	return nil
}

// loadPrefix reads all rows of a prefix, because FTS5 collects them before it returns the first one, unless they are too
// many. It resets every statement that stands at a row. The connection is interrupted by ctx before it and after.
func (t *term) loadPrefix(ctx context.Context, c *conn, patience time.Duration) error {
	brief, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c.SetInterrupt(brief.Done())
	defer c.SetInterrupt(ctx.Done())
	err := t.load(c, 0)
	if err != nil && brief.Err() != nil && ctx.Err() == nil {
		t.common, err = true, nil
	}
	return err
}

// cost orders terms by what it costs to ask a conversation for them.
func (t *term) cost() int {
	switch {
	case t.complete:
		return 0
	case !t.common:
		return 1
	default:
		return 2
	}
}

// holds reports whether anything of a conversation holds the term.
func (t *term) holds(c *conn, num int64) (bool, error) {
	if t.probes == maxProbes {
		if err := t.load(c, 0); err != nil {
			return false, err
		}
	}
	if !t.complete && !t.common {
		t.probes++
	}
	rows, err := t.of(c, num, 1)
	return len(rows) > 0, err
}

// of are the newest rows of a conversation that hold the term, in either order.
func (t *term) of(c *conn, num, limit int64) ([]int64, error) {
	lo, hi := pos(num, 0), pos(num+1, 0)
	if t.complete {
		from, _ := slices.BinarySearch(t.rows, lo)
		to, _ := slices.BinarySearch(t.rows, hi)
		return t.rows[max(from, to-int(limit)):to], nil
	}
	if t.common {
		return t.read(c, num)
	}
	return c.prepare(listDocsDown).text(t.match).int(lo).int(hi).int(limit).ints()
}

// read finds the newest item of a conversation that holds the term in its text, else the title.
func (t *term) read(c *conn, num int64) (rows []int64, err error) {
	s := c.prepare(listTexts).int(pos(num, 0)).int(pos(num+1, 0))
	for {
		more, err := s.next()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		a := &arena{}
		at := s.getInt()
		var it chat.Item
		it.Type, it.Content = s.getText(a), s.getRaw(a)
		if t.In(chat.SearchText(&it)) {
			s.reset()
			return []int64{at}, nil
		}
	}
	s = c.prepare(selectTitle).int(num)
	found, err := s.next()
	if err != nil || !found {
		return nil, err
	}
	defer s.reset()
	if t.In(s.getText(&arena{})) {
		rows = []int64{pos(num, 0)}
	}
	return rows, nil
}

// conversations are those whose rows are known, in order.
func (t *term) conversations() []int64 {
	nums := make([]int64, 0, len(t.rows))
	for _, row := range t.rows {
		if num := row >> seqBits; len(nums) == 0 || nums[len(nums)-1] != num {
			nums = append(nums, num)
		}
	}
	return nums
}

// reindex replaces the terms of what is indexed already. What is not yet will be, as it then is.
func (t *tx) reindex(num, seq int64, words string) error {
	q := t.prepare(selectDoc).int(pos(num, seq))
	found, err := q.next()
	if err != nil {
		return err
	}
	q.reset()
	if !found {
		t.touch(num)
		return nil
	}
	return t.write(t.prepare(indexDoc).int(pos(num, seq)).text(words))
}

// retitle changes the terms of a title, which is short.
func (t *tx) retitle(num int64, title string) error {
	if title == "" {
		return t.unindex(num, 0)
	}
	return t.reindex(num, 0, search.Terms(title))
}

// unindex removes the terms of an item or, with seq 0, of the title.
func (t *tx) unindex(num, seq int64) error {
	return t.write(t.prepare(unindexDocs).int(pos(num, seq)).int(pos(num, seq)))
}

// openIndex reports whether everything is indexed as it would be now. An index of other terms is emptied.
func (t *tx) openIndex() (complete bool, err error) {
	terms, err := t.meta(metaTerms)
	if err != nil {
		return false, err
	}
	indexed, err := t.meta(metaIndexed)
	if err != nil {
		return false, err
	}
	if !bytes.Equal(terms, []byte{search.Version}) {
		if err := t.write(t.prepare(clearDocs)); err != nil {
			return false, err
		}
		indexed = nil
	}
	if err := t.write(t.prepare(setMeta).text(metaTerms).blob([]byte{search.Version})); err != nil {
		return false, err
	}
	return indexed != nil, t.write(t.prepare(deleteMeta).text(metaIndexed))
}

// touch has the conversation indexed once the transaction is committed, and what is deleted in the index merged away.
func (t *tx) touch(num int64) { t.touched = append(t.touched, num) }
