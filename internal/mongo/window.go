package mongo

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/chat"
)

// window is a page as one scan of an index by field: the documents between lo and hi, both exclusive and nil where there is no bound.
type window struct {
	field  string
	lo, hi any
	// down is the direction of the scan; reverse: it runs against the list's order.
	down, reverse bool
	limit         int
	maxBytes      int
}

// newWindow turns a page into a scan. lookup finds the place of an id or fails with invalid_cursor.
func newWindow(field string, p chat.Page, lookup func(id string) (any, error)) (window, error) {
	w := window{field: field, down: p.Down(), reverse: p.Reversed(), limit: max(p.Limit, 1), maxBytes: p.MaxBytes}
	var err error
	w.lo, w.hi, err = chat.Bounds(&p, nil, nil, lookup)
	return w, err
}

// filter adds the window's bounds to a filter.
func (w *window) filter(filter bson.D) bson.D {
	bounds := bson.D{}
	if w.lo != nil {
		bounds = append(bounds, bson.E{Key: "$gt", Value: w.lo})
	}
	if w.hi != nil {
		bounds = append(bounds, bson.E{Key: "$lt", Value: w.hi})
	}
	if len(bounds) > 0 {
		filter = append(filter, bson.E{Key: w.field, Value: bounds})
	}
	return filter
}

func (w *window) sort() bson.D {
	if w.down {
		return bson.D{{Key: w.field, Value: -1}}
	}
	return bson.D{{Key: w.field, Value: 1}}
}

// collect reads a page. scan makes an element of a document and returns the size of its content.
func collect[D, T any](ctx context.Context, c collection, filter bson.D, w window, projection any, scan func(doc *D, v *T) (int, error)) (page chat.List[T], err error) {
	page.Data = make([]T, 0, min(w.limit, batch))
	o := options.Find().SetSort(w.sort()).SetLimit(int64(w.limit) + 1).SetBatchSize(batch)
	if projection != nil {
		o.SetProjection(projection)
	}
	bytes := 0
	err = each(ctx, c, w.filter(filter), o, func(doc *D) (bool, error) {
		if len(page.Data) == w.limit || w.maxBytes > 0 && bytes > w.maxBytes {
			page.HasMore = true
			return false, nil
		}
		var v T
		n, err := scan(doc, &v)
		page.Data = append(page.Data, v)
		bytes += n
		return true, err
	})
	if err != nil {
		return chat.List[T]{}, err
	}
	if w.reverse {
		slices.Reverse(page.Data)
	}
	return page, nil
}
