package sqlite

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/parley-llm/parley/internal/audit"
)

// A page of an export ends at whichever comes first: it is held in memory while its reader takes it.
const (
	exportPage  = 500
	exportBytes = 4 << 20
)

// The index alone answers it. What is in no order is put in order in memory: it is two numbers for each chain.
const selectTimes = `SELECT pos FROM audit INDEXED BY audit_by_time WHERE time >= ? AND time < ?`

// span is a run of positions: behind from, up to and including to.
type span struct{ from, to int64 }

// Export implements audit.Log.
func (s *Store) Export(ctx context.Context, owner string, from, to time.Time, yield func(*audit.Row) error) error {
	return export(ctx, owner, from, to, yield, func(fn func(*conn) error) error { return s.readers.read(ctx, fn) })
}

// ExportAudit is Store.Export of everybody's records for a database that a server may have open.
func ExportAudit(ctx context.Context, path string, from, to time.Time, yield func(*audit.Row) error) error {
	return inspect(path, func(c *conn) error {
		if err := requireSchema(c); err != nil {
			return err
		}
		return export(ctx, "", from, to, yield, func(fn func(*conn) error) error { return fn(c) })
	})
}

// export reads page by page by a connection that is lent for each. Nobody waits for yield but who called.
func export(ctx context.Context, owner string, from, to time.Time, yield func(*audit.Row) error, lend func(func(*conn) error) error) error {
	var spans []span
	if err := lend(func(c *conn) (err error) {
		spans, err = c.spans(from, to)
		return err
	}); err != nil {
		return err
	}
	for _, sp := range spans {
		for more := true; more; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			var page []audit.Row
			if err := lend(func(c *conn) (err error) {
				page, more, err = c.exportPage(owner, &sp)
				return err
			}); err != nil {
				return err
			}
			for i := range page {
				if err := yield(&page[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// spans are the runs of records in a range of time; zero times are no bounds. In a chain the times rise but for what was
// written at one moment, so what lies between the first and the last record of the range belongs to it: a chain with holes
// could not be verified.
func (c *conn) spans(from, to time.Time) ([]span, error) {
	if from.IsZero() && to.IsZero() {
		last, err := c.number(selectLastRecord)
		return []span{{0, last}}, err
	}
	lo, hi := int64(0), int64(maxPos)
	if !from.IsZero() {
		lo = ceilMilli(from)
	}
	if !to.IsZero() {
		hi = ceilMilli(to)
	}
	first, last := map[int64]int64{}, map[int64]int64{}
	q := c.prepare(selectTimes).int(lo).int(hi)
	defer q.reset()
	for {
		more, err := q.next()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		pos := q.getInt()
		epoch := pos >> recordBits
		if at, ok := first[epoch]; !ok || pos < at {
			first[epoch] = pos
		}
		last[epoch] = max(last[epoch], pos)
	}
	var list []span
	for _, epoch := range slices.Sorted(maps.Keys(first)) {
		list = append(list, span{first[epoch] - 1, last[epoch]})
	}
	return list, nil
}

// exportPage reads a page and moves the span behind it.
func (c *conn) exportPage(owner string, sp *span) (page []audit.Row, more bool, err error) {
	rows := c.auditRows(sp.from, sp.to, exportPage)
	defer rows.reset()
	a := &arena{}
	for read, size := 0, 0; size < exportBytes; read++ {
		row, at, err := rows.next(a)
		if err != nil || row == nil {
			return page, read == exportPage, err
		}
		sp.from = at
		if owner != "" && row.Owner != "" && row.Owner != owner {
			continue
		}
		page = append(page, *row)
		size += len(row.Header)
		for i := range row.Payloads {
			if text := row.Payloads[i].Text; text != nil {
				size += len(*text)
			}
		}
	}
	return page, true, nil
}
