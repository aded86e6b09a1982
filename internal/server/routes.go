package server

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

// maxPageBytes ends a page early, so that a hundred large messages are not one answer.
const maxPageBytes = 16 << 20

// answer is what a handler sends: bytes that are ready. What they are is said where the route is registered.
type answer struct {
	Status      int
	ContentType string `header:"Content-Type" hidden:"true"`
	ETag        string `header:"ETag" hidden:"true"`
	Location    string `header:"Location" hidden:"true"`
	Body        []byte
}

func jsonAnswer(status int, body []byte) *answer {
	return &answer{Status: status, ContentType: jsonType, Body: append(body, '\n')}
}

func noContent() *answer { return &answer{Status: http.StatusNoContent} }

// notModified is the answer to an If-None-Match that names the version.
func notModified(version int64) *answer {
	return &answer{Status: http.StatusNotModified, ETag: etag(version)}
}

// route is what a handler's registration says of it, for huma and for the documentation.
type route struct {
	method, path string
	id, tag      string
	summary      string
	description  string
	// status and reply are the success: the type that documents its body, nil for none.
	status int
	reply  any
	// headers of the success, of those in headerDocs.
	headers []string
	// errors are the statuses that it may fail with, besides those of every route.
	errors []int
	// examples of request bodies by name.
	examples map[string]any
	// notModified: an If-None-Match may be answered by 304. unready: the body also comes with a 503. open: no key is needed.
	notModified, unready, open bool
}

// register adds a route. Errors of the handler become problems.
func register[I any](s *server, rt route, handler func(context.Context, *I) (*answer, error)) {
	op := s.operation(rt)
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*answer, error) {
		a, err := handler(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return a, nil
	})
	s.alsoMergePatch(&op)
	if rt.reply == nil {
		// huma takes the bytes of an answer for a body even where there are none.
		op.Responses[strconv.Itoa(rt.status)].Content = nil
	}
}

// operation is a route in huma's terms.
func (s *server) operation(rt route) huma.Operation {
	success := &huma.Response{Description: http.StatusText(rt.status), Headers: map[string]*huma.Param{}}
	if rt.reply != nil {
		success.Content = map[string]*huma.MediaType{jsonType: {Schema: s.registry.Schema(reflect.TypeOf(rt.reply), true, ""), Example: exampleOf(rt.reply)}}
	}
	for _, name := range rt.headers {
		success.Headers[name] = headerDocs(name)
	}
	op := huma.Operation{
		OperationID: rt.id, Method: rt.method, Path: rt.path, Tags: []string{rt.tag},
		Summary: rt.summary, Description: rt.description, DefaultStatus: rt.status,
		Responses: map[string]*huma.Response{strconv.Itoa(rt.status): success},
		// The body is there already, within its limits.
		MaxBodyBytes: -1, BodyReadTimeout: -1,
	}
	if rt.method == http.MethodPost || rt.method == http.MethodPut || rt.method == http.MethodPatch {
		rt.errors = append(rt.errors, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
		op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{jsonType: {}}}
		if len(rt.examples) > 0 {
			op.RequestBody.Content[jsonType].Examples = map[string]*huma.Example{}
		}
		for name, value := range rt.examples {
			op.RequestBody.Content[jsonType].Examples[name] = &huma.Example{Summary: name, Value: value}
		}
	}
	if rt.method == http.MethodPost {
		op.Parameters = append(op.Parameters, keyParam())
	}
	if rt.open {
		op.Security = []map[string][]string{}
	} else {
		rt.errors = append(rt.errors, http.StatusUnauthorized, http.StatusServiceUnavailable)
	}
	rt.errors = append(rt.errors, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusInternalServerError)
	slices.Sort(rt.errors)
	for _, status := range slices.Compact(rt.errors) {
		op.Responses[strconv.Itoa(status)] = s.problemDocs(status)
	}
	if rt.notModified {
		op.Responses["304"] = &huma.Response{Description: "The version at hand is still the current one."}
	}
	if rt.unready {
		op.Responses["503"] = &huma.Response{Description: "Something that it needs fails.", Content: success.Content}
	}
	return op
}

// alsoMergePatch documents that a PATCH may call its body what it is.
func (s *server) alsoMergePatch(op *huma.Operation) {
	if op.Method == http.MethodPatch {
		op.RequestBody.Content[mergePatchType] = op.RequestBody.Content[jsonType]
	}
}

// PageQuery is the part of a list's query that all lists share. It is exported because huma looks no deeper.
type PageQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"How many at most."`
	After  string `query:"after" maxLength:"512" doc:"The id of an element: the page begins right behind it."`
	Before string `query:"before" maxLength:"512" doc:"The id of an element: the page ends right ahead of it, or, with after, no later than that."`
}

func (q *PageQuery) page(order string) chat.Page {
	return chat.Page{Limit: q.Limit, After: q.After, Before: q.Before, Desc: order == orderDesc, MaxBytes: maxPageBytes}
}

// cursorFault says of a cursor that a store did not know which parameter it was.
func cursorFault(err error, page *chat.Page) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code != chat.CodeInvalidCursor {
		return err
	}
	named := *f
	for _, cursor := range [][2]string{{"query.after", page.After}, {"query.before", page.Before}} {
		if cursor[1] != "" {
			named.Fields = append(named.Fields, fault.Field{Location: cursor[0], Message: "expected an id of this list"})
		}
	}
	return &named
}

const orderDesc = "desc"

// ConversationPath names a conversation.
type ConversationPath struct {
	ConversationID string `path:"conversation_id" doc:"The conversation's id." example:"conv_06bq3k0v5a9w2m7t1x4z8c6d5e"`
}

// MessagePath names a message of a conversation.
type MessagePath struct {
	ConversationPath
	MessageID string `path:"message_id" doc:"The message's id." example:"msg_06bq3k0v5a9w2m7t1x4z8c6d5e"`
}

// ResponsePath names a response.
type ResponsePath struct {
	ResponseID string `path:"response_id" doc:"The response's id." example:"resp_06bq3k0v5a9w2m7t1x4z8c6d5e"`
}

// IfMatch makes a change conditional.
type IfMatch struct {
	IfMatch string `header:"If-Match" doc:"The ETag of the version that is to be changed; another one is a 412."`
}

// IfNoneMatch makes a read conditional.
type IfNoneMatch struct {
	IfNoneMatch string `header:"If-None-Match" doc:"The ETag of the version at hand; if it is still the current one, the answer is a 304."`
}
