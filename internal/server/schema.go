package server

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/parley-llm/parley/api"
	"github.com/parley-llm/parley/internal/chat"
)

// marshal writes what goes out through huma, which is problems only: every other answer is bytes already.
func marshal(w io.Writer, v any) error {
	if p, ok := v.(*problem); ok {
		// The client is gone if this fails, and huma would make a panic of it.
		_, _ = w.Write(append(p.appendJSON(nil), '\n'))
		return nil
	}
	return json.NewEncoder(w).Encode(v)
}

// decode is huma's way from JSON to Go. What it cannot decode it says by the field's path alone: its own words would
// quote the text.
func decode(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return errors.New(decodeError + wrong.Field)
	}
	if err != nil {
		return errors.New(decodeError)
	}
	return nil
}

// decodeError opens the message of decode.
const decodeError = "cannot decode: "

// aliases tell huma by which type to describe an optional field of a merge patch.
func aliases(r huma.Registry) {
	alias[api.Optional[string], *string](r)
	alias[api.Optional[float64], *float64](r)
	alias[api.Optional[api.Integer], *int64](r)
	alias[api.Integer, int64](r)
	alias[api.Optional[[]string], []string](r)
	alias[api.Optional[json.RawMessage], json.RawMessage](r)
	alias[api.Optional[api.ParamsPatch], api.ParamsPatch](r)
	alias[api.Optional[map[string]*string], map[string]*string](r)
}

func alias[T, As any](r huma.Registry) {
	r.RegisterTypeAlias(reflect.TypeFor[T](), reflect.TypeFor[As]())
}

// finishSchemas says of the schemas what struct tags cannot: fields of several forms, objects that may be null, limits on
// the values of a map. It must come after the routes, which make the schemas, and ahead of the first request.
func (s *server) finishSchemas() {
	for _, name := range []string{"NewMessage", "ReplaceMessage", "MessagePatch"} {
		s.property(name, "content", contentSchema(1))
	}
	s.property("Message", "content", contentSchema(0))
	s.property("NewResponse", "prompt", promptSchema())
	s.property("NewResponse", "tools", toolsSchema())
	s.property("NewResponse", "tool_choice", toolChoiceSchema())
	s.schema("NewResponse").Extensions = map[string]any{"oneOf": promptOrRegenerate()}
	s.property("Params", "response_format", responseFormatSchema(false))
	s.property("ParamsPatch", "response_format", responseFormatSchema(true))
	s.schema("ParamsPatch").Properties["truncation"].Enum = []any{"auto", "disabled", nil}

	for name, fields := range map[string][]string{
		"Conversation":        {"forked_from", "cost"},
		"FoundConversation":   {"forked_from", "cost"},
		"ReplaceConversation": {"params"},
		"ConversationPatch":   {"params"},
		"Message":             {"usage"},
		"Model":               {"pricing"},
		"Response":            {"usage", "cost", "truncated", "error"},
	} {
		for _, field := range fields {
			s.orNull(name, field)
		}
	}
	for _, name := range []string{"NewConversation", "ReplaceConversation", "ConversationPatch", "NewMessage", "ReplaceMessage", "MessagePatch"} {
		limitMetadata(s.schema(name).Properties["metadata"])
	}
	// huma describes errors of its own, which never go out.
	delete(s.registry.Map(), "ErrorModel")
	delete(s.registry.Map(), "ErrorDetail")

	s.names = names{"body": {}, "query": {}, "path": {}, "header": {}, "call_id": {}, "arguments": {}, "name": {}, "type": {}, "text": {}}
	for _, schema := range s.registry.Map() {
		schema.PrecomputeMessages()
		for name := range schema.Properties {
			s.names[name] = struct{}{}
		}
	}
	for _, item := range s.api.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			for _, p := range op.Parameters {
				s.names[p.Name] = struct{}{}
			}
		}
	}
}

func (s *server) schema(name string) *huma.Schema { return s.registry.Map()[name] }

func (s *server) property(schema, field string, to *huma.Schema) {
	s.schema(schema).Properties[field] = to
}

// orNull describes an object that may be null by a copy of its schema that says so, because a reference cannot.
func (s *server) orNull(schema, field string) {
	ref := s.schema(schema).Properties[field]
	copied := *s.registry.SchemaFromRef(ref.Ref)
	copied.Nullable = true
	if ref.Description != "" {
		copied.Description = ref.Description
	}
	s.property(schema, field, &copied)
}

func limitMetadata(metadata *huma.Schema) {
	values := metadata.AdditionalProperties.(*huma.Schema)
	limit := chat.MaxMetadataValue
	values.MaxLength = &limit
	values.PrecomputeMessages()
	// huma has no word for it: checkMetadata looks at the keys.
	metadata.Extensions = map[string]any{propertyNames: map[string]any{"maxLength": chat.MaxMetadataKey}}
}

// propertyNames is the word of JSON Schema for what keys may be. OpenAPI 3.0 does not have it.
const propertyNames = "propertyNames"

func contentSchema(least int) *huma.Schema {
	most := maxListed
	part := typedObject("One part of a message, kept as it came.")
	return &huma.Schema{
		Description: "A text, or parts such as text, image_url or file, which are kept as they came. A single text part comes back as its text. A function_call (by the assistant) or a function_call_output (by a tool) stands alone.",
		OneOf: []*huma.Schema{
			{Type: huma.TypeString, MinLength: &least, Examples: []any{"What is the capital of Portugal?"}},
			{Type: huma.TypeArray, MinItems: &least, MaxItems: &most, Items: part},
		},
	}
}

func promptSchema() *huma.Schema {
	least, most := 1, maxListed
	return &huma.Schema{
		Description: "What to ask: a text, which is a user message, or messages. The output of a tool is [{\"role\":\"tool\",\"content\":[{\"type\":\"function_call_output\",\"call_id\":...,\"output\":...}]}].",
		OneOf: []*huma.Schema{
			{Type: huma.TypeString, MinLength: &least, Examples: []any{"What is the capital of Portugal?"}},
			{Type: huma.TypeArray, MinItems: &least, MaxItems: &most, Items: &huma.Schema{Ref: "#/components/schemas/NewMessage"}},
		},
	}
}

// promptOrRegenerate says that a prompt is either given or run again. It is for readers: checkBody refuses what has neither or both,
// in words that huma does not have.
func promptOrRegenerate() []any {
	regenerate := func(value bool) map[string]any {
		return map[string]any{"regenerate": map[string]any{"type": huma.TypeBoolean, "enum": []any{value}}}
	}
	return []any{
		map[string]any{"title": "Prompt", "required": []any{"prompt"}, "properties": regenerate(false)},
		map[string]any{"title": "Again", "required": []any{"regenerate"}, "properties": regenerate(true), "not": map[string]any{"required": []any{"prompt"}}},
	}
}

func toolsSchema() *huma.Schema {
	most := maxListed
	return &huma.Schema{
		Type: huma.TypeArray, MaxItems: &most,
		Description: "Tools that the model may call, flat as in OpenAI's Responses. Calls come back; nothing is executed here.",
		Items:       typedObject("A tool, such as {\"type\":\"function\",\"name\":...,\"parameters\":...}."),
	}
}

func toolChoiceSchema() *huma.Schema {
	return &huma.Schema{
		Description: "Which tool to call: auto, none, required, or one by name, as in OpenAI's Responses.",
		OneOf: []*huma.Schema{
			{Type: huma.TypeString, Enum: []any{"auto", "none", "required"}},
			typedObject("A choice such as {\"type\":\"function\",\"name\":...}."),
		},
	}
}

func responseFormatSchema(orNull bool) *huma.Schema {
	format := typedObject("The form of the reply, as in Chat Completions: {\"type\":\"text\"}, {\"type\":\"json_object\"} or {\"type\":\"json_schema\", ...}.")
	format.Nullable = orNull
	return format
}

// typedObject is an object with a type and anything else.
func typedObject(description string) *huma.Schema {
	one := 1
	return &huma.Schema{
		Type: huma.TypeObject, Description: description, AdditionalProperties: true,
		Properties: map[string]*huma.Schema{"type": {Type: huma.TypeString, MinLength: &one}},
		Required:   []string{"type"},
	}
}

// at is the schema at a location in an operation's body, or nil.
func (s *server) at(op *huma.Operation, location string) *huma.Schema {
	if op.RequestBody == nil {
		return nil
	}
	schema := op.RequestBody.Content[jsonType].Schema
	rest, _ := strings.CutPrefix(location, "body")
	for schema != nil {
		for schema.Ref != "" {
			schema = s.registry.SchemaFromRef(schema.Ref)
		}
		if rest == "" {
			return schema
		}
		if rest[0] == '[' {
			if schema.OneOf != nil {
				if schema = form(schema, []any(nil)); schema == nil {
					return nil
				}
			}
			schema, rest = schema.Items, rest[strings.IndexByte(rest, ']')+1:]
			continue
		}
		name := rest[1:]
		if end := strings.IndexAny(name, ".["); end >= 0 {
			name = name[:end]
		}
		schema, rest = schema.Properties[name], rest[1+len(name):]
	}
	return nil
}

// form is the one of a field's forms that a value is meant to have, or nil.
func form(schema *huma.Schema, v any) *huma.Schema {
	want := ""
	switch v.(type) {
	case string:
		want = huma.TypeString
	case []any:
		want = huma.TypeArray
	case map[string]any:
		want = huma.TypeObject
	}
	for _, s := range schema.OneOf {
		if s.Type == want {
			return s
		}
	}
	return nil
}

// refine replaces huma's finding that a value has none of a field's forms by what is wrong with the form it is meant to have.
func (s *server) refine(detail *huma.ErrorDetail) []error {
	if detail.Message != validation.MsgExpectedMatchExactlyOneSchema {
		return []error{detail}
	}
	schema := s.forms(detail.Location)
	if schema == nil {
		return []error{detail}
	}
	meant := form(schema, detail.Value)
	if meant == nil {
		kinds := make([]string, len(schema.OneOf))
		for i, one := range schema.OneOf {
			kinds[i] = one.Type
		}
		detail.Message = "expected " + strings.Join(kinds, " or ")
		return []error{detail}
	}
	var res huma.ValidateResult
	path := huma.NewPathBuffer([]byte(detail.Location), len(detail.Location))
	huma.Validate(s.registry, meant, path, huma.ModeWriteToServer, detail.Value, &res)
	var errs []error
	for _, err := range res.Errors {
		errs = append(errs, s.refine(err.(*huma.ErrorDetail))...) //nolint:errorlint // huma adds nothing else
	}
	return errs
}

// forms is the schema of a field that has several forms, by the last name of its location.
func (s *server) forms(location string) *huma.Schema {
	switch location[strings.LastIndexByte(location, '.')+1:] {
	case "content":
		return s.schema("NewMessage").Properties["content"]
	case "prompt":
		return s.schema("NewResponse").Properties["prompt"]
	case "tool_choice":
		return s.schema("NewResponse").Properties["tool_choice"]
	default:
		return nil
	}
}
