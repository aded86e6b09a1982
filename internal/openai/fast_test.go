package openai

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/rawjson"
)

// openAIChunk is a chunk as OpenAI sends it.
const openAIChunk = `{"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_fc9f1d7035","choices":[{"index":0,"delta":{"content":" conversation"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x7Ku"}`

// Answers and chunks as OpenAI and others send them.
const (
	openAIAnswer = `{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Hello! How can I assist you today?","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":3,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":2,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_50cad350e4"}`
	openAIFirst  = `{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-mini","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}`
	openAILast   = `{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}`
	openAIUsage  = `{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":24,"completion_tokens":21,"total_tokens":45,"prompt_tokens_details":null}}`
)

// decoded is what the decoder finds in a text, and whether it understands it.
func decoded(text []byte) (w completion, ok bool) {
	ok = json.Unmarshal(text, &w) == nil
	if rawjson.Empty(w.Error) {
		w.Error = nil
	}
	return w, ok
}

func TestPlainCompletion(t *testing.T) {
	for _, tc := range []struct {
		text string
		ok   bool
	}{
		{openAIAnswer, true},
		{openAIFirst, true},
		{openAIChunk, true},
		{openAILast, true},
		{openAIUsage, true},
		{`{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"a"}}],"created":1,"id":"x","model":"m","object":"o"}`, true},
		{` { "choices" : [ { "delta" : { "role" : "assistant" , "content" : "a\n\u00e9\ud83d\ude00" , "tool_calls" : null } } ] } `, true},
		{`{"choices":[{"delta":{"content":""},"content_filter_results":{"hate":{"filtered":false}},"stop_reason":null}],"x":[1.5e3,-0,[],{},true,false,""]}`, true},
		{`{"choices":[{"delta":{"content":"` + "\xff" + `"}}]}`, true},
		{`{"choices":[{"delta":{"content":null}}]}`, true},
		{`{"choices":[{"message":{"content":"a"},"delta":{"content":"b"}}]}`, true},
		{`{"choices":[{"delta":{"content":"a"},"delta":{"content":"b"}}]}`, true},
		{`{"choices":[{"delta":{"content":"a"},"finish_reason":"stop","finish_reason":null}]}`, true},
		{`{"model":"a","model":"b","usage":{"total_tokens":-1},"usage":{"prompt_tokens":1e3,"completion_tokens":"7","prompt_tokens_details":{"cached_tokens":[1]}}}`, true},
		{`{}`, true},

		{`{"choices":[{"index":1,"delta":{"content":"a"}}]}`, false},
		{`{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}`, false},
		{`{"choices":[],"choices":[]}`, false},
		{`{"choices":null}`, false},
		{`{"choices":[{"delta":null}]}`, false},
		{`{"choices":[{"delta":{"content":["a"]}}]}`, false},
		{`{"choices":[{"delta":{"content":"a","tool_calls":[]}}]}`, false},
		{`{"choices":[{"delta":{"content":"a","reasoning":"r"}}]}`, false},
		{`{"choices":[{"delta":{"content":"a","refusal":""}}]}`, false},
		{`{"choices":[{"delta":{"content":"a","Content":"b"}}]}`, false},
		{`{"choices":[{"finish_reason":"st\u006fp"}]}`, false},
		{`{"choices":[{"finish_reason":1}]}`, false},
		{`{"choices":[{"delta":{"content":"a"}}],"error":"e"}`, false},
		{`{"choices":[{"delta":{"content":"a"}}],"model":1}`, false},
		{`{"model":"` + "\xff" + `"}`, false},
		{`{"usage":1}`, false},
		{`{"usage":{"prompt_tokens_details":[]}}`, false},
		{`{"choices":[{"delta":{"content":"a"}}]`, false},
		{`{"choices":[{"delta":{"content":"a"}}]}x`, false},
		{`{"choices":[{"delta":{"content":"a\x"}}]}`, false},
		{`{"choices":[{"delta":{"content":"a` + "\n" + `"}}]}`, false},
		{`[]`, false},
		{``, false},
	} {
		var w completion
		if ok := plainCompletion([]byte(tc.text), &w); ok != tc.ok {
			t.Errorf("%s: got %v", tc.text, ok)
		} else if ok {
			agree(t, []byte(tc.text), &w)
		}
	}
}

// agree fails unless the decoder finds the same as the scan.
func agree(t *testing.T, text []byte, fast *completion) {
	t.Helper()
	slow, ok := decoded(text)
	if !ok || fast.Model != slow.Model || fast.Error != nil || slow.Error != nil ||
		!reflect.DeepEqual(fast.Usage, slow.Usage) || len(fast.Choices) != len(slow.Choices) {
		t.Fatalf("%q: scanned %+v, decoded %+v, %v", text, fast, slow, ok)
	}
	for i := range fast.Choices {
		if !reflect.DeepEqual(fast.Choices[i], slow.Choices[i]) {
			t.Fatalf("%q: scanned %+v, decoded %+v", text, fast.Choices[i], slow.Choices[i])
		}
	}
}

func FuzzPlainCompletionAgreesWithTheDecoder(f *testing.F) {
	for _, text := range []string{openAIAnswer, openAIFirst, openAIChunk, openAILast, openAIUsage} {
		f.Add([]byte(text))
	}
	f.Add([]byte(`{"choices":[{"delta":{"content":"a\n\u00e9"},"x":[1,-0.5e+7,{"y":"\u12ab\\"}]}],"usage":null,"error":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var w completion
		if plainCompletion(text, &w) {
			agree(t, text, &w)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for name, text := range map[string]string{"answer": openAIAnswer, "chunk": openAIChunk} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var w completion
			for b.Loop() {
				if err := w.decode([]byte(text)); err != nil {
					b.Fatal(err)
				}
			}
		})
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
