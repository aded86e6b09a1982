package chat

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/parley-llm/parley/internal/llm"
)

// titleChars is how much of the first user message becomes a title.
const titleChars = 80

// contentText is the text in a message's content: the string, or the texts of its parts, one to a line. A part without
// text stands as its type in brackets, so that the data of an image never becomes text.
func contentText(content json.RawMessage) string {
	if len(content) == 0 {
		return ""
	}
	if content[0] == '"' {
		return unquote(content)
	}
	parts := textParts(content)
	lines := make([]string, 0, len(parts))
	for _, p := range parts {
		if p.known {
			lines = append(lines, p.text)
		} else {
			lines = append(lines, "["+p.kind+"]")
		}
	}
	return strings.Join(lines, "\n")
}

// textPart is one part of a content that is an array: its text, where it has one that is known as such.
type textPart struct {
	kind, text string
	known      bool
}

// textParts are the parts of a content that is an array; nil if it is none.
func textParts(content json.RawMessage) []textPart {
	var raw []struct {
		Type    string `json:"type"`
		Text    *string
		Refusal *string
	}
	if err := json.Unmarshal(content, &raw); err != nil {
		return nil
	}
	parts := make([]textPart, len(raw))
	for i, p := range raw {
		parts[i].kind = p.Type
		for _, text := range []*string{p.Refusal, p.Text} {
			if text != nil {
				parts[i].text, parts[i].known = *text, true
			}
		}
	}
	return parts
}

// unquote decodes a JSON string. One without escapes is sliced, not decoded.
func unquote(raw json.RawMessage) string {
	if len(raw) >= 2 && bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return ""
	}
	return s
}

// quote encodes a text as a JSON string as plainly as JSON allows, so that it comes back byte for byte.
func quote(s string) json.RawMessage {
	var b bytes.Buffer
	b.Grow(len(s) + 2)
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// A string always encodes: what is not UTF-8 becomes U+FFFD.
	_ = enc.Encode(s)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// titleOf is the title that a conversation takes from items: the start of the first user message, on one line.
func titleOf(items []Item) string { return cutTitle(firstUserText(items)) }

func firstUserText(items []Item) string {
	for i := range items {
		if items[i].Type == llm.TypeMessage && items[i].Role == llm.User {
			return contentText(items[i].Content)
		}
	}
	return ""
}

func cutTitle(text string) string {
	var b strings.Builder
	chars, space := 0, false
	for _, r := range text {
		if unicode.Is(unicode.Bidi_Control, r) {
			continue
		}
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			space = chars > 0
			continue
		}
		if space {
			if chars+1 >= titleChars {
				break
			}
			b.WriteByte(' ')
			chars++
			space = false
		}
		if chars == titleChars {
			break
		}
		b.WriteRune(r)
		chars++
	}
	return b.String()
}

func tooLong(s string, chars int) bool {
	return len(s) > chars && utf8.RuneCountInString(s) > chars
}
