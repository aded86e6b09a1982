package chat

import (
	"bytes"
	"testing"

	"github.com/parley-llm/parley/internal/llm"
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

func TestATextThatWouldTakeTheMaskerTooLongIsReplacedAsAWhole(t *testing.T) {
	s := &Service{Masker: pii.New()}
	all := func(*Item) bool { return true }
	items := []Item{
		{Item: llm.Item{Type: llm.TypeMessage, Role: llm.User, Content: quote("write to jane.doe@example.com")}},
		{Item: llm.Item{Type: llm.TypeFunctionCall, Data: bytes.Repeat([]byte(" "), maxMasked)}},
	}
	if m := s.maskItems(items, all); m.text != maskingFailed || !m.failed || m.counts != (pii.Counts{}) {
		t.Errorf("%d characters, failed is %v", len(m.text), m.failed)
	}
	if m := s.maskItems(items, func(it *Item) bool { return it.Type == llm.TypeMessage }); m.text != "write to [MASKED_EMAIL]" || m.failed {
		t.Errorf("got %+v", m)
	}
}
