package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/chat"
)

// Orphans implements chat.Store and chat.Shared. It takes over what it returns: this process is the holder of it then, so that the one before, should
// it not be dead, has all its further writes refused; and the event log is sealed, so that what is read of it from now on is all there is.
func (s *Store) Orphans(ctx context.Context) ([]chat.Response, error) {
	if ctx.Err() != nil {
		return nil, chat.GivenUp(ctx)
	}
	orphans, err := s.orphans(ctx)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return orphans, nil
}

func (s *Store) orphans(ctx context.Context) ([]chat.Response, error) {
	signOfLife := bson.D{elem("holder", 1), elem("beat", 1), elem("created", 1)}
	all, err := list[responseDoc](ctx, s.responses(), bson.D{elem("beat", bson.D{elem("$gte", 0)})}, options.Find().SetProjection(signOfLife))
	if err != nil {
		return nil, err
	}
	signs, docs := map[string]string{}, map[string]*responseDoc{}
	var gone []*responseDoc
	for i := range all {
		d := &all[i]
		docs[d.ID] = d
		switch {
		case d.Holder != s.holder:
			signs[d.ID] = fmt.Sprint(d.Holder, *d.Beat)
		case !s.held.has(d.ID):
			// One that this process has taken over and not ended.
			gone = append(gone, d)
		}
	}
	for _, id := range s.watched.lapsed(signs) {
		gone = append(gone, docs[id])
	}
	slices.SortFunc(gone, func(a, b *responseDoc) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	taken := make([]*chat.Response, len(gone))
	failed := make([]error, len(gone))
	var takers sync.WaitGroup
	room := make(chan struct{}, maxTakers)
	for i, d := range gone {
		room <- struct{}{}
		takers.Go(func() {
			defer func() { <-room }()
			taken[i], failed[i] = s.take(ctx, d)
		})
	}
	takers.Wait()
	var orphans []chat.Response
	for _, r := range taken {
		if r != nil {
			orphans = append(orphans, *r)
		}
	}
	// What was taken over is this process's, and found again where the others could not be.
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	return orphans, nil
}

// UntilLapse implements chat.Shared.
func (s *Store) UntilLapse() (time.Duration, bool) { return s.watched.next() }

// maxTakers is how many responses are taken over at a time.
const maxTakers = 8

// take is a response that was taken over, or nil where it could not be.
func (s *Store) take(ctx context.Context, d *responseDoc) (*chat.Response, error) {
	taken, err := s.takeOver(ctx, d)
	if err != nil || !taken {
		return nil, err
	}
	r, _, err := s.load(ctx, d)
	return &r, err
}

// takeOver makes this process the holder of a response whose holder has shown no sign of life since it was looked at, and reports whether it could.
func (s *Store) takeOver(ctx context.Context, d *responseDoc) (bool, error) {
	if d.Holder != s.holder {
		filter := bson.D{elem("_id", d.ID), running, elem("holder", d.Holder), elem("beat", *d.Beat)}
		res, err := s.responses().UpdateOne(ctx, filter, bson.D{elem("$set", bson.D{elem("holder", s.holder)}), elem("$inc", bson.D{elem("beat", 1)}), elem("$unset", bson.D{elem("cancel", 1)})})
		if err != nil || res.MatchedCount == 0 {
			return false, err
		}
	}
	// What was written since it was read is read, too.
	var now responseDoc
	err := s.responses().FindOne(ctx, byID(d.ID)).Decode(&now)
	if missing(err) || err == nil && now.Beat == nil {
		return false, nil
	}
	*d = now
	if err == nil && d.LastEvent != 0 {
		err = s.sealLog(ctx, d.ID)
	}
	if err == nil {
		err = s.sealer.adoptOf(ctx, d.Owner, d.Name)
	}
	return err == nil, err
}

// Renew implements chat.Shared.
func (s *Store) Renew(ctx context.Context, running []chat.Running) (lost []chat.Running, err error) {
	ids := make([]string, len(running))
	for i, r := range running {
		ids[i] = key(r.Owner, r.ID)
	}
	mine := bson.D{elem("_id", bson.D{elem("$in", ids)}), elem("holder", s.holder), elem("beat", bson.D{elem("$gte", 0)})}
	res, err := s.responses().UpdateMany(ctx, mine, bson.D{elem("$inc", bson.D{elem("beat", 1)})})
	if err != nil || res.MatchedCount == int64(len(ids)) {
		return nil, s.failed(ctx, err)
	}
	// One that is just beginning or ending is not to be seen, or has no beat; only who takes a response over changes its holder.
	taken := bson.D{elem("_id", bson.D{elem("$in", ids)}), elem("holder", bson.D{elem("$ne", s.holder)})}
	docs, err := list[responseDoc](ctx, s.responses(), taken, options.Find().SetProjection(bson.D{elem("_id", 1)}))
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	for i, r := range running {
		if slices.ContainsFunc(docs, func(d responseDoc) bool { return d.ID == ids[i] }) {
			lost = append(lost, r)
		}
	}
	return lost, nil
}

// Runs implements chat.Shared.
func (s *Store) Runs(ctx context.Context, owner, id string) (bool, error) {
	if ctx.Err() != nil {
		return false, chat.GivenUp(ctx)
	}
	there, err := s.exists(ctx, s.responses(), append(byID(key(owner, id)), elem("beat", bson.D{elem("$exists", true)})))
	return there, s.failed(ctx, err)
}

// RequestCancel implements chat.Shared.
func (s *Store) RequestCancel(ctx context.Context, owner, id string) error {
	d, err := s.responseDoc(ctx, owner, id)
	if err != nil {
		return s.failed(ctx, err)
	}
	if d.Beat == nil {
		return nil
	}
	_, err = s.responses().UpdateOne(ctx, bson.D{elem("_id", d.ID), running, elem("holder", d.Holder)}, bson.D{elem("$set", bson.D{elem("cancel", d.Holder)})})
	return s.failed(ctx, err)
}

// CancelRequests implements chat.Shared.
func (s *Store) CancelRequests(ctx context.Context) (asked []chat.Running, err error) {
	o := options.Find().SetProjection(bson.D{elem("o", 1), elem("id", 1)})
	docs, err := list[responseDoc](ctx, s.responses(), bson.D{elem("cancel", s.holder)}, o)
	for i := range docs {
		asked = append(asked, chat.Running{Owner: docs[i].Owner, ID: docs[i].Name})
	}
	return asked, s.failed(ctx, err)
}
