package chat

import (
	"context"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/pii"
)

// ImportConversation stores a conversation that another program has kept, with all its items at once, under the ids and times that they come
// with. It reports false, and writes nothing, where a conversation with that id is there already: what was imported before stays as it has
// become since.
func (s *Service) ImportConversation(ctx context.Context, caller Caller, c Conversation, items []Item) (bool, error) {
	c.Owner = caller.Owner
	c.SetTitle(c.Title)
	if c.Title == "" {
		c.Title = titleOf(items)
	}
	if err := c.validate(); err != nil {
		return false, err
	}
	for i := range items {
		it := &items[i]
		if err := validMetadata(it.Metadata); err != nil {
			return false, err
		}
		it.ConversationID, it.Status, it.Version = c.ID, ItemCompleted, 1
	}
	err := s.Store.CreateConversation(ctx, caller.Owner, nil, &c, items)
	if err != nil && fault.Of(err).Code == CodeDuplicateID {
		return false, nil
	}
	return err == nil, err
}

// ImportedCall is a call to a model that another program has logged. What is not known is empty.
type ImportedCall struct {
	ID               string
	Time             time.Time
	ConversationID   string
	Model            string
	Prompt, Response string
}

// ImportCalls appends calls to the audit log, as records of kind imported: masked, whatever was masked before, and cut as if they were made now.
// Those whose id the log has already are left out; it returns how many were not.
func (s *Service) ImportCalls(ctx context.Context, caller Caller, calls []ImportedCall) (int, error) {
	recs := make([]audit.Record, 0, len(calls))
	for i := range calls {
		_, err := s.Audit.Record(ctx, caller.Owner, calls[i].ID)
		switch {
		case err == nil:
		case fault.Of(err).Kind == fault.NotFound:
			recs = append(recs, s.imported(caller, &calls[i]))
		default:
			return 0, err
		}
	}
	if len(recs) == 0 {
		return 0, nil
	}
	if err := s.Audit.Append(ctx, recs...); err != nil {
		return 0, auditUnavailable(err)
	}
	return len(recs), nil
}

func (s *Service) imported(caller Caller, call *ImportedCall) audit.Record {
	rec := s.record(audit.KindImported, caller)
	rec.ID, rec.Time, rec.ConversationID, rec.Model = call.ID, call.Time, call.ConversationID, call.Model
	var counts pii.Counts
	failed := false
	add := func(part, text string, cut func(string, int) string) {
		m := maskedText{text: maskingFailed, failed: true}
		if len(text) <= maxMasked {
			m = contain(func(c *pii.Counts) []byte { return s.Masker.AppendText(nil, text, c) })
		}
		counts.Add(&m.counts)
		failed = failed || m.failed
		if s.AuditMaxChars > 0 && m.text != "" {
			rec.Payloads = append(rec.Payloads, audit.NewPayload(part, cut(m.text, s.AuditMaxChars)))
		}
	}
	add(audit.PartPrompt, call.Prompt, audit.CutTail)
	add(audit.PartResponse, call.Response, audit.CutHead)
	rec.Mask = mask(&counts, failed)
	return rec
}
