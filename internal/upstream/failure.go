package upstream

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/rawjson"
)

// codeTooLong is the code of a prompt that did not fit into the model's context.
const codeTooLong = "context_length_exceeded"

const (
	// maxDetail bounds what is kept of a provider's own words.
	maxDetail = 2 << 10
	// maxRetryAfter bounds what a provider may ask for; nobody waits that long.
	maxRetryAfter = 24 * time.Hour
)

// problem is a failure as a provider states it. All of it is the provider's text.
type problem struct {
	message, kind, code, param string
}

// problemBody is the error object itself, and also what some servers put in its place: {"message":..., "code":400}, {"detail":...}.
type problemBody struct {
	Error   json.RawMessage `json:"error"`
	Message Word            `json:"message"`
	Detail  Word            `json:"detail"`
	Type    Word            `json:"type"`
	Code    Word            `json:"code"`
	Param   Word            `json:"param"`
	// Details is Anthropic's, whose errors have no code of their own.
	Details json.RawMessage `json:"details"`
}

// parseProblem reads an error body in the shapes that are about. What is not understood, a page perhaps, is its own message.
func parseProblem(body []byte) problem {
	body = bytes.TrimSpace(body)
	for first := range rawjson.Elements(body) {
		body = first
		break
	}
	var outer, inner problemBody
	if json.Unmarshal(body, &outer) != nil {
		return problem{message: string(body)}
	}
	inner = outer
	if !rawjson.Empty(outer.Error) {
		inner = problemBody{}
		if json.Unmarshal(outer.Error, &inner) != nil {
			var message Word
			_ = message.UnmarshalJSON(outer.Error)
			inner.Message = message
		}
	}
	p := problem{
		message: string(cmp.Or(inner.Message, inner.Detail, Word(body))),
		kind:    string(inner.Type),
		code:    string(inner.Code),
		param:   string(inner.Param),
	}
	var code Word
	if p.code == "" && json.Unmarshal(rawjson.Member(inner.Details, "error_code"), &code) == nil {
		p.code = string(code)
	}
	for _, named := range []*regexp.Regexp{leadingParam, subjectParam} {
		if m := named.FindStringSubmatch(p.message); p.param == "" && m != nil {
			p.param = m[1]
		}
	}
	return p
}

// leadingParam is where Anthropic names what it rejects: at the start of its message, as "messages.0.content: ...". Only
// the protocol's own names are taken for such. How long it may be is token's to say.
var leadingParam = regexp.MustCompile(`^((?:model|max_tokens|messages|system|temperature|top_p|stop_sequences|tools|tool_choice|output_config)(?:\.[a-z0-9_]+)*): `)

// subjectParam is where Anthropic's newer models name a setting that they refuse: it is what the message speaks of.
var subjectParam = regexp.MustCompile("^(?:Thinking may not be enabled when )?`?(temperature|top_p|top_k|max_tokens|stop_sequences|tool_choice)`? ")

// tooLong recognises that the prompt did not fit into the model's context: by OpenAI's code, llama.cpp's type, or the
// words of servers that have neither.
func (p *problem) tooLong() bool {
	if p.code == "context_length_exceeded" || p.kind == "exceed_context_size_error" {
		return true
	}
	message := strings.ToLower(p.message)
	for _, words := range []string{
		"maximum context length", "context length exceeded", "exceeds the context", "exceed the context", "context window",
		"available context size", "prompt is too long", "input is too long", "reduce the length of the messages",
		"exceeds the maximum number of tokens",
	} {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}

// outOfQuota recognises a limit that no waiting gets round: money, mostly. Anthropic answers some of them as a bad request.
func (p *problem) outOfQuota() bool {
	for _, name := range []string{p.code, p.kind} {
		switch name {
		case "insufficient_quota", "billing_hard_limit_reached", "credit_balance_exhausted", "organization_spend_limit_exceeded",
			"project_spend_limit_exceeded", "billing_error", "enforced_spend_limit_reached":
			return true
		}
	}
	return strings.HasPrefix(p.message, "You have reached your specified ") || strings.HasPrefix(p.message, "Your credit balance is too low ")
}

// status is the HTTP status that a problem amounts to which came without one of its own, in a stream or under a success.
func (p *problem) status() int {
	if n, err := strconv.Atoi(p.code); err == nil && n >= 400 && n < 600 {
		return n
	}
	for _, name := range []string{p.code, p.kind} {
		switch name {
		case "invalid_request_error":
			return http.StatusBadRequest
		case "invalid_api_key", "authentication_error", "permission_error":
			return http.StatusUnauthorized
		case "model_not_found", "not_found_error":
			return http.StatusNotFound
		case "request_too_large":
			return http.StatusRequestEntityTooLarge
		case "rate_limit_exceeded", "rate_limit_error", "insufficient_quota", "billing_error":
			return http.StatusTooManyRequests
		}
	}
	if p.tooLong() {
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// classify says what a failure status means for the client, and whether another attempt may help.
func (p *problem) classify(status int) (f *fault.Error, retryable bool) {
	switch {
	case p.outOfQuota() && status >= 400 && status < 500:
		return fault.New(fault.RateLimited, "upstream_rate_limited", "The quota at the model's provider is used up."), false
	case status == http.StatusRequestEntityTooLarge, status == http.StatusBadRequest && p.tooLong():
		return fault.New(fault.Invalid, codeTooLong, "The conversation does not fit into the model's context. Shorten it, or take a model with a larger one."), false
	case status == http.StatusBadRequest:
		return fault.New(fault.Invalid, "upstream_rejected", "The model's provider rejected the request"+p.names()+"."), false
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fault.New(fault.Upstream, "upstream_auth", "The model's provider did not accept the server's API key."), false
	case status == http.StatusNotFound:
		return fault.New(fault.NotFound, "model_not_found", "The model's provider does not know this model."), false
	case status == http.StatusRequestTimeout:
		return fault.New(fault.Timeout, "upstream_timeout", "The model's provider gave up waiting."), true
	case status == http.StatusTooManyRequests:
		return fault.New(fault.RateLimited, "upstream_rate_limited", "The model's provider is limiting our rate of requests."), true
	case status >= 300 && status < 400:
		return fault.New(fault.Upstream, "upstream_failed", "The model's provider answered with a redirect, which is not followed."), false
	case status >= 500:
		return fault.Newf(fault.Upstream, "upstream_failed", "The model's provider failed with status %d.", status), true
	default:
		return fault.Newf(fault.Upstream, "upstream_failed", "The model's provider answered with status %d.", status), false
	}
}

var token = shape{regexp.MustCompile(`^[A-Za-z0-9_.\-\[\]]+$`), 64}

// names are the provider's code and param as far as they look like names and not like text.
func (p *problem) names() string {
	var names []string
	for _, n := range []struct{ name, value string }{{"code", p.code}, {"param", p.param}} {
		if token.matches(n.value) {
			names = append(names, n.name+" "+n.value)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// refusal is the error of an answer with a failure status.
func (c *Client) refusal(status int, header http.Header, body []byte) *llm.Error {
	p := parseProblem(body)
	f, retryable := p.classify(status)
	f.RetryAfter = retryAfter(header)
	f.Err = fmt.Errorf("the provider answered with status %d", status)
	e := &llm.Error{
		Fault: f, HTTPStatus: status, Retryable: retryable, RetryAfter: f.RetryAfter, Outage: outage(status), Detail: c.detail(p.message),
	}
	if f.Code == codeTooLong {
		e.ContextWindow, e.PromptTokens = p.lengths(body)
	}
	return e
}

// Reported is the error of a problem that came after the answer had begun, as body states it; nothing is retried any more.
func (x *Exchange) Reported(body []byte) *llm.Error {
	p := parseProblem(body)
	f, _ := p.classify(p.status())
	f.Err = errors.New("the provider reported an error in its answer")
	if f.Code == "upstream_failed" {
		f.Message = "The model's provider failed while it answered."
	}
	return &llm.Error{Fault: f, HTTPStatus: x.response.StatusCode, Outage: outage(p.status()), Detail: x.client.detail(p.message)}
}

// outage reports whether a status says that the provider is failing, and not that it refuses this request.
func outage(status int) bool {
	return status == http.StatusRequestTimeout || status >= http.StatusInternalServerError
}

// detail is a provider's text for the audit: cut, valid, and without our key and headers should they be quoted.
func (c *Client) detail(text string) string {
	if c.secrets != nil {
		text = c.secrets.Replace(text)
	}
	if len(text) > maxDetail {
		text = text[:maxDetail]
	}
	return strings.ToValidUTF8(text, "")
}

// retryAfter reads retry-after-ms (OpenAI's) and Retry-After in both its forms. A date is taken against the answer's
// own clock where it shows one.
func retryAfter(header http.Header) time.Duration {
	if ms, err := strconv.ParseFloat(header.Get("Retry-After-Ms"), 64); err == nil {
		return clampWait(ms * float64(time.Millisecond))
	}
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		return clampWait(seconds * float64(time.Second))
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return clampWait(float64(until.Sub(now)))
}

func clampWait(d float64) time.Duration {
	// Written so that NaN counts as nothing.
	if !(d > 0) {
		return 0
	}
	return time.Duration(min(d, float64(maxRetryAfter)))
}
