package sqlite

import (
	"context"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

const (
	lockConversation = `UPDATE conversations SET version = version + 1, next_seq = ?, message_count = message_count + ?,
  updated_at = ?, active_response = ?, title = CASE title WHEN '' THEN ? ELSE title END WHERE num = ?`
	unlockConversation = `UPDATE conversations SET version = version + 1, next_seq = ?, message_count = message_count + ?,
  updated_at = ?, active_response = NULL, usage = ?, cost = ? WHERE num = ?`

	insertResponse = `INSERT INTO responses (conversation, id, owner, status, attempts, first_seq, input_end, output_seq, end_seq, created_at,
  stream, model, provider, host, actor, request_id, truncated, last_event) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	selectRun = `SELECT r.num, r.conversation, r.status, r.first_seq, r.input_end, r.output_seq, c.next_seq, c.id, c.usage, c.cost
  FROM responses r LEFT JOIN conversations c ON c.num = r.conversation WHERE r.id = ? AND r.owner = ?`
	setAttempt  = `UPDATE responses SET attempts = ?, model = ?, provider = ?, host = ?, fallback_from = ? WHERE num = ?`
	endResponse = `UPDATE responses SET status = ?, attempts = ?, output_seq = ?, end_seq = ?, started_at = ?, first_token_at = ?, completed_at = ?,
  finish_reason = ?, error_code = ?, error_message = ?, error_kind = ?, usage = ?, cost = ?, truncated = ?, last_event = ? WHERE num = ?`
	deleteResponse = `DELETE FROM responses WHERE num = ?`

	// Where nobody has set one.
	setTitle = `UPDATE conversations SET title = ?, title_set = 1, version = version + 1, quiet_versions = quiet_versions + 1 WHERE num = ? AND title_set = 0`

	supersedeItems = `UPDATE items SET excluded = 2 WHERE pos >= ? AND pos < ? AND excluded < 2`
	takeUpItems    = `UPDATE items SET excluded = 0, response_id = ?, version = version + 1 WHERE pos >= ? AND pos < ?`
)

// Begin implements chat.Store. It sets the input's ConversationID, ResponseID and Seq.
func (s *Store) Begin(ctx context.Context, owner string, turn *chat.Turn) error {
	for i := range turn.Input {
		turn.Input[i].ResponseID, turn.Input[i].Output = turn.Response.ID, false
	}
	rows, err := encodeItems(turn.Conversation.ID, turn.Input)
	if err != nil {
		return err
	}
	if err := s.space.room(); err != nil {
		return err
	}
	return s.writer.submit(ctx, itemBytes(turn.Input), func(t *tx) error {
		if err := t.unclaimed(owner, turn.Claim); err != nil {
			return err
		}
		c, err := t.unlocked(owner, turn.Conversation.ID)
		if err != nil {
			return err
		}
		if c.contextVersion != turn.Conversation.ContextVersion {
			return chat.ErrStale
		}
		switch {
		case turn.Regenerate:
			return t.beginAgain(c, owner, turn)
		case len(rows) > 1:
			return t.atomically(func() error { return t.begin(c, owner, turn, rows) })
		default:
			// The only item that can be refused is the first thing written.
			return t.begin(c, owner, turn, rows)
		}
	})
}

func (t *tx) begin(c state, owner string, turn *chat.Turn, input []itemRow) error {
	if err := t.insertItems(c.num, c.nextSeq, input); err != nil {
		return err
	}
	turn.OutputSeq = c.nextSeq + int64(len(input))
	return t.beginResponse(c, owner, turn, c.nextSeq, 0)
}

// beginAgain begins a turn whose input is there. As the conversation has not changed since it was read, so has not the input.
func (t *tx) beginAgain(c state, owner string, turn *chat.Turn) error {
	turn.OutputSeq = c.nextSeq
	return t.beginResponse(c, owner, turn, turn.Input[0].Seq, turn.Input[len(turn.Input)-1].Seq+1)
}

// beginResponse writes a response whose input begins at firstSeq and, where inputEnd is not 0, ends there, and locks its conversation.
func (t *tx) beginResponse(c state, owner string, turn *chat.Turn, firstSeq, inputEnd int64) error {
	r := &turn.Response
	next := turn.OutputSeq
	added := next - c.nextSeq
	if err := t.insertResponse(c.num, owner, r, firstSeq, inputEnd, next); err != nil {
		return err
	}
	if err := t.write(t.prepare(lockConversation).int(next).int(added).ms(r.CreatedAt).text(r.ID).text(turn.Title).int(c.num)); err != nil {
		return err
	}
	if err := t.claim(owner, turn.Claim); err != nil {
		return err
	}
	return t.sealOne(&turn.Intent)
}

func (t *tx) insertResponse(conversation int64, owner string, r *chat.Response, firstSeq, inputEnd, outputSeq int64) error {
	s := t.prepare(insertResponse).int(conversation).text(r.ID).text(owner).text(string(r.Status)).int(int64(r.Attempts)).int(firstSeq)
	if inputEnd == 0 {
		s.null()
	} else {
		s.int(inputEnd)
	}
	return t.write(s.int(outputSeq).int(outputSeq).ms(r.CreatedAt).
		bool(r.Stream).text(r.Model).text(r.Provider).opt(r.Host).opt(r.Actor).opt(r.RequestID).count(r.Truncated).count(r.LastEvent))
}

// Where a response begins that is no turn: no item has these seqs.
const (
	asideSeq    = 0
	unstoredSeq = -1
)

// BeginAside implements chat.Store.
func (s *Store) BeginAside(ctx context.Context, owner string, claim *chat.Claim, r *chat.Response, intent audit.Record) error {
	return s.writer.submit(ctx, 0, func(t *tx) error {
		if err := t.unclaimed(owner, claim); err != nil {
			return err
		}
		c, err := t.state(owner, r.ConversationID)
		if err != nil {
			return err
		}
		at := int64(asideSeq)
		if r.Unstored {
			at = unstoredSeq
		}
		if err := t.insertResponse(c.num, owner, r, at, 0, at); err != nil {
			return err
		}
		if err := t.claim(owner, claim); err != nil {
			return err
		}
		return t.sealOne(&intent)
	})
}

// run is what decides whether a response can go on.
type run struct {
	num, conversation int64
	status            chat.Status
	firstSeq          int64
	// inputEnd is 0 where the turn is not one that is run again.
	inputEnd  int64
	outputSeq int64
	nextSeq   int64
	// conversationID is empty where the conversation is gone.
	conversationID string
	// usage and cost are the conversation's so far.
	usage llm.Usage
	cost  *chat.Cost
}

// running finds a response that has not ended.
func (t *tx) running(owner, id string) (run, error) {
	s := t.prepare(selectRun).text(id).text(owner)
	found, err := s.next()
	if err != nil {
		return run{}, err
	}
	if !found {
		return run{}, chat.ResponseNotFound()
	}
	defer s.reset()
	a := &arena{}
	r := run{
		num: s.getInt(), conversation: s.getInt(), status: chat.Status(s.getText(a)),
		firstSeq: s.getInt(), inputEnd: s.getInt(), outputSeq: s.getInt(), nextSeq: s.getInt(), conversationID: s.getText(a),
	}
	if r.status.Terminal() {
		return run{}, chat.ResponseEndedAlready()
	}
	usage, err := decodeUsage(s.getRaw(a))
	if usage != nil {
		r.usage = *usage
	}
	if err != nil {
		return run{}, err
	}
	r.cost, err = decodeCost(s.getRaw(a))
	return r, err
}

// NextAttempt implements chat.Store.
func (s *Store) NextAttempt(ctx context.Context, owner string, next *chat.Response, recs ...audit.Record) error {
	return s.writer.submitVital(ctx, 0, func(t *tx) error {
		r, err := t.running(owner, next.ID)
		if err != nil {
			return err
		}
		if err := t.write(t.prepare(setAttempt).int(int64(next.Attempts)).
			text(next.Model).text(next.Provider).opt(next.Host).opt(next.FallbackFrom).int(r.num)); err != nil {
			return err
		}
		return t.seal(recs)
	})
}

// End implements chat.Store. It sets the output's ConversationID, ResponseID and Seq.
func (s *Store) End(ctx context.Context, owner string, e *chat.Ending) error {
	output := e.Response.Output
	for i := range output {
		output[i].ResponseID, output[i].Output = e.Response.ID, true
		output[i].Excluded = output[i].Excluded || e.Response.Status.LeavesContext()
	}
	rows, err := encodeItems(e.Response.ConversationID, output)
	if err != nil {
		return err
	}
	deleted := false
	err = s.writer.submitVital(ctx, itemBytes(output), func(t *tx) error {
		r, err := t.running(owner, e.Response.ID)
		if err != nil {
			return err
		}
		deleted = r.conversationID == ""
		switch {
		case r.firstSeq == unstoredSeq:
			return t.endUnstored(&r, e)
		case deleted:
			return t.end(&r, e, r.outputSeq, r.outputSeq)
		case r.firstSeq == asideSeq:
			return t.endAside(&r, e)
		}
		if len(rows) > 1 {
			return t.atomically(func() error { return t.endTurn(&r, e, rows) })
		}
		return t.endTurn(&r, e, rows)
	})
	if err == nil && deleted {
		// The response was all that was left of its conversation.
		s.purger.poke()
	}
	return err
}

// endUnstored writes that a response has ended of which nothing is kept.
func (t *tx) endUnstored(r *run, e *chat.Ending) error {
	if err := t.write(t.prepare(deleteResponse).int(r.num)); err != nil {
		return err
	}
	return t.sealOne(&e.Outcome)
}

// endAside writes the end of a response that is no turn.
func (t *tx) endAside(r *run, e *chat.Ending) error {
	if e.Title != "" {
		if err := t.write(t.prepare(setTitle).text(e.Title).int(r.conversation)); err != nil {
			return err
		}
		if t.Changes() > 0 {
			if err := t.retitle(r.conversation, e.Title); err != nil {
				return err
			}
		}
	}
	return t.end(r, e, 0, 0)
}

// endTurn writes the end of a response whose conversation is there.
func (t *tx) endTurn(r *run, e *chat.Ending, output []itemRow) error {
	again, answered := r.inputEnd != 0, e.Response.Status.Answers()
	for i := range output {
		output[i].Superseded = again && !answered
	}
	if err := t.insertItems(r.conversation, r.nextSeq, output); err != nil {
		return err
	}
	added := int64(len(output))
	next := r.nextSeq + added
	switch {
	case again && answered:
		gone, err := t.supersede(r, e.Response.ID)
		if err != nil {
			return err
		}
		added -= gone
	case again:
		added = 0
	case e.Response.Status.LeavesContext():
		if err := t.write(t.prepare(excludeItems).int(pos(r.conversation, r.firstSeq)).int(pos(r.conversation, r.outputSeq))); err != nil {
			return err
		}
	}
	total := r.usage
	if u := e.Response.Usage; u != nil {
		total.InputTokens += u.InputTokens
		total.OutputTokens += u.OutputTokens
		total.TotalTokens += u.TotalTokens
		total.CachedTokens += u.CachedTokens
		total.ReasoningTokens += u.ReasoningTokens
	}
	if err := t.write(t.prepare(unlockConversation).int(next).int(added).ms(e.Response.CompletedAt).total(total).cost(r.cost.Plus(e.Response.Cost)).int(r.conversation)); err != nil {
		return err
	}
	for i := range e.Log {
		if err := t.putBatch(r.num, &e.Log[i]); err != nil {
			return err
		}
	}
	return t.end(r, e, r.nextSeq, next)
}

// supersede hides the output that a turn had before it was run again, and returns how many items that were. The input is the new
// response's then, and in the context, where it may not have been.
func (t *tx) supersede(r *run, id string) (int64, error) {
	if err := t.write(t.prepare(supersedeItems).int(pos(r.conversation, r.inputEnd)).int(pos(r.conversation, r.outputSeq))); err != nil {
		return 0, err
	}
	gone := int64(t.Changes())
	if err := t.write(t.prepare(unindexDocs).int(pos(r.conversation, r.inputEnd)).int(pos(r.conversation, r.outputSeq) - 1)); err != nil {
		return 0, err
	}
	return gone, t.write(t.prepare(takeUpItems).text(id).int(pos(r.conversation, r.firstSeq)).int(pos(r.conversation, r.inputEnd)))
}

// end writes the response's terminal state and its outcome.
func (t *tx) end(r *run, e *chat.Ending, outputSeq, endSeq int64) error {
	final := &e.Response
	s := t.prepare(endResponse).text(string(final.Status)).int(int64(final.Attempts)).int(outputSeq).int(endSeq).
		time(final.StartedAt).time(final.FirstTokenAt).time(final.CompletedAt).opt(final.FinishReason)
	if final.Error != nil {
		s.text(final.Error.Code).text(final.Error.Message).text(final.Error.Kind.String())
	} else {
		s.null().null().null()
	}
	if err := t.write(s.usage(final.Usage).cost(final.Cost).count(final.Truncated).count(final.LastEvent).int(r.num)); err != nil {
		return err
	}
	return t.sealOne(&e.Outcome)
}
