package mongo

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

// Begin implements chat.Store. It reads the conversation, and writes it with its lock, the input, the response and the intent. Of two that
// begin at one time the second finds the conversation changed under it and runs again, to find the lock.
func (s *Store) Begin(ctx context.Context, owner string, turn *chat.Turn) error {
	r := &turn.Response
	var held *run
	err := s.claiming(ctx, owner, turn.Claim, []audit.Record{turn.Intent}, nil, func(ctx context.Context) error {
		c, err := s.unlocked(ctx, owner, turn.Conversation.ID)
		if err != nil {
			return err
		}
		if c.Rev-c.Quiet != turn.Conversation.ContextVersion {
			return chat.ErrStale
		}
		d := s.encodeResponse(owner, c.K, r, kindTurn)
		d.Fence, d.First, d.InputEnd = c.Rev+1, c.Next, c.Next+int64(len(turn.Input))
		if turn.Regenerate {
			// As the conversation has not changed since it was read, so has not the input.
			d.Kind, d.First, d.InputEnd = kindAgain, turn.Input[0].Seq, turn.Input[len(turn.Input)-1].Seq+1
		} else if err := s.addInput(ctx, owner, c, turn.Input, r.ID); err != nil {
			return err
		}
		a := advanced().active(r.CreatedAt, c.Age).with("active", lockDoc{r.ID, s.holder, d.Fence})
		d.OutputSeq = c.Next
		if !turn.Regenerate {
			added := int64(len(turn.Input))
			d.OutputSeq += added
			a.add("next", added).add("count", added)
		}
		if c.Title == "" && turn.Title != "" {
			a.title(turn.Title)
		}
		d.End = d.OutputSeq
		turn.OutputSeq = d.OutputSeq
		if _, err := s.responses().InsertOne(ctx, d); err != nil {
			return err
		}
		held = newRun(d, c.ID, c.Age)
		held.usage, held.cost = c.Usage, c.Cost
		// Known here before it is to be seen in the database, where it would be taken for one that nobody makes.
		s.held.put(held)
		return s.advance(ctx, c, a)
	})
	if err != nil {
		s.held.forget(held)
	}
	return err
}

// addInput writes the items that a turn brings.
func (s *Store) addInput(ctx context.Context, owner string, c *conversationDoc, input []chat.Item, response string) error {
	for i := range input {
		input[i].ResponseID, input[i].Output = response, false
	}
	docs := encodeItems(c.K, owner, c.Name, c.Next, input)
	if err := bounded(nil, docs); err != nil {
		return err
	}
	return s.insertItems(ctx, docs)
}

// BeginAside implements chat.Store. The conversation is only read: one that is deleted meanwhile leaves an end that finds it gone.
func (s *Store) BeginAside(ctx context.Context, owner string, claim *chat.Claim, r *chat.Response, intent audit.Record) error {
	var held *run
	err := s.claiming(ctx, owner, claim, []audit.Record{intent}, nil, func(ctx context.Context) error {
		c, err := s.conversationDoc(ctx, owner, r.ConversationID)
		if err != nil {
			return err
		}
		kind := kindAside
		if r.Unstored {
			kind = kindUnstored
		}
		d := s.encodeResponse(owner, c.K, r, kind)
		if _, err := s.responses().InsertOne(ctx, d); err != nil {
			return err
		}
		held = newRun(d, c.ID, c.Age)
		s.held.put(held)
		return nil
	})
	if err != nil {
		s.held.forget(held)
	}
	return err
}

// own is the filter for a response that runs and that this process makes. Whoever takes one over becomes its holder, so that all
// that a paused holder still has to write is refused.
func (s *Store) own(id string) bson.D {
	return bson.D{elem("_id", id), running, elem("holder", s.holder)}
}

// refused says why a write that own filters found nothing.
func (s *Store) refused(ctx context.Context, id string) error {
	there, err := s.exists(ctx, s.responses(), byID(id))
	if err != nil {
		return err
	}
	s.held.drop(id)
	if there {
		return chat.ResponseEndedAlready()
	}
	return chat.ResponseNotFound()
}

// NextAttempt implements chat.Store.
func (s *Store) NextAttempt(ctx context.Context, owner string, next *chat.Response, recs ...audit.Record) error {
	id := key(owner, next.ID)
	set := bson.D{elem("attempts", next.Attempts), elem("model", next.Model), elem("provider", next.Provider), elem("host", next.Host), elem("fallback_from", next.FallbackFrom)}
	return s.change(ctx, recs, nil, func(ctx context.Context) error {
		res, err := s.responses().UpdateOne(ctx, s.own(id), bson.D{elem("$set", set)})
		if err == nil && res.MatchedCount == 0 {
			return s.refused(ctx, id)
		}
		return err
	})
}

// End implements chat.Store. It reads nothing but of a response that this process has not begun: what it rests on is the response's state
// and holder, which filter its first write, and the lock, which filters that of the conversation.
func (s *Store) End(ctx context.Context, owner string, e *chat.Ending) error {
	output := e.Response.Output
	for i := range output {
		output[i].ResponseID, output[i].Output = e.Response.ID, true
		output[i].Excluded = output[i].Excluded || e.Response.Status.LeavesContext()
	}
	gone := false
	err := s.change(ctx, []audit.Record{e.Outcome}, nil, func(ctx context.Context) error {
		r, err := s.run(ctx, owner, e.Response.ID)
		if err != nil {
			return err
		}
		switch {
		case r.kind == kindUnstored:
			return s.endUnstored(ctx, r)
		case r.kind == kindAside:
			gone, err = s.endAside(ctx, r, e)
		default:
			gone, err = s.endTurn(ctx, owner, r, e)
		}
		return err
	})
	if err == nil {
		s.held.drop(key(owner, e.Response.ID))
	}
	if err == nil && gone {
		// The response was all that was left of its conversation.
		s.purger.poke()
	}
	return err
}

// endUnstored removes a response of which nothing is kept.
func (s *Store) endUnstored(ctx context.Context, r *run) error {
	res, err := s.responses().DeleteOne(ctx, s.own(r.id))
	if err == nil && res.DeletedCount == 0 {
		return s.refused(ctx, r.id)
	}
	return err
}

// endAside writes the end of a response that is no turn, with a title where nobody has set one.
func (s *Store) endAside(ctx context.Context, r *run, e *chat.Ending) (gone bool, err error) {
	if err := s.endResponse(ctx, r, e, 0); err != nil {
		return false, err
	}
	here := append(byID(r.conversation), elem("k", r.k))
	if e.Title == "" {
		there, err := s.exists(ctx, s.conversations(), here)
		return !there, err
	}
	a := advanced().title(e.Title).with("title_set", true).add("quiet", 1)
	res, err := s.conversations().UpdateOne(ctx, append(here, elem("title_set", bson.D{elem("$ne", true)})), a.update())
	// Whether it is gone or has a title is left to the purger to find out.
	return err == nil && res.MatchedCount == 0, err
}

// endTurn writes the end of a turn: of the response and, where its conversation is there, of that.
func (s *Store) endTurn(ctx context.Context, owner string, r *run, e *chat.Ending) (gone bool, err error) {
	final := &e.Response
	again, answered := r.kind == kindAgain, final.Status.Answers()
	output := final.Output
	for i := range output {
		output[i].Superseded = again && !answered
	}
	if r.gone {
		return true, s.endResponse(ctx, r, e, 0)
	}
	added := int64(len(output))
	if err := s.endResponse(ctx, r, e, added); err != nil {
		return false, err
	}
	count := added
	switch {
	case again && answered:
		superseded, err := s.supersede(ctx, r, final.ID)
		if err != nil {
			return false, err
		}
		count -= superseded
	case again:
		count = 0
	case final.Status.LeavesContext():
		if _, err := s.items().UpdateMany(ctx, bson.D{elem("k", r.k), between(r.first, r.outputSeq)}, bson.D{elem("$set", bson.D{elem("out", outExcluded)})}); err != nil {
			return false, err
		}
	}
	if gone, err := s.unlock(ctx, r, e, added, count); gone || err != nil {
		if err == nil {
			// What endResponse has said of the output is not so.
			_, err = s.responses().UpdateOne(ctx, byID(r.id), bson.D{elem("$set", bson.D{elem("end", r.outputSeq)})})
		}
		return gone, err
	}
	docs := encodeItems(r.k, owner, final.ConversationID, r.outputSeq, output)
	if err := bounded(nil, docs); err != nil {
		return false, err
	}
	if err := s.insertItems(ctx, docs); err != nil {
		return false, err
	}
	for i := range e.Log {
		if err := s.putLast(ctx, r.id, &e.Log[i]); err != nil {
			return false, err
		}
	}
	return false, nil
}

// unlock writes the end of a turn into its conversation, and reports whether that is gone.
func (s *Store) unlock(ctx context.Context, r *run, e *chat.Ending, added, count int64) (gone bool, err error) {
	a := advanced().add("next", added).add("count", count).active(e.Response.CompletedAt, r.age).without("active")
	if u := e.Response.Usage; u != nil {
		total := r.usage
		total.Input += u.InputTokens
		total.Output += u.OutputTokens
		total.Total += u.TotalTokens
		total.Cached += u.CachedTokens
		total.Reasoning += u.ReasoningTokens
		a.with("usage", total)
	}
	if total := r.cost.cost().Plus(e.Response.Cost); total != nil {
		a.with("cost", encodeCost(total))
	}
	locked := append(byID(r.conversation), elem("k", r.k), elem("active.id", e.Response.ID), elem("active.fence", r.fence))
	res, err := s.conversations().UpdateOne(ctx, locked, a.update())
	return err == nil && res.MatchedCount == 0, err
}

// supersede hides the output that a turn had before it was run again, and returns how many items that were. The input is the new
// response's then, and in the context, where it may not have been.
func (s *Store) supersede(ctx context.Context, r *run, id string) (int64, error) {
	res, err := s.items().UpdateMany(ctx, bson.D{elem("k", r.k), between(r.inputEnd, r.outputSeq), visible},
		bson.D{elem("$set", bson.D{elem("out", outSuperseded)}), elem("$unset", bson.D{elem("terms", 1)})})
	if err != nil {
		return 0, err
	}
	_, err = s.items().UpdateMany(ctx, bson.D{elem("k", r.k), between(r.first, r.inputEnd)},
		bson.D{elem("$set", bson.D{elem("out", 0), elem("response", id)}), elem("$inc", bson.D{elem("version", 1)})})
	return res.MatchedCount, err
}

// endResponse writes a response's terminal state. Its filter is the fence of all that is written with it.
func (s *Store) endResponse(ctx context.Context, r *run, e *chat.Ending, added int64) error {
	final := &e.Response
	a := &advance{}
	a.with("status", string(final.Status)).with("attempts", final.Attempts).with("end", r.outputSeq+added).without("beat").without("cancel").
		opt("started", kept(final.StartedAt), final.StartedAt.IsZero()).opt("first_token", kept(final.FirstTokenAt), final.FirstTokenAt.IsZero()).
		with("completed", kept(final.CompletedAt)).opt("finish_reason", final.FinishReason, final.FinishReason == "").
		opt("usage", optUsage(final.Usage), final.Usage == nil).opt("cost", encodeCost(final.Cost), final.Cost == nil).
		with("truncated", final.Truncated).with("last_event", final.LastEvent)
	if final.Error != nil {
		a.with("error_code", final.Error.Code).with("error_message", final.Error.Message).with("error_kind", final.Error.Kind.String())
	}
	if final.LastEvent != 0 {
		a.with("log_until", kept(final.CompletedAt.Add(chat.EventLogLife)))
	}
	res, err := s.responses().UpdateOne(ctx, s.own(r.id), a.update())
	if err == nil && res.MatchedCount == 0 {
		return s.refused(ctx, r.id)
	}
	return err
}
