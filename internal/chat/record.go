package chat

import (
	"slices"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/pii"
	"github.com/parley-llm/parley/internal/rawjson"
)

// maskPolicy names how findings are written: as tags.
const maskPolicy = "tag"

// maskingFailed stands for a text that the masker could not do.
const maskingFailed = "[REDACTED: masking failed]"

// maxMasked bounds what is masked for one record, in bytes. The masker takes linear time, a fraction of a second for so
// much, so this bounds the time too, and the same text always has the same outcome.
const maxMasked = 16 << 20

// Statuses of an outcome that are not a response's.
const (
	outcomeNotSent           = "not_sent"
	outcomeUnknownAfterCrash = "unknown_after_crash"
)

// maskedText is a text that is fit for the audit log, before it is cut.
type maskedText struct {
	text   string
	counts pii.Counts
	failed bool
}

// record begins an audit record of something that a caller does now.
func (s *Service) record(kind audit.Kind, caller Caller) audit.Record {
	return audit.Record{
		ID: s.NewID(PrefixAudit), Time: s.now(), Kind: kind,
		Owner: caller.Owner, Actor: caller.Actor, RequestID: caller.RequestID,
	}
}

// intent is the record that must be durable before the provider is dialled.
func (s *Service) intent(t *turn, c *Conversation, masked maskedText) audit.Record {
	rec := s.attemptRecord(audit.KindIntent, t, 1)
	if c.User != "" {
		rec.User = s.Pseudonym(c.User)
	}
	if s.AuditMaxChars > 0 {
		rec.Payloads = append(rec.Payloads, audit.NewPayload(audit.PartPrompt, audit.CutTail(masked.text, s.AuditMaxChars)))
	}
	rec.Payloads = append(rec.Payloads, t.commitment())
	rec.Mask = mask(&masked.counts, masked.failed)
	return rec
}

// commitment stands for what is sent: the history that is left, and the input.
func (t *turn) commitment() audit.Payload {
	return audit.NewCommitment(audit.PartContext, len(t.prompt.request.Items), t.call.Body)
}

// commit puts a new commitment into the intent. The earlier attempt's record keeps its own.
func (t *turn) commit() {
	t.intent.Payloads = slices.Clone(t.intent.Payloads)
	t.intent.Payloads[len(t.intent.Payloads)-1] = t.commitment()
}

// nextIntent is the intent of a further attempt: the same texts, sent again, maybe to another model.
func (s *Service) nextIntent(t *turn, attempt int) audit.Record {
	rec := t.intent
	rec.ID, rec.Time, rec.Attempt = s.NewID(PrefixAudit), s.now(), attempt
	rec.Provider, rec.Model, rec.UpstreamHost = t.response.Provider, t.response.Model, t.response.Host
	return rec
}

// outcome is the record of how an attempt ended.
func (s *Service) outcome(t *turn, attempt int, status string, res *result) audit.Record {
	rec := s.attemptRecord(audit.KindOutcome, t, attempt)
	rec.User = t.intent.User
	rec.Status, rec.HTTPStatus = status, res.httpStatus
	if res.err != nil {
		rec.ErrorCode = res.err.Fault.Code
		rec.HTTPStatus = res.err.HTTPStatus
	}
	duration := res.ended.Sub(res.began).Milliseconds()
	rec.DurationMS = &duration
	if !res.firstToken.IsZero() {
		first := res.firstToken.Sub(res.began).Milliseconds()
		rec.FirstTokenMS = &first
	}
	if res.finish != nil {
		rec.FinishReason = res.finish.FinishReason
	}
	if u := res.usage; u != nil {
		rec.Usage = &audit.Usage{InputTokens: u.InputTokens, OutputTokens: u.OutputTokens, TotalTokens: u.TotalTokens}
		rec.UsageSource = audit.UsageProvider
		if res.estimated {
			rec.UsageSource = audit.UsageEstimated
		}
	}
	if c := res.cost; c != nil {
		rec.Cost = &audit.Cost{AmountMicros: c.AmountMicros, Currency: Currency, PriceVersion: c.PriceVersion, Estimated: c.Estimated}
	}
	s.addReply(&rec, res)
	return rec
}

func (s *Service) attemptRecord(kind audit.Kind, t *turn, attempt int) audit.Record {
	rec := s.record(kind, t.caller)
	rec.ConversationID, rec.ResponseID, rec.Attempt = t.response.ConversationID, t.response.ID, attempt
	rec.Provider, rec.Model, rec.UpstreamHost = t.response.Provider, t.response.Model, t.response.Host
	return rec
}

// addReply adds what came back, masked and cut.
func (s *Service) addReply(rec *audit.Record, res *result) {
	var counts pii.Counts
	failed := false
	add := func(part string, m maskedText) {
		failed = failed || m.failed
		counts.Add(&m.counts)
		if s.AuditMaxChars > 0 && m.text != "" {
			rec.Payloads = append(rec.Payloads, audit.NewPayload(part, audit.CutHead(m.text, s.AuditMaxChars)))
		}
	}
	add(audit.PartResponse, s.maskItems(res.output, func(it *Item) bool { return it.Type == llm.TypeMessage }))
	add(audit.PartToolCall, s.maskItems(res.output, func(it *Item) bool { return it.Type != llm.TypeMessage }))
	if res.err != nil {
		add(audit.PartError, contain(func(c *pii.Counts) []byte { return s.Masker.AppendText(nil, res.err.Detail, c) }))
	}
	rec.Mask = mask(&counts, failed)
}

// maskItems masks the texts of messages and the data of other items, one to a line. Of more than maxMasked nothing is kept.
func (s *Service) maskItems(items []Item, keep func(*Item) bool) maskedText {
	left := maxMasked
	m := contain(func(c *pii.Counts) (dst []byte) {
		for i := range items {
			it := &items[i]
			if !keep(it) {
				continue
			}
			if len(dst) > 0 {
				dst = append(dst, '\n')
			}
			if it.Type == llm.TypeMessage {
				text := contentText(it.Content)
				if left -= len(text); left < 0 {
					return nil
				}
				dst = s.Masker.AppendText(dst, text, c)
				continue
			}
			data := it.Data
			if it.Type == llm.TypeReasoning {
				// What a provider encrypted is no text, and cannot be masked.
				data = rawjson.AppendWithout(nil, data, "encrypted_content")
			}
			if left -= len(data); left < 0 {
				return nil
			}
			dst = s.Masker.AppendJSON(dst, data, c)
		}
		return dst
	})
	if left < 0 {
		return maskedText{text: maskingFailed, failed: true}
	}
	return m
}

// contain runs a masker that may fail: no text is better than one that is not masked.
func contain(masker func(c *pii.Counts) []byte) (m maskedText) {
	defer func() {
		if recover() != nil {
			m = maskedText{text: maskingFailed, failed: true}
		}
	}()
	m.text = string(masker(&m.counts))
	return m
}

func mask(counts *pii.Counts, failed bool) *audit.Mask {
	m := &audit.Mask{EngineVersion: pii.EngineVersion, Policy: maskPolicy, Failed: failed}
	counts.Each(func(e pii.Entity, n int) {
		m.Counts = append(m.Counts, audit.Count{Entity: e.String(), N: n})
	})
	return m
}

// unknownOutcome is the record of a response whose server died.
func (s *Service) unknownOutcome(r *Response, now time.Time) audit.Record {
	return audit.Record{
		ID: s.NewID(PrefixAudit), Time: now, Kind: audit.KindOutcome, Owner: r.Owner, Actor: r.Actor, RequestID: r.RequestID,
		ConversationID: r.ConversationID, ResponseID: r.ID, Attempt: r.Attempts,
		Provider: r.Provider, Model: r.Model, UpstreamHost: r.Host, Status: outcomeUnknownAfterCrash,
	}
}
