package sqlite

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/search"
)

const (
	// indexDelay is how long what was written waits for more, so that it shares queries, transactions and segments of the
	// index: on a busy server 100 ms would cost each turn 4 % more. A search does not wait for it, see catchUp.
	indexDelay = 200 * time.Millisecond
	// indexPatience is how long a search waits for what was written ahead of it. That takes milliseconds, unless the
	// machine has a lot to do.
	indexPatience = time.Second
	// indexPause is how long an indexing that failed waits before it is tried again.
	indexPause = 10 * time.Second
	// indexReport is how often a long indexing says in the log how far it is.
	indexReport = 10 * time.Second
)

// Bounds of one transaction of the indexer, so that it stalls no other writer, and of what it reads at a time.
const (
	indexBytes = 8 << 10 // of terms
	indexDocs  = 100
	indexRead  = 1 << 20 // of content
	indexScan  = 200     // conversations
	mergePages = 2
	// mergeSteps is how many steps of merging follow each transaction at most: more than it takes to keep up, so that the
	// number of segments stays far below FTS5's limit of 2,000, which fails whoever writes.
	mergeSteps = 16
	// earlyScan is of how many conversations a search waits until they are looked through after a start.
	earlyScan = 2000
)

// indexer makes what was written searchable, beside those who write. The index itself says what is indexed, so nothing
// is lost with the process: where the last one did not say that it had left nothing, all conversations are looked
// through, the newest first.
//
// Of an item that is indexed all ahead of it in its conversation are, too. Edits and deletions change the index in their
// own transaction.
type indexer struct {
	store *Store
	log   *slog.Logger
	wake  chan struct{}
	hurry chan struct{}
	done  chan struct{}
	// patience is indexPatience, but in tests.
	patience time.Duration

	mu      sync.Mutex
	pending map[int64]struct{}
	// working: what was taken from pending is not yet all in the index.
	working bool
	waiting []chan struct{}

	// below is the number under which no conversation was looked through yet; 0 when all were. early closes when looked,
	// which counts those that were, has come to earlyScan, or there are no more.
	below    int64
	looked   int
	early    chan struct{}
	indexed  int64
	reported time.Time
	// unmerged: the index may have segments to merge.
	unmerged bool
}

func newIndexer(s *Store, log *slog.Logger, complete bool) *indexer {
	i := &indexer{
		store: s, log: log, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), done: make(chan struct{}),
		pending: map[int64]struct{}{}, unmerged: !complete, patience: indexPatience, early: make(chan struct{}),
	}
	if complete {
		close(i.early)
	} else {
		i.below = maxNum
	}
	return i
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// changed is told by the writer of conversations in which something is to be indexed.
func (i *indexer) changed(nums []int64) {
	if len(nums) == 0 {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, num := range nums {
		i.pending[num] = struct{}{}
	}
	poke(i.wake)
}

// catchUp returns when what was committed before the call is indexed, or after a while all the same. Of what another
// process left it waits for the newest alone.
func (i *indexer) catchUp(ctx context.Context) {
	i.mu.Lock()
	var caught chan struct{}
	if len(i.pending) > 0 || i.working {
		caught = make(chan struct{})
		i.waiting = append(i.waiting, caught)
		poke(i.hurry)
	}
	i.mu.Unlock()
	patience := time.NewTimer(i.patience)
	defer patience.Stop()
	for _, awaited := range []chan struct{}{i.early, caught} {
		if awaited == nil {
			continue
		}
		select {
		case <-awaited:
		case <-patience.C:
			return
		case <-ctx.Done():
			return
		case <-i.done:
			return
		}
	}
}

// idle reports whether everything is indexed.
func (i *indexer) idle() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.below == 0 && len(i.pending) == 0 && !i.working
}

// loop runs until ctx ends, and then still indexes what was written.
func (i *indexer) loop(ctx context.Context) {
	defer close(i.done)
	for {
		step := i.rest(ctx)
		if step == nil {
			// What is left if this fails is found after the next start.
			_ = i.take(context.WithoutCancel(ctx))
			return
		}
		if err := step(ctx); err != nil && ctx.Err() == nil {
			i.log.Warn("messages could not be indexed for search; trying again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(indexPause):
			}
		}
	}
}

// rest waits until there is something to do, and returns it, or nil when ctx has ended.
func (i *indexer) rest(ctx context.Context) func(context.Context) error {
	var now <-chan struct{}
	if i.below > 0 || i.unmerged {
		closed := make(chan struct{})
		close(closed)
		now = closed
	}
	step := i.take
	select {
	case <-ctx.Done():
	case <-i.hurry:
	case <-i.wake:
		delay := time.NewTimer(indexDelay)
		defer delay.Stop()
		select {
		case <-ctx.Done():
		case <-i.hurry:
		case <-delay.C:
		}
	case <-now:
		step = i.tidy
	}
	if ctx.Err() != nil {
		return nil
	}
	return step
}

// tidy does a little of what is not urgent.
func (i *indexer) tidy(ctx context.Context) error {
	if i.below > 0 {
		if err := i.look(ctx); err != nil {
			return err
		}
	}
	if i.unmerged {
		return i.merge(ctx)
	}
	return nil
}

// take indexes what is pending and then answers those who wait for it.
func (i *indexer) take(ctx context.Context) error {
	i.mu.Lock()
	taken, waiting := i.pending, i.waiting
	i.pending, i.waiting, i.working = map[int64]struct{}{}, nil, true
	i.mu.Unlock()
	left, err := i.index(ctx, slices.Sorted(maps.Keys(taken)))
	// Something may have been deleted.
	i.unmerged = i.unmerged || len(taken) > 0
	i.changed(left)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.working = false
	for _, caught := range waiting {
		close(caught)
	}
	return err
}

// index indexes all that is not in some conversations, and returns those where something may be left.
func (i *indexer) index(ctx context.Context, nums []int64) (left []int64, err error) {
	for len(nums) > 0 {
		docs, rest, err := i.read(ctx, nums)
		if err == nil && len(docs) > 0 {
			var stale []int64
			err = i.store.writer.submit(ctx, indexBytes, func(t *tx) (err error) {
				stale, err = t.index(docs)
				return err
			})
			left = append(left, stale...)
		}
		if err != nil {
			return append(left, nums...), err
		}
		nums = rest
		if len(docs) == 0 {
			continue
		}
		i.unmerged = true
		for n := 0; n < mergeSteps && i.unmerged && err == nil; n++ {
			err = i.merge(ctx)
		}
		if err != nil {
			return append(left, nums...), err
		}
	}
	return left, nil
}

// look goes through some of the conversations that were there before.
func (i *indexer) look(ctx context.Context) error {
	nums, looked, below, err := i.behind(ctx)
	if err != nil {
		return err
	}
	left, err := i.index(ctx, nums)
	if err != nil {
		return err
	}
	i.changed(left)
	if i.indexed += int64(len(nums)); i.indexed > 0 && time.Since(i.reported) > indexReport {
		i.log.Info("indexing conversations for search in the background", "done", i.indexed, "left_at_most", max(below-1, 0))
		i.reported = time.Now()
	}
	i.mu.Lock()
	i.below = below
	i.mu.Unlock()
	before := i.looked
	i.looked += looked
	if before < earlyScan && (i.looked >= earlyScan || below == 0) {
		close(i.early)
	}
	if below == 0 && i.indexed > 0 {
		i.log.Info("all conversations are indexed for search", "done", i.indexed)
	}
	return nil
}

// behind finds the conversations below i.below of which something is not indexed, until it has looked at some, and
// returns where it stopped.
func (i *indexer) behind(ctx context.Context) (nums []int64, looked int, below int64, err error) {
	err = i.store.readers.read(ctx, func(c *conn) error {
		return c.snapshot(func() error {
			all, err := c.prepare(listBelow).int(i.below).int(indexScan).ints()
			if err != nil {
				return err
			}
			nums, looked, below = nil, 0, 0
			if len(all) == indexScan {
				below = all[len(all)-1]
			}
			for _, num := range all {
				if len(nums) == indexDocs {
					below = all[looked-1]
					break
				}
				looked++
				_, last, err := c.lastDoc(num)
				if err != nil {
					return err
				}
				s := c.prepare(selectUnindexed).int(num).int(last).int(pos(num+1, 0)).int(pos(num, 0))
				more, err := s.next()
				if err != nil {
					return err
				}
				if more {
					s.reset()
					nums = append(nums, num)
				}
			}
			return nil
		})
	})
	return nums, looked, below, err
}

// merge takes one step of merging the segments of the index.
func (i *indexer) merge(ctx context.Context) error {
	return i.store.writer.submit(ctx, 0, func(t *tx) error {
		before, err := t.number(selectTotalChanges)
		if err != nil {
			return err
		}
		if err := t.write(t.prepare(mergeDocs).int(mergePages)); err != nil {
			return err
		}
		after, err := t.number(selectTotalChanges)
		// One change is the command itself.
		i.unmerged = after-before >= 2
		return err
	})
}

// doc is what is to be indexed: an item or, at seq 0, a title.
type doc struct {
	num, pos int64
	// version and superseded are the item's, title the conversation's: if that has changed by now, this is not to be indexed.
	version    int64
	superseded bool
	title      string
	text       string
	words      string
}

const (
	listBelow = `SELECT num FROM conversations WHERE num < ? ORDER BY num DESC LIMIT ?`
	// A conversation has more to index if there is an item behind the last indexed one, or a title that is not.
	selectUnindexed = `SELECT 1 FROM conversations WHERE num = ?
  AND (EXISTS (SELECT 1 FROM items WHERE pos > ? AND pos < ?) OR title <> '' AND NOT EXISTS (SELECT 1 FROM search_docsize WHERE id = ?))`
	selectTitle     = `SELECT title FROM conversations WHERE num = ?`
	listUnindexed   = `SELECT pos, type, version, excluded = 2, content FROM items WHERE pos > ? AND pos < ? ORDER BY pos LIMIT ?`
	selectItemState = `SELECT version, excluded = 2 FROM items WHERE pos = ?`

	selectTotalChanges = `SELECT total_changes()`
)

// lastDoc is the position of the last thing that is indexed of a conversation, and whether its title is.
func (c *conn) lastDoc(num int64) (titled bool, last int64, err error) {
	s := c.prepare(selectLastDoc).int(pos(num, 0)).int(pos(num+1, 0))
	if _, err := s.next(); err != nil {
		return false, 0, err
	}
	last = max(s.getInt(), pos(num, 0))
	s.reset()
	s = c.prepare(selectDoc).int(pos(num, 0))
	if titled, err = s.next(); titled {
		s.reset()
	}
	return titled, last, err
}

// read reads what is to be indexed next in some conversations, as much as fits a transaction, and returns those that are
// still to be read.
func (i *indexer) read(ctx context.Context, nums []int64) (docs []doc, rest []int64, err error) {
	rest = nums
	err = i.store.readers.read(ctx, func(c *conn) error {
		return c.snapshot(func() error {
			docs, rest = nil, nums
			for bytes := 0; len(rest) > 0; rest = rest[1:] {
				more, err := c.unindexed(rest[0], &docs, &bytes)
				if err != nil || more {
					return err
				}
			}
			return nil
		})
	})
	// Outside of the reader, which others wait for.
	bytes := 0
	for n := range docs {
		docs[n].words = search.Terms(docs[n].text)
		docs[n].text = ""
		if bytes += len(docs[n].words); bytes > indexBytes && n+1 < len(docs) {
			// What no longer fits is read again: few messages are so long.
			next := docs[n+1].num
			for rest = nums; rest[0] != next; {
				rest = rest[1:]
			}
			return docs[:n+1], rest, err
		}
	}
	return docs, rest, err
}

// unindexed adds what is to be indexed of a conversation, and reports whether there is no more room.
func (c *conn) unindexed(num int64, docs *[]doc, bytes *int) (more bool, err error) {
	s := c.prepare(selectTitle).int(num)
	found, err := s.next()
	if err != nil || !found {
		return false, err
	}
	title := s.getText(&arena{})
	s.reset()
	titled, last, err := c.lastDoc(num)
	if err != nil {
		return false, err
	}
	if title != "" && !titled {
		*docs = append(*docs, doc{num: num, pos: pos(num, 0), title: title, text: title})
	}
	s = c.prepare(listUnindexed).int(last).int(pos(num+1, 0)).int(indexDocs + 1)
	defer s.reset()
	for {
		more, err := s.next()
		if err != nil || !more {
			return false, err
		}
		if len(*docs) >= indexDocs || *bytes > indexRead {
			return true, nil
		}
		a := &arena{}
		d := doc{num: num, pos: s.getInt()}
		var it chat.Item
		it.Type = s.getText(a)
		d.version, d.superseded = s.getInt(), s.getBool()
		it.Content = s.getRaw(a)
		if !d.superseded {
			d.text = chat.SearchText(&it)
		}
		*bytes += len(it.Content)
		*docs = append(*docs, d)
	}
}

// index writes docs. Where one is no longer as it was read, it and what follows in its conversation are left out.
func (t *tx) index(docs []doc) (stale []int64, err error) {
	for n := range docs {
		d := &docs[n]
		if len(stale) > 0 && stale[len(stale)-1] == d.num {
			continue
		}
		current, err := t.current(d)
		if err != nil {
			return nil, err
		}
		if !current {
			stale = append(stale, d.num)
			continue
		}
		if err := t.write(t.prepare(indexDoc).int(d.pos).text(d.words)); err != nil {
			return nil, err
		}
	}
	return stale, nil
}

func (t *tx) current(d *doc) (bool, error) {
	if d.pos&maxSeq == 0 {
		s := t.prepare(selectTitle).int(d.num)
		found, err := s.next()
		if err != nil || !found {
			return false, err
		}
		defer s.reset()
		return s.getText(&arena{}) == d.title, nil
	}
	s := t.prepare(selectItemState).int(d.pos)
	found, err := s.next()
	if err != nil || !found {
		return false, err
	}
	defer s.reset()
	return s.getInt() == d.version && s.getBool() == d.superseded, nil
}
