package api

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// AuditQuery selects audit records. What is left empty does not filter.
type AuditQuery struct {
	ListQuery
	ConversationID, ResponseID, Kind string
	// From is inclusive, To is not.
	From, To time.Time
}

func (q *AuditQuery) values() url.Values {
	v := q.ListQuery.values()
	set(v, "conversation_id", q.ConversationID)
	set(v, "response_id", q.ResponseID)
	set(v, "kind", q.Kind)
	setTime(v, "from", q.From)
	setTime(v, "to", q.To)
	return v
}

// AuditRecords returns a page of audit records without their texts, newest first. Reading the log is itself recorded.
func (c *Client) AuditRecords(ctx context.Context, q AuditQuery) (list AuditRecordList, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: path("audit", "records"), query: q.values()}, &list)
	return list, err
}

// AllAuditRecords are the audit records of a query, from its page on. An error ends it.
func (c *Client) AllAuditRecords(ctx context.Context, q AuditQuery) iter.Seq2[AuditRecord, error] {
	return all(func(after string) ([]AuditRecord, string, error) {
		if after != "" {
			q.After = after
		}
		list, err := c.AuditRecords(ctx, q)
		return list.Data, next(&list.Page, nil), err
	})
}

// AuditRecord returns an audit record with its masked texts.
func (c *Client) AuditRecord(ctx context.Context, id string) (r AuditRecord, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: path("audit", "records", id)}, &r)
	return r, err
}

// ExportAudit writes the audit records from from on and ahead of to, where these are not zero, to w as JSON lines: each an
// AuditRecord, and the last an AuditExportEnd, which their Object tells apart. The bytes are as the server sent them, for
// `parley audit verify --export` to prove. After an error w holds a part, without the last line.
func (c *Client) ExportAudit(ctx context.Context, from, to time.Time, w io.Writer) error {
	q := url.Values{}
	setTime(q, "from", from)
	setTime(q, "to", to)
	resp, err := c.send(ctx, call{method: http.MethodGet, path: path("audit", "export"), query: q})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("exporting the audit log: %w", err)
	}
	return nil
}
