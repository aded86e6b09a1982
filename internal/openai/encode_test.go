package openai

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/upstream"
)

func message1(role llm.Role, content string) llm.Item {
	return llm.Item{Type: llm.TypeMessage, Role: role, Content: json.RawMessage(content)}
}

func data(kind, members string) llm.Item {
	return llm.Item{Type: kind, Data: json.RawMessage(`{"type":"` + kind + `",` + members + `}`)}
}

func ptr[T any](v T) *T { return &v }

func encode(t *testing.T, baseURL string, req *llm.Request) string {
	t.Helper()
	c, err := New(upstream.Config{BaseURL: baseURL})
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.Encode(req)
	if err != nil {
		t.Fatalf("encoding: %v", err)
	}
	if !json.Valid(body) {
		t.Fatalf("not JSON: %s", body)
	}
	return string(body)
}

const local = "http://127.0.0.1:8080/v1"

func TestEncodeMessages(t *testing.T) {
	for _, tc := range []struct {
		name         string
		instructions string
		items        []llm.Item
		want         string
	}{
		{
			"instructions come first, and strings are copied byte for byte", "Be \"brief\"\n",
			[]llm.Item{message1(llm.User, `"a\u00e9\/\n\ud83d\ude00"`), message1(llm.Assistant, `"b"`), message1(llm.User, `"c"`)},
			`{"role":"system","content":"Be \"brief\"\n"},{"role":"user","content":"a\u00e9\/\n\ud83d\ude00"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}`,
		},
		{
			"developer is system where it is not known", "",
			[]llm.Item{message1(llm.Developer, `"d"`), message1(llm.System, `"s"`)},
			`{"role":"system","content":"d"},{"role":"system","content":"s"}`,
		},
		{
			"one text alone is a string", "",
			[]llm.Item{message1(llm.User, `[{"type":"input_text","text":"a\u0020"}]`), message1(llm.Assistant, `[{"type":"output_text","text":"b","annotations":[],"logprobs":[]}]`)},
			`{"role":"user","content":"a\u0020"},{"role":"assistant","content":"b"}`,
		},
		{
			"parts of the Responses API are translated", "",
			[]llm.Item{message1(llm.User, ` [ {"type":"input_text", "text":"a"} , {"type":"input_image","image_url":"https://x/y.png","detail":"low"},`+
				`{"type":"input_image","image_url":"data:image/png;base64,AA=="},{"type":"input_file","filename":"f.pdf","file_data":"data:x"},{"type":"input_file","file_id":"file-1"}]`)},
			`{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},` +
				`{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}},{"type":"file","file":{"filename":"f.pdf","file_data":"data:x"}},{"type":"file","file":{"file_id":"file-1"}}]}`,
		},
		{
			"parts of the chat protocol and unknown ones are kept", "",
			[]llm.Item{message1(llm.User, `[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"image_url","image_url":{"url":"u"}},{"type":"file","file":{"file_id":"f"}},{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}},{"x":[1,{"y":null}]}]`)},
			`{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"image_url","image_url":{"url":"u"}},{"type":"file","file":{"file_id":"f"}},{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}},{"x":[1,{"y":null}]}]}`,
		},
		{
			"a refusal stays one", "",
			[]llm.Item{message1(llm.Assistant, `[{"type":"output_text","text":"a","annotations":[{"x":1}]},{"type":"refusal","refusal":"no"}]`)},
			`{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"refusal","refusal":"no"}]}`,
		},
		{
			"an odd part is left alone", "",
			[]llm.Item{message1(llm.User, `[{"type":"text"}]`), message1(llm.User, `[{"type":"text","text":null}]`)},
			`{"role":"user","content":[{"type":"text"}]},{"role":"user","content":[{"type":"text","text":null}]}`,
		},
		{
			"a message without content is an empty one", "",
			[]llm.Item{message1(llm.User, ``), message1(llm.Assistant, ``), message1(llm.User, `[]`)},
			`{"role":"user","content":""},{"role":"assistant","content":""},{"role":"user","content":[]}`,
		},
		{
			"calls join what was said before them, and each other", "",
			[]llm.Item{
				message1(llm.User, `"weather?"`),
				message1(llm.Assistant, `"Looking."`),
				data("function_call", `"call_id":"c1","name":"weather","arguments":"{\"city\":\"Oslo\"}"`),
				data("reasoning", `"summary":[],"encrypted_content":"thinking.x.y"`),
				data("function_call", `"call_id":"c2","name":"clock","arguments":""`),
				data("function_call_output", `"call_id":"c1","output":"rain"`),
				data("function_call_output", `"call_id":"c2","output":[{"type":"input_text","text":"noon"}]`),
				message1(llm.Assistant, `"Rain at noon."`),
			},
			`{"role":"user","content":"weather?"},{"role":"assistant","content":"Looking.","tool_calls":[{"id":"c1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}},{"id":"c2","type":"function","function":{"name":"clock","arguments":"{}"}}]},` +
				`{"role":"tool","tool_call_id":"c1","content":"rain"},{"role":"tool","tool_call_id":"c2","content":"noon"},{"role":"assistant","content":"Rain at noon."}`,
		},
		{
			"calls of one turn after the other stay apart", "",
			[]llm.Item{
				data("function_call", `"call_id":"c1","name":"f","arguments":"{}"`), data("function_call_output", `"call_id":"c1","output":"1"`),
				data("function_call", `"call_id":"c2","name":"f","arguments":{}`), data("function_call_output", `"call_id":"c2","output":{"a":"b"}`),
				data("function_call", `"call_id":"c3","name":"f"`), data("function_call_output", `"call_id":"c3"`),
			},
			`{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"1"},` +
				`{"role":"assistant","content":null,"tool_calls":[{"id":"c2","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c2","content":"{\"a\":\"b\"}"},` +
				`{"role":"assistant","content":null,"tool_calls":[{"id":"c3","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c3","content":""}`,
		},
		{
			"what is said behind a call belongs to it; what is said next does not", "",
			[]llm.Item{data("function_call", `"call_id":"c1","name":"f","arguments":"{}"`), message1(llm.Assistant, `"a"`), message1(llm.Assistant, `"b"`)},
			`{"role":"assistant","content":"a","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"assistant","content":"b"}`,
		},
		{"nothing", "", nil, ``},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := encode(t, local, &llm.Request{Model: "m", Instructions: tc.instructions, Items: tc.items})
			want := `{"model":"m","messages":[` + tc.want + `]}`
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestEncodeSettings(t *testing.T) {
	all := llm.Params{
		Temperature: ptr(0.7), TopP: ptr(1.0), MaxOutputTokens: ptr(int64(64)), Stop: []string{"\n", "END"}, Seed: ptr(int64(-1)),
		PresencePenalty: ptr(-0.5), FrequencyPenalty: ptr(1e-7), ResponseFormat: json.RawMessage(`{"type":"json_object"}`), Truncation: "disabled",
	}
	const allButTokens = `"seed":-1,"presence_penalty":-0.5,"frequency_penalty":1e-07,"stop":["\n","END"],"response_format":{"type":"json_object"}`
	for _, tc := range []struct {
		name, base string
		req        llm.Request
		want       string
	}{
		{"none", local, llm.Request{}, ``},
		{"a stream asks for usage", local, llm.Request{Stream: true}, `,"stream":true,"stream_options":{"include_usage":true}`},
		{"all of them", local, llm.Request{Params: all}, `,"temperature":0.7,"top_p":1,"max_tokens":64,` + allButTokens},
		{"all of them at OpenAI", "https://eu.api.openai.com/v1", llm.Request{Params: all}, `,"temperature":0.7,"top_p":1,"max_completion_tokens":64,` + allButTokens},
		{"all of them at Azure", "https://x.openai.azure.com/openai/v1", llm.Request{Params: all}, `,"temperature":0.7,"top_p":1,"max_completion_tokens":64,` + allButTokens},
		{"zero is a setting", local, llm.Request{Params: llm.Params{Temperature: ptr(0.0)}}, `,"temperature":0`},
		{
			"a schema in the chat protocol's shape", local,
			llm.Request{Params: llm.Params{ResponseFormat: json.RawMessage(`{"type":"json_schema","json_schema":{"name":"n","schema":{}}}`)}},
			`,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}`,
		},
		{
			"a schema in the flat shape", local,
			llm.Request{Params: llm.Params{ResponseFormat: json.RawMessage(`{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}`)}},
			`,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}}`,
		},
		{"nulls and no tools are left out", local, llm.Request{Tools: json.RawMessage(`[]`), ToolChoice: json.RawMessage(`null`), Params: llm.Params{ResponseFormat: json.RawMessage(`null`)}}, ``},
		{
			"tools", local,
			llm.Request{Tools: json.RawMessage(`[{"type":"function","name":"f","description":"d","parameters":{"type":"object","properties":{"type":{}}},"strict":true},{"type":"function","function":{"name":"g"}},{"type":"web_search"}]`)},
			`,"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"type":{}}},"strict":true}},{"type":"function","function":{"name":"g"}},{"type":"web_search"}]`,
		},
		{"a choice by word", local, llm.Request{ToolChoice: json.RawMessage(`"required"`)}, `,"tool_choice":"required"`},
		{"a choice by name", local, llm.Request{ToolChoice: json.RawMessage(`{"type":"function","name":"f"}`)}, `,"tool_choice":{"type":"function","function":{"name":"f"}}`},
		{
			"a choice of some", local,
			llm.Request{ToolChoice: json.RawMessage(`{"type":"allowed_tools","tools":[{"type":"function","name":"f"}]}`)},
			`,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}}`,
		},
		{
			"a choice of some, one of which is needed", local,
			llm.Request{ToolChoice: json.RawMessage(`{"type":"allowed_tools","mode":"required","tools":[]}`)},
			`,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required"}}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.req.Model = "a\"m"
			got := encode(t, tc.base, &tc.req)
			if want := `{"model":"a\"m","messages":[]` + tc.want + `}`; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestDeveloperIsKnownToOpenAIAndAzure(t *testing.T) {
	for _, base := range []string{"", "https://x.openai.azure.com/openai/v1"} {
		got := encode(t, base, &llm.Request{Instructions: "i", Items: []llm.Item{message1(llm.Developer, `"d"`)}})
		if !strings.Contains(got, `[{"role":"system","content":"i"},{"role":"developer","content":"d"}]`) {
			t.Errorf("%q: %s", base, got)
		}
	}
}

func TestItemsOfOtherProtocolsAreRefused(t *testing.T) {
	c, err := New(upstream.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"custom_tool_call", "compaction", ""} {
		_, err := c.Encode(&llm.Request{Items: []llm.Item{{Type: kind, Data: json.RawMessage(`{}`)}}})
		if f := fault.Of(err); f.Kind != fault.Invalid || f.Code != "unsupported_item" {
			t.Errorf("%q: %v", kind, err)
		}
	}
}

func FuzzEncodeMakesJSON(f *testing.F) {
	f.Add("i\x00\u2028\xff", []byte(`[{"type":"input_text","text":"a"},{"type":"input_image"},{"type":"input_file"}]`), []byte(`{"call_id":"c","output":[1]}`), []byte(`[{"type":"function","name":"f"}]`))
	f.Add("", []byte(`[{"type":"text","text":1,"x":{}}]`), []byte(`[]`), []byte(`{"type":"allowed_tools","tools":{}}`))
	c, err := New(upstream.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, instructions string, content, item, tools []byte) {
		if !json.Valid(content) || !json.Valid(item) || !json.Valid(tools) {
			t.Skip()
		}
		req := &llm.Request{Model: instructions, Instructions: instructions, Tools: tools, ToolChoice: tools}
		req.Params.ResponseFormat = item
		for _, role := range []llm.Role{llm.User, llm.Assistant, llm.Role(instructions)} {
			req.Items = append(req.Items, llm.Item{Type: llm.TypeMessage, Role: role, Content: content})
		}
		for _, kind := range []string{llm.TypeFunctionCall, llm.TypeFunctionCallOutput, llm.TypeReasoning} {
			req.Items = append(req.Items, llm.Item{Type: kind, Data: item})
		}
		body, err := c.Encode(req)
		if err != nil || !json.Valid(body) {
			t.Fatalf("%s, %v", body, err)
		}
	})
}

func BenchmarkEncodeAfterFiftyMessages(b *testing.B) {
	c, err := New(upstream.Config{})
	if err != nil {
		b.Fatal(err)
	}
	req := &llm.Request{Model: "m", Instructions: "Be brief."}
	for i := range 50 {
		role := llm.User
		if i%2 == 1 {
			role = llm.Assistant
		}
		req.Items = append(req.Items, message1(role, `"`+strings.Repeat("word ", 60)+`"`))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Encode(req); err != nil {
			b.Fatal(err)
		}
	}
}
