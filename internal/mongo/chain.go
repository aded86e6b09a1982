package mongo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

// chainDoc is the head of a chain. Whoever seals a record into the chain moves the head in the same transaction, from where it believes
// it to be: of two that do so at one time one finds it moved.
type chainDoc struct {
	Name   string `bson:"_id"`
	Epoch  int64  `bson:"epoch"`
	Holder string `bson:"holder"`
	Seq    int64  `bson:"seq"`
	Hash   []byte `bson:"hash"`
	Closed bool   `bson:"closed"`
	// Named: a later chain's first record names this closed head, so that what is cut off of it shows.
	Named bool `bson:"named"`
	// Beat is what its process raises as long as it lives.
	Beat int64 `bson:"beat"`
}

func (d *chainDoc) head() audit.Head {
	h := audit.Head{Chain: d.Name, Seq: d.Seq, Closed: d.Closed}
	copy(h.Hash[:], d.Hash)
	return h
}

const (
	// sealDelay is how long records wait to be sealed together, sealBatch how many are at a time.
	sealDelay = 50 * time.Millisecond
	sealBatch = 500
	// sealBytes bounds a batch, too: what is written of a record is its header.
	sealBytes = 4 << 20
	sealPause = time.Second
	// tendPause is how often the chains of others are looked after, beatPause how often a process shows that it lives.
	tendPause = 5 * time.Second
	beatPause = 10 * time.Second
)

var errHeadMoved = errors.New("the head of the audit chain is not where this process has left it")

// sealer seals the records of this process into its chain, beside the changes that they belong to. Its chain is only used with sealing held.
type sealer struct {
	store   *Store
	sealing sync.Mutex
	chain   *audit.Chain
	watch   watch

	mu sync.Mutex
	// queue holds what is to be sealed, and no record twice.
	queue  []*recordDoc
	queued map[string]bool
	// added and done count the records that came and that are settled.
	added, done int64
	settled     chan struct{}
	failure     error
	wake, now   chan struct{}
}

func newSealer(s *Store) *sealer {
	return &sealer{
		store: s, queued: map[string]bool{}, watch: newWatch(s.options.Elapsed), settled: make(chan struct{}),
		wake: make(chan struct{}, 1), now: make(chan struct{}, 1),
	}
}

// begin begins this process's chain. Its first record names the heads of all chains that no other one has named.
func (z *sealer) begin(ctx context.Context) error {
	s := z.store
	instance, err := s.keep(ctx, metaDoc{ID: metaInstance, Text: strings.ToLower(newKey())})
	if err != nil {
		return err
	}
	first := z.ownRecord(audit.KindServerStarted)
	return s.transact(ctx, func(ctx context.Context) error {
		var epoch metaDoc
		if err := s.meta().FindOneAndUpdate(ctx, byID(metaEpoch), bson.D{elem("$inc", bson.D{elem("n", 1)})}, options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&epoch); err != nil {
			return err
		}
		heads, err := list[chainDoc](ctx, s.chains(), bson.D{elem("named", false)}, options.Find())
		if err != nil {
			return err
		}
		slices.SortFunc(heads, func(a, b chainDoc) int { return int(a.Epoch - b.Epoch) })
		started := *first
		for i := range heads {
			started.Heads = append(started.Heads, heads[i].head())
		}
		chain := audit.NewChain(instance.Text + "/" + strconv.FormatInt(epoch.N, 10))
		doc := encodeRecord(&started, nil)
		doc.place(&started, chain.Seal(&started))
		doc.Chain, doc.Seq, doc.Hash = started.Chain, started.Seq, started.Hash[:]
		head := chainDoc{Name: chain.Name(), Epoch: epoch.N, Holder: s.holder, Seq: started.Seq, Hash: started.Hash[:]}
		if _, err := s.chains().InsertOne(ctx, head); err != nil {
			return err
		}
		if _, err := s.chains().UpdateMany(ctx, bson.D{elem("closed", true), elem("named", false)}, bson.D{elem("$set", bson.D{elem("named", true)})}); err != nil {
			return err
		}
		if _, err := s.audit().InsertOne(ctx, doc); err != nil {
			return err
		}
		z.chain = chain
		return nil
	})
}

// ownRecord is one of the log itself.
func (z *sealer) ownRecord(kind audit.Kind, heads ...audit.Head) *audit.Record {
	o := &z.store.options
	return &audit.Record{ID: o.NewID(chat.PrefixAudit), Time: kept(o.Now()), Kind: kind, Heads: heads}
}

// add has records sealed that have been written.
func (z *sealer) add(docs []*recordDoc) {
	if len(docs) == 0 {
		return
	}
	z.mu.Lock()
	for _, d := range docs {
		if !z.queued[d.ID] {
			z.queued[d.ID] = true
			z.queue = append(z.queue, d)
			z.added++
		}
	}
	z.mu.Unlock()
	poke(z.wake)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// flush waits until what this process has written by now is sealed, or ctx ends, or it cannot be.
func (z *sealer) flush(ctx context.Context) {
	z.mu.Lock()
	target := z.added
	for z.done < target && z.failure == nil {
		settled := z.settled
		z.mu.Unlock()
		poke(z.now)
		select {
		case <-settled:
		case <-ctx.Done():
			return
		}
		z.mu.Lock()
	}
	z.mu.Unlock()
}

func (z *sealer) err() error {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.failure
}

// loop seals until ctx ends.
func (z *sealer) loop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-z.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-z.now:
		case <-time.After(sealDelay):
		}
		for z.pending() && ctx.Err() == nil {
			if err := z.some(ctx); err != nil {
				z.store.options.Log.Warn("audit records could not be sealed; trying again", slog.Any("error", err))
				select {
				case <-ctx.Done():
				case <-time.After(sealPause):
				}
			}
		}
	}
}

func (z *sealer) pending() bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return len(z.queue) > 0
}

// take is the next batch, which stays in the queue until it is settled.
func (z *sealer) take() []*recordDoc {
	z.mu.Lock()
	defer z.mu.Unlock()
	n, size := 0, 0
	for n < len(z.queue) && n < sealBatch && (n == 0 || size < sealBytes) {
		size += len(z.queue[n].Header)
		n++
	}
	return slices.Clone(z.queue[:n])
}

// settle takes from the queue the first records of it, of which n are, and wakes who waits.
func (z *sealer) settle(n int, err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, d := range z.queue[:n] {
		delete(z.queued, d.ID)
	}
	z.queue = z.queue[n:]
	if len(z.queue) == 0 {
		z.queue = nil
	}
	z.done += int64(n)
	z.failure = err
	close(z.settled)
	z.settled = make(chan struct{})
}

// some seals one batch.
func (z *sealer) some(ctx context.Context) error {
	z.sealing.Lock()
	defer z.sealing.Unlock()
	docs := z.take()
	if len(docs) == 0 {
		return nil
	}
	err := z.seal(ctx, docs)
	if err == nil {
		z.settle(len(docs), nil)
		return nil
	}
	// What has failed as far as one could see may have been written all the same, and the chain, or a record of the batch, may be another's
	// by now.
	left, resumeErr := z.resume(ctx, docs)
	if resumeErr != nil {
		z.settle(0, errors.Join(err, resumeErr))
		return errors.Join(err, resumeErr)
	}
	if len(left) > 0 {
		err = z.seal(ctx, left)
	} else {
		err = nil
	}
	if err != nil {
		z.settle(0, err)
		return err
	}
	z.settle(len(docs), nil)
	return nil
}

// seal writes records into the chain, all or none, and takes the head back if it cannot.
func (z *sealer) seal(ctx context.Context, docs []*recordDoc) error {
	s, head := z.store, z.chain.Head()
	models := make([]driver.WriteModel, len(docs))
	for i, d := range docs {
		rec, err := audit.ParseHeader(d.Header)
		if err != nil {
			return fmt.Errorf("reading the header of %s: %w", d.ID, err)
		}
		header := z.chain.Seal(&rec)
		models[i] = driver.NewUpdateOneModel().SetFilter(append(byID(d.ID), elem("unsealed", bson.D{elem("$exists", true)}))).SetUpdate(bson.D{
			elem("$set", bson.D{elem("header", header), elem("chain", rec.Chain), elem("seq", rec.Seq), elem("hash", rec.Hash[:])}),
			elem("$unset", bson.D{elem("unsealed", 1)}),
		})
	}
	last := z.chain.Head()
	err := s.transact(ctx, func(ctx context.Context) error {
		if err := s.moveHead(ctx, &head, &last); err != nil {
			return err
		}
		res, err := s.audit().BulkWrite(ctx, models)
		if err == nil && res.MatchedCount != int64(len(docs)) {
			return errors.New("another process has sealed some of the records")
		}
		return err
	})
	if err != nil {
		z.chain.Restore(head)
	}
	return err
}

// moveHead moves the head of an open chain from one place to another.
func (s *Store) moveHead(ctx context.Context, from, to *audit.Head) error {
	set := bson.D{elem("seq", to.Seq), elem("hash", to.Hash[:]), elem("closed", to.Closed)}
	res, err := s.chains().UpdateOne(ctx, append(byID(from.Chain), elem("seq", from.Seq), elem("closed", false)), bson.D{elem("$set", set)})
	if err == nil && res.MatchedCount == 0 {
		return errHeadMoved
	}
	return err
}

// resume finds out where the chain stands, begins another one if this was closed by somebody who took this process for dead, and returns
// those of the records that are there and not sealed.
func (z *sealer) resume(ctx context.Context, docs []*recordDoc) (left []*recordDoc, err error) {
	s := z.store
	var head chainDoc
	if err := s.chains().FindOne(ctx, byID(z.chain.Name())).Decode(&head); err != nil {
		return nil, err
	}
	if head.Closed {
		s.options.Log.Warn("this process was taken for dead and its audit chain closed; it begins another", slog.String("chain", head.Name))
		if err := z.begin(ctx); err != nil {
			return nil, err
		}
	} else {
		z.chain = audit.ResumeChain(head.head())
	}
	ids := make(bson.A, len(docs))
	for i := range docs {
		ids[i] = docs[i].ID
	}
	open := map[string]bool{}
	there, err := list[recordDoc](ctx, s.audit(), bson.D{elem("_id", bson.D{elem("$in", ids)}), elem("unsealed", bson.D{elem("$exists", true)})},
		options.Find().SetProjection(bson.D{elem("_id", 1)}))
	for i := range there {
		open[there[i].ID] = true
	}
	for _, d := range docs {
		if open[d.ID] {
			left = append(left, d)
		}
	}
	return left, err
}

// close seals what is left and closes the chain.
func (z *sealer) close(ctx context.Context) error {
	for z.pending() {
		if err := z.some(ctx); err != nil {
			return err
		}
	}
	z.sealing.Lock()
	defer z.sealing.Unlock()
	return z.end(ctx, z.chain, z.ownRecord(audit.KindChainClosed))
}

// end writes the last record of a chain.
func (z *sealer) end(ctx context.Context, chain *audit.Chain, rec *audit.Record) error {
	s, head := z.store, chain.Head()
	doc := encodeRecord(rec, nil)
	header := chain.Seal(rec)
	doc.place(rec, header)
	last := chain.Head()
	err := s.transact(ctx, func(ctx context.Context) error {
		if err := s.moveHead(ctx, &head, &last); err != nil {
			return err
		}
		_, err := s.audit().InsertOne(ctx, doc)
		return err
	})
	if err != nil {
		chain.Restore(head)
	}
	return err
}
