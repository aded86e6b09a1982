package openai

import (
	"encoding/json"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/rawjson"
)

// Encode writes the body of a chat completion. A message whose content is a string is copied byte for byte.
func (c *Client) Encode(req *llm.Request) ([]byte, error) {
	m := messages{dst: make([]byte, 0, sizeOf(req)), dialect: c.dialect}
	m.dst = append(m.dst, `{"model":`...)
	m.dst = rawjson.AppendString(m.dst, req.Model)
	m.dst = append(m.dst, `,"messages":[`...)
	if req.Instructions != "" {
		m.begin()
		m.dst = append(m.dst, `{"role":"system","content":`...)
		m.dst = rawjson.AppendString(m.dst, req.Instructions)
		m.dst = append(m.dst, '}')
	}
	for i := range req.Items {
		if err := m.add(&req.Items[i]); err != nil {
			return nil, err
		}
	}
	m.flush()
	dst := append(m.dst, ']')
	if req.Stream {
		dst = append(dst, `,"stream":true,"stream_options":{"include_usage":true}`...)
	}
	dst = c.appendParams(dst, &req.Params)
	dst = appendTools(dst, req.Tools)
	dst = appendToolChoice(dst, req.ToolChoice)
	return append(dst, '}'), nil
}

// sizeOf is about how long the body will be, so that it is allocated once.
func sizeOf(req *llm.Request) int {
	size := 512 + len(req.Instructions) + len(req.Tools) + len(req.Params.ResponseFormat)
	for i := range req.Items {
		size += 64 + len(req.Items[i].Content) + len(req.Items[i].Data)
	}
	return size
}

func (c *Client) appendParams(dst []byte, p *llm.Params) []byte {
	dst = rawjson.AppendFloat(dst, "temperature", p.Temperature)
	dst = rawjson.AppendFloat(dst, "top_p", p.TopP)
	dst = rawjson.AppendInt(dst, c.dialect.maxTokens, p.MaxOutputTokens)
	dst = rawjson.AppendInt(dst, "seed", p.Seed)
	dst = rawjson.AppendFloat(dst, "presence_penalty", p.PresencePenalty)
	dst = rawjson.AppendFloat(dst, "frequency_penalty", p.FrequencyPenalty)
	dst = rawjson.AppendStrings(dst, "stop", p.Stop)
	return appendResponseFormat(dst, p.ResponseFormat)
}

// appendResponseFormat takes the chat protocol's own shape, and the flat one of the Responses API, which differs where there is a schema.
func appendResponseFormat(dst []byte, format json.RawMessage) []byte {
	if rawjson.Empty(format) {
		return dst
	}
	dst = rawjson.AppendName(dst, "response_format")
	if string(rawjson.Member(format, "type")) != `"json_schema"` || rawjson.Member(format, "json_schema") != nil {
		return append(dst, format...)
	}
	return appendNested(dst, "json_schema", format)
}

// appendTools nests the flat function tools of the Responses API as the chat protocol has them. Other tools are passed as they came.
func appendTools(dst []byte, tools json.RawMessage) []byte {
	first := true
	for tool := range rawjson.Elements(tools) {
		if first {
			dst = append(rawjson.AppendName(dst, "tools"), '[')
		} else {
			dst = append(dst, ',')
		}
		first = false
		dst = appendFunction(dst, tool)
	}
	if !first {
		dst = append(dst, ']')
	}
	return dst
}

// appendFunction appends a tool, or the choice of one.
func appendFunction(dst, tool []byte) []byte {
	if string(rawjson.Member(tool, "type")) != `"function"` || rawjson.Member(tool, "function") != nil {
		return append(dst, tool...)
	}
	return appendNested(dst, "function", tool)
}

// appendNested moves every member of a flat object but its type into an object under the type's name.
func appendNested(dst []byte, kind string, flat []byte) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, kind...)
	dst = append(dst, `","`...)
	dst = append(dst, kind...)
	dst = append(dst, `":`...)
	dst = rawjson.AppendWithout(dst, flat, "type")
	return append(dst, '}')
}

func appendToolChoice(dst []byte, choice json.RawMessage) []byte {
	if rawjson.Empty(choice) {
		return dst
	}
	dst = rawjson.AppendName(dst, "tool_choice")
	if string(rawjson.Member(choice, "type")) != `"allowed_tools"` || rawjson.Member(choice, "allowed_tools") != nil {
		return appendFunction(dst, choice)
	}
	dst = append(dst, `{"type":"allowed_tools","allowed_tools":{"mode":`...)
	mode := rawjson.Member(choice, "mode")
	if mode == nil {
		mode = []byte(`"auto"`)
	}
	dst = append(dst, mode...)
	dst = appendTools(dst, rawjson.Member(choice, "tools"))
	return append(dst, '}', '}')
}
