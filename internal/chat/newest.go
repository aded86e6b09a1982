package chat

import (
	"cmp"
	"slices"

	"github.com/parley-llm/parley/internal/llm"
)

// maxSearch is how much further back than its window a context is read to find the call that an output in it answers.
const maxSearch = 256

// Newest reads items backwards, by next, until at least n are there, the first is a user's message, and no output stands without its call:
// what Store.Context returns for n. size is about how many items there will be. next reads the item before the last one into its argument and
// reports whether there was one. The items are in ascending order.
func Newest(n, size int, next func(it *Item) (bool, error)) ([]Item, error) {
	items := backwards{buf: make([]Item, size+4)}
	var unanswered calls
	// enough is the length of the shortest window that begins with a user's message; a call may lie further back.
	enough := 0
	for {
		var it Item
		more, err := next(&it)
		if err != nil {
			return nil, err
		}
		if !more || enough > 0 && items.n == enough+maxSearch {
			// The call is gone. Where a window was found, nothing is gained by sending more than that.
			return items.last(cmp.Or(enough, items.n)), nil
		}
		items.prepend(&it)
		unanswered.add(&it)
		if items.n < n || it.Type != llm.TypeMessage || it.Role != llm.User {
			continue
		}
		if len(unanswered) == 0 {
			return items.last(items.n), nil
		}
		enough = cmp.Or(enough, items.n)
	}
}

// LastInput reads items backwards, by next, and returns the input of the turn that they end with: what Store.LastTurn returns of it. The
// items at the end belong to one response.
func LastInput(next func(it *Item) (bool, error)) ([]Item, error) {
	input := backwards{buf: make([]Item, 4)}
	response := ""
	for {
		var it Item
		more, err := next(&it)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		response = cmp.Or(response, it.ResponseID)
		if it.ResponseID == "" || it.ResponseID != response {
			break
		}
		if !it.Output {
			input.prepend(&it)
		}
	}
	if input.n == 0 {
		return nil, NothingToRegenerate()
	}
	return input.last(input.n), nil
}

// backwards is a slice that grows at its front.
type backwards struct {
	buf []Item
	n   int
}

func (b *backwards) prepend(it *Item) {
	if b.n == len(b.buf) {
		b.buf = append(make([]Item, len(b.buf)), b.buf...)
	}
	b.n++
	b.buf[len(b.buf)-b.n] = *it
}

func (b *backwards) last(n int) []Item { return b.buf[len(b.buf)-n:] }

// calls are the ids of the calls that outputs answer and that have not come yet, reading backwards.
type calls []string

func (c *calls) add(it *Item) {
	switch it.Type {
	case llm.TypeFunctionCallOutput:
		*c = append(*c, CallID(it.Data))
	case llm.TypeFunctionCall:
		id := CallID(it.Data)
		*c = slices.DeleteFunc(*c, func(open string) bool { return open == id })
	}
}
