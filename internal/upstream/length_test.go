package upstream

import "testing"

func TestHowLongAContextMayBeIsReadFromARefusal(t *testing.T) {
	for name, test := range map[string]struct {
		body           string
		window, prompt int64
	}{
		"llama.cpp":    {`{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":3031,"n_ctx":2048}}`, 2048, 3031},
		"its words":    {`{"error":{"message":"request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it"}}`, 4096, 5000},
		"OpenAI":       {`{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.","code":"context_length_exceeded"}}`, 8192, 9001},
		"both parts":   {`{"error":{"message":"This model's maximum context length is 4097 tokens. However, you requested 5000 tokens (4000 in the messages, 1000 in the completion)."}}`, 4097, 4000},
		"vLLM":         {`{"message":"This model's maximum context length is 4096 tokens. However, you requested 512 output tokens and your prompt contains at least 3600 input tokens."}`, 4096, 3600},
		"Anthropic":    {`{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}`, 200_000, 210_000},
		"no numbers":   {`{"error":{"message":"Your input exceeds the context window of this model."}}`, 0, 0},
		"wrong shapes": {`{"error":{"message":"x","n_ctx":"2048","n_prompt_tokens":-1}}`, 0, 0},
		"no JSON":      {`<html>`, 0, 0},
	} {
		p := parseProblem([]byte(test.body))
		if window, prompt := p.lengths([]byte(test.body)); window != test.window || prompt != test.prompt {
			t.Errorf("%s: %d and %d, want %d and %d", name, window, prompt, test.window, test.prompt)
		}
	}
}

func TestAListOfModelsTellsTheirWindows(t *testing.T) {
	list, ok := parseModels([]byte(`{"data":[{"id":"vllm","max_model_len":4096},{"id":"llama.cpp","meta":{"n_ctx_train":131072,"n_ctx":2048}},
		{"id":"router","context_length":32768},{"id":"groq","context_window":131072},{"id":"none","max_model_len":null},{"id":"odd","max_model_len":"many","meta":[]}]}`))
	want := []int64{4096, 2048, 32_768, 131_072, 0, 0}
	if !ok || len(list) != len(want) {
		t.Fatalf("%v, %d models", ok, len(list))
	}
	for i, m := range list {
		if got := m.window(); got != want[i] {
			t.Errorf("%s: %d, want %d", m.ID, got, want[i])
		}
	}
}
