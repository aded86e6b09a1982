package server

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/audit"
)

// linesType is JSON, one value to a line.
const linesType = "application/x-ndjson"

func (s *server) exportRoute() {
	op := s.operation(route{
		method: http.MethodGet, path: "/api/audit/export", id: "exportAudit", tag: tagAudit,
		summary: "Export audit records",
		description: "One record to a line, chain by chain in the order of their numbers, with texts, salts, and the exact bytes under each hash: " +
			"`parley audit verify --export FILE` proves it offline, with --range where from or to was given. A range also holds the few records of a chain that lie between others of the range. " +
			"The last line is no record: its object is audit.export.end, and it says how many records there are and how far each chain goes. An answer without it is not whole. The export is itself recorded.",
		status: http.StatusOK,
	})
	op.Responses["200"].Content = map[string]*huma.MediaType{
		linesType: {Schema: &huma.Schema{OneOf: []*huma.Schema{
			s.registry.Schema(reflect.TypeFor[api.AuditRecord](), true, ""),
			s.registry.Schema(reflect.TypeFor[api.AuditExportEnd](), true, ""),
		}}, Example: exampleExport()},
	}
	content := op.Responses["200"].Content
	huma.Register(s.api, op, s.export)
	op.Responses[strconv.Itoa(http.StatusOK)].Content = content
}

type exportInput struct {
	strict
	TimeRange
}

// Resolve implements huma.Resolver.
func (in *exportInput) Resolve(ctx huma.Context) []error {
	return append(in.strict.Resolve(ctx), in.TimeRange.faults()...)
}

// written answers by itself.
type written struct {
	Body func(ctx huma.Context)
}

func (s *server) export(ctx context.Context, in *exportInput) (*written, error) {
	x := exchangeOf(ctx)
	return &written{Body: func(huma.Context) {
		out := lineWriter{exchange: x}
		if x.head {
			out.begin()
			return
		}
		err := s.Service.ExportAudit(ctx, x.caller, in.From, in.To, out.add)
		if err == nil {
			err = out.end()
		}
		switch {
		case err == nil:
		case x.status == 0:
			s.fail(ctx, x, err)
		default:
			if ctx.Err() == nil && !errors.Is(err, errClientGone) {
				_ = s.problem(ctx, err) // says it in the log
			}
			// Half of an answer is out: only breaking the connection off tells the client.
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

// lineWriter gathers the lines of an export and writes them in pieces.
type lineWriter struct {
	*exchange
	exporter audit.Exporter
	batch    []byte
}

var errClientGone = errors.New("the client is gone")

func (w *lineWriter) begin() {
	h := w.Header()
	h["Content-Type"] = []string{linesType}
	h["Content-Disposition"] = []string{`attachment; filename="parley-audit.jsonl"`}
	h["X-Accel-Buffering"] = []string{"no"}
	w.WriteHeader(http.StatusOK)
}

func (w *lineWriter) add(row *audit.Row) error {
	w.batch = w.exporter.Append(w.batch, row)
	if len(w.batch) < batchLimit {
		return nil
	}
	return w.write()
}

// end writes what is left, and the line that says that this is all.
func (w *lineWriter) end() error {
	w.batch = w.exporter.AppendEnd(w.batch)
	return w.write()
}

func (w *lineWriter) write() error {
	if w.status == 0 {
		w.begin()
	}
	if _, err := w.Write(w.batch); err != nil {
		return errors.Join(errClientGone, err)
	}
	w.batch = w.batch[:0]
	return nil
}
