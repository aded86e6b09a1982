package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The protocols that providers speak.
const (
	ProtocolOpenAI    = "openai"
	ProtocolAnthropic = "anthropic"
)

var protocols = []string{ProtocolOpenAI, ProtocolAnthropic}

const (
	// openAIModel is what OpenAI is asked for where nobody named a model.
	openAIModel = "gpt-4o-mini"
	// builtInName is the provider that is always there.
	builtInName = "parley"
)

// Provider is a configured endpoint of models.
type Provider struct {
	// Name is what model ids begin with: "anthropic/...".
	Name     string
	Protocol string
	BaseURL  string
	Key      Secret
	// Model answers prompts that name none, if this is the default provider. Empty: the first one that it lists.
	Model string
	// Models, if there are any, are listed in the place of what the provider would list.
	Models []string
	// MaxOutputTokens bounds answers where the prompt does not and the protocol demands it; 0 is the protocol's default.
	MaxOutputTokens int64
	// FirstByteTimeout and IdleTimeout are for this provider; 0 is that of the settings.
	FirstByteTimeout, IdleTimeout time.Duration
	// PublicOnly: nothing in a private network is connected to.
	PublicOnly bool
	// ModelInfo is what the operator says of its models.
	ModelInfo []ModelInfo
	// Headers go out with every request.
	Headers map[string]Secret

	source string
}

// Providers lists the configured providers: those of the file that PARLEY_PROVIDERS names, then OpenAI and Anthropic if
// their own settings set them up and the file has none of that name. The first one is the default: model ids that name no provider go to it.
func (c *Config) Providers() []Provider {
	list := slices.Clone(c.filed)
	add := func(p Provider) {
		if !slices.ContainsFunc(list, func(o Provider) bool { return o.Name == p.Name }) {
			p.source = "settings"
			list = append(list, p)
		}
	}
	if c.OpenAIKey != "" || c.isSet(nameBaseURL) {
		p := Provider{Name: "openai", Protocol: ProtocolOpenAI, BaseURL: c.OpenAIBaseURL.String(), Key: c.OpenAIKey, Model: c.OpenAIModel}
		if !c.isSet(nameBaseURL) {
			p.Model = cmp.Or(p.Model, openAIModel)
		}
		add(p)
	}
	if c.AnthropicKey != "" {
		add(Provider{Name: "anthropic", Protocol: ProtocolAnthropic, BaseURL: c.AnthropicBaseURL.String(), Key: c.AnthropicKey, Model: c.AnthropicModel})
	}
	return list
}

// Fallbacks are, by a model's id, the ids of those that take its place when it fails, in the order in which they are tried.
func (c *Config) Fallbacks() map[string][]string {
	all := map[string][]string{}
	for _, list := range c.fallbacks {
		all[list.model] = list.others
	}
	return all
}

// defaultBaseURL is where a provider of the file is that does not say.
func defaultBaseURL(protocol string) string {
	name := nameBaseURL
	if protocol == ProtocolAnthropic {
		name = nameAnthropicBaseURL
	}
	for _, s := range Settings() {
		if s.Name == name {
			return s.Default
		}
	}
	return ""
}

// readProviders reads the file that PARLEY_PROVIDERS names.
func (l *loader) readProviders() {
	c := l.config
	if c.ProvidersFile == "" {
		return
	}
	data, err := readFile(c.ProvidersFile, maxProvidersFile)
	if err != nil {
		l.problem(nameProviders, "cannot be read: "+err.Error())
		return
	}
	file := parseProviders(data, func(name string) (string, bool) {
		value, _, found := l.lookup(name)
		return value, found
	})
	for _, problem := range file.problems {
		l.problemFrom(nameProviders, c.ProvidersFile, problem)
	}
	c.filed, c.fallbacks = file.list, file.fallbacks
	for i := range c.filed {
		c.filed[i].source = c.ProvidersFile
	}
}

func headerCount(n int) string {
	if n == 1 {
		return "1 header"
	}
	return fmt.Sprintf("%d headers", n)
}

// effectiveProviders shows the providers for Effective, without secrets: of a base URL its query is left out, of headers the values.
func (c *Config) effectiveProviders() []Effective {
	var list []Effective
	for _, p := range c.Providers() {
		var u URL
		_ = u.UnmarshalText([]byte(p.BaseURL))
		u.RawQuery = ""
		words := []string{p.Protocol, "at " + u.String()}
		if p.Key != "" {
			words = append(words, "key set")
		}
		if p.Model != "" {
			words = append(words, "model "+p.Model)
		}
		if len(p.Headers) > 0 {
			words = append(words, headerCount(len(p.Headers)))
		}
		if p.PublicOnly {
			words = append(words, "no private network")
		}
		list = append(list, Effective{Name: "provider " + p.Name, Value: strings.Join(words, ", "), Source: p.source})
	}
	for _, f := range c.fallbacks {
		list = append(list, Effective{Name: "fallback of " + f.model, Value: strings.Join(f.others, ", "), Source: c.ProvidersFile})
	}
	return list
}
