package sqlite

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

const (
	listByUser    = `SELECT num FROM conversations WHERE owner = ? AND user = ? LIMIT ?`
	listByModel   = `SELECT num FROM conversations WHERE owner = ? AND model = ? LIMIT ?`
	listByPair    = `SELECT conversation FROM conversation_metadata WHERE owner = ? AND key = ? AND value = ? LIMIT ?`
	listByCreated = `SELECT num FROM conversations INDEXED BY conversations_by_creation
  WHERE owner = ? AND created_at >= ? AND created_at < ? LIMIT ?`

	foundColumns = `num, updated_at, created_at, coalesce(model, ''), coalesce(user, '')`
	selectFound  = `SELECT ` + foundColumns + ` FROM conversations WHERE num = ? AND owner = ?`
	walkUp       = `SELECT ` + foundColumns + ` FROM conversations
  WHERE owner = ? AND (updated_at, num) > (?, ?) AND (updated_at, num) < (?, ?) ORDER BY updated_at, num`
	walkDown = `SELECT ` + foundColumns + ` FROM conversations
  WHERE owner = ? AND (updated_at, num) > (?, ?) AND (updated_at, num) < (?, ?) ORDER BY updated_at DESC, num DESC`

	selectConversationAt = `SELECT ` + conversationColumns + ` FROM conversations WHERE num = ?`
	selectShown          = `SELECT id, type, content FROM items WHERE pos = ?`
)

const (
	// maxCandidates is how many conversations are looked at one by one because one condition holds for them alone. Where
	// every condition holds for more, the list itself is walked: a page is then found soon, unless hardly any meets all.
	maxCandidates = 10_000
	// walkShare: for each so many candidates one conversation of the list itself is looked at first.
	walkShare = 4
	// fewCandidates are so few that the other conditions are not asked for theirs.
	fewCandidates = 50
	// searchTimeout bounds a list that is filtered or searched.
	searchTimeout = 2 * time.Second
)

// find lists the conversations that meet conditions. Whatever it does, it ends with searchTimeout.
func (s *Store) find(ctx context.Context, owner string, q *chat.Query) (list chat.List[chat.Hit], err error) {
	limited, cancel := context.WithTimeout(ctx, s.options.SearchTimeout)
	defer cancel()
	if len(q.Search.Terms) > 0 {
		s.indexer.catchUp(limited)
	}
	select {
	case s.searches <- struct{}{}:
		defer func() { <-s.searches }()
	case <-limited.Done():
		if ctx.Err() != nil {
			return list, chat.GivenUp(ctx)
		}
		return list, fault.New(fault.Unavailable, chat.CodeOverloaded, "Too many searches are running. Try again in a moment.")
	}
	err = s.readers.read(limited, func(c *conn) error {
		return c.snapshot(func() error {
			c.SetInterrupt(limited.Done())
			// What ends the snapshot must not be interrupted.
			defer c.SetInterrupt(nil)
			f := &finder{conn: c, owner: owner, q: q, patience: s.prefixPatience}
			for _, t := range q.Search.Terms {
				f.terms = append(f.terms, newTerm(t))
			}
			list, err = f.page(limited)
			return err
		})
	})
	switch {
	case err == nil || ctx.Err() == nil && limited.Err() == nil:
		return list, err
	case ctx.Err() != nil:
		return chat.List[chat.Hit]{}, chat.GivenUp(ctx)
	case sqlite.ErrCode(err) == sqlite.ResultInterrupt || errors.Is(err, context.DeadlineExceeded):
		return chat.List[chat.Hit]{}, fault.Wrap(err, fault.Invalid, chat.CodeSearchTooBroad,
			"The search took too long. Search for longer or rarer words, or for fewer, or set a filter that few conversations meet.")
	default:
		return chat.List[chat.Hit]{}, err
	}
}

// finder looks for the conversations of one page. Its conn is in a snapshot.
type finder struct {
	*conn
	owner string
	q     *chat.Query
	terms []*term
	w     window
	arena arena
	// patience is how long a prefix may take.
	patience time.Duration
}

// found is a conversation that meets the conditions, or may do so.
type found struct {
	key
	created     int64
	model, user string
}

func (f *finder) page(ctx context.Context) (list chat.List[chat.Hit], err error) {
	if f.w, err = conversationWindow(f.conn, f.owner, f.q.Page); err != nil {
		return list, err
	}
	candidates, known, err := f.candidates(ctx)
	if err != nil {
		return list, err
	}
	slices.SortStableFunc(f.terms, func(a, b *term) int { return a.cost() - b.cost() })
	var hits []found
	walked := math.MaxInt
	if known {
		// The more candidates there are, the sooner the list itself has enough of them.
		walked = len(candidates) / walkShare
	}
	hits, whole, err := f.walk(walked)
	if err == nil && !whole {
		hits, err = f.sorted(candidates)
	}
	if err != nil {
		return list, err
	}
	return f.load(hits)
}

// candidates are the conversations that can meet the conditions, if that is known of few enough.
func (f *finder) candidates(ctx context.Context) (nums []int64, known bool, err error) {
	narrow := func(to []int64) {
		if known {
			to = intersect(nums, to)
		}
		nums, known = to, true
	}
	few := func() bool { return known && len(nums) <= fewCandidates }
	for _, list := range f.lists() {
		if few() {
			break
		}
		some, err := list().int(maxCandidates + 1).ints()
		if err != nil {
			return nil, false, err
		}
		if len(some) <= maxCandidates {
			slices.Sort(some)
			narrow(some)
		}
	}
	for _, t := range f.terms {
		if known && len(nums) == 0 {
			break
		}
		if t.Prefix {
			// Also where few candidates are known: it cannot be probed.
			err = t.loadPrefix(ctx, f.conn, f.patience)
		} else if !few() {
			err = t.load(f.conn, fewDocs)
		}
		if err != nil {
			return nil, false, err
		}
		if !t.complete {
			continue
		}
		if some := t.conversations(); len(some) <= maxCandidates {
			narrow(some)
		}
	}
	return nums, known, nil
}

// lists make, for each condition other than the search, the statement that lists what meets it; its limit is still to be
// bound.
func (f *finder) lists() (lists []func() *stmt) {
	q := f.q
	for k, v := range q.Metadata {
		lists = append(lists, func() *stmt { return f.prepare(listByPair).text(f.owner).text(k).text(v) })
	}
	if q.User != "" {
		lists = append(lists, func() *stmt { return f.prepare(listByUser).text(f.owner).text(q.User) })
	}
	if from, to := f.created(); from != math.MinInt64 || to != math.MaxInt64 {
		lists = append(lists, func() *stmt { return f.prepare(listByCreated).text(f.owner).int(from).int(to) })
	}
	if q.Model != "" {
		lists = append(lists, func() *stmt { return f.prepare(listByModel).text(f.owner).text(q.Model) })
	}
	return lists
}

// created are the milliseconds of creation that are asked for, the second bound being exclusive.
func (f *finder) created() (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	if after := f.q.CreatedAfter; after != nil {
		from = after.UnixMilli() + 1
	}
	if before := f.q.CreatedBefore; before != nil {
		to = before.UnixMilli()
		if before.After(time.UnixMilli(to)) {
			to++
		}
	}
	return from, to
}

// sorted are those of the candidates that meet the conditions, in the order of the scan, one more than the page holds.
func (f *finder) sorted(nums []int64) ([]found, error) {
	from, to := f.created()
	var all []found
	for _, num := range nums {
		s := f.prepare(selectFound).int(num).text(f.owner)
		more, err := s.next()
		if err != nil {
			return nil, err
		}
		if !more {
			continue
		}
		c := f.scan(s)
		s.reset()
		if c.compare(f.w.lo) > 0 && c.compare(f.w.hi) < 0 && f.fits(&c, from, to) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b found) int {
		if f.w.down {
			return b.compare(a.key)
		}
		return a.compare(b.key)
	})
	var hits []found
	for i := range all {
		if len(hits) > f.w.limit {
			break
		}
		ok, err := f.holds(all[i].num)
		if err != nil {
			return nil, err
		}
		if ok {
			hits = append(hits, all[i])
		}
	}
	return hits, nil
}

// walk goes through the list itself, as far as some of its conversations, and reports whether that was enough.
func (f *finder) walk(limit int) (hits []found, whole bool, err error) {
	from, to := f.created()
	sql := walkUp
	if f.w.down {
		sql = walkDown
	}
	s := f.prepare(sql).text(f.owner).int(f.w.lo.time).int(f.w.lo.num).int(f.w.hi.time).int(f.w.hi.num)
	defer s.reset()
	for n := 0; len(hits) <= f.w.limit; n++ {
		if n == limit {
			return nil, false, nil
		}
		more, err := s.next()
		if err != nil {
			return nil, false, err
		}
		if !more {
			break
		}
		c := f.scan(s)
		if !f.fits(&c, from, to) {
			continue
		}
		ok, err := f.holds(c.num)
		if err != nil {
			return nil, false, err
		}
		if ok {
			hits = append(hits, c)
		}
	}
	return hits, true, nil
}

func (f *finder) scan(s *stmt) (c found) {
	c.num, c.time, c.created = s.getInt(), s.getInt(), s.getInt()
	c.model, c.user = s.getText(&f.arena), s.getText(&f.arena)
	return c
}

// fits reports whether a conversation meets the conditions on its own row.
func (f *finder) fits(c *found, from, to int64) bool {
	return c.created >= from && c.created < to && (f.q.User == "" || c.user == f.q.User) && (f.q.Model == "" || c.model == f.q.Model)
}

// holds reports whether a conversation has all pairs and terms.
func (f *finder) holds(num int64) (bool, error) {
	for k, v := range f.q.Metadata {
		s := f.prepare(selectPair).text(f.owner).text(k).text(v).int(num)
		more, err := s.next()
		if err != nil || !more {
			return false, err
		}
		s.reset()
	}
	for _, t := range f.terms {
		if ok, err := t.holds(f.conn, num); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// load makes a page of what was found.
func (f *finder) load(hits []found) (chat.List[chat.Hit], error) {
	list := chat.List[chat.Hit]{Data: make([]chat.Hit, 0, min(len(hits), f.w.limit))}
	bytes := 0
	for i := range hits {
		if i == f.w.limit || f.q.MaxBytes > 0 && bytes > f.q.MaxBytes {
			list.HasMore = true
			break
		}
		s := f.prepare(selectConversationAt).int(hits[i].num)
		if _, err := s.next(); err != nil {
			return chat.List[chat.Hit]{}, err
		}
		row := &conversationRow{}
		err := scanConversation(s, &f.arena, row)
		s.reset()
		if err == nil {
			err = f.settings(row, &f.arena)
		}
		if err != nil {
			return chat.List[chat.Hit]{}, err
		}
		hit := chat.Hit{Conversation: row.Conversation}
		bytes += row.bytes()
		if len(f.terms) > 0 {
			match, n, err := f.match(row)
			if err != nil {
				return chat.List[chat.Hit]{}, err
			}
			hit.Match = match
			bytes += n
		}
		list.Data = append(list.Data, hit)
	}
	if f.w.reverse {
		slices.Reverse(list.Data)
	}
	return list, nil
}

// match shows where a conversation holds the terms, and says how much was read for it.
func (f *finder) match(row *conversationRow) (*chat.Match, int, error) {
	held := map[int64]int{}
	best := pos(row.num, 0)
	for _, t := range f.terms {
		rows, err := t.of(f.conn, row.num, shownDocs)
		if err != nil {
			return nil, 0, err
		}
		for _, at := range rows {
			held[at]++
			if n := held[at]; n > held[best] || n == held[best] && at > best {
				best = at
			}
		}
	}
	if best&maxSeq == 0 {
		return &chat.Match{Snippet: f.q.Search.Snippet(row.Title)}, 0, nil
	}
	s := f.prepare(selectShown).int(best)
	if _, err := s.next(); err != nil {
		return nil, 0, err
	}
	defer s.reset()
	a := &arena{}
	var it chat.Item
	it.ID, it.Type, it.Content = s.getText(a), s.getText(a), s.getRaw(a)
	return &chat.Match{Snippet: f.q.Search.Snippet(chat.SearchText(&it)), ItemID: it.ID}, len(it.Content), nil
}

// intersect returns what is in both of two lists in ascending order.
func intersect(a, b []int64) []int64 {
	var both []int64
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			both = append(both, a[0])
			a, b = a[1:], b[1:]
		}
	}
	return both
}
