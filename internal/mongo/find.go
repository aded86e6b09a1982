package mongo

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/search"
)

const (
	// searchTimeout bounds a list that is filtered or searched.
	searchTimeout = 2 * time.Second
	// rare is how many messages hold a term of which all are read, to know its conversations. Of one that more hold, conversations are asked.
	rare = 10_000
	// walkBatch is how many conversations of the list are asked at a time, keyBatch how many keys one filter names.
	walkBatch = 200
	keyBatch  = 1000
	// shown is how many of a conversation's newest messages are looked at for the one that shows most, where none holds all terms.
	shown = 100
	// loadBatch is how many conversations that were found are read at a time.
	loadBatch = 25
)

// Conversations implements chat.Store.
func (s *Store) Conversations(ctx context.Context, owner string, q chat.Query) (page chat.List[chat.Hit], err error) {
	if q.Plain() {
		err = s.snapshot(ctx, func(ctx context.Context) error {
			page, err = s.conversationPage(ctx, owner, &q)
			return err
		})
		return page, err
	}
	limited, cancel := context.WithTimeout(ctx, s.options.SearchTimeout)
	defer cancel()
	select {
	case s.searches <- struct{}{}:
		defer func() { <-s.searches }()
	case <-limited.Done():
		if ctx.Err() != nil {
			return page, chat.GivenUp(ctx)
		}
		return page, overloaded()
	}
	err = s.snapshot(limited, func(ctx context.Context) error {
		if len(q.Search.Terms) == 0 {
			page, err = s.conversationPage(ctx, owner, &q)
		} else {
			f := &finder{store: s, owner: owner, q: &q}
			page, err = f.page(ctx)
		}
		return err
	})
	switch {
	case err == nil:
		return page, nil
	case ctx.Err() != nil:
		err = chat.GivenUp(ctx)
	case limited.Err() != nil:
		err = fault.Wrap(err, fault.Invalid, chat.CodeSearchTooBroad,
			"The search took too long. Search for longer or rarer words, or for fewer, or set a filter that few conversations meet.")
	}
	return chat.List[chat.Hit]{}, err
}

func (s *Store) conversationPage(ctx context.Context, owner string, q *chat.Query) (page chat.List[chat.Hit], err error) {
	w, err := s.conversationWindow(ctx, owner, q.Page)
	if err != nil {
		return page, err
	}
	return collect(ctx, s.conversations(), conditions(owner, q), w, withoutTerms, func(d *conversationDoc, hit *chat.Hit) (n int, err error) {
		hit.Conversation, err = d.conversation()
		return d.size(), err
	})
}

// conditions are a query's own but for the search.
func conditions(owner string, q *chat.Query) bson.D {
	filter := bson.D{elem("o", owner)}
	if q.User != "" {
		filter = append(filter, elem("user", q.User))
	}
	if q.Model != "" {
		filter = append(filter, elem("model", q.Model))
	}
	if len(q.Metadata) > 0 {
		filter = append(filter, elem("meta", bson.D{elem("$all", encodeMeta(q.Metadata))}))
	}
	created := bson.D{}
	if q.CreatedAfter != nil {
		created = append(created, elem("$gt", time.UnixMilli(q.CreatedAfter.UnixMilli())))
	}
	if q.CreatedBefore != nil {
		created = append(created, elem("$lt", time.UnixMilli(ceilMilli(*q.CreatedBefore))))
	}
	if len(created) > 0 {
		filter = append(filter, elem("created", created))
	}
	return filter
}

func (s *Store) conversationWindow(ctx context.Context, owner string, p chat.Page) (window, error) {
	return newWindow("act", p, func(id string) (any, error) {
		d, err := s.conversationDoc(ctx, owner, id)
		if err != nil && !isNotFound(err) {
			return nil, err
		}
		switch placed := id == p.After && !p.AfterActivity.IsZero(); {
		case placed && err == nil:
			return activity(p.AfterActivity, d.Age), nil
		case placed && p.Desc:
			// Of those of the same millisecond one may come twice, and none is left out.
			return activity(p.AfterActivity, "~"), nil
		case placed:
			return activity(p.AfterActivity, ""), nil
		case err != nil:
			return nil, chat.InvalidCursor()
		}
		return d.Act, nil
	})
}

// finder looks for the conversations of one page of a search.
type finder struct {
	store *Store
	owner string
	q     *chat.Query
	w     window
}

// found is a conversation that may be on the page.
type found struct {
	ID    string   `bson:"_id"`
	K     string   `bson:"k"`
	Act   string   `bson:"act"`
	Terms []string `bson:"terms"`
}

var foundFields = bson.D{elem("k", 1), elem("act", 1), elem("terms", 1)}

// condition is what an element of a list of terms must be to hold a term.
func condition(t search.Term) any {
	if t.Prefix {
		return bson.Regex{Pattern: "^" + regexp.QuoteMeta(t.Text)}
	}
	return t.Text
}

func holds(list []string, t search.Term) bool {
	return slices.ContainsFunc(list, func(have string) bool { return have == t.Text || t.Prefix && strings.HasPrefix(have, t.Text) })
}

func (f *finder) page(ctx context.Context) (page chat.List[chat.Hit], err error) {
	if f.w, err = f.store.conversationWindow(ctx, f.owner, f.q.Page); err != nil {
		return page, err
	}
	candidates, common, err := f.candidates(ctx)
	if err != nil {
		return page, err
	}
	var hits []found
	if candidates == nil {
		hits, err = f.walk(ctx, common)
	} else {
		hits, err = f.sorted(ctx, candidates, common)
	}
	if err != nil {
		return page, err
	}
	return f.load(ctx, hits)
}

// keys are the keys of conversations.
type keys map[string]bool

// candidates are the keys of what holds all the terms that few messages hold, nil where there are none of these, and the terms that are left.
func (f *finder) candidates(ctx context.Context) (candidates keys, common []search.Term, err error) {
	for _, t := range f.q.Search.Terms {
		if candidates != nil && len(candidates) == 0 {
			return candidates, nil, nil
		}
		with, whole, err := f.with(ctx, t)
		switch {
		case err != nil:
			return nil, nil, err
		case !whole:
			common = append(common, t)
		case candidates == nil:
			candidates = with
		default:
			for k := range candidates {
				if !with[k] {
					delete(candidates, k)
				}
			}
		}
	}
	return candidates, common, nil
}

// with are the keys of what holds a term, if that is not much.
func (f *finder) with(ctx context.Context, t search.Term) (with keys, whole bool, err error) {
	with = keys{}
	filter := bson.D{elem("o", f.owner), elem("terms", condition(t))}
	for _, c := range []string{"items", "conversations"} {
		n := 0
		o := options.Find().SetProjection(bson.D{elem("k", 1)}).SetLimit(rare + 1).SetBatchSize(keyBatch)
		if err := each(ctx, collection{f.store.db.Collection(c)}, filter, o, func(d *found) (bool, error) {
			with[d.K] = true
			n++
			return true, nil
		}); err != nil || n > rare {
			return nil, false, err
		}
	}
	return with, true, nil
}

// sorted are those of the candidates that meet the conditions and hold the other terms, too, in the order of the scan, one more than the page holds.
func (f *finder) sorted(ctx context.Context, candidates keys, common []search.Term) (hits []found, err error) {
	all := make([]string, 0, len(candidates))
	for k := range candidates {
		all = append(all, k)
	}
	var list []found
	for some := range slices.Chunk(all, keyBatch) {
		filter := append(f.w.filter(conditions(f.owner, f.q)), elem("k", bson.D{elem("$in", some)}))
		if err := each(ctx, f.store.conversations(), filter, options.Find().SetProjection(foundFields).SetBatchSize(keyBatch), func(d *found) (bool, error) {
			list = append(list, *d)
			return true, nil
		}); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list, func(a, b found) int {
		if f.w.down {
			return strings.Compare(b.Act, a.Act)
		}
		return strings.Compare(a.Act, b.Act)
	})
	for some := range slices.Chunk(list, walkBatch) {
		if some, err = f.holding(ctx, some, common); err != nil {
			return nil, err
		}
		if hits = append(hits, some...); len(hits) > f.w.limit {
			break
		}
	}
	return hits, nil
}

// walk goes through the list itself until it has enough that hold the terms.
func (f *finder) walk(ctx context.Context, terms []search.Term) (hits []found, err error) {
	o := options.Find().SetSort(f.w.sort()).SetProjection(foundFields).SetBatchSize(walkBatch)
	var some []found
	ask := func() error {
		held, err := f.holding(ctx, some, terms)
		hits, some = append(hits, held...), some[:0]
		return err
	}
	err = each(ctx, f.store.conversations(), f.w.filter(conditions(f.owner, f.q)), o, func(d *found) (bool, error) {
		if some = append(some, *d); len(some) < walkBatch {
			return true, nil
		}
		err := ask()
		return len(hits) <= f.w.limit, err
	})
	if err == nil && len(hits) <= f.w.limit {
		err = ask()
	}
	return hits, err
}

// holding are those of a few conversations that hold all terms.
func (f *finder) holding(ctx context.Context, some []found, terms []search.Term) ([]found, error) {
	for _, t := range terms {
		if len(some) == 0 {
			break
		}
		with, asked := keys{}, bson.A{}
		for i := range some {
			if holds(some[i].Terms, t) {
				with[some[i].K] = true
			} else {
				asked = append(asked, some[i].K)
			}
		}
		filter := bson.D{elem("o", f.owner), elem("terms", condition(t)), elem("k", bson.D{elem("$in", asked)})}
		if err := each(ctx, f.store.items(), filter, options.Find().SetProjection(bson.D{elem("k", 1)}).SetBatchSize(keyBatch), func(d *found) (bool, error) {
			with[d.K] = true
			return true, nil
		}); err != nil {
			return nil, err
		}
		kept := make([]found, 0, len(some))
		for i := range some {
			if with[some[i].K] {
				kept = append(kept, some[i])
			}
		}
		some = kept
	}
	return some, nil
}

// load makes a page of what was found.
func (f *finder) load(ctx context.Context, hits []found) (page chat.List[chat.Hit], err error) {
	page.Data = make([]chat.Hit, 0, min(len(hits), f.w.limit))
	size := 0
	for some := range slices.Chunk(hits[:min(len(hits), f.w.limit+1)], loadBatch) {
		ids := make([]string, len(some))
		for i := range some {
			ids[i] = some[i].ID
		}
		docs, err := list[conversationDoc](ctx, f.store.conversations(), bson.D{elem("_id", bson.D{elem("$in", ids)})}, options.Find().SetProjection(withoutTerms))
		if err != nil {
			return page, err
		}
		for _, id := range ids {
			i := slices.IndexFunc(docs, func(d conversationDoc) bool { return d.ID == id })
			if len(page.Data) == f.w.limit || f.w.maxBytes > 0 && size > f.w.maxBytes {
				page.HasMore = true
				break
			}
			hit, n, err := f.hit(ctx, &docs[i])
			if err != nil {
				return page, err
			}
			page.Data = append(page.Data, hit)
			size += n
		}
		if page.HasMore {
			break
		}
	}
	if f.w.reverse {
		slices.Reverse(page.Data)
	}
	return page, nil
}

// hit is a conversation that was found and where it shows best, and how much was read for it.
func (f *finder) hit(ctx context.Context, d *conversationDoc) (hit chat.Hit, size int, err error) {
	if hit.Conversation, err = d.conversation(); err != nil {
		return hit, 0, err
	}
	best, err := f.best(ctx, d)
	if err != nil {
		return hit, 0, err
	}
	if best == nil {
		hit.Match = &chat.Match{Snippet: f.q.Search.Snippet(d.Title)}
		return hit, d.size(), nil
	}
	it := best.item(d.Name)
	hit.Match = &chat.Match{Snippet: f.q.Search.Snippet(chat.SearchText(&it)), ItemID: it.ID}
	return hit, d.size() + len(it.Content), nil
}

// best is the newest of the messages that hold most terms, or nil where none holds as many as the title does.
func (f *finder) best(ctx context.Context, d *conversationDoc) (*itemDoc, error) {
	terms := f.q.Search.Terms
	inTitle := f.count(termsOf(d.Title))
	newest := func(filter bson.D, most int32, look func(it *itemDoc)) error {
		o := options.Find().SetSort(bson.D{elem("seq", -1)}).SetLimit(int64(most)).SetBatchSize(most)
		return each(ctx, f.store.items(), append(bson.D{elem("o", f.owner), elem("k", d.K)}, filter...), o, func(it *itemDoc) (bool, error) {
			look(it)
			return true, nil
		})
	}
	var best *itemDoc
	every, some := bson.A{}, bson.A{}
	for _, t := range terms {
		every, some = append(every, condition(t)), append(some, bson.D{elem("terms", condition(t))})
	}
	if err := newest(bson.D{elem("terms", bson.D{elem("$all", every)})}, 1, func(it *itemDoc) { best = it }); err != nil || best != nil || len(terms) == 1 {
		return best, err
	}
	most := 0
	err := newest(bson.D{elem("$or", some)}, shown, func(it *itemDoc) {
		if n := f.count(it.Terms); n > most {
			most, best = n, it
		}
	})
	if inTitle > most {
		best = nil
	}
	return best, err
}

// count is how many of the terms are in a list.
func (f *finder) count(list []string) (n int) {
	for _, t := range f.q.Search.Terms {
		if holds(list, t) {
			n++
		}
	}
	return n
}
