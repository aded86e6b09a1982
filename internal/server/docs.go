package server

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/chat"
)

//go:embed static swagger/swagger-ui.css.gz swagger/swagger-ui-bundle.js.gz swagger/favicon-32x32.png
var docsFiles embed.FS

// docsPolicy is the content security policy of the documentation: Swagger UI sets styles inline.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

const description = `A conversation backend for LLM applications. It stores conversations, answers prompts through any model with the
conversation as context, streams the answers, and writes an audit record with personal data masked for every call.

**Start here**: create a conversation, then prompt it.

~~~
ID=$(curl -s http://127.0.0.1:8000/api/conversations -H 'Content-Type: application/json' -d '{}' | sed 's/.*"id":"\(conv_[^"]*\)".*/\1/')
curl http://127.0.0.1:8000/api/conversations/$ID/responses -H 'Content-Type: application/json' -d '{"prompt":"Hello!"}'
~~~

* **No key** is needed, but where the server has one (` + "`PARLEY_API_KEY`" + `): send it as ` + "`Authorization: Bearer`" + `; **Authorize** below does so for this page.
* **Lists** are pages by key: ` + "`limit`, `after`, `before`, `order`" + `; what is added meanwhile is neither skipped nor repeated.
* **Errors** are problems as in RFC 9457, with a stable ` + "`code`" + ` to branch on, all field errors at once, and never your own text back.
  Its ` + "`type`" + ` is the path of a page with cause and remedy; [all of them](/problems). ` + "`x-should-retry`" + ` says whether the same request may succeed later.
* **Versions**: a conversation and a message have an ` + "`ETag`" + `. ` + "`If-Match`" + ` makes a change conditional, ` + "`If-None-Match`" + ` a read.
* **Sending again**: any POST may have an ` + "`Idempotency-Key`" + `; for 24 hours one with the same key is carried out once and answered as the first was.
  A prompt with ` + "`?on_conflict=wait`" + ` waits while a response runs on its conversation.
* Every answer has an ` + "`x-request-id`" + `: yours, if you send a sane one.
* **Bodies** are JSON of at most 8 MiB. Fields that are not known, keys given twice and text that is not Unicode are refused.
  A body holds at most 1,000 messages, parts of a content or tools, 1,000 keys in an object, 10,000 elements in any other array, 100,000 values
  in all, 64 levels deep: more is a 422.`

func (s *server) humaConfig() huma.Config {
	cfg := huma.DefaultConfig("Parley", s.Version)
	// huma's own pages load from elsewhere and its schema links would add a field to every answer.
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath, cfg.CreateHooks = "", "", "", nil
	format := huma.Format{Marshal: marshal, Unmarshal: decode}
	cfg.Formats = map[string]huma.Format{jsonType: format, "json": format}
	cfg.Transformers = []huma.Transformer{s.fromHuma}
	cfg.Info.Description = description
	cfg.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	cfg.Tags = []*huma.Tag{
		{Name: tagConversations, Description: "A conversation is an ordered list of messages with settings that hold for all its prompts."},
		{Name: tagMessages, Description: "Adding and editing messages calls no model. While a response runs, messages cannot change: 409 conversation_locked."},
		{Name: tagResponses, Description: "A response is one run of a model: prompt it, whole or streamed, and read how it went."},
		{Name: tagModels, Description: "What can be named as model."},
		{Name: tagAudit, Description: "What was sent to which model, by whom, when, and what came back, with personal data masked, in a chain of hashes."},
		{Name: tagPII, Description: "The masking engine by itself: nothing of the text is stored or logged."},
		{Name: tagOperations, Description: "For whoever runs the server."},
	}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key": {Type: "http", Scheme: "bearer", Description: "The value of PARLEY_API_KEY, where one is set."},
	}
	cfg.Security = []map[string][]string{{}, {"key": {}}}
	s.registry = cfg.Components.Schemas
	aliases(s.registry)
	return cfg
}

// problemDocs documents a failure.
func (s *server) problemDocs(status int) *huma.Response {
	return &huma.Response{
		Description: problemTexts(status),
		Content:     map[string]*huma.MediaType{problemType: {Schema: s.registry.Schema(reflect.TypeFor[api.Problem](), true, ""), Example: exampleProblem(status)}},
	}
}

func problemTexts(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "The body is missing or not valid JSON."
	case http.StatusUnauthorized:
		return "The API key is missing or wrong."
	case http.StatusForbidden:
		return "The request comes from a web page elsewhere, or its Host is not allowed."
	case http.StatusNotFound:
		return "There is no such thing, or it is another owner's; or the model is not known."
	case http.StatusConflict:
		return "conversation_locked: a response is running on this conversation. idempotency_in_progress, idempotency_result_gone: see Idempotency-Key."
	case http.StatusPreconditionFailed:
		return "If-Match names a version that is no longer the current one."
	case http.StatusRequestEntityTooLarge:
		return "The body is larger than the limit."
	case http.StatusUnsupportedMediaType:
		return "The body is not declared as JSON, or is compressed."
	case http.StatusUnprocessableEntity:
		return "The request is not valid; errors lists everything that is wrong. Or the model's provider rejected it, or the Idempotency-Key was sent with another request."
	case http.StatusTooManyRequests:
		return "upstream_rate_limited: the model's provider asks to come later."
	case http.StatusInternalServerError:
		return "Something went wrong on our side."
	case http.StatusBadGateway:
		return "upstream_failed, upstream_auth, upstream_stream_truncated: the model's provider failed. The response is kept as failed."
	case http.StatusServiceUnavailable:
		return "The store or the audit log cannot be written, the server is draining or overloaded, or the model is left alone because its provider keeps failing."
	case http.StatusGatewayTimeout:
		return "upstream_timeout: the model's provider took too long."
	default:
		return http.StatusText(status)
	}
}

// fileType is the media type of a file of the documentation.
func fileType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	default:
		return "image/png"
	}
}

func headerDocs(name string) *huma.Param {
	texts := map[string]string{
		"ETag": "The version, in quotes.", "Location": "The path of what was made.",
		replayedHeader: "true where an earlier request with the same Idempotency-Key was carried out, and this is what came of it.",
	}
	return &huma.Param{Description: texts[name], Schema: &huma.Schema{Type: huma.TypeString}}
}

// eventStreamDocs documents the answer to stream: true.
func eventStreamDocs() *huma.MediaType {
	return &huma.MediaType{
		Schema: &huma.Schema{
			Type: huma.TypeObject,
			Description: "One of the stream's events (server-sent events). The types and their fields are those of the OpenAI Responses stream; " +
				"response and item are the objects of this API. The last event is response.completed, response.incomplete or " +
				"response.failed. A comment line comes every 15 seconds.",
			Properties: map[string]*huma.Schema{
				"id":    {Type: huma.TypeString, Description: "The event's number, from 0."},
				"event": {Type: huma.TypeString, Description: "Its type, such as response.output_text.delta."},
				"data":  {Type: huma.TypeString, Description: "JSON with type, sequence_number (the number again) and the type's fields."},
			},
			Required: []string{"id", "event", "data"},
		},
		Example: map[string]any{
			"id": "4", "event": "response.output_text.delta",
			"data": string(appendEvent(nil, 4, &chat.TextEvent{ItemID: exampleAnswer().ID, Kind: chat.PartText, Text: "The capital"})),
		},
	}
}

// documentationRoutes serve the OpenAPI document in its three forms and the page that shows it. The documents are made
// when they are first asked for, because a start must be quick.
func (s *server) documentationRoutes() {
	spec := s.api.OpenAPI()
	s.document("/openapi.json", "application/openapi+json", spec.MarshalJSON)
	s.document("/openapi.yaml", "application/openapi+yaml", spec.YAML)
	s.document("/openapi-3.0.json", "application/openapi+json", func() ([]byte, error) { return downgrade(spec) })

	s.mux.Handle("GET /docs/{$}", http.RedirectHandler("/docs", http.StatusPermanentRedirect))
	s.mux.HandleFunc("GET /docs", func(w http.ResponseWriter, r *http.Request) { docsFile(w, r, "static/docs.html") })
	for _, name := range []string{"static/docs.js", "static/docs.css", "static/problems.css", "swagger/swagger-ui.css.gz", "swagger/swagger-ui-bundle.js.gz", "swagger/favicon-32x32.png"} {
		s.mux.HandleFunc("GET /docs/"+path.Base(strings.TrimSuffix(name, zipped)), func(w http.ResponseWriter, r *http.Request) { docsFile(w, r, name) })
	}
	s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/docs", http.StatusFound) })
}

// zipped ends the names of files that are embedded compressed.
const zipped = ".gz"

func docsFile(w http.ResponseWriter, r *http.Request, name string) {
	data, err := docsFiles.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	plain, compressed := strings.CutSuffix(name, zipped)
	setDocsHeaders(w.Header(), plain)
	if !compressed {
		_, _ = w.Write(data)
		return
	}
	w.Header().Set("Vary", "Accept-Encoding")
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(data)
		return
	}
	unzip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		panic(err) // a test unzips it
	}
	_, _ = io.Copy(w, unzip) //nolint:gosec // it is our own file
}

// acceptsGzip reads an Accept-Encoding as far as that goes: where it is in doubt, nothing is compressed.
func acceptsGzip(accepted string) bool {
	for coding := range strings.SplitSeq(accepted, ",") {
		name, weight, weighed := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";q=")
		if strings.EqualFold(name, "gzip") {
			q, _ := strconv.ParseFloat(weight, 64)
			return !weighed || q > 0
		}
	}
	return false
}

func setDocsHeaders(h http.Header, file string) {
	h.Set("Content-Type", fileType(file))
	h.Set("Content-Security-Policy", docsPolicy)
	h.Set("Cache-Control", "no-cache")
}

// downgrade is the document as OpenAPI 3.0, without what huma leaves in it that 3.0 does not have.
func downgrade(spec *huma.OpenAPI) ([]byte, error) {
	data, err := spec.Downgrade()
	if err != nil {
		return nil, err
	}
	var document any
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	dropKey(document, propertyNames)
	return json.Marshal(document)
}

func dropKey(v any, key string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			dropKey(e, key)
		}
	case map[string]any:
		delete(v, key)
		for _, e := range v {
			dropKey(e, key)
		}
	}
}

func (s *server) document(path, contentType string, make func() ([]byte, error)) {
	once := sync.OnceValues(make)
	s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		data, err := once()
		if err != nil {
			s.fail(r.Context(), exchangeOf(r.Context()), err)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(data)
	})
}
