// Package tokens counts the tokens of a text as OpenAI's newer models do, by the encoding o200k_base. For others' models
// the number is an estimate.
//
// It knows no models and no conversations. The vocabulary is in the program; it is loaded when it is first needed.
package tokens

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tiktoken-go/tokenizer/codec"
)

// chunk is how much is encoded in one go: the encoder turns its input into code points first, and cannot be interrupted.
const chunk = 16 << 10

// Counter is safe for concurrent use. The zero Counter is ready.
type Counter struct {
	once  sync.Once
	codec *codec.Codec
}

// Warm loads the vocabulary, which takes a tenth of a second and 12 MiB, unless that was done already.
func (c *Counter) Warm() { c.once.Do(func() { c.codec = codec.NewO200kBase() }) }

// Count returns how many tokens a text has. It stops when there are more than most, and returns what it has by then.
func (c *Counter) Count(text string, most int64) int64 {
	c.Warm()
	var n int64
	for text != "" && n <= most {
		piece := text[:cut(text)]
		text = text[len(piece):]
		n += c.count(piece)
	}
	return n
}

// count never fails: where the encoder does, more than there can be is a safe answer.
func (c *Counter) count(piece string) (n int64) {
	defer func() {
		if recover() != nil {
			n = int64(len(piece))
		}
	}()
	tokens, err := c.codec.Count(piece)
	if err != nil {
		return int64(len(piece))
	}
	return int64(tokens)
}

// cut is where a chunk ends: ahead of a space, where no token goes across, or at a code point.
func cut(text string) int {
	if len(text) <= chunk {
		return len(text)
	}
	if at := strings.LastIndexByte(text[:chunk], ' '); at > chunk/2 {
		return at
	}
	end := chunk
	for end > chunk-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return end
}
