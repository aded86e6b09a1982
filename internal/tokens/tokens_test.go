package tokens_test

import (
	"math"
	"strings"
	"testing"

	"github.com/parley-llm/parley/internal/tokens"
)

// The numbers are those that OpenAI publishes for o200k_base.
func TestCounts(t *testing.T) {
	var c tokens.Counter
	for _, test := range []struct {
		text string
		want int64
	}{
		{"", 0},
		{"hello world", 2},
		{"Hello, world!", 4},
		{"antidisestablishmentarianism", 6},
		{"2 + 2 = 4", 7},
		{"お誕生日おめでとう", 8},
		{strings.Repeat("hello ", 10_000), 10_001},
	} {
		if got := c.Count(test.text, math.MaxInt64); got != test.want {
			t.Errorf("%.20q: %d tokens, want %d", test.text, got, test.want)
		}
	}
}

func TestALongTextIsCountedInPiecesThatCutNoWord(t *testing.T) {
	var c tokens.Counter
	const word = " conversation"
	if got := c.Count(strings.Repeat(word, 20_000), math.MaxInt64); got != 20_000 {
		t.Errorf("%d tokens, want 20,000", got)
	}
	// Nothing to cut at: a code point is not torn, and a token more for each piece is all that it costs.
	whole := c.Count(strings.Repeat("語", 5_000), math.MaxInt64)
	if got := c.Count(strings.Repeat("語", 20_000), math.MaxInt64); got < 4*whole-8 || got > 4*whole+8 {
		t.Errorf("%d tokens, want about %d", got, 4*whole)
	}
}

func TestCountingStopsWhenThereAreTooMany(t *testing.T) {
	var c tokens.Counter
	text := strings.Repeat(" word", 1_000_000)
	if got := c.Count(text, 5_000); got <= 5_000 || got > 15_000 {
		t.Errorf("%d tokens were counted of at most 5,000", got)
	}
	if got := c.Count("one two three", 1); got != 3 {
		t.Errorf("%d tokens in a short text", got)
	}
}

func BenchmarkCount(b *testing.B) {
	var c tokens.Counter
	c.Warm()
	text := strings.Repeat("The quick brown fox jumps over the lazy dog; 12 of them, said Ms. O'Neil.\n", 1000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		c.Count(text, math.MaxInt64)
	}
}
