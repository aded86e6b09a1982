package server

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// exampleOf is what a reply looks like, for the documentation: written by the same code as the real ones.
func exampleOf(reply any) any {
	var written []byte
	switch reply.(type) {
	case api.Conversation:
		written = appendConversation(nil, exampleConversation())
	case api.ConversationList:
		o := appendList(chat.List[chat.Conversation]{Data: []chat.Conversation{*exampleConversation()}}, func(c *chat.Conversation) string { return c.ID }, appendConversation)
		o.null("next")
		o.close()
		written = o
	case api.Message:
		question := exampleQuestion()
		written = appendMessage(nil, &question)
	case api.MessageList:
		items := []chat.Item{exampleQuestion(), exampleAnswer()}
		o := appendList(chat.List[chat.Item]{Data: items}, func(it *chat.Item) string { return it.ID }, appendMessage)
		o.close()
		written = o
	case api.Response:
		written = appendResponse(nil, exampleResponse())
	case api.ResponseList:
		o := appendList(chat.List[chat.Response]{Data: []chat.Response{*exampleResponse()}}, func(r *chat.Response) string { return r.ID }, appendResponse)
		o.close()
		written = o
	case api.AuditRecord:
		written = appendAudit(nil, exampleRecord(), true)
	case api.AuditRecordList:
		o := appendList(chat.List[audit.Record]{Data: []audit.Record{*exampleRecord()}}, func(r *audit.Record) string { return r.ID }, appendRecord)
		o.close()
		written = o
	case api.Masked:
		return map[string]any{
			"text":     "Write to [MASKED_EMAIL].",
			"findings": []any{map[string]any{"type": "EMAIL", "start": 9, "end": 29, "score": 0.95, "rule": "email", "reasons": []any{"its shape"}}},
		}
	default:
		return nil
	}
	return decoded(written)
}

// exampleExport is a line of an export.
func exampleExport() any {
	r := exampleRecord()
	r.Payloads = r.Payloads[:1]
	text := r.Payloads[0].Text
	line := audit.AppendExport(nil, &audit.Row{
		Header: audit.NewChain(r.Chain).Seal(r), Hash: r.Hash[:], Chain: r.Chain, Seq: r.Seq, ID: r.ID, Time: r.Time, Kind: r.Kind, Owner: r.Owner,
		ConversationID: r.ConversationID, ResponseID: r.ResponseID, Attempt: r.Attempt,
		Payloads: []audit.StoredPayload{{Part: audit.PartPrompt, Text: &text, Salt: make([]byte, 32)}},
	})
	return decoded(line)
}

// exampleProblem is what a failure looks like.
func exampleProblem(status int) any {
	f := map[int]*fault.Error{
		http.StatusBadRequest:            malformed(),
		http.StatusUnauthorized:          fault.New(fault.Unauthenticated, codeUnauthenticated, "Send the API key as Authorization: Bearer <key>."),
		http.StatusForbidden:             fault.New(fault.Forbidden, codeCrossOrigin, "Requests from other web sites are refused."),
		http.StatusNotFound:              fault.New(fault.NotFound, chat.CodeConversationNotFound, "There is no such conversation."),
		http.StatusConflict:              chat.Locked(),
		http.StatusPreconditionFailed:    staleVersion(),
		http.StatusRequestEntityTooLarge: tooLarge(DefaultMaxBody),
		http.StatusUnsupportedMediaType:  fault.Newf(fault.Invalid, codeMediaType, "Send the body as %s.", jsonType),
		http.StatusUnprocessableEntity:   invalid(fault.Field{Location: "body.params.top_p", Message: "expected number <= 1"}),
		http.StatusTooManyRequests:       fault.New(fault.RateLimited, "upstream_rate_limited", "The model's provider is limiting our rate of requests."),
		http.StatusInternalServerError:   fault.Of(nil),
		http.StatusBadGateway:            fault.New(fault.Upstream, "upstream_failed", "The model's provider failed with status 500."),
		http.StatusServiceUnavailable:    fault.New(fault.Unavailable, chat.CodeStoreUnavailable, "The database cannot be written."),
		http.StatusGatewayTimeout:        fault.New(fault.Timeout, "upstream_timeout", "The model's provider did not finish in time."),
	}[status]
	if f == nil {
		return nil
	}
	copied := *f
	if status == http.StatusBadGateway || status == http.StatusGatewayTimeout || status == http.StatusTooManyRequests {
		copied.ResponseID = exampleResponseID
	}
	p := problem{fault: &copied, status: status, requestID: "req_06bq3k0v5a9w2m7t1x4z8c6d5e"}
	return decoded(p.appendJSON(nil))
}

func decoded(written []byte) any {
	var v any
	if err := json.Unmarshal(written, &v); err != nil {
		panic(err) // it was written a moment ago
	}
	return v
}

const (
	exampleConversationID = "conv_06bq3k0v5a9w2m7t1x4z8c6d5e"
	exampleResponseID     = "resp_06bq3k0v5b2p7n4s8d1f6g3h9j"
)

func exampleTime(seconds int) time.Time {
	return time.Date(2026, time.May, 4, 9, 30, seconds, 250e6, time.UTC)
}

func exampleUsage() *llm.Usage { return &llm.Usage{InputTokens: 24, OutputTokens: 7, TotalTokens: 31} }

func exampleConversation() *chat.Conversation {
	warm := 0.7
	return &chat.Conversation{
		ID: exampleConversationID, Title: "Trip to Lisbon", Model: "gpt-4o-mini", Instructions: "Answer in one sentence.",
		Params: llm.Params{Temperature: &warm}, Metadata: map[string]string{"channel": "web"}, MessageCount: 2, Usage: *exampleUsage(),
		CreatedAt: exampleTime(0), UpdatedAt: exampleTime(3), Version: 3,
	}
}

func exampleQuestion() chat.Item {
	return chat.Item{
		ID: "msg_06bq3k0v5c6r8t2v5w9x3y7z1a", ConversationID: exampleConversationID, Seq: 1, ResponseID: exampleResponseID,
		Item:   llm.Item{Type: llm.TypeMessage, Role: llm.User, Content: json.RawMessage(`"What is the capital of Portugal?"`)},
		Status: chat.ItemCompleted, CreatedAt: exampleTime(1), Version: 1,
	}
}

func exampleAnswer() chat.Item {
	return chat.Item{
		ID: "msg_06bq3k0v5d4b8c2d6e9f3g7h1j", ConversationID: exampleConversationID, Seq: 2, ResponseID: exampleResponseID, Output: true,
		Item:   llm.Item{Type: llm.TypeMessage, Role: llm.Assistant, Content: json.RawMessage(`"The capital of Portugal is Lisbon."`)},
		Status: chat.ItemCompleted, Model: "gpt-4o-mini", Usage: exampleUsage(), CreatedAt: exampleTime(2), Version: 1,
	}
}

func exampleResponse() *chat.Response {
	return &chat.Response{
		ID: exampleResponseID, ConversationID: exampleConversationID, Status: chat.Completed, Model: "gpt-4o-mini", Provider: "openai",
		Input: []string{exampleQuestion().ID}, Output: []chat.Item{exampleAnswer()}, Usage: exampleUsage(), Attempts: 1, FinishReason: "stop",
		CreatedAt: exampleTime(1), StartedAt: exampleTime(2), FirstTokenAt: exampleTime(2), CompletedAt: exampleTime(3),
	}
}

func exampleRecord() *audit.Record {
	return &audit.Record{
		ID: "aud_06bq3k0v5e3k7m1n5p9q2r6s4t", Chain: "7f3k9d2m/4", Seq: 2, Time: exampleTime(1), Kind: audit.KindIntent, Owner: chat.DefaultOwner, Actor: actorAnonymous,
		ConversationID: exampleConversationID, ResponseID: exampleResponseID, Attempt: 1, RequestID: "req_06bq3k0v5a9w2m7t1x4z8c6d5e",
		Provider: "openai", Model: "gpt-4o-mini", UpstreamHost: "api.openai.com",
		Mask:     &audit.Mask{EngineVersion: "1", Policy: "tag", Counts: []audit.Count{{Entity: "EMAIL", N: 1}}},
		Payloads: []audit.Payload{{Part: audit.PartPrompt, Chars: 46, Stored: true, Text: "Mail the answer to [MASKED_EMAIL], please.", Salt: []byte{0}}, {Part: audit.PartContext, Items: 1, Chars: 112}},
	}
}
