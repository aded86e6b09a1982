package server

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

const problemType = "application/problem+json"

// Codes of what only HTTP knows.
const (
	codeMalformed        = "malformed_json"
	codeTooDeep          = "too_deep"
	codeNoBody           = "body_required"
	codeBodyTimeout      = "body_timeout"
	codeBodyBroken       = "body_incomplete"
	codeTooLarge         = "body_too_large"
	codeMediaType        = "unsupported_media_type"
	codeEncoding         = "unsupported_content_encoding"
	codeRouteNotFound    = "route_not_found"
	codeMethodNotAllowed = "method_not_allowed"
	codeUnauthenticated  = "unauthenticated"
	codeHostNotAllowed   = "host_not_allowed"
	codeCrossOrigin      = "cross_origin"
	codeLagging          = "subscriber_lagging"
)

// statusOf is the one place where a kind of failure becomes a status. What only HTTP knows goes by its code.
func statusOf(f *fault.Error) int {
	switch f.Code {
	case codeMalformed, codeNoBody, codeBodyBroken:
		return http.StatusBadRequest
	case codeBodyTimeout:
		return http.StatusRequestTimeout
	case codeMediaType, codeEncoding:
		return http.StatusUnsupportedMediaType
	case codeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	}
	switch f.Kind {
	case fault.Invalid:
		return http.StatusUnprocessableEntity
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Gone:
		return http.StatusGone
	case fault.Conflict:
		return http.StatusConflict
	case fault.Precondition:
		return http.StatusPreconditionFailed
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.RateLimited:
		return http.StatusTooManyRequests
	case fault.Upstream:
		return http.StatusBadGateway
	case fault.Timeout:
		return http.StatusGatewayTimeout
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Canceled:
		return statusClientGone
	case fault.Internal:
	}
	return http.StatusInternalServerError
}

// statusClientGone is what the log says of a request whose client has left; nobody reads the answer.
const statusClientGone = 499

// problem is an error on its way out. It goes through huma as an error with a status and headers.
type problem struct {
	fault     *fault.Error
	status    int
	requestID string
}

// problem classifies err for the client and, where it is our failure, says the rest in the log.
func (s *server) problem(ctx context.Context, err error) *problem {
	f := fault.Of(err)
	p := &problem{fault: f, status: statusOf(f)}
	if x := exchangeOf(ctx); x != nil {
		p.requestID, x.code = x.caller.RequestID, f.Code
	}
	if p.status == http.StatusInternalServerError || p.status == http.StatusServiceUnavailable && f.Err != nil {
		s.Log.LogAttrs(ctx, slog.LevelError, "a request failed", slog.String("code", f.Code), slog.String("request_id", p.requestID), slog.Any("error", err))
	}
	return p
}

// Error implements error.
func (p *problem) Error() string { return p.fault.Error() }

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.status }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return problemType }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	p.setHeaders(h)
	return h
}

func (p *problem) setHeaders(h http.Header) {
	h.Set("X-Should-Retry", strconv.FormatBool(p.retry()))
	if after := p.fault.RetryAfter; after > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10))
		h.Set("Retry-After-Ms", strconv.FormatInt(after.Milliseconds(), 10))
	}
	if p.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
}

// retry tells a client whether the same request may succeed later. Once a response was begun our own retries are
// behind us and the same prompt would be a further one.
func (p *problem) retry() bool {
	if p.fault.ResponseID != "" {
		return false
	}
	return p.fault.Code == chat.CodeConversationLocked || p.fault.Code == chat.CodeResultInProgress || p.fault.Kind == fault.Unavailable || p.fault.Kind == fault.RateLimited
}

func (p *problem) appendJSON(dst []byte) []byte {
	o := object(dst)
	o.open()
	o.str("type", problemsPath+p.fault.Code)
	o.str("title", statusText(p.status))
	o.int("status", int64(p.status))
	o.str("detail", p.fault.Message)
	o.str("code", p.fault.Code)
	o.strIf("request_id", p.requestID)
	o.strIf("response_id", p.fault.ResponseID)
	if len(p.fault.Fields) > 0 {
		o.key("errors")
		for i, f := range p.fault.Fields {
			o = append(o, separator(i))
			o.open()
			o.str("location", f.Location)
			o.str("message", f.Message)
			o.close()
		}
		o = append(o, ']')
	}
	o.close()
	return o
}

// separator opens an array ahead of its first element and separates the others.
func separator(i int) byte {
	if i == 0 {
		return '['
	}
	return ','
}

func statusText(status int) string {
	if status == statusClientGone {
		return "Client Closed Request"
	}
	return http.StatusText(status)
}

// fail answers with err outside of huma.
func (s *server) fail(ctx context.Context, x *exchange, err error) {
	p := s.problem(ctx, err)
	h := x.Header()
	p.setHeaders(h)
	h["Content-Type"] = []string{problemType}
	body := append(p.appendJSON(nil), '\n')
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.WriteHeader(p.status)
	if !x.head {
		// The client is gone if this fails.
		_, _ = x.Write(body)
	}
}

// fromHuma turns the errors that huma makes into problems of ours. It puts the caller's values, and the names the caller
// chose, into them: neither goes out.
func (s *server) fromHuma(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	f := &fault.Error{Kind: fault.Invalid, Code: chat.CodeInvalid, Message: "The request is not valid."}
	if m.Status >= http.StatusInternalServerError {
		f = fault.Of(m)
	}
	for _, coarse := range m.Errors {
		if len(m.Errors) > 1 && strings.HasPrefix(coarse.Message, decodeError) {
			// What made it fail is among the others.
			continue
		}
		for _, err := range s.refine(coarse) {
			detail := err.(*huma.ErrorDetail) //nolint:errorlint // refine returns nothing else
			f.Fields = addField(f.Fields, s.field(ctx.Operation(), detail))
		}
	}
	slices.SortFunc(f.Fields, func(a, b fault.Field) int {
		return cmp.Or(strings.Compare(a.Location, b.Location), strings.Compare(a.Message, b.Message))
	})
	p := s.problem(ctx.Context(), f)
	for name, values := range p.GetHeaders() {
		ctx.SetHeader(name, values[0])
	}
	return p, nil
}

// field is one finding of huma's without what the caller sent. What helps in the place of an unknown name is the known ones.
func (s *server) field(op *huma.Operation, detail *huma.ErrorDetail) fault.Field {
	location, message := s.names.location(detail.Location), detail.Message
	switch {
	case strings.HasPrefix(message, decodeError):
		location = s.names.location("body." + strings.TrimPrefix(message, decodeError))
		message = "has the wrong type or is out of range"
	case message == validation.MsgUnexpectedProperty:
		location = s.names.location(detail.Location[:strings.LastIndexByte(detail.Location, '.')])
		var known []string
		if schema := s.at(op, location); schema != nil {
			known = slices.Sorted(maps.Keys(schema.Properties))
		}
		message = unknownName("unexpected property", known)
	case message == validation.MsgExpectedRFC3339DateTime, strings.HasPrefix(message, "invalid date/time"):
		message = "expected an RFC 3339 date-time, such as 2026-05-04T09:30:00Z"
	default:
		// A field that may be null has null among its values.
		message = strings.Replace(message, ", <nil>", "", 1)
	}
	return fault.Field{Location: location, Message: message}
}

// addField adds one thing that is wrong, once, as long as the list is not too long.
func addField(fields []fault.Field, field fault.Field) []fault.Field {
	if len(fields) == maxFields || slices.Contains(fields, field) {
		return fields
	}
	return append(fields, field)
}

// location cuts a location of huma's at the first name that is not one of the API's own.
func (n names) location(loc string) string {
	end := 0
	for end < len(loc) {
		next := end
		switch loc[end] {
		case '[':
			if next = indexEnd(loc, end); next < 0 {
				return loc[:end]
			}
		default:
			if loc[end] == '.' {
				next++
			}
			start := next
			for next < len(loc) && loc[next] != '.' && loc[next] != '[' {
				next++
			}
			if !n.has(loc[start:next]) {
				return loc[:end]
			}
		}
		end = next
	}
	return loc
}

// indexEnd returns where the index that begins at start ends, or -1 if it is none of up to four digits.
func indexEnd(loc string, start int) int {
	const digits = 4
	for i := start + 1; i < len(loc) && i <= start+1+digits; i++ {
		if loc[i] == ']' && i > start+1 {
			return i + 1
		}
		if loc[i] < '0' || loc[i] > '9' {
			return -1
		}
	}
	return -1
}
