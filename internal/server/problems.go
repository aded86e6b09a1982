package server

import (
	"bytes"
	"html/template"
	"net/http"

	"github.com/parley-llm/parley/internal/chat"
)

// problemsPath is where the pages are. A problem's type is such a path, which resolves to this server.
const problemsPath = "/problems/"

// problemDoc is what is known of a code, for whoever gets it: why it happens and what to do.
type problemDoc struct {
	Code   string
	Status int
	Cause  string
	Remedy string
}

type problemGroup struct {
	Title string
	Rows  []problemDoc
}

// problemTable is every code that an answer, an event or a response may carry, by what it is about. The page of each is
// the type of its problem. A test holds it against the source.
var problemTable = []problemGroup{
	{"The request", []problemDoc{
		{
			chat.CodeInvalid, 422, "Something in the body or the query is missing, unknown, of the wrong type or out of range.",
			"Look at errors: it lists everything that is wrong at once, each with its location. /docs says what each field may be.",
		},
		{codeMalformed, 400, "The body is not JSON.", "Send one JSON object in UTF-8, without comments and trailing commas."},
		{codeNoBody, 400, "The request has no body and needs one.", "Send a JSON object; {} if there is nothing to say."},
		{codeBodyBroken, 400, "The connection ended before the body was complete.", "Send it again. If it happens again, look for a proxy that cuts requests off."},
		{codeBodyTimeout, 408, "The body took longer than a minute to arrive.", "Send it again over a better connection."},
		{codeTooLarge, 413, "The body is larger than PARLEY_MAX_BODY, which is 8 MiB by default.", "Send less at once, name files by their URL, or have the operator raise PARLEY_MAX_BODY."},
		{codeTooDeep, 422, "Arrays and objects in the body nest too deep.", "Send a flatter structure, or the deep part as a string."},
		{codeMediaType, 415, "The Content-Type is not that of JSON.", "Send Content-Type: application/json; a PATCH may also say application/merge-patch+json."},
		{codeEncoding, 415, "The body is compressed.", "Send it as it is, without Content-Encoding."},
		{codeRouteNotFound, 404, "There is nothing at this path.", "Compare the path with /docs. A base URL that ends with /api doubles it."},
		{codeMethodNotAllowed, 405, "The path exists, and not with this method.", "The Allow header names the methods that it has."},
		{chat.CodeInvalidCursor, 422, "after or before is not an id of this list, or what it named is gone.", "Begin the list anew, or take an id that the list has given."},
		{
			chat.CodeSearchTooBroad, 422, "A filtered or searched list took longer than the server gives one: what is asked for is almost everywhere, or a start of a word that many have.",
			"Search for longer, rarer or fewer words, or set a filter that few conversations meet.",
		},
	}},
	{"Who asks", []problemDoc{
		{codeUnauthenticated, 401, "The server wants an API key, and the request has none or a wrong one.", "Send Authorization: Bearer and the key, which is the value of PARLEY_API_KEY."},
		{codeHostNotAllowed, 403, "No key is set, so only requests for this machine's own names are answered: a web page elsewhere could have its name point here.", "Ask for 127.0.0.1 or localhost, name the host in PARLEY_ALLOWED_HOSTS, or set PARLEY_API_KEY."},
		{codeCrossOrigin, 403, "A web page of another site sent the request, and no key is set.", "Call from a server or from a page of the same origin, or set PARLEY_API_KEY."},
	}},
	{"What is asked for", []problemDoc{
		{chat.CodeConversationNotFound, 404, "There is no conversation of this id, it was deleted, or it is another owner's.", "List the conversations, or create one."},
		{chat.CodeMessageNotFound, 404, "There is no message of this id in this conversation.", "List the conversation's messages."},
		{chat.CodeResponseNotFound, 404, "There is no response of this id, or its conversation was deleted.", "List the conversation's responses."},
		{chat.CodeRecordNotFound, 404, "There is no audit record of this id.", "List the records, or search by conversation_id."},
		{chat.CodeVersionMismatch, 412, "If-Match names a version that is no longer the current one: somebody changed it meanwhile.", "Read it again, decide anew, and send the new ETag."},
		{chat.CodeDuplicateID, 409, "Something with this id exists already.", "Choose another id, or leave it out."},
		{"message_too_large", 413, "One message, or a conversation's instructions with its parameters, is larger than a document of MongoDB can hold: 14 MiB.", "Send less at once, or name files by their URL."},
		{"conversation_full", 409, "The conversation holds as many messages as can be numbered.", "Go on in a new conversation."},
		{"not_editable", 422, "A tool call, its output or a reasoning step cannot be edited.", "Delete it, or add a message."},
	}},
	{"Idempotency keys", []problemDoc{
		{
			chat.CodeKeyReused, 422, "The Idempotency-Key was sent to the same path before, with another query or body.",
			"Make a new key for each thing that is to happen; send a key again only with the request that it was made for. How the JSON is written does not matter.",
		},
		{
			chat.CodeResultInProgress, 409, "The first request with this Idempotency-Key has begun a response that is still being made after half a minute.",
			"Send the same request again: x-should-retry says that this may succeed. With stream: true there is no wait.",
		},
		{
			chat.CodeResultGone, 409, "The request with this Idempotency-Key was carried out, and what it made was deleted since, or never kept.",
			"To have it made again, send the request with a new key.",
		},
	}},
	{"Prompts", []problemDoc{
		{chat.CodeConversationLocked, 409, "A response is running on this conversation, and one runs at a time.", "Wait until it has ended and send the same request again; x-should-retry says that this may succeed. ?on_conflict=wait has the server wait."},
		{chat.CodeNotStreamed, 409, "The response is made in one piece and still running, so it has no events yet.", "Read the response until it has ended, or prompt with stream or background."},
		{chat.CodeEventLogExpired, 410, "The response's events are not kept any more: that is so a day after its end, and once one of its messages was edited or deleted.", "Read the response itself."},
		{codeLagging, 503, "An event of a stream that the server broke off: its client had not read for so long that a mebibyte of events was waiting.", "Read on at the response's events, behind the last number that came."},
		{chat.CodeResponseEnded, 409, "The response has ended already.", "Read it: it will not change any more."},
		{"tool_call_missing", 422, "The prompt holds a tool's output, and no call with its call_id waits for one.", "Send it as a function_call_output with the call_id of a call that has no output yet."},
		{"unsupported_param", 422, "The model's provider cannot do what a parameter asks for.", "Leave the parameter out, or prompt a model of another provider."},
		{"tool_output_missing", 422, "The model called a tool, and the conversation has no output for the call yet.", "Send the function_call_output of every open call with the prompt."},
		{"nothing_to_regenerate", 422, "The conversation does not end with a turn of a model, so there is none to run again.", "Send a prompt."},
		{"unsupported_item", 422, "The conversation holds an item of a type that this model's provider cannot be sent.", "Delete the item, or take a model of another provider."},
		{"model_not_found", 404, "No provider here offers this model, or the provider does not know it.", "GET /api/models lists what can be named. Check OPENAI_MODEL, PARLEY_MODEL and the conversation's model."},
		{"context_length_exceeded", 422, "The conversation does not fit into the model's context.", "Shorten it, set PARLEY_CONTEXT_MESSAGES, or take a model with a larger context."},
		{"interrupted", 503, "The server stopped before the answer was finished. What had come was kept.", "Ask again."},
	}},
	{"The model's provider", []problemDoc{
		{"upstream_rejected", 422, "The provider rejected the request as invalid; where it named a parameter, so does the detail.", "Change that parameter, or leave it out. The audit record of the attempt holds what the provider said, masked."},
		{"upstream_auth", 502, "The provider did not accept the server's API key.", "The operator checks OPENAI_API_KEY and that the key may use this model. `parley doctor` asks the provider."},
		{"upstream_rate_limited", 429, "The provider limits the rate of requests, or its quota is used up, and the server's own retries were in vain.", "Come again after Retry-After, or raise the quota at the provider."},
		{"upstream_timeout", 504, "The provider did not answer or did not finish in time.", "Ask again, or have the operator raise PARLEY_UPSTREAM_TIMEOUT and the limits like it."},
		{"upstream_stream_truncated", 502, "The answer broke off before its end. It is kept as failed, never as whole.", "Ask again. If it happens again, look for a proxy in front of the provider that ends long streams."},
		{
			chat.CodeUpstreamUnavailable, 503, "The provider failed ten times in a row at this model, so it is left alone for ten seconds, and then tried with one prompt. Nothing was begun.",
			"Send the same request again after Retry-After. The operator looks at the provider's status, and may name models that take over (docs/providers.md).",
		},
		{"upstream_failed", 502, "The provider failed, could not be reached, or answered with what is no answer.", "Ask again later. The operator looks at the server's log and at the provider's status; `parley doctor` asks the provider."},
	}},
	{"The server", []problemDoc{
		{chat.CodeStoreUnavailable, 503, "The database cannot be read or written: the disk may be full or failing.", "The operator looks at /readyz and the log, and makes room on the disk. Nothing that was acknowledged is lost."},
		{"audit_unavailable", 503, "The audit record cannot be written, so nothing was done: no model was called.", "As with store_unavailable: make the database writable again."},
		{"draining", 503, "The server is shutting down and takes no new prompts.", "Send the same request again in a moment."},
		{chat.CodeOverloaded, 503, "As many responses are running as PARLEY_UPSTREAM_CONCURRENCY allows, or too many searches, and nothing was begun; or, where there is a `response_id`, the server could open no further connection to the provider.", "Send the same request again after Retry-After, or raise the limit: PARLEY_UPSTREAM_CONCURRENCY, or how many files the process may open (`ulimit -n`)."},
		{"canceled", 499, "The request was given up, by its client or by the server's stop, before it was carried out.", "Send it again if it is still wanted."},
		{"internal", 500, "Something went wrong that should not have.", "The server's log has it under the request_id. Please report it."},
	}},
}

var problemPage = template.Must(template.ParseFS(docsFiles, "static/problems.html"))

// problemRoutes serve a page for each code, and one for all. They need no key, as the rest of the documentation.
func (s *server) problemRoutes() {
	s.mux.HandleFunc("GET /problems", func(w http.ResponseWriter, r *http.Request) { s.showProblems(w, r, problemTable) })
	s.mux.HandleFunc("GET "+problemsPath+"{code}", func(w http.ResponseWriter, r *http.Request) {
		for _, group := range problemTable {
			for _, row := range group.Rows {
				if row.Code == r.PathValue("code") {
					group.Rows = []problemDoc{row}
					s.showProblems(w, r, []problemGroup{group})
					return
				}
			}
		}
		s.fail(r.Context(), exchangeOf(r.Context()), noSuchRoute())
	})
}

func (s *server) showProblems(w http.ResponseWriter, r *http.Request, groups []problemGroup) {
	var page bytes.Buffer
	if err := problemPage.Execute(&page, groups); err != nil {
		s.fail(r.Context(), exchangeOf(r.Context()), err)
		return
	}
	setDocsHeaders(w.Header(), "static/problems.html")
	_, _ = w.Write(page.Bytes())
}

// StatusText is the status in words.
func (d problemDoc) StatusText() string { return statusText(d.Status) }
