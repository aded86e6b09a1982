package sqlite

import (
	"errors"
	"strconv"

	"github.com/parley-llm/parley/internal/llm"
)

// appendUsage writes token counts as a JSON array: input, output, total, cached, reasoning.
func appendUsage(dst []byte, u *llm.Usage) []byte {
	lead := byte('[')
	for _, n := range [...]int64{u.InputTokens, u.OutputTokens, u.TotalTokens, u.CachedTokens, u.ReasoningTokens} {
		dst = strconv.AppendInt(append(dst, lead), n, 10)
		lead = ','
	}
	return append(dst, ']')
}

// decodeUsage reads what appendUsage wrote; nothing is nil.
func decodeUsage(raw []byte) (*llm.Usage, error) {
	if raw == nil {
		return nil, nil
	}
	u := &llm.Usage{}
	rest := raw
	for i, count := range [...]*int64{&u.InputTokens, &u.OutputTokens, &u.TotalTokens, &u.CachedTokens, &u.ReasoningTokens} {
		lead := byte(',')
		if i == 0 {
			lead = '['
		}
		if len(rest) == 0 || rest[0] != lead {
			return nil, errUsage
		}
		end := 1
		for end < len(rest) && rest[end] != ',' && rest[end] != ']' {
			end++
		}
		var err error
		if *count, err = strconv.ParseInt(string(rest[1:end]), 10, 64); err != nil {
			return nil, errUsage
		}
		rest = rest[end:]
	}
	if string(rest) != "]" {
		return nil, errUsage
	}
	return u, nil
}

var errUsage = errors.New("token counts are not as they were written")
