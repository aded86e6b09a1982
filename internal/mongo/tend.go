package mongo

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/audit"
)

// This file is what processes do for each other's chains: show that they live, and take over what the dead have left.

// tendLoop runs until ctx ends.
func (z *sealer) tendLoop(ctx context.Context) {
	tick := time.NewTicker(tendPause)
	defer tick.Stop()
	for n := 0; ; n++ {
		var err error
		if n%int(beatPause/tendPause) == 0 {
			err = z.beat(ctx)
		}
		if err = errors.Join(err, z.tend(ctx)); err != nil && ctx.Err() == nil {
			z.store.options.Log.Warn("the audit chains could not be looked after; trying again", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// beat shows that this process lives. If its chain was closed the next batch finds out.
func (z *sealer) beat(ctx context.Context) error {
	z.sealing.Lock()
	name := z.chain.Name()
	z.sealing.Unlock()
	_, err := z.store.chains().UpdateOne(ctx, byID(name), bson.D{elem("$inc", bson.D{elem("beat", 1)})})
	return err
}

// openChains are the chains that are not closed.
func (s *Store) openChains(ctx context.Context) ([]chainDoc, error) {
	return list[chainDoc](ctx, s.chains(), bson.D{elem("closed", false)}, options.Find())
}

// lives reports whether a process has a chain that nobody has closed.
func (s *Store) lives(ctx context.Context, holder string) (bool, error) {
	return s.exists(ctx, s.chains(), bson.D{elem("holder", holder), elem("closed", false)})
}

// tend closes the chains of processes that give no sign of life, and has sealed here what no living process will seal.
func (z *sealer) tend(ctx context.Context) error {
	s := z.store
	open, err := s.openChains(ctx)
	if err != nil {
		return err
	}
	signs, byName := map[string]string{}, map[string]*chainDoc{}
	var living []string
	for i := range open {
		d := &open[i]
		living = append(living, d.Holder)
		if d.Holder != s.holder {
			signs[d.Name], byName[d.Name] = strconv.FormatInt(d.Beat, 10), d
		}
	}
	for _, name := range z.watch.lapsed(signs) {
		d := byName[name]
		head := d.head()
		if err := z.end(ctx, audit.ResumeChain(head), z.ownRecord(audit.KindChainSealed, head)); err != nil && !errors.Is(err, errHeadMoved) {
			return err
		}
		s.options.Log.Warn("the audit chain of a process that has died was closed", slog.String("chain", name))
	}
	return z.adopt(ctx, living)
}

// adopt seals what processes without a chain have left, and what of this one's own was not known to have been written.
func (z *sealer) adopt(ctx context.Context, living []string) error {
	s := z.store
	o := options.Find().SetLimit(sealBatch).SetProjection(bson.D{elem("payloads", 0)}).SetBatchSize(batch)
	var left []*recordDoc
	if err := each(ctx, s.audit(), bson.D{elem("unsealed", bson.D{elem("$exists", true)})}, o, func(d *recordDoc) (bool, error) {
		if d.Unsealed == s.holder || !slices.Contains(living, d.Unsealed) {
			left = append(left, d)
		}
		return true, nil
	}); err != nil {
		return err
	}
	slices.SortFunc(left, func(a, b *recordDoc) int { return strings.Compare(a.Pos, b.Pos) })
	z.add(left)
	return nil
}

// adoptOf seals what was recorded of a response that this process has taken over: ahead of the outcome that it will write, which is to stand
// behind its intent.
func (z *sealer) adoptOf(ctx context.Context, owner, response string) error {
	filter := bson.D{elem("o", owner), elem("r", response), elem("unsealed", bson.D{elem("$exists", true)})}
	o := options.Find().SetSort(bson.D{elem("pos", 1)}).SetProjection(bson.D{elem("payloads", 0)})
	docs, err := list[recordDoc](ctx, z.store.audit(), filter, o)
	if err != nil {
		return err
	}
	left := make([]*recordDoc, len(docs))
	for i := range docs {
		left[i] = &docs[i]
	}
	z.add(left)
	return nil
}
