package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestAFileOfProvidersSaysWhatModelsHoldAndCost(t *testing.T) {
	f := parseProviders([]byte(`{"providers": [{"name": "gpu", "protocol": "openai", "model_info": {
		"*": {"context_window": 8192},
		"Qwen/Qwen2.5-7B": {"context_window": 32768, "max_output_tokens": 4096, "prices": {"input": 0.1, "output": 0.25}},
		"free": {"prices": {}},
		"cached": {"prices": {"input": 1, "cached_input": 0.5, "cache_write": 1.25, "output": 2}}
	}}]}`), nil)
	if len(f.problems) > 0 {
		t.Fatal(f.problems)
	}
	want := []ModelInfo{
		{Model: "*", ContextWindow: 8192},
		{Model: "Qwen/Qwen2.5-7B", ContextWindow: 32768, MaxOutput: 4096, Prices: &Prices{Input: 100_000, CachedInput: 100_000, CacheWrite: 100_000, Output: 250_000}},
		{Model: "free", Prices: &Prices{}},
		{Model: "cached", Prices: &Prices{Input: 1_000_000, CachedInput: 500_000, CacheWrite: 1_250_000, Output: 2_000_000}},
	}
	if got := f.list[0].ModelInfo; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestWhatAFileOfProvidersSaysWronglyOfModelsIsTold(t *testing.T) {
	for body, want := range map[string]string{
		`{"m": {"context_window": 0}}`:          "context_window must be a whole number",
		`{"m": {"context_window": "8k"}}`:       "context_window must be a whole number",
		`{"m": {"window": 1}}`:                  "window is not known here",
		`{"m": {"prices": {"input": -1}}}`:      "input must be a number of US dollars",
		`{"m": {"prices": {"output": "much"}}}`: "output must be a number of US dollars",
		`["m"]`:                                 "model_info must be an object",
	} {
		f := parseProviders([]byte(`{"providers": [{"name": "gpu", "protocol": "openai", "model_info": `+body+`}]}`), nil)
		if len(f.problems) != 1 || !strings.Contains(f.problems[0], want) {
			t.Errorf("%s: %q", body, f.problems)
		}
	}
}
