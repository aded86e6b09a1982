package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ParseHeader reads the bytes that Chain.Seal returned, and nothing else: the version must be known, and a header that
// Seal would have written otherwise (another order, spacing or escape, an unknown field) is refused. The record has its
// Hash; its payloads have neither text nor salt. What a field means is not looked at.
func ParseHeader(header []byte) (Record, error) {
	r, err := parseHeader(header)
	if err != nil {
		return Record{}, err
	}
	if _, err := requireCanonical(nil, header, &r); err != nil {
		return Record{}, err
	}
	r.Hash = HashHeader(header)
	return r, nil
}

// requireCanonical fails if the record read from header is not written so. It returns buf, grown, for the next time.
func requireCanonical(buf, header []byte, r *Record) ([]byte, error) {
	buf = appendHeader(buf[:0], r)
	if !bytes.Equal(buf, header) {
		return buf, errors.New("the header is not written as this program writes it")
	}
	return buf, nil
}

// parseHeader reads a header, of which nothing but the broad structure is sure yet. All texts of the record are parts
// of one copy of the header.
func parseHeader(header []byte) (Record, error) {
	p := scanner{s: string(header)}
	if !p.take(headerStart) || !strings.HasPrefix(p.s[p.pos:], ",") {
		return Record{}, errors.New("the header is not of version 1")
	}
	var r Record
	p.who(&r)
	p.call(&r)
	r.Mask = p.mask()
	r.Heads = p.heads()
	r.Payloads = p.payloads()
	r.PrevHash = p.hash(`,"prev_hash":`)
	p.want("}")
	if p.failed || p.pos != len(p.s) {
		return Record{}, fmt.Errorf("the header cannot be read at byte %d", p.pos)
	}
	return r, nil
}

// who reads what every record has.
func (p *scanner) who(r *Record) {
	r.ID = p.text(`,"id":`)
	r.Chain = p.text(`,"chain":`)
	p.want(`,"seq":`)
	r.Seq = p.number()
	p.want(`,"time":`)
	r.Time = p.time()
	r.Kind = Kind(p.text(`,"kind":`))
	r.Owner = p.text(`,"owner":`)
	r.Actor = p.text(`,"actor":`)
	r.User = p.text(`,"user":`)
	r.ConversationID = p.text(`,"conversation_id":`)
	r.ResponseID = p.text(`,"response_id":`)
	r.ItemID = p.text(`,"item_id":`)
	r.Attempt = int(p.int(`,"attempt":`))
	r.RequestID = p.text(`,"request_id":`)
}

// call reads what a record of a model call has.
func (p *scanner) call(r *Record) {
	r.Provider = p.text(`,"provider":`)
	r.Model = p.text(`,"model":`)
	r.UpstreamHost = p.text(`,"upstream_host":`)
	r.Status = p.text(`,"status":`)
	r.HTTPStatus = int(p.int(`,"http_status":`))
	r.ErrorCode = p.text(`,"error_code":`)
	r.FinishReason = p.text(`,"finish_reason":`)
	r.Usage = p.usage()
	r.UsageSource = p.text(`,"usage_source":`)
	r.FirstTokenMS = p.millis(`,"first_token_ms":`)
	r.DurationMS = p.millis(`,"duration_ms":`)
	r.Cost = p.cost()
}

func (p *scanner) time() time.Time {
	t, err := time.Parse(time.RFC3339, p.string())
	if err != nil {
		p.failed = true
		return time.Time{}
	}
	return t.UTC()
}

func (p *scanner) usage() *Usage {
	if !p.take(`,"usage":{"input_tokens":`) {
		return nil
	}
	u := &Usage{InputTokens: p.number()}
	p.want(`,"output_tokens":`)
	u.OutputTokens = p.number()
	p.want(`,"total_tokens":`)
	u.TotalTokens = p.number()
	p.want("}")
	return u
}

func (p *scanner) cost() *Cost {
	if !p.take(`,"cost":{"amount_micros":`) {
		return nil
	}
	c := &Cost{AmountMicros: p.number()}
	c.Currency = p.text(`,"currency":`)
	c.PriceVersion = p.text(`,"price_version":`)
	c.Estimated = p.take(`,"estimated":true`)
	p.want("}")
	return c
}

func (p *scanner) millis(lead string) *int64 {
	if !p.take(lead) {
		return nil
	}
	ms := p.number()
	return &ms
}

func (p *scanner) mask() *Mask {
	if !p.take(`,"mask":{`) {
		return nil
	}
	// The first field of an object has no comma; commas that are missing elsewhere show when the record is written again.
	optional := func(lead string) bool { return p.take(lead) || p.take(lead[1:]) }
	m := &Mask{}
	if optional(`,"engine_version":`) {
		m.EngineVersion = p.string()
	}
	if optional(`,"policy":`) {
		m.Policy = p.string()
	}
	if optional(`,"counts":{`) && !p.take("}") {
		for more := true; more && !p.failed; more = p.take(",") {
			c := Count{Entity: p.string()}
			p.want(":")
			c.N = int(p.number())
			m.Counts = append(m.Counts, c)
		}
		p.want("}")
	}
	m.Failed = optional(`,"failed":true`)
	p.want("}")
	return m
}

func (p *scanner) heads() []Head {
	if !p.take(`,"heads":[`) {
		return nil
	}
	var heads []Head
	for more := true; more && !p.failed; more = p.take(",") {
		p.want(`{"chain":`)
		h := Head{Chain: p.string()}
		p.want(`,"seq":`)
		h.Seq = p.number()
		p.want(`,"hash":`)
		h.Hash = p.hex()
		h.Closed = p.take(`,"closed":true`)
		p.want("}")
		heads = append(heads, h)
	}
	p.want("]")
	return heads
}

func (p *scanner) payloads() []Payload {
	if !p.take(`,"payloads":[`) {
		return nil
	}
	var payloads []Payload
	for more := true; more && !p.failed; more = p.take(",") {
		payloads = append(payloads, p.payload())
		p.want("}")
	}
	p.want("]")
	return payloads
}

// payload reads the object of a payload but for its end.
func (p *scanner) payload() (l Payload) {
	p.want(`{"part":`)
	l.Part = p.string()
	l.Items = int(p.int(`,"items":`))
	p.want(`,"chars":`)
	l.Chars = int(p.number())
	l.Stored = p.take(`,"stored":true`)
	p.want(`,"commitment":`)
	l.Commitment = p.hex()
	return l
}
