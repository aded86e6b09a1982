package sqlite

import (
	"cmp"
	"math"
	"slices"

	"github.com/parley-llm/parley/internal/chat"
)

// key is an element's place in a list: a time and a number, or only the number where the list is ordered by that alone.
type key struct{ time, num int64 }

const maxPos = math.MaxInt64

func (k key) compare(other key) int {
	return cmp.Or(cmp.Compare(k.time, other.time), cmp.Compare(k.num, other.num))
}

func later(a, b key) key {
	if a.compare(b) < 0 {
		return b
	}
	return a
}

func earlier(a, b key) key {
	if a.compare(b) > 0 {
		return b
	}
	return a
}

// window is a page as one scan of an index: the elements between lo and hi, both exclusive, upwards or down.
type window struct {
	lo, hi key
	down   bool
	// reverse: the scan runs against the list's order.
	reverse bool
	limit   int
}

// newWindow turns a page into a scan. lookup finds the key of an id or fails with invalid_cursor.
func newWindow(p chat.Page, lookup func(id string) (key, error)) (window, error) {
	w := window{down: p.Down(), reverse: p.Reversed(), limit: max(p.Limit, 1)}
	var err error
	w.lo, w.hi, err = chat.Bounds(&p, key{math.MinInt64, math.MinInt64}, key{math.MaxInt64, math.MaxInt64}, lookup)
	return w, err
}

// collect reads a page from q, which was asked for one row more than the page holds. scan reads one row into v and
// returns the size of its content.
func collect[T any](q *stmt, w window, maxBytes int, scan func(v *T) (int, error)) (chat.List[T], error) {
	defer q.reset()
	list := chat.List[T]{Data: make([]T, 0, min(w.limit, 100))}
	for bytes := 0; ; {
		more, err := q.next()
		if err != nil {
			return chat.List[T]{}, err
		}
		if !more {
			break
		}
		if len(list.Data) == w.limit || maxBytes > 0 && bytes > maxBytes {
			list.HasMore = true
			break
		}
		var blank T
		list.Data = append(list.Data, blank)
		n, err := scan(&list.Data[len(list.Data)-1])
		if err != nil {
			return chat.List[T]{}, err
		}
		bytes += n
	}
	if w.reverse {
		slices.Reverse(list.Data)
	}
	return list, nil
}
