package server

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

const (
	recordsPath = "/api/audit/records"
	tagAudit    = "Audit"
)

func (s *server) auditRoutes() {
	register(s, route{
		method: http.MethodGet, path: recordsPath, id: "listAuditRecords", tag: tagAudit,
		summary: "List audit records", description: "Newest first, without their texts. Reading the log is itself recorded.",
		status: http.StatusOK, reply: api.AuditRecordList{},
	}, s.listRecords)
	register(s, route{
		method: http.MethodGet, path: recordsPath + "/{record_id}", id: "getAuditRecord", tag: tagAudit,
		summary: "Read an audit record", description: "With its texts, which were masked and cut before they were written. Reading the log is itself recorded.",
		status: http.StatusOK, reply: api.AuditRecord{}, errors: []int{http.StatusNotFound},
	}, s.getRecord)
	s.exportRoute()
}

type listRecordsInput struct {
	strict
	PageQuery
	Order          string `query:"order" enum:"asc,desc" default:"desc" doc:"desc: newest first."`
	ConversationID string `query:"conversation_id" maxLength:"512" doc:"Only those of this conversation."`
	ResponseID     string `query:"response_id" maxLength:"512" doc:"Only those of this response."`
	Kind           string `query:"kind" maxLength:"64" doc:"Only those of this kind, such as llm.intent, llm.outcome, message.edited."`
	TimeRange
}

// Resolve implements huma.Resolver.
func (in *listRecordsInput) Resolve(ctx huma.Context) []error {
	return append(in.strict.Resolve(ctx), in.TimeRange.faults()...)
}

// TimeRange is a span of time that records are asked from. It is exported because huma looks no deeper.
type TimeRange struct {
	From time.Time `query:"from" doc:"Only those from this time on."`
	To   time.Time `query:"to" doc:"Only those ahead of this time."`
}

// faults takes a range in which no record can be for a mistake.
func (r *TimeRange) faults() []error {
	if r.From.IsZero() || r.To.IsZero() || r.From.Before(r.To) {
		return nil
	}
	return details([]fault.Field{{Location: "query.from", Message: "must be ahead of to"}})
}

func (s *server) listRecords(ctx context.Context, in *listRecordsInput) (*answer, error) {
	page := in.page(in.Order)
	records, more, err := s.Service.AuditRecords(ctx, exchangeOf(ctx).caller, audit.Query{
		ConversationID: in.ConversationID, ResponseID: in.ResponseID, Kind: audit.Kind(in.Kind), From: in.From, To: in.To,
		After: page.After, Before: page.Before, Limit: page.Limit, Asc: !page.Desc,
	})
	if err != nil {
		return nil, cursorFault(err, &page)
	}
	list := chat.List[audit.Record]{Data: records, HasMore: more}
	o := appendList(list, func(r *audit.Record) string { return r.ID }, appendRecord)
	o.close()
	return jsonAnswer(http.StatusOK, o), nil
}

type getRecordInput struct {
	strict
	RecordID string `path:"record_id" doc:"The record's id." example:"aud_06bq3k0v5a9w2m7t1x4z8c6d5e"`
}

func (s *server) getRecord(ctx context.Context, in *getRecordInput) (*answer, error) {
	r, err := s.Service.AuditRecord(ctx, exchangeOf(ctx).caller, in.RecordID)
	if err != nil {
		return nil, err
	}
	return jsonAnswer(http.StatusOK, appendAudit(nil, &r, true)), nil
}
