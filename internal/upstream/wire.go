package upstream

import (
	"encoding/json"
	"regexp"
	"strconv"

	"github.com/parley-llm/parley/internal/llm"
)

// Word is a string; numbers are taken as their text, and anything else as nothing.
type Word string

// UnmarshalJSON fails only on malformed text.
func (w *Word) UnmarshalJSON(b []byte) error {
	var s string
	switch {
	case b[0] == '"':
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
	case b[0] == '-' || b[0] >= '0' && b[0] <= '9':
		s = string(b)
	}
	*w = Word(s)
	return nil
}

// Count is a number of tokens. What is no such number counts as none: it must not spoil an answer.
type Count int64

// UnmarshalJSON never fails.
func (c *Count) UnmarshalJSON(b []byte) error {
	const most = 1 << 40
	if n, err := strconv.ParseFloat(string(b), 64); err == nil && n > 0 {
		*c = Count(min(n, most))
	}
	return nil
}

// Both come from outside and reach clients, so they must look like what they are.
var (
	reasonShape = shape{regexp.MustCompile(`^[A-Za-z0-9_.\-]+$`), 64}
	nameShape   = shape{regexp.MustCompile(`^[ -~]+$`), 256}
)

// shape is what a short text must look like. A bound of some hundred within the expression itself would take as many states.
type shape struct {
	like *regexp.Regexp
	most int
}

func (s shape) matches(text string) bool { return len(text) <= s.most && s.like.MatchString(text) }

// Finished is the end of an answer, with what the provider said of it as far as it looks like what it is. A reason that
// does not is "unknown".
func Finished(reason, model string, usage *llm.Usage) llm.Finished {
	f := llm.Finished{FinishReason: "unknown", Usage: usage}
	if reasonShape.matches(reason) {
		f.FinishReason = reason
	}
	if nameShape.matches(model) {
		f.Model = model
	}
	return f
}
