package mongo

import (
	"bytes"
	"cmp"
	"context"
	"errors"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

// errMoved: a conversation is not as its own transaction has read it, which a server with snapshots does not let happen.
var errMoved = errors.New("the conversation has changed within the transaction that read it")

// CreateConversation implements chat.Store.
func (s *Store) CreateConversation(ctx context.Context, owner string, claim *chat.Claim, c *chat.Conversation, items []chat.Item, recs ...audit.Record) error {
	d, err := encodeConversation(owner, c, int64(len(items)))
	if err != nil {
		return err
	}
	docs := encodeItems(d.K, owner, c.ID, 1, items)
	if err := bounded(d, docs); err != nil {
		return err
	}
	landed := func(ctx context.Context) (bool, error) { return s.isThere(ctx, d) }
	if err := s.claiming(ctx, owner, claim, recs, landed, func(ctx context.Context) error {
		if _, err := s.conversations().InsertOne(ctx, d); err != nil {
			return err
		}
		return s.insertItems(ctx, docs)
	}); err != nil {
		return err
	}
	c.Owner, c.Version, c.ContextVersion, c.MessageCount = owner, 1, 1, int64(len(items))
	return nil
}

// isThere reports whether a conversation that was to be made has been.
func (s *Store) isThere(ctx context.Context, d *conversationDoc) (bool, error) {
	return s.exists(ctx, s.conversations(), append(byID(d.ID), elem("k", d.K)))
}

// Conversation implements chat.Store.
func (s *Store) Conversation(ctx context.Context, owner, id string) (chat.Conversation, error) {
	if ctx.Err() != nil {
		return chat.Conversation{}, chat.GivenUp(ctx)
	}
	d, err := s.conversationDoc(ctx, owner, id)
	if err != nil {
		return chat.Conversation{}, s.failed(ctx, err)
	}
	return d.conversation()
}

// UpdateConversation implements chat.Store. It reads and writes in one transaction, so that change may run again.
func (s *Store) UpdateConversation(ctx context.Context, owner, id string, version int64, change func(*chat.Conversation) error, recs ...audit.Record) (chat.Conversation, error) {
	var result chat.Conversation
	op := newKey()
	landed := func(ctx context.Context) (bool, error) {
		return s.exists(ctx, s.conversations(), append(byID(key(owner, id)), elem("op", op)))
	}
	err := s.change(ctx, recs, landed, func(ctx context.Context) error {
		d, err := s.conversationDoc(ctx, owner, id)
		if err != nil {
			return err
		}
		if version != 0 && d.Rev != version {
			return chat.VersionMismatch()
		}
		before, err := d.conversation()
		if err != nil {
			return err
		}
		changed := before
		if err := change(&changed); err != nil {
			return &ownError{err}
		}
		params, err := encodeParams(&changed.Params)
		if err != nil {
			return err
		}
		quiet := changed.Model == before.Model && changed.Instructions == before.Instructions && bytes.Equal(params, d.Params)
		a := advanced().with("op", op).active(changed.UpdatedAt, d.Age).
			opt("title_set", true, !changed.TitleSet).opt("model", changed.Model, changed.Model == "").
			opt("instructions", []byte(changed.Instructions), changed.Instructions == "").opt("params", params, params == nil).
			opt("meta", encodeMeta(changed.Metadata), len(changed.Metadata) == 0)
		if changed.Title != before.Title {
			a.title(changed.Title)
		}
		result = before
		result.Title, result.TitleSet, result.Model, result.Instructions = changed.Title, changed.TitleSet, changed.Model, changed.Instructions
		result.Params, result.Metadata, result.UpdatedAt = changed.Params, changed.Metadata, kept(changed.UpdatedAt)
		result.Version++
		if quiet {
			a.add("quiet", 1)
		} else {
			result.ContextVersion++
		}
		if err := boundedBytes(len(changed.Instructions) + len(params)); err != nil {
			return err
		}
		return s.advance(ctx, d, a)
	})
	if err != nil {
		return chat.Conversation{}, err
	}
	return result, nil
}

// DeleteConversation implements chat.Store. The document goes at once, and with it every way to the items and responses; they
// themselves are purged later.
func (s *Store) DeleteConversation(ctx context.Context, owner, id string, version int64, orphan string, recs ...audit.Record) error {
	err := s.change(ctx, recs, nil, func(ctx context.Context) error {
		d, err := s.conversationDoc(ctx, owner, id)
		if err != nil {
			return err
		}
		if version != 0 && d.Rev != version {
			return chat.VersionMismatch()
		}
		if d.Active != nil {
			if abandoned, err := s.abandoned(ctx, owner, d.Active.ID, orphan); err != nil || !abandoned {
				return cmp.Or[error](err, chat.Locked())
			}
		}
		if _, err := s.purges().InsertOne(ctx, purgeDoc{K: d.K, Conversation: id}); err != nil {
			return err
		}
		res, err := s.conversations().DeleteOne(ctx, d.atRev())
		if err == nil && res.DeletedCount == 0 {
			return errMoved
		}
		return err
	})
	if err == nil {
		s.purger.poke()
	}
	return err
}

// abandoned reports whether a response that runs is the orphan, which nobody makes in this process, and nobody else's either: that of
// another, dead process is not until it was taken over.
func (s *Store) abandoned(ctx context.Context, owner, active, orphan string) (bool, error) {
	if active != orphan {
		return false, nil
	}
	return s.exists(ctx, s.responses(), append(byID(key(owner, orphan)), elem("holder", s.holder)))
}
