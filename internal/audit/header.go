package audit

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"time"
)

// headerStart opens every header. The version rises with any change to what follows.
const headerStart = `{"v":1`

const timeLayout = "2006-01-02T15:04:05.000Z"

// hashPrefix is hashed ahead of a header. It keeps records apart from whatever else may be hashed over them one day.
const hashPrefix = 0x00

// HashHeader returns SHA-256(0x00 || header).
func HashHeader(header []byte) [32]byte {
	// Most headers fit on the stack.
	buf := append(make([]byte, 0, 2048), hashPrefix)
	return sha256.Sum256(append(buf, header...))
}

// appendHeader appends the header of a record: compact JSON, the fields in this order for ever, empty ones left out.
// A header is stored as it was first written; from the first release on a new field is a new version.
func appendHeader(dst []byte, r *Record) []byte {
	dst = appendFields(append(dst, headerStart...), r)
	dst = appendMask(dst, r.Mask, false)
	dst = appendHeads(dst, r.Heads)
	dst = appendPayloads(dst, r.Payloads)
	dst = appendHash(dst, `,"prev_hash":`, r.PrevHash)
	return append(dst, '}')
}

// appendFields appends the fields of a record ahead of its mask.
func appendFields(dst []byte, r *Record) []byte {
	dst = appendText(dst, `,"id":`, r.ID)
	dst = appendText(dst, `,"chain":`, r.Chain)
	dst = strconv.AppendInt(append(dst, `,"seq":`...), r.Seq, 10)
	dst = append(dst, `,"time":"`...)
	dst = append(headerTime(r.Time).AppendFormat(dst, timeLayout), '"')
	dst = appendText(dst, `,"kind":`, string(r.Kind))
	dst = appendText(dst, `,"owner":`, r.Owner)
	dst = appendText(dst, `,"actor":`, r.Actor)
	dst = appendText(dst, `,"user":`, r.User)
	dst = appendText(dst, `,"conversation_id":`, r.ConversationID)
	dst = appendText(dst, `,"response_id":`, r.ResponseID)
	dst = appendText(dst, `,"item_id":`, r.ItemID)
	dst = appendInt(dst, `,"attempt":`, int64(r.Attempt))
	dst = appendText(dst, `,"request_id":`, r.RequestID)
	dst = appendText(dst, `,"provider":`, r.Provider)
	dst = appendText(dst, `,"model":`, r.Model)
	dst = appendText(dst, `,"upstream_host":`, r.UpstreamHost)
	dst = appendText(dst, `,"status":`, r.Status)
	dst = appendInt(dst, `,"http_status":`, int64(r.HTTPStatus))
	dst = appendText(dst, `,"error_code":`, r.ErrorCode)
	dst = appendText(dst, `,"finish_reason":`, r.FinishReason)
	dst = appendUsage(dst, r.Usage)
	dst = appendText(dst, `,"usage_source":`, r.UsageSource)
	dst = appendMillis(dst, `,"first_token_ms":`, r.FirstTokenMS)
	dst = appendMillis(dst, `,"duration_ms":`, r.DurationMS)
	return appendCost(dst, r.Cost)
}

// headerTime is a time as a header has it: UTC, whole milliseconds, the years that RFC 3339 can write.
func headerTime(t time.Time) time.Time {
	t = time.UnixMilli(t.UnixMilli()).UTC()
	switch year := t.Year(); {
	case year < 0:
		return time.Date(0, time.January, 1, 0, 0, 0, 0, time.UTC)
	case year > 9999:
		return time.Date(9999, time.December, 31, 23, 59, 59, 999e6, time.UTC)
	}
	return t
}

func appendUsage(dst []byte, u *Usage) []byte {
	if u == nil {
		return dst
	}
	dst = strconv.AppendInt(append(dst, `,"usage":{"input_tokens":`...), u.InputTokens, 10)
	dst = strconv.AppendInt(append(dst, `,"output_tokens":`...), u.OutputTokens, 10)
	dst = strconv.AppendInt(append(dst, `,"total_tokens":`...), u.TotalTokens, 10)
	return append(dst, '}')
}

func appendCost(dst []byte, c *Cost) []byte {
	if c == nil {
		return dst
	}
	dst = strconv.AppendInt(append(dst, `,"cost":{"amount_micros":`...), c.AmountMicros, 10)
	dst = appendText(dst, `,"currency":`, c.Currency)
	dst = appendText(dst, `,"price_version":`, c.PriceVersion)
	if c.Estimated {
		dst = append(dst, `,"estimated":true`...)
	}
	return append(dst, '}')
}

func appendMillis(dst []byte, lead string, ms *int64) []byte {
	if ms == nil {
		return dst
	}
	return strconv.AppendInt(append(dst, lead...), *ms, 10)
}

// appendMask leaves out what is empty, but for the counts where they are wanted.
func appendMask(dst []byte, m *Mask, counts bool) []byte {
	if m == nil {
		return dst
	}
	dst = append(dst, `,"mask":{`...)
	inside := len(dst)
	dst = appendText(dst, `,"engine_version":`, m.EngineVersion)
	dst = appendText(dst, `,"policy":`, m.Policy)
	if len(m.Counts) > 0 || counts {
		dst = append(dst, `,"counts":{`...)
		for i, c := range sortedCounts(m.Counts) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendInt(append(appendString(dst, c.Entity), ':'), int64(c.N), 10)
		}
		dst = append(dst, '}')
	}
	if m.Failed {
		dst = append(dst, `,"failed":true`...)
	}
	if len(dst) > inside {
		dst = slices.Delete(dst, inside, inside+1) // the comma of the first field
	}
	return append(dst, '}')
}

// sortedCounts returns counts as they are if they are sorted and no entity comes twice, else such a copy: a caller's
// slip must not make a header that cannot be read again.
func sortedCounts(counts []Count) []Count {
	byEntity := func(a, b Count) int { return strings.Compare(a.Entity, b.Entity) }
	sorted := true
	for i := 1; i < len(counts) && sorted; i++ {
		sorted = counts[i-1].Entity < counts[i].Entity
	}
	if sorted {
		return counts
	}
	all := slices.Clone(counts)
	slices.SortStableFunc(all, byEntity)
	merged := all[:1]
	for _, c := range all[1:] {
		if last := &merged[len(merged)-1]; last.Entity == c.Entity {
			last.N += c.N
			continue
		}
		merged = append(merged, c)
	}
	return merged
}

func appendHeads(dst []byte, heads []Head) []byte {
	if len(heads) == 0 {
		return dst
	}
	dst = append(dst, `,"heads":`...)
	open := byte('[')
	for i := range heads {
		h := &heads[i]
		dst = appendString(append(append(dst, open), `{"chain":`...), h.Chain)
		dst = strconv.AppendInt(append(dst, `,"seq":`...), h.Seq, 10)
		dst = appendHex(append(dst, `,"hash":`...), h.Hash)
		if h.Closed {
			dst = append(dst, `,"closed":true`...)
		}
		dst = append(dst, '}')
		open = ','
	}
	return append(dst, ']')
}

func appendPayloads(dst []byte, payloads []Payload) []byte {
	if len(payloads) == 0 {
		return dst
	}
	dst = append(dst, `,"payloads":`...)
	open := byte('[')
	for i := range payloads {
		dst = append(appendPayload(append(dst, open), &payloads[i]), '}')
		open = ','
	}
	return append(dst, ']')
}

// appendPayload appends the object of a payload but for its end.
func appendPayload(dst []byte, p *Payload) []byte {
	dst = appendString(append(dst, `{"part":`...), p.Part)
	dst = appendInt(dst, `,"items":`, int64(p.Items))
	dst = strconv.AppendInt(append(dst, `,"chars":`...), int64(p.Chars), 10)
	if p.Stored {
		dst = append(dst, `,"stored":true`...)
	}
	return appendHex(append(dst, `,"commitment":`...), p.Commitment)
}
