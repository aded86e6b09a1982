package chat

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/llm"
)

// transcribe runs provider events through a reply and writes down what a reader of the stream sees.
func transcribe(t *testing.T, events ...llm.Event) (lines []string, items []Item) {
	t.Helper()
	n := 0
	r := &reply{
		emit: func(events ...Event) {
			for _, e := range events {
				lines = append(lines, line(e))
			}
		},
		newID:    func(prefix string) string { n++; return fmt.Sprint(prefix, n) },
		now:      time.Now,
		response: &Response{ID: "resp_1", ConversationID: "conv_1", Model: "m"},
	}
	for _, e := range events {
		r.add(e)
	}
	r.end(ItemCompleted)
	return lines, r.items()
}

func line(e Event) string {
	switch e := e.(type) {
	case *ItemEvent:
		return fmt.Sprintf("%s %d %s %s %s%s", e.Type(), e.OutputIndex, e.Item.ID, e.Item.Status, e.Item.Content, e.Item.Data)
	case *PartEvent:
		return fmt.Sprintf("%s %s %d.%d %s %q", e.Type(), e.ItemID, e.OutputIndex, e.ContentIndex, e.Kind, e.Text)
	case *TextEvent:
		return fmt.Sprintf("%s %s %d.%d %q", e.Type(), e.ItemID, e.OutputIndex, e.ContentIndex, e.Text)
	case *ArgumentsEvent:
		return fmt.Sprintf("%s %s %d %q", e.Type(), e.ItemID, e.OutputIndex, e.Arguments)
	case *ReasoningEvent:
		return fmt.Sprintf("%s %s %d.%d %q", e.Type(), e.ItemID, e.OutputIndex, e.ContentIndex, e.Text)
	}
	return e.Type()
}

func TestReplyTellsOfItsItemsInTheOrderOfTheResponsesStream(t *testing.T) {
	for _, test := range []struct {
		name   string
		events []llm.Event
		want   string
	}{
		{"text", []llm.Event{llm.TextDelta{Text: "Hel"}, llm.TextDelta{Text: "lo"}}, `
response.output_item.added 0 msg_1 in_progress ""
response.content_part.added msg_1 0.0 output_text ""
response.output_text.delta msg_1 0.0 "Hel"
response.output_text.delta msg_1 0.0 "lo"
response.output_text.done msg_1 0.0 "Hello"
response.content_part.done msg_1 0.0 output_text "Hello"
response.output_item.done 0 msg_1 completed "Hello"`},
		{"text, then a refusal", []llm.Event{llm.TextDelta{Text: "Well"}, llm.RefusalDelta{Text: "no"}}, `
response.output_item.added 0 msg_1 in_progress ""
response.content_part.added msg_1 0.0 output_text ""
response.output_text.delta msg_1 0.0 "Well"
response.output_text.done msg_1 0.0 "Well"
response.content_part.done msg_1 0.0 output_text "Well"
response.content_part.added msg_1 0.1 refusal ""
response.refusal.delta msg_1 0.1 "no"
response.refusal.done msg_1 0.1 "no"
response.content_part.done msg_1 0.1 refusal "no"
response.output_item.done 0 msg_1 completed [{"type":"output_text","text":"Well"},{"type":"refusal","refusal":"no"}]`},
		{"two tool calls whose arguments come interleaved, after text", []llm.Event{
			llm.TextDelta{Text: "Looking"},
			llm.ToolCallStarted{Index: 0, CallID: "call_a", Name: "weather"},
			llm.ToolCallDelta{Index: 0, Arguments: `{"c":`},
			llm.ToolCallStarted{Index: 1, CallID: "call_b", Name: "time"},
			llm.ToolCallDelta{Index: 1, Arguments: `{}`},
			llm.ToolCallDelta{Index: 0, Arguments: `1}`},
			llm.ToolCallDelta{Index: 7, Arguments: "of a call that never began"},
		}, `
response.output_item.added 0 msg_1 in_progress ""
response.content_part.added msg_1 0.0 output_text ""
response.output_text.delta msg_1 0.0 "Looking"
response.output_text.done msg_1 0.0 "Looking"
response.content_part.done msg_1 0.0 output_text "Looking"
response.output_item.done 0 msg_1 completed "Looking"
response.output_item.added 1 fc_2 in_progress {"type":"function_call","call_id":"call_a","name":"weather","arguments":""}
response.function_call_arguments.delta fc_2 1 "{\"c\":"
response.output_item.added 2 fc_3 in_progress {"type":"function_call","call_id":"call_b","name":"time","arguments":""}
response.function_call_arguments.delta fc_3 2 "{}"
response.function_call_arguments.delta fc_2 1 "1}"
response.function_call_arguments.done fc_2 1 "{\"c\":1}"
response.output_item.done 1 fc_2 completed {"type":"function_call","call_id":"call_a","name":"weather","arguments":"{\"c\":1}"}
response.function_call_arguments.done fc_3 2 "{}"
response.output_item.done 2 fc_3 completed {"type":"function_call","call_id":"call_b","name":"time","arguments":"{}"}`},
		{"reasoning, then text", []llm.Event{llm.ReasoningDelta{Text: "Hm"}, llm.ReasoningDelta{Text: "m."}, llm.TextDelta{Text: "<b>&"}}, `
response.output_item.added 0 rs_1 in_progress {"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":""}]}
response.reasoning_text.delta rs_1 0.0 "Hm"
response.reasoning_text.delta rs_1 0.0 "m."
response.reasoning_text.done rs_1 0.0 "Hmm."
response.output_item.done 0 rs_1 completed {"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"Hmm."}]}
response.output_item.added 1 msg_2 in_progress ""
response.content_part.added msg_2 1.0 output_text ""
response.output_text.delta msg_2 1.0 "<b>&"
response.output_text.done msg_2 1.0 "<b>&"
response.content_part.done msg_2 1.0 output_text "<b>&"
response.output_item.done 1 msg_2 completed "<b>&"`},
		{"reasoning with what its provider wants back, and some of which nothing is visible", []llm.Event{
			llm.ReasoningDelta{Text: "Hm"}, llm.ReasoningEncrypted{Content: "a+/="}, llm.ReasoningEncrypted{Content: "b"}, llm.ReasoningDelta{Text: "So"},
		}, `
response.output_item.added 0 rs_1 in_progress {"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":""}]}
response.reasoning_text.delta rs_1 0.0 "Hm"
response.reasoning_text.done rs_1 0.0 "Hm"
response.output_item.done 0 rs_1 completed {"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"Hm"}],"encrypted_content":"a+/="}
response.output_item.added 1 rs_2 in_progress {"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":""}]}
response.reasoning_text.done rs_2 1.0 ""
response.output_item.done 1 rs_2 completed {"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":""}],"encrypted_content":"b"}
response.output_item.added 2 rs_3 in_progress {"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":""}]}
response.reasoning_text.delta rs_3 2.0 "So"
response.reasoning_text.done rs_3 2.0 "So"
response.output_item.done 2 rs_3 completed {"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"So"}]}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines, items := transcribe(t, test.events...)
			if got, want := strings.Join(lines, "\n"), strings.TrimSpace(test.want); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			for _, it := range items {
				if !it.Output || it.ResponseID != "resp_1" || it.ConversationID != "conv_1" || it.Model != "m" {
					t.Errorf("an output item does not say where it belongs: %+v", it)
				}
			}
		})
	}
}
