package server

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/search"
)

var when = time.Date(2026, 2, 3, 4, 5, 6, 7e6, time.UTC)

func full[T any](v T) *T { return &v }

var (
	fullUsage  = &llm.Usage{InputTokens: 1, OutputTokens: 2, TotalTokens: 3, CachedTokens: 4, ReasoningTokens: 5}
	fullParams = llm.Params{
		Temperature: full(0.5), TopP: full(1e-7), MaxOutputTokens: full(int64(9)), Stop: []string{"a", "b"}, Seed: full(int64(-1)),
		PresencePenalty: full(-2.0), FrequencyPenalty: full(2.0), ResponseFormat: json.RawMessage(`{"type":"text"}`), Truncation: "disabled",
	}
	fullItem = chat.Item{
		ID: "msg_1", ConversationID: "conv_1", Seq: 7, Item: llm.Item{Type: llm.TypeMessage, Role: llm.Assistant, Content: json.RawMessage(`"hé\n"`)},
		Status: chat.ItemCompleted, Model: "small", Usage: fullUsage, ResponseID: "resp_1", Metadata: map[string]string{"k": "v", "a": "b"}, CreatedAt: when, EditedAt: when, Version: 3,
	}
	fullConversation = chat.Conversation{
		ID: "conv_1", Owner: "default", Title: "T", User: "u", Model: "m", Instructions: "i", Params: fullParams, Metadata: map[string]string{"k": "v"}, MessageCount: 3,
		Usage: *fullUsage, ForkedFrom: &chat.Fork{ConversationID: "conv_0", ItemID: "msg_0"}, CreatedAt: when, UpdatedAt: when, Version: 4,
	}
	fullResponse = chat.Response{
		ID: "resp_1", ConversationID: "conv_1", Status: chat.Failed, Model: "small", Provider: "openai", Input: []string{"msg_0", "msg_x"}, Output: []chat.Item{fullItem},
		Usage: fullUsage, Attempts: 2, FallbackFrom: "large", FinishReason: "stop", Error: &chat.ResponseError{Code: "c", Message: "m"}, CreatedAt: when, StartedAt: when, FirstTokenAt: when, CompletedAt: when,
	}
	fullRecord = audit.Record{
		ID: "aud_1", Chain: "a/1", Seq: 2, Time: when, Kind: audit.KindOutcome, Owner: "default", Actor: "env", User: "u_1", ConversationID: "conv_1", ResponseID: "resp_1",
		ItemID: "msg_1", Attempt: 1, RequestID: "req_1", Provider: "openai", Model: "small", UpstreamHost: "h", Status: "completed", HTTPStatus: 200, ErrorCode: "e", FinishReason: "stop",
		Usage: &audit.Usage{InputTokens: 1, OutputTokens: 2, TotalTokens: 3}, UsageSource: "provider", FirstTokenMS: full(int64(0)), DurationMS: full(int64(5)),
		Mask:     &audit.Mask{EngineVersion: "1", Policy: "tag", Counts: []audit.Count{{Entity: "EMAIL", N: 2}}, Failed: true},
		Heads:    []audit.Head{{Chain: "a/0", Seq: 9, Closed: true}, {Chain: "b/0", Seq: 1}},
		Payloads: []audit.Payload{{Part: "prompt", Chars: 3, Stored: true, Text: "hi\n", Salt: []byte{1}}, {Part: "context", Items: 2, Chars: 8}, {Part: "response", Chars: 1, Stored: true}},
	}
)

// same decodes what was written by hand into its documented type, strictly, and encodes that again: nothing may be
// missing, surplus or different.
func same[T any](t *testing.T, written []byte) T {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(written))
	dec.DisallowUnknownFields()
	var v T
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%T: %v in %s", v, err, written)
	}
	again, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal(written, &a) != nil || json.Unmarshal(again, &b) != nil {
		t.Fatal("not JSON")
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%T:\nwritten %s\nagain   %s", v, written, again)
	}
	return v
}

func TestWhatIsWrittenIsWhatIsDocumented(t *testing.T) {
	for _, c := range []chat.Conversation{fullConversation, {ID: "conv_1", CreatedAt: when, UpdatedAt: when}} {
		same[api.Conversation](t, appendConversation(nil, &c))
	}
	c := same[api.Conversation](t, appendWithMessages(&fullConversation, chat.List[chat.Item]{Data: []chat.Item{fullItem, fullItem}, HasMore: true}))
	if len(c.Messages) != 2 || !*c.HasMore || *c.Params.Seed != -1 || !c.UpdatedAt.Equal(when) {
		t.Errorf("%+v", c)
	}
	snippet := search.Snippet{Text: "…é <b>\" x", Matches: []search.Range{{Start: 1, End: 2}, {Start: 8, End: 9}}}
	for _, m := range []*chat.Match{nil, {Snippet: snippet}, {Snippet: snippet, ItemID: "msg_1"}} {
		h := same[api.FoundConversation](t, appendHit(nil, &chat.Hit{Conversation: fullConversation, Match: m}))
		if (h.Snippet != nil) != (m != nil) || h.SnippetMessageID.Set != (m != nil) || m != nil && h.SnippetMessageID.Value != m.ItemID {
			t.Errorf("%+v", h)
		}
	}
	for _, it := range []chat.Item{fullItem, {ID: "msg_1", CreatedAt: when, Item: llm.Item{Type: llm.TypeMessage}}, {ID: "fc_1", CreatedAt: when, Item: llm.Item{Type: llm.TypeFunctionCall, Data: json.RawMessage(`{"type":"function_call"}`)}}} {
		same[api.Message](t, appendMessage(nil, &it))
	}
	for _, r := range []chat.Response{fullResponse, {ID: "resp_1", CreatedAt: when, Input: []string{}, Output: []chat.Item{}}} {
		same[api.Response](t, appendResponse(nil, &r))
	}
	for _, texts := range []bool{true, false} {
		r := same[api.AuditRecord](t, appendAudit(nil, &fullRecord, texts))
		if got := r.Payloads[0].Text != nil; got != texts || r.Payloads[2].Text != nil {
			t.Errorf("texts %v: %+v", texts, r.Payloads)
		}
	}
	same[api.AuditRecord](t, appendRecord(nil, &audit.Record{ID: "aud_1", Time: when}))
	same[api.Model](t, appendModel(nil, &chat.Model{Provider: "p", Model: llm.Model{ID: "m", OwnedBy: "o", Created: when}}))
	same[api.Model](t, appendModel(nil, &chat.Model{Model: llm.Model{ID: "m"}}))
}

func TestTimesHaveMilliseconds(t *testing.T) {
	c := chat.Conversation{CreatedAt: when.Truncate(time.Second), UpdatedAt: when.In(time.FixedZone("x", 3600))}
	got := appendConversation(nil, &c)
	if !bytes.Contains(got, []byte(`"created_at":"2026-02-03T04:05:06.000Z","updated_at":"2026-02-03T04:05:06.007Z"`)) {
		t.Errorf("%s", got)
	}
}

func TestASingleTextPartShowsAsItsText(t *testing.T) {
	for in, want := range map[string]string{
		`[{"type":"input_text","text":"a\n"}]`:  `"a\n"`,
		`[{"text":"b","type":"output_text"}]`:   `"b"`,
		`[{"type":"text","text":"c"}]`:          `"c"`,
		`[{"type":"text","text":"c","x":1}]`:    `[{"type":"text","text":"c","x":1}]`,
		`[{"type":"refusal","refusal":"text"}]`: `[{"type":"refusal","refusal":"text"}]`,
		`[{"type":"other","text":"d"}]`:         `[{"type":"other","text":"d"}]`,
		`[{"type":"text","text":7}]`:            `[{"type":"text","text":7}]`,
		`[{"type":"text","text":"e"}, {}]`:      `[{"type":"text","text":"e"}, {}]`,
		`["text"]`:                              `["text"]`,
		`[]`:                                    `[]`,
		`"[\"text\"]"`:                          `"[\"text\"]"`,
		``:                                      `""`,
	} {
		if got := string(shownContent(json.RawMessage(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestOutputTextJoinsTheTextsOfMessages(t *testing.T) {
	r := chat.Response{Output: []chat.Item{
		{Item: llm.Item{Type: llm.TypeReasoning, Data: json.RawMessage(`{"content":[{"text":"no"}]}`)}},
		{Item: llm.Item{Type: llm.TypeMessage, Content: json.RawMessage(`"One\n"`)}},
		{Item: llm.Item{Type: llm.TypeMessage, Content: json.RawMessage(`[{"type":"output_text","text":"two "},{"type":"refusal","refusal":"no"},{"type":"output_text","text":"é\u2028"}]`)}},
		{Item: llm.Item{Type: llm.TypeMessage}},
	}}
	var got api.Response
	if err := json.Unmarshal(appendResponse(nil, &r), &got); err != nil || got.OutputText != "One\ntwo é\u2028" {
		t.Errorf("%q %v", got.OutputText, err)
	}
}

func TestRolesOfItemsThatAreNoMessages(t *testing.T) {
	for itemType, want := range map[string]llm.Role{
		llm.TypeFunctionCall: llm.Assistant, llm.TypeFunctionCallOutput: llm.Tool, "custom_tool_call_output": llm.Tool, llm.TypeReasoning: llm.Assistant, "new_kind": llm.Assistant,
	} {
		if got := roleOf(&chat.Item{Item: llm.Item{Type: itemType}}); got != want {
			t.Errorf("%s: %s", itemType, got)
		}
	}
}

func TestEveryEventIsJSONWithItsTypeAndNumber(t *testing.T) {
	events := []chat.Event{
		&chat.ResponseEvent{Name: chat.EventCreated, Response: fullResponse}, &chat.ItemEvent{Item: fullItem}, &chat.ItemEvent{Done: true, Item: fullItem},
		&chat.PartEvent{ItemID: "msg_1", Kind: chat.PartText}, &chat.PartEvent{Done: true, Kind: chat.PartRefusal, Text: "\n"},
		&chat.TextEvent{Kind: chat.PartText, Text: "\n\"é"}, &chat.TextEvent{Done: true, Kind: chat.PartText}, &chat.TextEvent{Kind: chat.PartRefusal}, &chat.TextEvent{Done: true, Kind: chat.PartRefusal},
		&chat.ArgumentsEvent{Arguments: "{"}, &chat.ArgumentsEvent{Done: true, Name: "n"}, &chat.ReasoningEvent{Text: "x"}, &chat.ReasoningEvent{Done: true},
	}
	for i, ev := range events {
		data := appendEvent(nil, i, ev)
		var got struct {
			Type     string `json:"type"`
			Sequence int    `json:"sequence_number"`
		}
		if err := json.Unmarshal(data, &got); err != nil || got.Type != ev.Type() || got.Sequence != i || bytes.ContainsAny(data, "\n\r") {
			t.Errorf("%s: %v %s", ev.Type(), err, data)
		}
	}
}

func BenchmarkDelta(b *testing.B) {
	ev := &chat.TextEvent{ItemID: "msg_06bq3k0v5a9w2m7t1x4z8c6d5e", Kind: chat.PartText, Text: "word "}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = appendEvent(dst[:0], 4, ev)
	}
}
