package anthropic

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

func said(role llm.Role, content string) llm.Item {
	return llm.Item{Type: llm.TypeMessage, Role: role, Content: json.RawMessage(content)}
}

func data(kind, members string) llm.Item {
	return llm.Item{Type: kind, Data: json.RawMessage(`{"type":"` + kind + `",` + members + `}`)}
}

func ptr[T any](v T) *T { return &v }

// encode is the body without its first members, which are always the same.
func encode(t *testing.T, req *llm.Request) string {
	t.Helper()
	req.Model = "m"
	body, err := fakeClient(t, "", nil).Encode(req)
	if err != nil {
		t.Fatalf("encoding: %v", err)
	}
	if !json.Valid(body) {
		t.Fatalf("it is no JSON: %s", body)
	}
	rest, found := strings.CutPrefix(string(body), `{"model":"m","max_tokens":8192,`)
	if !found {
		t.Fatalf("it begins otherwise: %s", body)
	}
	return strings.TrimSuffix(rest, "}")
}

func TestTurns(t *testing.T) {
	for _, tc := range []struct {
		name         string
		instructions string
		items        []llm.Item
		want         string
	}{
		{"a prompt", "", []llm.Item{said(llm.User, `"Hi <\u00e9>"`)}, `"messages":[{"role":"user","content":[{"type":"text","text":"Hi <\u00e9>"}]}]`},
		{
			"instructions, system and developer messages are the system prompt", "Be\nbrief.",
			[]llm.Item{said(llm.System, `"A"`), said(llm.User, `"Hi"`), said(llm.Developer, `[{"type":"input_text","text":"B"}]`)},
			`"system":[{"type":"text","text":"Be\nbrief."},{"type":"text","text":"A"},{"type":"text","text":"B"}],"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]`,
		},
		{
			"what one says in a row is one message", "",
			[]llm.Item{said(llm.Assistant, `"Hello!"`), said(llm.User, `"a"`), said(llm.User, `"b"`), said(llm.Assistant, `"c"`), said(llm.Assistant, `"d"`), said(llm.User, `"e"`)},
			`"messages":[{"role":"assistant","content":[{"type":"text","text":"Hello!"}]},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},` +
				`{"role":"assistant","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]},{"role":"user","content":[{"type":"text","text":"e"}]}]`,
		},
		{
			"what says nothing is left out", "  ",
			[]llm.Item{said(llm.User, `"a"`), said(llm.Assistant, `" \n\t"`), said(llm.User, `[{"type":"text","text":""},{"type":"text","text":"\\n"}]`)},
			`"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"user","content":[{"type":"text","text":"\\n"}]}]`,
		},
		{
			"calls and their outputs, which stand first", "",
			[]llm.Item{
				said(llm.User, `"a"`),
				said(llm.Assistant, `"I look."`),
				data("function_call", `"call_id":"call_1","name":"f","arguments":"{\"x\": 1}"`),
				data("function_call", `"call_id":"call_2","name":"g","arguments":""`),
				data("reasoning", `"summary":[]`),
				said(llm.User, `"well?"`),
				data("function_call_output", `"call_id":"call_1","output":"one"`),
				data("function_call_output", `"call_id":"call_2","output":[{"type":"input_text","text":"two"}]`),
			},
			`"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},` +
				`{"role":"assistant","content":[{"type":"text","text":"I look."},{"type":"tool_use","id":"call_1","name":"f","input":{"x": 1}},{"type":"tool_use","id":"call_2","name":"g","input":{}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":[{"type":"text","text":"one"}]},{"type":"tool_result","tool_use_id":"call_2","content":[{"type":"text","text":"two"}]},{"type":"text","text":"well?"}]}]`,
		},
		{
			"calls of other providers", "",
			[]llm.Item{
				data("function_call", `"call_id":"functions.f:0","name":"f","arguments":"{\"x\":"`),
				data("function_call_output", `"call_id":"functions.f:0","output":{"y":1}`),
				data("function_call", `"call_id":"c","name":"f","arguments":[1]`),
				data("function_call_output", `"call_id":"c","output":""`),
			},
			`"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"functions_f_0","name":"f","input":{"arguments":"{\"x\":"}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions_f_0","content":[{"type":"text","text":"{\"y\":1}"}]}]},` +
				`{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"f","input":{"arguments":[1]}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c"}]}]`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := encode(t, &llm.Request{Instructions: tc.instructions, Items: tc.items}); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestParts(t *testing.T) {
	for _, tc := range []struct{ part, want string }{
		{`{"type":"output_text","text":"a","annotations":[]}`, `{"type":"text","text":"a"}`},
		{`{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}`, `{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}`},
		{`{"type":"refusal","refusal":"No."}`, `{"type":"text","text":"No."}`},
		{`{"type":"input_image","detail":"low","image_url":"https://x.example/a.png"}`, `{"type":"image","source":{"type":"url","url":"https://x.example/a.png"}}`},
		{`{"type":"image_url","image_url":{"url":"data:image\/png;base64,iVBO+/8="}}`, `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO+/8="}}`},
		{`{"type":"input_image","file_id":"file_1"}`, `{"type":"image","source":{"type":"file","file_id":"file_1"}}`},
		{`{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,JVBE"}`, `{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"},"title":"a.pdf"}`},
		{`{"type":"input_file","file_data":"JVBE"}`, `{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"}}`},
		{`{"type":"file","file":{"filename":"a.txt","file_data":"data:text/plain;charset=utf-8;base64,SGkhCg=="}}`, `{"type":"document","source":{"type":"text","media_type":"text/plain","data":"Hi!\n"},"title":"a.txt"}`},
		{`{"type":"input_file","file_data":"data:image/gif;base64,R0lG"}`, `{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"R0lG"}}`},
		{`{"type":"input_file","file_url":"https://x.example/a.pdf"}`, `{"type":"document","source":{"type":"url","url":"https://x.example/a.pdf"}}`},
		{`{"type":"input_file","file_id":"file_1"}`, `{"type":"document","source":{"type":"file","file_id":"file_1"}}`},
		{`{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"},"citations":{"enabled":true}}`, `{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"},"citations":{"enabled":true}}`},
	} {
		got := encode(t, &llm.Request{Items: []llm.Item{said(llm.User, `[`+tc.part+`]`)}})
		if want := `"messages":[{"role":"user","content":[` + tc.want + `]}]`; got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.part, got, want)
		}
	}
}

func TestWhatTheProtocolCannotSayIsTheCallersFault(t *testing.T) {
	for _, tc := range []struct {
		name string
		req  llm.Request
		code string
	}{
		{"audio", llm.Request{Items: []llm.Item{said(llm.User, `[{"type":"input_audio","input_audio":{"data":"secret"}}]`)}}, "unsupported_item"},
		{"a part without a type", llm.Request{Items: []llm.Item{said(llm.User, `[{"secret":1}]`)}}, "unsupported_item"},
		{"an image that is none", llm.Request{Items: []llm.Item{said(llm.User, `[{"type":"input_image","image_url":"data:text/html;base64,c2VjcmV0"}]`)}}, "unsupported_item"},
		{"an image that is not in base64", llm.Request{Items: []llm.Item{said(llm.User, `[{"type":"input_image","image_url":"data:image/svg+xml,secret"}]`)}}, "unsupported_item"},
		{"an image without a source", llm.Request{Items: []llm.Item{said(llm.User, `[{"type":"input_image"}]`)}}, "unsupported_item"},
		{"a file that is no text", llm.Request{Items: []llm.Item{said(llm.User, `[{"type":"input_file","file_data":"data:application/zip;base64,/9j/"}]`)}}, "unsupported_item"},
		{"a file without a source", llm.Request{Items: []llm.Item{said(llm.User, `[{"type":"file"}]`)}}, "unsupported_item"},
		{"an image in the system prompt", llm.Request{Items: []llm.Item{said(llm.System, `[{"type":"image"}]`)}}, "unsupported_item"},
		{"a tool's message that names no call", llm.Request{Items: []llm.Item{said(llm.Tool, `"secret"`)}}, "unsupported_item"},
		{"an image of a tool that is none", llm.Request{Items: []llm.Item{data("function_call_output", `"call_id":"c","output":[{"type":"x"}]`)}}, "unsupported_item"},
		{"JSON without a schema", llm.Request{Params: llm.Params{ResponseFormat: json.RawMessage(`{"type":"json_object"}`)}}, "unsupported_param"},
		{"a schema without one", llm.Request{Params: llm.Params{ResponseFormat: json.RawMessage(`{"type":"json_schema"}`)}}, "unsupported_param"},
	} {
		_, err := fakeClient(t, "", nil).Encode(&tc.req)
		if f := fault.Of(err); err == nil || f.Kind != fault.Invalid || f.Code != tc.code || strings.Contains(f.Error()+f.Message, "secret") {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestParams(t *testing.T) {
	const schema = `{"type":"object","properties":{}}`
	for _, tc := range []struct {
		name   string
		params llm.Params
		want   string
	}{
		{"none", llm.Params{}, ``},
		{"those that it knows", llm.Params{Temperature: ptr(0.5), TopP: ptr(0.25), Stop: []string{"a", "b\n"}}, `,"temperature":0.5,"top_p":0.25,"stop_sequences":["a","b\n"]`},
		{"a temperature beyond its range", llm.Params{Temperature: ptr(1.7)}, `,"temperature":1`},
		{"those that it lacks", llm.Params{Seed: ptr[int64](1), PresencePenalty: ptr(1.0), FrequencyPenalty: ptr(1.0), Truncation: "auto"}, ``},
		{"text", llm.Params{ResponseFormat: json.RawMessage(`{"type":"text"}`)}, ``},
		{"a schema, flat", llm.Params{ResponseFormat: json.RawMessage(`{"type":"json_schema","name":"n","strict":true,"schema":` + schema + `}`)}, `,"output_config":{"format":{"type":"json_schema","schema":` + schema + `}}`},
		{"a schema, nested", llm.Params{ResponseFormat: json.RawMessage(`{"type":"json_schema","json_schema":{"name":"n","schema":` + schema + `}}`)}, `,"output_config":{"format":{"type":"json_schema","schema":` + schema + `}}`},
	} {
		req := &llm.Request{Params: tc.params, Stream: true}
		if got, want := encode(t, req), `"messages":[],"stream":true`+tc.want; got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.name, got, want)
		}
	}
	body, err := fakeClient(t, "", nil).Encode(&llm.Request{Params: llm.Params{MaxOutputTokens: ptr[int64](7)}})
	if err != nil || !strings.Contains(string(body), `"max_tokens":7,`) {
		t.Errorf("%s, %v", body, err)
	}
}

func TestTools(t *testing.T) {
	const (
		f = `{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true}`
		g = `{"type":"function","function":{"name":"g","parameters":null,"strict":false}}`
		s = `{"type":"web_search_20250305","name":"web_search"}`

		wantF = `{"name":"f","description":"d","input_schema":{"type":"object"},"strict":true}`
		wantG = `{"name":"g","input_schema":{"type":"object"}}`
	)
	for _, tc := range []struct{ tools, choice, want string }{
		{``, ``, ``},
		{`[]`, `"none"`, ``},
		{`[` + f + `,` + g + `,` + s + `]`, ``, `,"tools":[` + wantF + `,` + wantG + `,` + s + `]`},
		{`[` + f + `]`, `"auto"`, `,"tools":[` + wantF + `],"tool_choice":{"type":"auto"}`},
		{`[` + f + `]`, `"required"`, `,"tools":[` + wantF + `],"tool_choice":{"type":"any"}`},
		{`[` + f + `]`, `"none"`, `,"tools":[` + wantF + `],"tool_choice":{"type":"none"}`},
		{`[` + f + `]`, `null`, `,"tools":[` + wantF + `]`},
		{`[` + f + `]`, `{"type":"function","name":"f"}`, `,"tools":[` + wantF + `],"tool_choice":{"type":"tool","name":"f"}`},
		{`[` + f + `]`, `{"type":"function","function":{"name":"f"}}`, `,"tools":[` + wantF + `],"tool_choice":{"type":"tool","name":"f"}`},
		{`[` + f + `]`, `{"type":"any","disable_parallel_tool_use":true}`, `,"tools":[` + wantF + `],"tool_choice":{"type":"any","disable_parallel_tool_use":true}`},
		{`[` + f + `,` + g + `]`, `{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"g"}]}`, `,"tools":[` + wantG + `],"tool_choice":{"type":"any"}`},
		{`[` + f + `,` + g + `]`, `{"type":"allowed_tools","allowed_tools":{"tools":[{"type":"function","function":{"name":"f"}}]}}`, `,"tools":[` + wantF + `]`},
		{`[` + f + `]`, `{"type":"allowed_tools","tools":[]}`, ``},
	} {
		got := encode(t, &llm.Request{Tools: json.RawMessage(tc.tools), ToolChoice: json.RawMessage(tc.choice)})
		if want := `"messages":[]` + tc.want; got != want {
			t.Errorf("%s %s: got\n%s\nwant\n%s", tc.tools, tc.choice, got, want)
		}
	}
}

func FuzzEncodeMakesJSON(f *testing.F) {
	f.Add(`"Hello\n"`, `{"call_id":"c.1","arguments":"{\"a\":1}","output":[{"type":"text","text":"x"}]}`)
	f.Add(`[{"type":"input_image","image_url":"data:image/png;base64,AA=="},{"type":"file","file":{"file_data":"x","filename":1}}]`, `{}`)
	f.Fuzz(func(t *testing.T, content, object string) {
		if !json.Valid([]byte(content)) || !json.Valid([]byte(object)) {
			return
		}
		body, err := fakeClient(t, "", nil).Encode(&llm.Request{Items: []llm.Item{
			said(llm.User, content), said(llm.Assistant, content),
			{Type: llm.TypeFunctionCall, Data: json.RawMessage(object)},
			{Type: llm.TypeFunctionCallOutput, Data: json.RawMessage(object)},
			said(llm.System, content),
		}})
		if err == nil && !json.Valid(body) {
			t.Fatalf("it is no JSON: %s", body)
		}
	})
}
