package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/parley-llm/parley/internal/fault"
)

const (
	jsonType       = "application/json"
	mergePatchType = "application/merge-patch+json"

	// bodyTimeout bounds how long a request's body may take to arrive.
	bodyTimeout = 60 * time.Second
	// firstRead is what is set aside for a body before any of it has come.
	firstRead = 16 << 10
)

// admit is huma's first middleware: it reads the body whole and scans it, and finds out whether the request may be one that is sent again.
// huma itself then sees only bodies that are JSON. What is wrong within them, and with the query, waits in the exchange
// for huma's own findings.
func (s *server) admit(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	x := exchangeOf(r.Context())
	joinPreconditions(r.Header)
	x.faults = checkQuery(ctx.Operation(), r.URL.RawQuery)
	if ctx.Operation().RequestBody != nil {
		if err := s.readBody(x, r, ctx.Operation()); err != nil {
			s.fail(r.Context(), x, err)
			return
		}
	}
	if r.Method == http.MethodPost {
		x.identify(r)
	}
	next(ctx)
}

// deepObject is the style of a parameter that is an object, each of its fields a parameter name[field].
const deepObject = "deepObject"

// checkQuery finds what huma lets pass in a query: what cannot be parsed, parameters given twice or empty, unknown ones, and text
// that nothing stored can hold.
func checkQuery(op *huma.Operation, raw string) []fault.Field {
	if raw == "" {
		return nil
	}
	var fields []fault.Field
	query, err := url.ParseQuery(raw)
	if err != nil {
		fields = append(fields, fault.Field{Location: "query", Message: "not a well-formed query"})
	}
	known := queryParams(op)
	for _, name := range slices.Sorted(maps.Keys(query)) {
		base, _, _ := strings.Cut(name, "[")
		if p := known[base]; p != nil && p.Style == deepObject {
			switch {
			case len(query[name]) > 1:
				fields = addField(fields, fault.Field{Location: "query." + base, Message: "a key given more than once"})
			case !strings.HasPrefix(name, base+"[") || !strings.HasSuffix(name, "]") || len(name) == len(base)+len("[]"):
				fields = addField(fields, fault.Field{Location: "query." + base, Message: "expected " + base + "[key]=value"})
			}
			fields = checkText(fields, "query."+base, name, query[name][0])
			continue
		}
		switch {
		case known[name] == nil:
			fields = addField(fields, fault.Field{Location: "query", Message: unknownName("unknown parameter", slices.Sorted(maps.Keys(known)))})
		case len(query[name]) > 1:
			fields = addField(fields, fault.Field{Location: "query." + name, Message: "given more than once"})
		case query[name][0] == "" && !mayBeEmpty(known[name].Schema):
			fields = addField(fields, fault.Field{Location: "query." + name, Message: "expected a value"})
		default:
			fields = checkText(fields, "query."+name, query[name][0])
		}
	}
	return fields
}

// checkText finds in the texts of a parameter what a body may not hold either.
func checkText(fields []fault.Field, location string, texts ...string) []fault.Field {
	for _, text := range texts {
		if !utf8.ValidString(text) {
			fields = addField(fields, fault.Field{Location: location, Message: badUTF8})
		}
		if strings.ContainsRune(text, 0) {
			fields = addField(fields, fault.Field{Location: location, Message: hasNUL})
		}
	}
	return fields
}

func queryParams(op *huma.Operation) map[string]*huma.Param {
	known := map[string]*huma.Param{}
	for _, p := range op.Parameters {
		if p.In == "query" {
			known[p.Name] = p
		}
	}
	return known
}

// mayBeEmpty reports whether an empty text is a value of a parameter, which huma takes for left out.
func mayBeEmpty(schema *huma.Schema) bool {
	return schema.Type == huma.TypeString && schema.Format == "" && len(schema.Enum) == 0 && schema.MinLength == nil
}

// unknownName helps by the names that are known, because the one that was sent is not repeated.
func unknownName(message string, known []string) string {
	if len(known) == 0 {
		return message
	}
	return message + "; expected one of " + strings.Join(known, ", ")
}

// strict is a request without a body. Its Resolve adds what admit found in the query to huma's own findings.
type strict struct{}

// Resolve implements huma.Resolver.
func (strict) Resolve(ctx huma.Context) []error { return details(exchangeOf(ctx.Context()).faults) }

func details(fields []fault.Field) []error {
	errs := make([]error, len(fields))
	for i, f := range fields {
		errs[i] = &huma.ErrorDetail{Location: f.Location, Message: f.Message}
	}
	return errs
}

// readBody puts the request's body, scanned, into the exchange and back into the request.
func (s *server) readBody(x *exchange, r *http.Request, op *huma.Operation) error {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return fault.New(fault.Invalid, codeEncoding, "Send the body as it is: compressed request bodies are not accepted.")
	}
	// No type at all is taken for JSON, as RFC 9110 allows.
	if ct := r.Header.Get("Content-Type"); ct != "" && ct != jsonType && r.ContentLength != 0 && !isJSON(ct, r.Method) {
		return fault.Newf(fault.Invalid, codeMediaType, "Send the body as %s.", jsonType)
	}
	body, err := s.receive(x, r)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		if op.RequestBody.Required {
			return fault.New(fault.Invalid, codeNoBody, "The request needs a JSON body.")
		}
		return nil
	}
	faults, err := scan(body, s.names)
	switch {
	case errors.Is(err, errTooDeep):
		return fault.Newf(fault.Invalid, codeTooDeep, "The body nests arrays and objects more than %d deep.", maxDepth)
	case errors.Is(err, errTooMany):
		return invalid(faults...)
	case err != nil:
		return malformed()
	}
	// huma knows a type by how it is written here alone.
	r.Header.Set("Content-Type", jsonType)
	x.body, x.faults = body, append(x.faults, faults...)
	r.Body = &replay{of: x}
	return nil
}

// replay reads the body that an exchange holds, for huma.
type replay struct {
	of *exchange
	at int
}

func (r *replay) Read(p []byte) (int, error) {
	n := copy(p, r.of.body[min(r.at, len(r.of.body)):])
	r.at += n
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (*replay) Close() error { return nil }

func isJSON(contentType, method string) bool {
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != jsonType && (method != http.MethodPatch || mediaType != mergePatchType) {
		return false
	}
	charset, given := params["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}

// receive reads the whole body within the limits of size and time.
func (s *server) receive(x *exchange, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > s.MaxBody {
		return nil, tooLarge(s.MaxBody)
	}
	x.setReadDeadline(time.Now().Add(bodyTimeout))
	// Left alone, the deadline would look like the client's leaving later on.
	defer x.setReadDeadline(time.Time{})

	buf := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 512)+bytes.MinRead, firstRead)))
	n, err := buf.ReadFrom(io.LimitReader(r.Body, s.MaxBody+1))
	if n > s.MaxBody {
		return nil, tooLarge(s.MaxBody)
	}
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return nil, fault.New(fault.Timeout, codeBodyTimeout, "The body took too long to arrive.")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, codeBodyBroken, "The body ended before it was complete.")
	}
	x.unread = false
	return buf.Bytes(), nil
}

// withBody is a request with a JSON body. Its Resolve adds what huma's validation lets pass to huma's own findings, so
// that everything that is wrong is told at once.
type withBody[T any] struct {
	Body T
}

// Resolve implements huma.Resolver.
func (b *withBody[T]) Resolve(ctx huma.Context) []error {
	x := exchangeOf(ctx.Context())
	fields := x.faults
	if bytes.Contains(x.body, []byte("null")) {
		fields = append(fields, x.server.nulls(ctx.Operation(), x.body)...)
	}
	fields = append(fields, checkBody(&b.Body)...)
	return details(fields)
}

// nulls finds the fields that are null where the schema has no null and that may be left out: huma takes them for that.
func (s *server) nulls(op *huma.Operation, body []byte) []fault.Field {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return nil
	}
	n := nullFinder{registry: s.registry}
	n.walk(op.RequestBody.Content[jsonType].Schema, v, "body")
	return n.fields
}

type nullFinder struct {
	registry huma.Registry
	fields   []fault.Field
}

func (n *nullFinder) walk(schema *huma.Schema, v any, location string) {
	for schema.Ref != "" {
		schema = n.registry.SchemaFromRef(schema.Ref)
	}
	if schema.OneOf != nil {
		if schema = form(schema, v); schema == nil {
			return
		}
	}
	switch v := v.(type) {
	case []any:
		if schema.Items == nil {
			return
		}
		for i, element := range v {
			n.walk(schema.Items, element, location+"["+strconv.Itoa(i)+"]")
		}
	case map[string]any:
		for name, value := range v {
			property := schema.Properties[name]
			switch {
			case property == nil:
			case value != nil:
				n.walk(property, value, location+"."+name)
			case n.refuses(property) && (schema.Nullable || !slices.Contains(schema.Required, name)):
				// A required field huma finds itself, but in an object that may be null.
				n.fields = append(n.fields, fault.Field{Location: location + "." + name, Message: "expected a value, not null"})
			}
		}
	}
}

// refuses reports whether a schema has no null.
func (n *nullFinder) refuses(schema *huma.Schema) bool {
	for schema.Ref != "" {
		schema = n.registry.SchemaFromRef(schema.Ref)
	}
	return !schema.Nullable && (schema.Type != "" || schema.OneOf != nil)
}

func malformed() *fault.Error {
	return fault.New(fault.Invalid, codeMalformed, "The body is not valid JSON.")
}

func tooLarge(limit int64) *fault.Error {
	return fault.Newf(fault.TooLarge, codeTooLarge, "The body has more than %d bytes.", limit)
}

func invalid(fields ...fault.Field) *fault.Error {
	return &fault.Error{Kind: fault.Invalid, Code: "validation_failed", Message: "The request is not valid.", Fields: fields}
}
