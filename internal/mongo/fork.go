package mongo

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

// Bounds of one step of a fork, and of all of one: servers keep what a snapshot needs for five minutes.
const (
	forkRows    = 200
	forkBytes   = 4 << 20
	forkTimeout = 4 * time.Minute
)

// ForkConversation implements chat.Store. It reads one snapshot. What fits one step is written in one transaction; else the items come
// first, in steps, under a key that no conversation has, and the last step makes one of it.
func (s *Store) ForkConversation(ctx context.Context, owner string, claim *chat.Claim, sourceID, after string, c *chat.Conversation, recs ...audit.Record) error {
	select {
	case s.forks <- struct{}{}:
		defer func() { <-s.forks }()
	case <-ctx.Done():
		return chat.GivenUp(ctx)
	}
	if claim != nil {
		// Ahead of all else, for this may take long.
		if earlier, found, err := s.Claim(ctx, owner, claim.Route, claim.Key); err != nil || found && earlier.Lives(claim.CreatedAt) {
			return cmp.Or[error](err, &chat.ClaimedError{Claim: earlier})
		}
	}
	// Not a deadline: with one, each command would have all the time that there is, and not what an operation has.
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(forkTimeout, cancel).Stop()
	session, err := s.client.StartSession(options.Session().SetSnapshot(true))
	if err != nil {
		return unavailable(err)
	}
	defer session.EndSession(ctx)
	f := &fork{store: s, owner: owner, claim: claim, c: c, reading: driver.NewSessionContext(limited, session), recs: recs}
	err = f.run(limited, sourceID, after)
	if f.begun {
		s.copying.drop(f.doc.K)
	}
	if err != nil && f.begun {
		f.abandon(context.WithoutCancel(ctx))
	}
	return s.failed(ctx, err)
}

// fork is a copy being made.
type fork struct {
	store   *Store
	owner   string
	claim   *chat.Claim
	c       *chat.Conversation
	doc     *conversationDoc
	recs    []audit.Record
	reading context.Context //nolint:containedctx // it is the snapshot that is read
	// begun: items are there, or may be, that no conversation has. seq is the place of the last item that was copied, size that of step.
	begun bool
	seq   int64
	step  []itemDoc
	size  int
}

func (f *fork) run(ctx context.Context, sourceID, after string) error {
	source, end, err := f.source(sourceID, after)
	if err != nil {
		return err
	}
	o := options.Find().SetSort(bson.D{elem("seq", 1)}).SetBatchSize(forkRows)
	filter := bson.D{elem("k", source.K), visible}
	if end > 0 {
		filter = append(filter, elem("seq", bson.D{elem("$lt", end)}))
	}
	if err := each(f.reading, f.store.items(), filter, o, func(d *itemDoc) (bool, error) { //nolint:contextcheck // it is made of ctx
		if len(f.step) == forkRows || f.size >= forkBytes {
			if err := f.write(ctx); err != nil {
				return false, err
			}
		}
		f.take(d)
		return true, nil
	}); err != nil {
		return err
	}
	return f.publish(ctx)
}

// source reads what is to be copied, up to the items, and makes of c the conversation that it becomes. Items are copied that stand ahead of
// end; 0 is all.
func (f *fork) source(id, after string) (source *conversationDoc, end int64, err error) {
	if source, err = f.store.conversationDoc(f.reading, f.owner, id); err != nil {
		return nil, 0, err
	}
	if end, err = f.end(source, after); err != nil {
		return nil, 0, err
	}
	from, err := source.conversation()
	if err != nil {
		return nil, 0, err
	}
	c := f.c
	if c.Title == "" {
		c.Title, c.TitleSet = from.Title, from.TitleSet
	}
	c.Owner, c.Version, c.ContextVersion, c.MessageCount = f.owner, 1, 1, 0
	c.User, c.Model, c.Instructions, c.Params, c.Metadata = from.User, from.Model, from.Instructions, from.Params, from.Metadata
	c.ForkedFrom = &chat.Fork{ConversationID: id}
	f.doc, err = encodeConversation(f.owner, c, 0)
	return source, end, err
}

func (f *fork) end(source *conversationDoc, after string) (end int64, err error) {
	s := f.store
	if source.Active != nil {
		d, err := s.responseDoc(f.reading, f.owner, source.Active.ID)
		if err != nil {
			return 0, err
		}
		// A turn that is run again has brought no items yet.
		if end = d.First; d.Kind == kindAgain {
			end = d.OutputSeq
		}
	}
	if after == "" {
		return end, nil
	}
	d, err := s.itemDoc(f.reading, source.K, after)
	if err != nil {
		return 0, err
	}
	if end > 0 && d.Seq >= end {
		return 0, chat.Locked()
	}
	return d.Seq + 1, nil
}

// take adds a copy of an item to the step.
func (f *fork) take(d *itemDoc) {
	f.seq++
	f.size += d.size()
	d.K, d.Seq = f.doc.K, f.seq
	d.ID = itemKey(d.K, d.Name)
	f.step = append(f.step, *d)
	f.c.ForkedFrom.ItemID = d.Name
}

// write writes a step. The first one says ahead of it whose these items are.
func (f *fork) write(ctx context.Context) error {
	s := f.store
	if !f.begun {
		// Also where this fails as far as one can see: it may have taken effect.
		f.begun = true
		s.copying.put(f.doc.K)
		if _, err := s.purges().InsertOne(ctx, purgeDoc{K: f.doc.K, Conversation: f.c.ID, Fork: true, Holder: s.holder}); err != nil {
			return err
		}
	}
	err := s.insertItems(ctx, f.step)
	f.step, f.size = f.step[:0], 0
	return err
}

var errForkTaken = errors.New("what was copied was taken for that of a process that had died")

// publish writes the last items, and the conversation.
func (f *fork) publish(ctx context.Context) error {
	s, d := f.store, f.doc
	d.Count, d.Next = f.seq, f.seq+1
	d.Fork = &forkDoc{f.c.ForkedFrom.ConversationID, f.c.ForkedFrom.ItemID}
	err := s.claiming(ctx, f.owner, f.claim, f.recs, func(ctx context.Context) (bool, error) { return s.isThere(ctx, d) }, func(ctx context.Context) error {
		if f.begun {
			res, err := s.purges().DeleteOne(ctx, append(byID(d.K), elem("fork", true), elem("holder", s.holder)))
			if err != nil {
				return err
			}
			if res.DeletedCount == 0 {
				return errForkTaken
			}
		}
		if _, err := s.conversations().InsertOne(ctx, d); err != nil {
			return err
		}
		return s.insertItems(ctx, f.step)
	})
	if err == nil {
		f.c.MessageCount = f.seq
	}
	return err
}

// abandon leaves what was copied to the purger. If it cannot, that finds it later.
func (f *fork) abandon(ctx context.Context) {
	s := f.store
	_, err := s.purges().UpdateOne(ctx, append(byID(f.doc.K), elem("fork", true)), bson.D{elem("$unset", bson.D{elem("fork", 1), elem("holder", 1)})})
	if err != nil {
		s.options.Log.Warn("what a failed fork has copied is removed later", slog.String("conversation_id", f.c.ID), slog.Any("error", err))
		return
	}
	s.purger.poke()
}
