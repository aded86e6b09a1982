package catalog_test

import (
	"testing"

	"github.com/parley-llm/parley/internal/catalog"
	"github.com/parley-llm/parley/internal/llm"
)

const listVersion = "catwalk-0.52.1"

var (
	openAI    = llm.Endpoint{Name: "openai", Host: "api.openai.com"}
	local     = llm.Endpoint{Name: "openai", Host: "127.0.0.1:11434"}
	anthropic = llm.Endpoint{Name: "anthropic", Host: "api.anthropic.com"}
)

func TestWhatTheTableKnows(t *testing.T) {
	mini := &llm.Prices{Version: listVersion, Input: 150_000, CachedInput: 75_000, CacheWrite: 150_000, Output: 600_000}
	for _, c := range []struct {
		sentence string
		endpoint llm.Endpoint
		model    string
		window   int64
		prices   *llm.Prices
	}{
		{"a model at its maker's", openAI, "gpt-4o-mini", 128_000, mini},
		{"the same behind a proxy", local, "gpt-4o-mini", 128_000, mini},
		{"the same at another host, by that one's list", llm.Endpoint{Name: "or", Host: "openrouter.ai"}, "openai/gpt-4o-mini", 128_000, mini},
		{"at a known host only that one's prices", llm.Endpoint{Name: "openai", Host: "openrouter.ai:443"}, "gpt-4o-mini", 128_000, nil},
		{"a host by what it ends with", llm.Endpoint{Name: "work", Host: "us.openai.azure.com"}, "gpt-4o-mini", 128_000, mini},
		{"a snapshot has the limits of its model and no price", openAI, "gpt-4o-mini-2024-07-18", 128_000, nil},
		{"a model without a date is its newest snapshot", anthropic, "claude-sonnet-4-5", 200_000, &llm.Prices{Version: listVersion, Input: 3_000_000, CachedInput: 300_000, CacheWrite: 3_750_000, Output: 15_000_000}},
		{"where cached input has no price it costs as any", openAI, "gpt-5.5-pro", 1_050_000, &llm.Prices{Version: listVersion, Input: 30_000_000, CachedInput: 30_000_000, CacheWrite: 30_000_000, Output: 180_000_000}},
		{"a model that others offer has limits and no price", local, "gpt-3.5-turbo", 16_384, nil},
		{"a model that nobody knows", local, "my-own-model", 0, nil},
		{"a model that is sold by subscription has no price", llm.Endpoint{Name: "copilot", Host: "api.githubcopilot.com"}, "gpt-4o-mini", 128_000, nil},
		{"the built-in model is no provider's", llm.Endpoint{Name: llm.BuiltIn}, "gpt-4o-mini", 0, nil},
	} {
		got := catalog.New().Model(c.endpoint, c.model)
		if got.ContextWindow != c.window || !same(got.Prices, c.prices) {
			t.Errorf("%s: %d tokens, prices %+v; want %d, %+v", c.sentence, got.ContextWindow, got.Prices, c.window, c.prices)
		}
	}
}

func TestAnOperatorsWordGoesBeforeAProvidersAndThatBeforeTheTable(t *testing.T) {
	c := catalog.New(
		catalog.Override{Endpoint: "openai", ModelInfo: llm.ModelInfo{Prices: &llm.Prices{}}},
		catalog.Override{Endpoint: "openai", Model: "own", ModelInfo: llm.ModelInfo{ContextWindow: 4096, Prices: &llm.Prices{Version: "2026", Input: 5}}},
	)
	c.Learn(local, "own", 8192)
	c.Learn(local, "gpt-4o-mini", 16_384)
	c.Learn(local, "other", 1)

	if got := c.Model(local, "own"); got.ContextWindow != 4096 || !same(got.Prices, &llm.Prices{Version: "2026", Input: 5}) {
		t.Errorf("what the operator said is not in force: %+v %+v", got, got.Prices)
	}
	if got := c.Model(local, "gpt-4o-mini"); got.ContextWindow != 16_384 || got.MaxOutput != 8192 || !same(got.Prices, &llm.Prices{Version: "operator"}) {
		t.Errorf("what the provider said, and the endpoint's price, are not in force: %+v %+v", got, got.Prices)
	}
	if got := c.Model(local, "other"); got.ContextWindow != 0 {
		t.Errorf("a window of one token was believed: %+v", got)
	}
	if got := c.Model(anthropic, "own"); got != (llm.ModelInfo{}) {
		t.Errorf("another endpoint's model took it over: %+v", got)
	}
}

func same(a, b *llm.Prices) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }
