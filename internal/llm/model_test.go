package llm_test

import (
	"math"
	"testing"

	"github.com/parley-llm/parley/internal/llm"
)

func TestACostIsRoundedOnceAndNeverOverflows(t *testing.T) {
	mini := llm.Prices{Input: 150_000, CachedInput: 75_000, Output: 600_000}
	for _, c := range []struct {
		sentence string
		prices   llm.Prices
		usage    llm.Usage
		want     int64
	}{
		{"nothing costs nothing", mini, llm.Usage{}, 0},
		{"input and output by their prices", mini, llm.Usage{InputTokens: 1000, OutputTokens: 500}, 450},
		{"cached input is cheaper", mini, llm.Usage{InputTokens: 1000, CachedTokens: 800, OutputTokens: 500}, 390},
		{"input that is written to the cache has its own price", llm.Prices{Input: 3_000_000, CachedInput: 300_000, CacheWrite: 3_750_000, Output: 15_000_000}, llm.Usage{InputTokens: 1000, CachedTokens: 500, CacheWriteTokens: 300, OutputTokens: 10}, 600 + 150 + 1125 + 150},
		{"more written than there was counts as the rest", llm.Prices{Input: 1_000_000, CachedInput: 500_000, CacheWrite: 2_000_000}, llm.Usage{InputTokens: 10, CachedTokens: 4, CacheWriteTokens: 1000}, 2 + 12},
		{"more cached than there was counts as all", mini, llm.Usage{InputTokens: 10, CachedTokens: 1000}, 1},
		{"half a millionth is rounded up", mini, llm.Usage{InputTokens: 2, OutputTokens: 2}, 2},
		{"less is rounded down", mini, llm.Usage{InputTokens: 3}, 0},
		{"free is zero", llm.Prices{}, llm.Usage{InputTokens: 1 << 40, OutputTokens: 1 << 40}, 0},
		{"what is negative counts as nothing", mini, llm.Usage{InputTokens: -5, OutputTokens: -5}, 0},
		{"the largest numbers stay within bounds", llm.Prices{Input: math.MaxInt64, Output: math.MaxInt64}, llm.Usage{InputTokens: math.MaxInt64, OutputTokens: math.MaxInt64}, 1 << 46},
	} {
		if got := c.prices.Micros(&c.usage); got != c.want {
			t.Errorf("%s: %d, want %d", c.sentence, got, c.want)
		}
	}
}
