package server

import (
	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

// appendRecord writes an audit record without its texts.
func appendRecord(dst []byte, r *audit.Record) []byte { return appendAudit(dst, r, false) }

func appendAudit(dst []byte, r *audit.Record, texts bool) []byte {
	o := object(dst)
	o.open()
	o.str("id", r.ID)
	o.str("object", api.ObjectAuditRecord)
	o.str("chain", r.Chain)
	o.int("seq", r.Seq)
	o.time("time", r.Time)
	o.str("kind", string(r.Kind))
	o.strIf("owner", r.Owner)
	o.strIf("actor", r.Actor)
	o.strIf("user", r.User)
	o.strIf("conversation_id", r.ConversationID)
	o.strIf("response_id", r.ResponseID)
	o.strIf("item_id", r.ItemID)
	o.intIf("attempt", int64(r.Attempt))
	o.strIf("request_id", r.RequestID)
	o.strIf("provider", r.Provider)
	o.strIf("model", r.Model)
	o.strIf("upstream_host", r.UpstreamHost)
	o.strIf("status", r.Status)
	o.intIf("http_status", int64(r.HTTPStatus))
	o.strIf("error_code", r.ErrorCode)
	o.strIf("finish_reason", r.FinishReason)
	if u := r.Usage; u != nil {
		o.key("usage")
		o.open()
		o.int("input_tokens", u.InputTokens)
		o.int("output_tokens", u.OutputTokens)
		o.int("total_tokens", u.TotalTokens)
		o.close()
	}
	o.strIf("usage_source", r.UsageSource)
	o.intPtrIf("first_token_ms", r.FirstTokenMS)
	o.intPtrIf("duration_ms", r.DurationMS)
	if c := r.Cost; c != nil {
		o.key("cost")
		o.open()
		o.int("amount_micros", c.AmountMicros)
		o.str("currency", c.Currency)
		o.str("price_version", c.PriceVersion)
		o.bool("estimated", c.Estimated)
		o.close()
	}
	o.mask(r.Mask)
	o.heads(r.Heads)
	o.payloads(r.Payloads, texts)
	o.hex("prev_hash", r.PrevHash[:])
	o.hex("hash", r.Hash[:])
	o.close()
	return o
}

func (o *object) mask(m *audit.Mask) {
	if m == nil {
		return
	}
	o.key("mask")
	o.open()
	o.str("engine_version", m.EngineVersion)
	o.str("policy", m.Policy)
	o.key("counts")
	o.open()
	for _, c := range m.Counts {
		o.int(c.Entity, int64(c.N))
	}
	o.close()
	if m.Failed {
		o.bool("failed", true)
	}
	o.close()
}

func (o *object) heads(heads []audit.Head) {
	if len(heads) == 0 {
		return
	}
	o.key("heads")
	for i := range heads {
		*o = append(*o, separator(i))
		o.open()
		o.str("chain", heads[i].Chain)
		o.int("seq", heads[i].Seq)
		o.hex("hash", heads[i].Hash[:])
		if heads[i].Closed {
			o.bool("closed", true)
		}
		o.close()
	}
	*o = append(*o, ']')
}

func (o *object) payloads(payloads []audit.Payload, texts bool) {
	if len(payloads) == 0 {
		return
	}
	o.key("payloads")
	for i := range payloads {
		p := &payloads[i]
		*o = append(*o, separator(i))
		o.open()
		o.str("part", p.Part)
		o.intIf("items", int64(p.Items))
		o.int("chars", int64(p.Chars))
		if p.Stored {
			o.bool("stored", true)
		}
		o.hex("commitment", p.Commitment[:])
		// A text whose salt is gone has been erased.
		if texts && p.Stored && p.Salt != nil {
			o.str("text", p.Text)
		}
		o.close()
	}
	*o = append(*o, ']')
}

func appendModel(dst []byte, m *chat.Model) []byte {
	o := object(dst)
	o.open()
	o.str("id", m.ID)
	o.str("object", api.ObjectModel)
	o.str("provider", m.Provider)
	o.strOrNull("owned_by", m.OwnedBy)
	o.time("created_at", m.Created)
	o.intOrNull("context_window", m.Info.ContextWindow)
	o.intOrNull("max_output_tokens", m.Info.MaxOutput)
	if p := m.Info.Prices; p != nil {
		o.key("pricing")
		o.open()
		o.dollars("input", p.Input)
		o.dollars("cached_input", p.CachedInput)
		o.dollars("cache_write", p.CacheWrite)
		o.dollars("output", p.Output)
		o.str("currency", chat.Currency)
		o.str("price_version", p.Version)
		o.close()
	} else {
		o.null("pricing")
	}
	o.close()
	return o
}
