package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"unicode/utf8"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// This file turns the native wire types into those of the core. checkBody has seen every body before, so what it refuses
// does not arrive here.

// checkBody finds what a schema cannot say. It also runs on a body that the schema refuses, to tell everything at once.
func checkBody(body any) []fault.Field {
	switch b := body.(type) {
	case **api.NewConversation:
		if *b == nil {
			return nil
		}
		fields := checkMetadata((*b).Metadata)
		for i, m := range (*b).Messages {
			at := fmt.Sprintf("body.messages[%d]", i)
			fields = append(fields, checkMessage(m, at)...)
		}
		return fields
	case *api.ReplaceConversation:
		return checkMetadata(b.Metadata)
	case *api.ConversationPatch:
		return checkMetadata(b.Metadata.Value)
	case *api.NewMessage:
		return checkMessage(*b, "body")
	case *api.ReplaceMessage:
		return append(checkContent(b.Role, b.Content, "body.content"), checkMetadata(b.Metadata)...)
	case *api.MessagePatch:
		return append(checkContent(b.Role, b.Content, "body.content"), checkMetadata(b.Metadata.Value)...)
	case *api.NewResponse:
		fields := append(checkPrompt(b), checkUnstored(b)...)
		for i, m := range promptMessages(b.Prompt) {
			fields = append(fields, checkMessage(m, fmt.Sprintf("body.prompt[%d]", i))...)
		}
		return fields
	default:
		return nil
	}
}

// checkPrompt finds a prompt where there must be none, and none where there must be one.
func checkPrompt(b *api.NewResponse) []fault.Field {
	switch {
	case b.Regenerate && b.Prompt != nil:
		return []fault.Field{{Location: "body.prompt", Message: "expected none with regenerate, which runs the last input again"}}
	case !b.Regenerate && b.Prompt == nil:
		return []fault.Field{{Location: "body", Message: "expected required property prompt to be present, or regenerate: true"}}
	default:
		return nil
	}
}

// checkUnstored finds what goes only with a response that is kept.
func checkUnstored(b *api.NewResponse) []fault.Field {
	if b.Store == nil || *b.Store {
		return nil
	}
	var fields []fault.Field
	if b.Background {
		fields = append(fields, fault.Field{Location: "body.background", Message: "expected no background with store: false: nothing would be left to read"})
	}
	if b.Regenerate {
		fields = append(fields, fault.Field{Location: "body.regenerate", Message: "expected no regenerate with store: false: the new output could not supersede the old one"})
	}
	return fields
}

func checkMessage(m api.NewMessage, at string) []fault.Field {
	fields := checkContent(m.Role, m.Content, at+".content")
	for _, f := range checkMetadata(m.Metadata) {
		f.Location = at + ".metadata"
		fields = append(fields, f)
	}
	return fields
}

func checkMetadata[V any](m map[string]V) []fault.Field {
	for k := range m {
		if utf8.RuneCountInString(k) > chat.MaxMetadataKey {
			return []fault.Field{{Location: "body.metadata", Message: fmt.Sprintf("expected keys of at most %d characters", chat.MaxMetadataKey)}}
		}
	}
	return nil
}

// promptMessages are the messages of a prompt that is an array of them; what is none is left to the schema.
func promptMessages(prompt json.RawMessage) []api.NewMessage {
	if len(prompt) == 0 || prompt[0] != '[' {
		return nil
	}
	var messages []api.NewMessage
	if err := json.Unmarshal(prompt, &messages); err != nil {
		return nil
	}
	return messages
}

// promptItems are the items that a prompt brings.
func promptItems(prompt json.RawMessage) []chat.Item {
	if prompt[0] == '"' {
		return []chat.Item{{Item: llm.Item{Type: llm.TypeMessage, Role: llm.User, Content: prompt}}}
	}
	return newItems(promptMessages(prompt))
}

func newItems(messages []api.NewMessage) []chat.Item {
	items := make([]chat.Item, len(messages))
	for i, m := range messages {
		items[i] = newItem(m)
	}
	return items
}

func newItem(m api.NewMessage) chat.Item {
	return chat.Item{Item: content(llm.Role(m.Role), m.Content), Metadata: m.Metadata}
}

// content is a message's content as the core keeps it: a string, also for a single text part; a function call or its
// output as an item of its own; anything else as it came.
func content(role llm.Role, raw json.RawMessage) llm.Item {
	if raw[0] == '[' {
		if parts := contentParts(raw); len(parts) == 1 {
			switch p := parts[0]; {
			case p.single():
				raw = p.Text
			case p.Type == llm.TypeFunctionCall || p.Type == llm.TypeFunctionCallOutput:
				return llm.Item{Type: p.Type, Data: p.raw}
			}
		}
	}
	return llm.Item{Type: llm.TypeMessage, Role: role, Content: raw}
}

// part is one part of a message's content, as far as it is interpreted.
type part struct {
	Type      string          `json:"type"`
	Text      json.RawMessage `json:"text"`
	CallID    json.RawMessage `json:"call_id"`
	Name      json.RawMessage `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
	Output    json.RawMessage `json:"output"`

	raw  json.RawMessage
	keys int
}

// contentParts reads an array of parts; nil if it is none.
func contentParts(raw json.RawMessage) []part {
	var raws []json.RawMessage
	if err := json.Unmarshal(raw, &raws); err != nil {
		return nil
	}
	parts := make([]part, len(raws))
	for i, r := range raws {
		var keys map[string]json.RawMessage
		if json.Unmarshal(r, &keys) != nil || json.Unmarshal(r, &parts[i]) != nil {
			return nil
		}
		parts[i].raw, parts[i].keys = r, len(keys)
	}
	return parts
}

// single reports whether the part is text and nothing else, so that it can stand as a string.
func (p *part) single() bool {
	return p.Type == "text" && p.keys == 2 && isString(p.Text)
}

func isString(raw json.RawMessage) bool { return len(raw) > 1 && raw[0] == '"' }

// isText reports whether a raw value is a string that is not empty.
func isText(raw json.RawMessage) bool { return isString(raw) && len(raw) > 2 }

// checkContent finds what is wrong with parts that are interpreted. An empty role is one that is not known here.
func checkContent(role string, raw json.RawMessage, at string) []fault.Field {
	if len(raw) == 0 || raw[0] != '[' {
		return nil
	}
	parts := contentParts(raw)
	var fields []fault.Field
	report := func(name, message string) {
		fields = append(fields, fault.Field{Location: at + "[0]" + name, Message: message})
	}
	for i := range parts {
		p := &parts[i]
		if p.Type != llm.TypeFunctionCall && p.Type != llm.TypeFunctionCallOutput {
			continue
		}
		if len(parts) > 1 {
			return append(fields, fault.Field{Location: at, Message: "a function call or its output must be the only part"})
		}
		if !isText(p.CallID) {
			report(".call_id", "expected a string that is not empty")
		}
		if p.Type == llm.TypeFunctionCallOutput {
			if role != "" && role != string(llm.Tool) {
				report("", "the output of a function comes in a message by the role tool")
			}
			if !isString(p.Output) && !bytes.HasPrefix(p.Output, []byte("[")) {
				report(".output", "expected string or array")
			}
			continue
		}
		if role != "" && role != string(llm.Assistant) {
			report("", "a function call comes in a message by the role assistant")
		}
		if !isText(p.Name) {
			report(".name", "expected a string that is not empty")
		}
		if !isString(p.Arguments) {
			report(".arguments", "expected string")
		}
	}
	if len(parts) == 1 && parts[0].single() && !isText(parts[0].Text) {
		report(".text", "expected a text that is not empty")
	}
	return fields
}

func params(p *api.Params) llm.Params {
	if p == nil {
		return llm.Params{}
	}
	return llm.Params{
		Temperature: p.Temperature, TopP: p.TopP, MaxOutputTokens: (*int64)(p.MaxOutputTokens), Stop: p.Stop, Seed: (*int64)(p.Seed),
		PresencePenalty: p.PresencePenalty, FrequencyPenalty: p.FrequencyPenalty,
		ResponseFormat: orNone(p.ResponseFormat), Truncation: p.Truncation,
	}
}

// orNone is a raw value, nil where it is null.
func orNone(raw json.RawMessage) json.RawMessage {
	if isNull(raw) {
		return nil
	}
	return raw
}

// patchParams merges settings key by key.
func patchParams(p llm.Params, by api.Optional[api.ParamsPatch]) llm.Params {
	if by.Null {
		return llm.Params{}
	}
	v := by.Value
	p.Temperature = patchPointer(p.Temperature, v.Temperature)
	p.TopP = patchPointer(p.TopP, v.TopP)
	p.MaxOutputTokens = (*int64)(patchPointer((*api.Integer)(p.MaxOutputTokens), v.MaxOutputTokens))
	p.Stop = patch(p.Stop, v.Stop)
	p.Seed = (*int64)(patchPointer((*api.Integer)(p.Seed), v.Seed))
	p.PresencePenalty = patchPointer(p.PresencePenalty, v.PresencePenalty)
	p.FrequencyPenalty = patchPointer(p.FrequencyPenalty, v.FrequencyPenalty)
	p.ResponseFormat = patch(p.ResponseFormat, v.ResponseFormat)
	p.Truncation = patch(p.Truncation, v.Truncation)
	return p
}

// patch is a value after a merge: null resets it to its zero.
func patch[T any](value T, by api.Optional[T]) T {
	if by.Set {
		return by.Value
	}
	return value
}

func patchPointer[T any](value *T, by api.Optional[T]) *T {
	switch {
	case !by.Set:
		return value
	case by.Null:
		return nil
	default:
		return &by.Value
	}
}

// patchMetadata merges pairs into a copy: a store may run a change more than once.
func patchMetadata(m map[string]string, by api.Optional[map[string]*string]) map[string]string {
	if !by.Set {
		return m
	}
	if by.Null {
		return nil
	}
	merged := maps.Clone(m)
	if merged == nil {
		merged = map[string]string{}
	}
	for k, v := range by.Value {
		if v == nil {
			delete(merged, k)
		} else {
			merged[k] = *v
		}
	}
	return merged
}
