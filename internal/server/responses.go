package server

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/chat"
)

const (
	responsesPath = conversationPath + "/responses"
	responsePath  = "/api/responses/{response_id}"
	tagResponses  = "Responses"
)

func (s *server) responseRoutes() {
	s.registerRespond(route{
		method: http.MethodPost, path: responsesPath, id: "createResponse", tag: tagResponses,
		summary: "Prompt a model",
		description: "Stores the prompt, calls the model with the conversation so far, stores the reply. The question is stored, and its audit record written, before the model is called.\n\n" +
			"Whole: 200 with the response once it is completed, incomplete or cancelled; a failure is a problem with response_id. With stream: true: 200 and an event stream at once, of which a failure is an event. A client that leaves does not end the response: its events can be read on at /api/responses/{response_id}/events. " +
			"With background: true: 202 at once, with the response as it begins. With store: false nothing is kept but the audit records.\n\n" +
			"With regenerate: true, in the place of prompt, the input of the last turn is run again, also of one that failed; the other fields may be given. When the new response is completed or incomplete it supersedes the old output: " +
			"that is no message of the conversation any more, and only its own response still shows it. Otherwise the old output stays, and what came of the new one is in its response alone.",
		status: http.StatusOK, reply: api.Response{}, headers: []string{replayedHeader},
		errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusGatewayTimeout},
		examples: map[string]any{
			"A question":        map[string]any{"prompt": "What is the capital of Portugal?"},
			"In the background": map[string]any{"prompt": "Tell me all about it.", "background": true},
			"Run again":         map[string]any{"regenerate": true, "params": map[string]any{"temperature": 1}},
			"Streamed":          map[string]any{"prompt": "Tell me about it.", "stream": true},
			"Tools": map[string]any{
				"prompt": "How warm is it in Lisbon?",
				"tools":  []any{map[string]any{"type": "function", "name": "temperature", "parameters": map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}}}},
			},
			"Tool output": map[string]any{"prompt": []any{map[string]any{"role": "tool", "content": []any{map[string]any{"type": "function_call_output", "call_id": "call_1", "output": "21 degrees"}}}}},
		},
	})
	register(s, route{
		method: http.MethodGet, path: responsesPath, id: "listResponses", tag: tagResponses,
		summary: "List a conversation's responses", description: "Newest first.",
		status: http.StatusOK, reply: api.ResponseList{}, errors: []int{http.StatusNotFound},
	}, s.listResponses)
	register(s, route{
		method: http.MethodGet, path: responsePath, id: "getResponse", tag: tagResponses,
		summary: "Read a response", description: "Its state, also while it runs.",
		status: http.StatusOK, reply: api.Response{}, errors: []int{http.StatusNotFound},
	}, s.getResponse)
	s.responseEventRoutes()
}

func (s *server) responseEventRoutes() {
	op := s.operation(route{
		method: http.MethodGet, path: responsePath + "/events", id: "readResponseEvents", tag: tagResponses,
		summary: "Read a response's events",
		description: "The event stream of a response behind the event numbered after: those that were, then those that come, until the last one. Each comes exactly once and with the number that it has in every stream of the response, so that a stream that broke is " +
			"read on where it broke, also after a restart of the server. A browser's EventSource does so by itself, by Last-Event-ID, which goes before after.\n\n" +
			"Streamed and background responses keep their events for a day after their end. Of a response that was made in one piece they are made from what is stored, once it has ended.",
		status: http.StatusOK, errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusGone},
	})
	op.Responses["200"].Content = map[string]*huma.MediaType{"text/event-stream": eventStreamDocs()}
	huma.Register(s.api, op, func(ctx context.Context, in *eventsInput) (*respondOutput, error) {
		x := exchangeOf(ctx)
		sub, err := s.Service.Events(ctx, x.caller.Owner, in.ResponseID, in.from)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return &respondOutput{Body: func(huma.Context) { s.stream(ctx, x, sub) }}, nil
	})
	register(s, route{
		method: http.MethodPost, path: responsePath + "/cancel", id: "cancelResponse", tag: tagResponses,
		summary:     "Cancel a response",
		description: "Stops the response, whoever asked for it, and keeps what has come. Waits up to five seconds for its end. One that has ended already stays as it is.",
		status:      http.StatusOK, reply: api.Response{}, errors: []int{http.StatusNotFound},
		examples: map[string]any{"Plain": map[string]any{}},
	}, s.cancelResponse)
}

type eventsInput struct {
	strict
	ResponsePath
	After       int64  `query:"after" minimum:"-1" default:"-1" doc:"The number of an event: the stream begins right behind it."`
	LastEventID string `header:"Last-Event-ID" pattern:"^(-1|[0-9]{0,18})$" patternDescription:"the id of an event, a number" doc:"The same, as a browser sends it; goes before after. An empty one counts as not sent."`

	from int
}

// Resolve implements huma.Resolver.
func (in *eventsInput) Resolve(ctx huma.Context) []error {
	errs := in.strict.Resolve(ctx)
	after := in.After
	if id, err := strconv.ParseInt(in.LastEventID, 10, 64); err == nil { // the pattern has refused all else
		after = id
	}
	in.from = int(min(max(after, -1), maxEventNumber)) + 1
	return errs
}

// maxEventNumber is more than any event has.
const maxEventNumber = 1 << 52

type cancelInput struct {
	ResponsePath
	withBody[*api.CancelResponse]
}

func (s *server) cancelResponse(ctx context.Context, in *cancelInput) (*answer, error) {
	r, err := s.Service.Cancel(ctx, exchangeOf(ctx).caller.Owner, in.ResponseID)
	if err != nil {
		return nil, err
	}
	return jsonAnswer(http.StatusOK, appendResponse(make([]byte, 0, 2048), &r)), nil
}

type respondInput struct {
	ConversationPath
	OnConflict string `query:"on_conflict" enum:"error,wait" default:"error" doc:"What becomes of the prompt while a response runs on the conversation: error is a 409 at once; wait has it wait for its turn, up to 30 seconds, and be a 409 then. Prompts begin in the order in which they came."`
	withBody[api.NewResponse]
}

// respondOutput answers by itself, whole or as a stream.
type respondOutput struct {
	Body func(ctx huma.Context)
}

func (s *server) registerRespond(rt route) {
	op := s.operation(rt)
	op.Responses["200"].Content["text/event-stream"] = eventStreamDocs()
	op.Responses["202"] = &huma.Response{Description: "The response has begun, with background.", Content: map[string]*huma.MediaType{jsonType: op.Responses["200"].Content[jsonType]}}
	op.Middlewares = huma.Middlewares{s.plainPrompts}
	huma.Register(s.api, op, func(ctx context.Context, in *respondInput) (*respondOutput, error) {
		run, err := s.respond(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return &respondOutput{Body: func(huma.Context) { s.answer(ctx, exchangeOf(ctx), run, &in.Body) }}, nil
	})
}

func (s *server) respond(ctx context.Context, in *respondInput) (*chat.Run, error) {
	x := exchangeOf(ctx)
	run, err := s.Service.Respond(ctx, chatRequest(x.caller, in))
	// The prompt is stored; the answer, which may take long, does not hold it.
	x.body, in.Body = nil, api.NewResponse{Stream: in.Body.Stream, Background: in.Body.Background}
	return run, err
}

func (s *server) answer(ctx context.Context, x *exchange, run *chat.Run, body *api.NewResponse) {
	delivered := false
	defer func() { s.Service.Delivered(x.caller, delivered && ctx.Err() == nil) }()
	switch {
	case body.Stream:
		sub, err := x.events(ctx, run)
		if err != nil {
			s.fail(ctx, x, err)
			return
		}
		delivered = s.stream(ctx, x, sub)
	case body.Background:
		delivered = accepted(x, run)
		return
	default:
		delivered = s.whole(ctx, x, run)
	}
	if ctx.Err() != nil && !x.replayed() {
		run.Abandon()
	}
}

// accepted answers that a response has begun. What it needs lies on no other answer's stack.
//
//go:noinline
func accepted(x *exchange, run *chat.Run) bool {
	begun := x.begun(run)
	return x.json(http.StatusAccepted, appendResponse(make([]byte, 0, 1024), &begun))
}

func chatRequest(caller chat.Caller, in *respondInput) chat.Request {
	b := &in.Body
	req := chat.Request{
		Caller: caller, ConversationID: in.ConversationID, Regenerate: b.Regenerate,
		Wait:  in.OnConflict == onConflictWait,
		Model: b.Model, Instructions: b.Instructions, Params: params(b.Params),
		Tools: orNone(b.Tools), ToolChoice: orNone(b.ToolChoice), Stream: b.Stream, Background: b.Background, Unstored: b.Store != nil && !*b.Store,
	}
	if !b.Regenerate {
		req.Input = promptItems(b.Prompt)
	}
	return req
}

// whole answers once the run has ended. A client that goes before gets nothing, and the run goes on. It
// reports whether the answer was written.
func (s *server) whole(ctx context.Context, x *exchange, run *chat.Run) bool {
	response, err := x.wait(ctx, run)
	if ctx.Err() != nil {
		x.status = statusClientGone
		return false
	}
	if err != nil {
		s.fail(ctx, x, err)
		return true
	}
	body := appendResponse(make([]byte, 0, 2048), &response)
	if response.Wanted() != nil {
		return x.jsonInTurn(body, response.Wanted)
	}
	return x.json(http.StatusOK, body)
}

type listResponsesInput struct {
	strict
	ConversationPath
	PageQuery
	Order string `query:"order" enum:"asc,desc" default:"desc" doc:"desc: newest first."`
}

func (s *server) listResponses(ctx context.Context, in *listResponsesInput) (*answer, error) {
	page := in.page(in.Order)
	list, err := s.Service.Responses(ctx, exchangeOf(ctx).caller.Owner, in.ConversationID, page)
	if err != nil {
		return nil, cursorFault(err, &page)
	}
	o := appendList(list, func(r *chat.Response) string { return r.ID }, appendResponse)
	o.close()
	return jsonAnswer(http.StatusOK, o), nil
}

type getResponseInput struct {
	strict
	ResponsePath
}

func (s *server) getResponse(ctx context.Context, in *getResponseInput) (*answer, error) {
	r, err := s.Service.Response(ctx, exchangeOf(ctx).caller.Owner, in.ResponseID)
	if err != nil {
		return nil, err
	}
	return jsonAnswer(http.StatusOK, appendResponse(make([]byte, 0, 2048), &r)), nil
}
