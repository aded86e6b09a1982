package audit

import (
	"strings"
	"unicode/utf8"
)

const (
	tagOpen  = "[MASKED_"
	tagClose = ']'
	// maxTag bounds what counts as a tag. Without it a text could hide behind a false tag as long as what is kept.
	maxTag = 64
)

// CutHead returns the first n code points of a masked text. A tag such as [MASKED_EMAIL] that would be cut is left out
// whole. The result shares no memory with a longer text.
func CutHead(text string, n int) string {
	if len(text) <= n {
		return text
	}
	end := 0
	for ; n > 0 && end < len(text); n-- {
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
	}
	if start, _, inside := tagAround(text, end); inside {
		end = start
	}
	if end == len(text) {
		return text
	}
	return strings.Clone(text[:end])
}

// CutTail is CutHead for the last n code points.
func CutTail(text string, n int) string {
	if len(text) <= n {
		return text
	}
	start := len(text)
	for ; n > 0 && start > 0; n-- {
		_, size := utf8.DecodeLastRuneInString(text[:start])
		start -= size
	}
	if _, end, inside := tagAround(text, start); inside {
		start = end
	}
	if start == 0 {
		return text
	}
	return strings.Clone(text[start:])
}

// tagAround finds the tag that a cut at i would break.
func tagAround(text string, i int) (start, end int, inside bool) {
	from := max(0, i-maxTag+1)
	open := strings.LastIndexByte(text[from:i], '[')
	if open < 0 {
		return 0, 0, false
	}
	start = from + open
	if !strings.HasPrefix(text[start:], tagOpen) {
		return 0, 0, false
	}
	limit := min(len(text), start+maxTag)
	for end = start + len(tagOpen); end < limit && isTagChar(text[end]); end++ {
	}
	if end == start+len(tagOpen) || end == limit || text[end] != tagClose {
		return 0, 0, false
	}
	return start, end + 1, end+1 > i
}

func isTagChar(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' }
