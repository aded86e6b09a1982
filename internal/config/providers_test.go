package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/parley-llm/parley/internal/config"
)

func TestTheEnvironmentSetsProvidersUp(t *testing.T) {
	for _, tt := range []struct{ env, want string }{
		{"", ""},
		{"OPENAI_MODEL=m ANTHROPIC_MODEL=m ANTHROPIC_BASE_URL=http://h", ""},
		{"OPENAI_API_KEY=k", "openai openai https://api.openai.com/v1 gpt-4o-mini"},
		{"OPENAI_API_KEY=k OPENAI_MODEL=m", "openai openai https://api.openai.com/v1 m"},
		{"OPENAI_BASE_URL=http://127.0.0.1:1/v1", "openai openai http://127.0.0.1:1/v1 first"},
		{"OPENAI_BASE_URL=https://api.openai.com/v1", "openai openai https://api.openai.com/v1 first"},
		{"OPENAI_BASE_URL=http://127.0.0.1:1/v1 OPENAI_MODEL=m", "openai openai http://127.0.0.1:1/v1 m"},
		{"ANTHROPIC_API_KEY=k", "anthropic anthropic https://api.anthropic.com first"},
		{"ANTHROPIC_API_KEY=k ANTHROPIC_MODEL=m ANTHROPIC_BASE_URL=http://h/x", "anthropic anthropic http://h/x m"},
		{"ANTHROPIC_API_KEY=k OPENAI_API_KEY=k", "openai openai https://api.openai.com/v1 gpt-4o-mini; anthropic anthropic https://api.anthropic.com first"},
	} {
		c := mustLoad(t, input{env: strings.Fields(tt.env)})
		var got []string
		for _, p := range c.Providers() {
			if p.Model == "" {
				p.Model = "first"
			}
			got = append(got, fmt.Sprint(p.Name, " ", p.Protocol, " ", p.BaseURL, " ", p.Model))
		}
		if strings.Join(got, "; ") != tt.want {
			t.Errorf("%s: got %q, want %q", tt.env, got, tt.want)
		}
	}
}

func TestAProvidersKeyShowsNowhere(t *testing.T) {
	c := mustLoad(t, input{env: []string{"ANTHROPIC_API_KEY=cAnArY"}})
	if p := c.Providers()[0]; p.Key != config.Secret("cAnArY") || strings.Contains(fmt.Sprintf("%v %+v %#v %v", p, p, p, c.Effective()), "cAnArY") {
		t.Errorf("shown: %v", p)
	}
}
