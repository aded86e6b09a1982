package anthropic

import (
	"cmp"
	"encoding/json"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/rawjson"
)

// maxTemperature is the highest that the protocol knows; other protocols go to 2.
const maxTemperature = 1

// Encode writes the body of a message's creation.
//
// Instructions, system and developer messages become the protocol's one system prompt, in their order. Seed and penalties,
// which the protocol lacks, are left out, and a temperature above 1 is sent as 1, as Anthropic's own layer for OpenAI's
// clients does. A JSON schema in response_format is passed on; JSON without a schema is not possible and refused.
func (c *Client) Encode(req *llm.Request) ([]byte, error) {
	var t turns
	t.dst = make([]byte, 0, sizeOf(req))
	if err := t.instruct(req.Instructions); err != nil {
		return nil, err
	}
	// The system prompt first: thinking that is sent back is bound to all of it.
	for i := range req.Items {
		if item := &req.Items[i]; instructs(item) {
			if err := t.add(item); err != nil {
				return nil, err
			}
		}
	}
	model := rawjson.AppendString(nil, req.Model)
	tools, choice := chosenTools(req.Tools, req.ToolChoice)
	t.origin = newOrigin(c.Host(), model, t.system, tools)
	for i, running := 0, loop(req.Items); i < len(req.Items); i++ {
		item := &req.Items[i]
		switch {
		case instructs(item):
		case i >= running && item.Type == llm.TypeReasoning:
			t.think(item.Data)
		default:
			if err := t.add(item); err != nil {
				return nil, err
			}
		}
	}
	t.flush()

	dst := append(make([]byte, 0, len(t.dst)+len(t.system)+len(req.Tools)+512), `{"model":`...)
	dst = append(dst, model...)
	limit := c.maxTokens
	dst = rawjson.AppendInt(dst, "max_tokens", cmp.Or(req.Params.MaxOutputTokens, &limit))
	if len(t.system) > 0 {
		dst = appendList(rawjson.AppendName(dst, "system"), t.system)
	}
	dst = appendList(rawjson.AppendName(dst, "messages"), t.dst)
	if req.Stream {
		dst = append(dst, `,"stream":true`...)
	}
	dst, err := appendParams(dst, &req.Params)
	if err != nil {
		return nil, err
	}
	if tools != nil {
		dst = appendList(rawjson.AppendName(dst, "tools"), tools)
		dst = appendToolChoice(dst, choice)
	}
	return append(dst, '}'), nil
}

// instructs reports whether an item is a part of the system prompt.
func instructs(item *llm.Item) bool {
	return item.Type == llm.TypeMessage && (item.Role == llm.System || item.Role == llm.Developer)
}

// sizeOf is about how long the messages will be, so that they are allocated once.
func sizeOf(req *llm.Request) int {
	size := 64
	for i := range req.Items {
		size += 64 + len(req.Items[i].Content) + len(req.Items[i].Data)
	}
	return size
}

func appendList(dst, elements []byte) []byte {
	return append(append(append(dst, '['), elements...), ']')
}

func appendParams(dst []byte, p *llm.Params) ([]byte, error) {
	temperature := p.Temperature
	if temperature != nil {
		limited := min(*temperature, maxTemperature)
		temperature = &limited
	}
	dst = rawjson.AppendFloat(dst, "temperature", temperature)
	dst = rawjson.AppendFloat(dst, "top_p", p.TopP)
	dst = rawjson.AppendStrings(dst, "stop_sequences", p.Stop)
	return appendResponseFormat(dst, p.ResponseFormat)
}

// appendResponseFormat takes the shape of the chat protocol and the flat one of the Responses API.
func appendResponseFormat(dst []byte, format json.RawMessage) ([]byte, error) {
	if rawjson.Empty(format) || string(rawjson.Member(format, "type")) == `"text"` {
		return dst, nil
	}
	schema := rawjson.Member(format, "schema")
	if nested := rawjson.Member(format, "json_schema"); nested != nil {
		schema = rawjson.Member(nested, "schema")
	}
	if string(rawjson.Member(format, "type")) != `"json_schema"` || schema == nil {
		return nil, fault.New(fault.Invalid, "unsupported_param", "This model's provider takes a response_format of the types text and json_schema only.")
	}
	dst = append(dst, `,"output_config":{"format":{"type":"json_schema","schema":`...)
	dst = append(dst, schema...)
	return append(dst, '}', '}'), nil
}
