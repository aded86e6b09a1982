package mongo

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

// Append implements audit.Log.
func (s *Store) Append(ctx context.Context, recs ...audit.Record) error {
	return s.change(ctx, recs, nil, func(context.Context) error { return nil })
}

// Record implements audit.Log. What this process has written is sealed first; of another process's last moments a record may come without a place.
func (s *Store) Record(ctx context.Context, owner, id string) (audit.Record, error) {
	if ctx.Err() != nil {
		return audit.Record{}, chat.GivenUp(ctx)
	}
	s.sealer.flush(ctx)
	d, err := s.recordDoc(ctx, owner, id)
	if err != nil {
		return audit.Record{}, s.failed(ctx, err)
	}
	return d.whole()
}

func (s *Store) recordDoc(ctx context.Context, owner, id string) (*recordDoc, error) {
	var d recordDoc
	err := s.audit().FindOne(ctx, byID(id)).Decode(&d)
	if missing(err) || err == nil && d.Owner != owner {
		return nil, chat.RecordNotFound()
	}
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// Records implements audit.Log.
func (s *Store) Records(ctx context.Context, owner string, q audit.Query) ([]audit.Record, bool, error) {
	s.sealer.flush(ctx)
	var page chat.List[audit.Record]
	err := s.snapshot(ctx, func(ctx context.Context) error {
		p := chat.Page{Limit: q.Limit, After: q.After, Before: q.Before, Desc: !q.Asc}
		w, err := newWindow("pos", p, func(id string) (any, error) {
			d, err := s.recordDoc(ctx, owner, id)
			if err != nil {
				return nil, cursorError(err)
			}
			return d.Pos, nil
		})
		if err != nil {
			return err
		}
		w.within(q.From, q.To)
		filter := bson.D{elem("o", owner)}
		for _, f := range []struct{ field, value string }{{"c", q.ConversationID}, {"r", q.ResponseID}, {"kind", string(q.Kind)}} {
			if f.value != "" {
				filter = append(filter, elem(f.field, f.value))
			}
		}
		page, err = collect(ctx, s.audit(), filter, w, bson.D{elem("payloads", 0)}, func(d *recordDoc, rec *audit.Record) (n int, err error) {
			*rec, err = d.record()
			return 0, err
		})
		return err
	})
	return page.Data, page.HasMore, err
}

// within narrows a window of places in time to those from from on and ahead of to, where these are not zero.
func (w *window) within(from, to time.Time) {
	// A place is longer than the time that it begins with: behind that come all of the moment, ahead of it those before.
	if !from.IsZero() {
		if lo := sortable(ceilMilli(from)); w.lo == nil || w.lo.(string) < lo {
			w.lo = lo
		}
	}
	if !to.IsZero() {
		if hi := sortable(ceilMilli(to)); w.hi == nil || w.hi.(string) > hi {
			w.hi = hi
		}
	}
}
