package openai

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/parley-llm/parley/internal/llm"
)

// openAIChunk is a chunk as OpenAI sends it.
const openAIChunk = `{"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_fc9f1d7035","choices":[{"index":0,"delta":{"content":" conversation"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x7Ku"}`

// slowText is what the decoder finds in a chunk: its text, and whether there is nothing else in it.
func slowText(chunk []byte) (string, bool) {
	var w completion
	if json.Unmarshal(chunk, &w) != nil || !empty(w.Error) || w.Usage != nil {
		return "", false
	}
	c := w.first()
	if c == nil {
		return "", false
	}
	m := c.Delta
	return string(m.Content), c.FinishReason == "" && m.Refusal == "" && m.Reasoning == "" && m.ReasoningContent == "" && len(m.ToolCalls) == 0
}

func TestPlainDelta(t *testing.T) {
	for _, tc := range []struct {
		chunk, text string
		ok          bool
	}{
		{openAIChunk, " conversation", true},
		{`{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"a"}}],"created":1,"id":"x","model":"m","object":"o"}`, "a", true},
		{` { "choices" : [ { "delta" : { "role" : "assistant" , "content" : "a\n\u00e9\ud83d\ude00" , "tool_calls" : null } } ] } `, "a\né😀", true},
		{`{"choices":[{"delta":{"content":""},"content_filter_results":{"hate":{"filtered":false}},"stop_reason":null}],"x":[1.5e3,-0,[],{},true,false,""]}`, "", true},
		{`{"choices":[{"delta":{"content":"` + "\xff" + `"}}]}`, "\ufffd", true},

		{`{"choices":[{"delta":{"content":null}}]}`, "", false},
		{`{"choices":[{"delta":{}}]}`, "", false},
		{`{"choices":[]}`, "", false},
		{`{"choices":[{"index":1,"delta":{"content":"a"}}]}`, "", false},
		{`{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}`, "", false},
		{`{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}`, "", false},
		{`{"choices":[{"delta":{"content":"a","tool_calls":[]}}]}`, "", false},
		{`{"choices":[{"delta":{"content":"a","reasoning":"r"}}]}`, "", false},
		{`{"choices":[{"delta":{"content":"a"},"message":{}}]}`, "", false},
		{`{"choices":[{"delta":{"content":"a"},"delta":{"content":"b"}}]}`, "", false},
		{`{"choices":[{"delta":{"content":"a","Content":"b"}}]}`, "", false},
		{`{"choices":[{"delta":{"content":"a"}}],"usage":{}}`, "", false},
		{`{"choices":[{"delta":{"content":"a"}}],"error":"e"}`, "", false},
		{`{"choices":[{"delta":{"content":"a"}}],"model":1}`, "", false},
		{`{"choices":[{"delta":{"content":"a"}}]`, "", false},
		{`{"choices":[{"delta":{"content":"a"}}]}x`, "", false},
		{`{"choices":[{"delta":{"content":"a\x"}}]}`, "", false},
		{`{"choices":[{"delta":{"content":"a` + "\n" + `"}}]}`, "", false},
		{`[]`, "", false},
		{``, "", false},
	} {
		if text, ok := plainDelta([]byte(tc.chunk)); text != tc.text || ok != tc.ok {
			t.Errorf("%s: got %q, %v", tc.chunk, text, ok)
		}
	}
}

func FuzzPlainDeltaAgreesWithTheDecoder(f *testing.F) {
	f.Add([]byte(openAIChunk))
	f.Add([]byte(`{"choices":[{"delta":{"content":"a\n\u00e9"},"x":[1,-0.5e+7,{"y":"\u12ab\\"}]}],"usage":null,"error":null}`))
	f.Add([]byte(`{"choices":[{"delta":{"role":"assistant","content":"","refusal":null}}]}`))
	f.Fuzz(func(t *testing.T, chunk []byte) {
		fast, ok := plainDelta(chunk)
		if !ok {
			return
		}
		if slow, plain := slowText(chunk); !plain || slow != fast {
			t.Fatalf("%q: fast %q, decoded %q, plain %v", chunk, fast, slow, plain)
		}
	})
}

func FuzzScannerAgreesWithTheDecoder(f *testing.F) {
	for _, s := range []string{openAIChunk, `[1,-0.5e+7,{"a":"\u12ab\\"},[],{},null,true]`, `"\ud800"`, `01`, `1.`, `-`, `[1,]`, `{"a":1,}`, `{,}`, `tru`, "\"\x01\"", `"\u12"`, `"\`, `"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := scanner{b: text}
		_, ok := s.value()
		ok = ok && s.end()
		if valid := json.Valid(text); ok != valid && bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) < maxDepth {
			t.Fatalf("%q: scanned %v, valid %v", text, ok, valid)
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(text, &fields) == nil {
			for name, value := range members(text) {
				if utf8.ValidString(name) && !strings.Contains(name, `\`) && !json.Valid(value) {
					t.Fatalf("%q: member %q is %q", text, name, value)
				}
			}
		}
		var values []json.RawMessage
		if json.Unmarshal(text, &values) == nil {
			n := 0
			for value := range elements(text) {
				if n < len(values) && !bytes.Equal(value, values[n]) {
					t.Fatalf("%q: element %d is %q", text, n, value)
				}
				n++
			}
			if n != len(values) && ok {
				t.Fatalf("%q: %d elements of %d", text, n, len(values))
			}
		}
	})
}

func TestScannerDoesNotFollowForEver(t *testing.T) {
	for _, open := range []string{"[", `{"a":`} {
		s := scanner{b: []byte(strings.Repeat(open, 1_000_000))}
		if _, ok := s.value(); ok {
			t.Error("it is malformed all the same")
		}
	}
}

func FuzzStringsComeBack(f *testing.F) {
	f.Add("a\"\\\n\x00\x1f\u2028é😀\xff\xed\xa0\x80<&>")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		quoted := appendString(nil, s)
		// Converting to runes and back replaces every byte that is not UTF-8 as the encoder does.
		if err := json.Unmarshal(quoted, &got); err != nil || got != string([]rune(s)) {
			t.Fatalf("%q became %s: %v", s, quoted, err)
		}
	})
}

func BenchmarkPlainDelta(b *testing.B) {
	chunk := []byte(openAIChunk)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := plainDelta(chunk); !ok {
			b.Fatal("not plain")
		}
	}
}

func BenchmarkDecodedDelta(b *testing.B) {
	chunk := []byte(openAIChunk)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := slowText(chunk); !ok {
			b.Fatal("not plain")
		}
	}
}

// BenchmarkStream is a call without its transport: a stream of a hundred chunks.
func BenchmarkStream(b *testing.B) {
	const chunks = 100
	stream := strings.Repeat("data: "+openAIChunk+"\n\n", chunks) + stop + usage3 + done
	c := fakeClient(b, "http://127.0.0.1:1/v1", func(*http.Request) (*http.Response, error) {
		return response(200, "text/event-stream", io.MultiReader(strings.NewReader(stream))), nil
	})
	call := &llm.Call{Stream: true, Body: []byte(`{}`)}
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range c.Generate(b.Context(), call) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/chunks, "ns/chunk")
}
