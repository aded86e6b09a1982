package mongo

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
)

const (
	// exportPage is how many records are read in one snapshot, exportBytes about how much of them is held at a time.
	exportPage  = 500
	exportBytes = 4 << 20
	// settlePatience is how long an export waits for what other processes are just sealing.
	settlePatience = time.Second
	settlePause    = 50 * time.Millisecond
)

// span is a run of a chain's records: behind from, up to and including to.
type span struct {
	chain    string
	from, to int64
}

// Export implements audit.Log. Chains come newest first, so that the heads which later ones name are known before they pass. Records that are
// not sealed yet have no place in it: this process's are sealed first, and those of others waited for, for a moment.
func (s *Store) Export(ctx context.Context, owner string, from, to time.Time, yield func(*audit.Row) error) error {
	s.settleLog(ctx)
	return s.export(ctx, owner, from, to, yield)
}

func (s *Store) settleLog(ctx context.Context) {
	if s.sealer != nil {
		s.sealer.flush(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	for {
		open, err := s.exists(limited, s.audit(), bson.D{elem("unsealed", bson.D{elem("$exists", true)})})
		if err != nil || !open {
			return
		}
		select {
		case <-limited.Done():
			return
		case <-time.After(settlePause):
		}
	}
}

func (s *Store) export(ctx context.Context, owner string, from, to time.Time, yield func(*audit.Row) error) error {
	spans, err := s.spans(ctx, from, to)
	if err != nil {
		return s.failed(ctx, err)
	}
	for _, sp := range spans {
		for sp.from < sp.to {
			if ctx.Err() != nil {
				return chat.GivenUp(ctx)
			}
			page, err := s.exportPage(ctx, owner, &sp)
			if err != nil {
				return s.failed(ctx, err)
			}
			for _, row := range page {
				if err := yield(row); err != nil {
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
func (s *Store) spans(ctx context.Context, from, to time.Time) ([]span, error) {
	chains, err := list[chainDoc](ctx, s.chains(), bson.D{}, options.Find())
	if err != nil {
		return nil, err
	}
	slices.SortFunc(chains, func(a, b chainDoc) int { return int(b.Epoch - a.Epoch) })
	bounds := bson.D{}
	if !from.IsZero() {
		bounds = append(bounds, elem("$gte", time.UnixMilli(ceilMilli(from))))
	}
	if !to.IsZero() {
		bounds = append(bounds, elem("$lt", time.UnixMilli(ceilMilli(to))))
	}
	var spans []span
	for i := range chains {
		sp := span{chain: chains[i].Name, to: chains[i].Seq}
		if len(bounds) > 0 {
			first, err := s.edge(ctx, sp.chain, bounds, 1)
			if err != nil {
				return nil, err
			}
			if sp.to, err = s.edge(ctx, sp.chain, bounds, -1); err != nil {
				return nil, err
			}
			sp.from = first - 1
		}
		spans = append(spans, sp)
	}
	return spans, nil
}

// edge is the first or, with -1, the last record of a chain within bounds of time, or 0.
func (s *Store) edge(ctx context.Context, chain string, bounds bson.D, order int) (seq int64, err error) {
	o := options.Find().SetSort(bson.D{elem("seq", order)}).SetLimit(1).SetBatchSize(1).SetProjection(bson.D{elem("seq", 1)})
	err = each(ctx, s.audit(), bson.D{elem("chain", chain), elem("time", bounds)}, o, func(d *recordDoc) (bool, error) {
		seq = d.Seq
		return false, nil
	})
	return seq, err
}

// exportPage reads a page and moves the span behind it.
func (s *Store) exportPage(ctx context.Context, owner string, sp *span) (page []*audit.Row, err error) {
	o := options.Find().SetSort(bson.D{elem("seq", 1)}).SetLimit(exportPage).SetBatchSize(batch)
	filter := bson.D{elem("chain", sp.chain), elem("seq", bson.D{elem("$gt", sp.from), elem("$lte", sp.to)})}
	size, read := 0, 0
	err = each(ctx, s.audit(), filter, o, func(d *recordDoc) (bool, error) {
		read++
		sp.from = d.Seq
		if owner != "" && d.Owner != "" && d.Owner != owner {
			return true, nil
		}
		page = append(page, d.row())
		size += len(d.Header)
		for _, p := range d.Payloads {
			if p.Text != nil {
				size += len(*p.Text)
			}
		}
		return size < exportBytes, nil
	})
	if err == nil && read == 0 {
		sp.from = sp.to
	}
	return page, err
}
