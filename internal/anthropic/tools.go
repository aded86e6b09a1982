package anthropic

import (
	"encoding/json"
	"slices"

	"github.com/parley-llm/parley/internal/rawjson"
)

// chosenTools are the tools that are sent, as the elements of a list, and how they are chosen; without tools there is no choice, which would
// be an error in this protocol. Functions are turned from their flat shape of the Responses API, or the chat protocol's nested one; other
// tools are taken for the protocol's own and passed as they came.
func chosenTools(tools, choice json.RawMessage) (list []byte, how json.RawMessage) {
	var only []string
	if string(rawjson.Member(choice, "type")) == `"allowed_tools"` {
		// The protocol cannot offer a tool and forbid it: only the allowed ones are sent.
		if nested := rawjson.Member(choice, "allowed_tools"); nested != nil {
			choice = nested
		}
		only = toolNames(rawjson.Member(choice, "tools"))
		choice = rawjson.Member(choice, "mode")
	}
	for tool := range rawjson.Elements(tools) {
		if only != nil && !slices.Contains(only, toolName(tool)) {
			continue
		}
		if list != nil {
			list = append(list, ',')
		}
		list = appendTool(list, tool)
	}
	return list, choice
}

// function is what describes a function: the tool itself, or what the chat protocol nests in it.
func function(tool []byte) []byte {
	if nested := rawjson.Member(tool, "function"); nested != nil {
		return nested
	}
	return tool
}

func toolName(tool []byte) string { return string(rawjson.Member(function(tool), "name")) }

func toolNames(tools []byte) []string {
	names := []string{}
	for tool := range rawjson.Elements(tools) {
		names = append(names, toolName(tool))
	}
	return names
}

func appendTool(dst, tool []byte) []byte {
	if string(rawjson.Member(tool, "type")) != `"function"` {
		return append(dst, tool...)
	}
	f := function(tool)
	dst = append(dst, `{"name":`...)
	dst = append(dst, rawjson.OrEmpty(rawjson.Member(f, "name"))...)
	if description := rawjson.Member(f, "description"); description != nil {
		dst = append(rawjson.AppendName(dst, "description"), description...)
	}
	schema := rawjson.Member(f, "parameters")
	if schema == nil {
		schema = []byte(`{"type":"object"}`)
	}
	dst = append(rawjson.AppendName(dst, "input_schema"), schema...)
	if string(rawjson.Member(f, "strict")) == "true" {
		dst = append(dst, `,"strict":true`...)
	}
	return append(dst, '}')
}

func appendToolChoice(dst []byte, choice json.RawMessage) []byte {
	switch string(choice) {
	case "", "null":
		return dst
	case `"auto"`:
		return append(dst, `,"tool_choice":{"type":"auto"}`...)
	case `"required"`:
		return append(dst, `,"tool_choice":{"type":"any"}`...)
	case `"none"`:
		return append(dst, `,"tool_choice":{"type":"none"}`...)
	}
	dst = rawjson.AppendName(dst, "tool_choice")
	if string(rawjson.Member(choice, "type")) != `"function"` {
		return append(dst, choice...)
	}
	dst = append(dst, `{"type":"tool","name":`...)
	dst = append(dst, rawjson.OrEmpty(rawjson.Member(function(choice), "name"))...)
	return append(dst, '}')
}
