package config

import "cmp"

// The protocols that providers speak.
const (
	ProtocolOpenAI    = "openai"
	ProtocolAnthropic = "anthropic"
)

// openAIModel is what OpenAI is asked for where nobody named a model.
const openAIModel = "gpt-4o-mini"

// Provider is a configured endpoint of models.
type Provider struct {
	// Name is what model ids begin with: "anthropic/...".
	Name     string
	Protocol string
	BaseURL  string
	Key      Secret
	// Model answers prompts that name none, if this is the default provider. Empty: the first one that it lists.
	Model string
}

// Providers lists the configured providers. The first one is the default: model ids that name no provider go to it.
func (c *Config) Providers() []Provider {
	var list []Provider
	if c.OpenAIKey != "" || c.isSet(nameBaseURL) {
		p := Provider{Name: "openai", Protocol: ProtocolOpenAI, BaseURL: c.OpenAIBaseURL.String(), Key: c.OpenAIKey, Model: c.OpenAIModel}
		if !c.isSet(nameBaseURL) {
			p.Model = cmp.Or(p.Model, openAIModel)
		}
		list = append(list, p)
	}
	if c.AnthropicKey != "" {
		list = append(list, Provider{
			Name: "anthropic", Protocol: ProtocolAnthropic, BaseURL: c.AnthropicBaseURL.String(), Key: c.AnthropicKey, Model: c.AnthropicModel,
		})
	}
	return list
}
