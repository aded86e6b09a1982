package openai

import (
	"encoding/json"
	"strconv"

	"github.com/parley-llm/parley/internal/llm"
)

// Encode writes the body of a chat completion. A message whose content is a string is copied byte for byte.
func (c *Client) Encode(req *llm.Request) ([]byte, error) {
	m := messages{dst: make([]byte, 0, sizeOf(req)), dialect: c.dialect}
	m.dst = append(m.dst, `{"model":`...)
	m.dst = appendString(m.dst, req.Model)
	m.dst = append(m.dst, `,"messages":[`...)
	if req.Instructions != "" {
		m.begin()
		m.dst = append(m.dst, `{"role":"system","content":`...)
		m.dst = appendString(m.dst, req.Instructions)
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
	dst = appendFloat(dst, "temperature", p.Temperature)
	dst = appendFloat(dst, "top_p", p.TopP)
	dst = appendInt(dst, c.dialect.maxTokens, p.MaxOutputTokens)
	dst = appendInt(dst, "seed", p.Seed)
	dst = appendFloat(dst, "presence_penalty", p.PresencePenalty)
	dst = appendFloat(dst, "frequency_penalty", p.FrequencyPenalty)
	if len(p.Stop) > 0 {
		dst = append(dst, `,"stop":[`...)
		for i, stop := range p.Stop {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, stop)
		}
		dst = append(dst, ']')
	}
	return appendResponseFormat(dst, p.ResponseFormat)
}

func appendFloat(dst []byte, name string, value *float64) []byte {
	if value == nil {
		return dst
	}
	return strconv.AppendFloat(appendName(dst, name), *value, 'g', -1, 64)
}

func appendInt(dst []byte, name string, value *int64) []byte {
	if value == nil {
		return dst
	}
	return strconv.AppendInt(appendName(dst, name), *value, 10)
}

// appendName appends a further member's name, which needs no escapes.
func appendName(dst []byte, name string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// appendResponseFormat takes the chat protocol's own shape, and the flat one of the Responses API, which differs where there is a schema.
func appendResponseFormat(dst []byte, format json.RawMessage) []byte {
	if empty(format) {
		return dst
	}
	dst = appendName(dst, "response_format")
	if string(member(format, "type")) != `"json_schema"` || member(format, "json_schema") != nil {
		return append(dst, format...)
	}
	return appendNested(dst, "json_schema", format)
}

// appendTools nests the flat function tools of the Responses API as the chat protocol has them. Other tools are passed as they came.
func appendTools(dst []byte, tools json.RawMessage) []byte {
	first := true
	for tool := range elements(tools) {
		if first {
			dst = append(appendName(dst, "tools"), '[')
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
	if string(member(tool, "type")) != `"function"` || member(tool, "function") != nil {
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
	dst = appendWithout(dst, flat, "type")
	return append(dst, '}')
}

// appendWithout appends an object without some of its members.
func appendWithout(dst, object []byte, names ...string) []byte {
	dst = append(dst, '{')
	first := true
next:
	for name, value := range members(object) {
		for _, n := range names {
			if n == name {
				continue next
			}
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, '"')
		dst = append(dst, name...)
		dst = append(dst, '"', ':')
		dst = append(dst, value...)
	}
	return append(dst, '}')
}

func appendToolChoice(dst []byte, choice json.RawMessage) []byte {
	if empty(choice) {
		return dst
	}
	dst = appendName(dst, "tool_choice")
	if string(member(choice, "type")) != `"allowed_tools"` || member(choice, "allowed_tools") != nil {
		return appendFunction(dst, choice)
	}
	dst = append(dst, `{"type":"allowed_tools","allowed_tools":{"mode":`...)
	mode := member(choice, "mode")
	if mode == nil {
		mode = []byte(`"auto"`)
	}
	dst = append(dst, mode...)
	dst = appendTools(dst, member(choice, "tools"))
	return append(dst, '}', '}')
}

// empty: left out, or null.
func empty(raw json.RawMessage) bool {
	return len(raw) == 0 || string(raw) == "null"
}
