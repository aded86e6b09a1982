package llm

import "math/bits"

// ModelInfo is what is known of a model ahead of calling it. Zero fields are unknown.
type ModelInfo struct {
	// ContextWindow is how many tokens fit, input and output together.
	ContextWindow int64
	// MaxOutput is how many tokens of the window the longest usual answer takes.
	MaxOutput int64
	// Prices is nil where nobody has said what the model costs; prices of 0 mean that it is free.
	Prices *Prices
}

// Prices are in millionths of a US dollar for a million tokens.
type Prices struct {
	// Version names the list that they are from.
	Version string
	Input   int64
	// CachedInput is the price of input that the provider had in its cache; where it has none of its own, that of Input.
	CachedInput int64
	// CacheWrite is the price of input that the provider wrote to its cache; where it has none of its own, that of Input.
	CacheWrite int64
	Output     int64
}

const perMillion = 1_000_000

// maxMicros bounds a cost, so that a hundred thousand of them can be added up.
const maxMicros = 1 << 46

// Micros is what usage costs, in millionths of a US dollar, rounded to the nearest.
func (p *Prices) Micros(u *Usage) int64 {
	cached := min(u.CachedTokens, u.InputTokens)
	written := min(u.CacheWriteTokens, u.InputTokens-cached)
	var high, low uint64
	for _, part := range [...]struct{ tokens, price int64 }{
		{u.InputTokens - cached - written, p.Input}, {cached, p.CachedInput}, {written, p.CacheWrite}, {u.OutputTokens, p.Output},
	} {
		h, l := bits.Mul64(uint64(max(part.tokens, 0)), uint64(max(part.price, 0)))
		var carry uint64
		low, carry = bits.Add64(low, l, 0)
		high, _ = bits.Add64(high, h, carry)
	}
	low, carry := bits.Add64(low, perMillion/2, 0)
	high += carry
	if high >= perMillion {
		return maxMicros
	}
	micros, _ := bits.Div64(high, low, perMillion)
	return int64(min(micros, maxMicros))
}
