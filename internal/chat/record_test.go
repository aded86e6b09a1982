package chat

import (
	"testing"

	"github.com/parley-llm/parley/internal/pii"
)

func TestATextThatTheMaskerCannotDoIsReplacedAsAWhole(t *testing.T) {
	m := contain(func(c *pii.Counts) []byte {
		c[pii.Email]++
		panic("a masker's bug")
	})
	if m.text != "[REDACTED: masking failed]" || !m.failed || m.counts != (pii.Counts{}) {
		t.Errorf("got %+v", m)
	}
	if rec := mask(&m.counts, m.failed); !rec.Failed {
		t.Error("the record does not say so")
	}
}
