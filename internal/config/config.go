// Package config turns flags, environment variables, a .env file and defaults into one struct, and remembers where each
// value came from.
//
// It is the only package that reads the environment. It knows what a setting may hold, not what it is used for.
package config

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"
)

// Config holds every setting, checked. The tags are the settings' one description: flags, help, `parley config` and
// error messages are made from them.
type Config struct {
	Addr                     Addr          `env:"PARLEY_ADDR" envDefault:"127.0.0.1:8000" valid:"host:port with a port from 0 to 65535, such as 127.0.0.1:8000" value:"host:port" help:"address to listen on; PORT alone changes only the port"`
	Data                     string        `env:"PARLEY_DATA" envDefault:"./data" value:"directory" help:"directory of the database and the secret key"`
	Store                    Store         `env:"PARLEY_STORE" envDefault:"sqlite:parley.db" valid:"sqlite:FILE, the file being relative to PARLEY_DATA, or a URI such as mongodb://host:27017/parley?replicaSet=rs0" value:"sqlite:file|URI" help:"where conversations are kept: sqlite:FILE, relative to PARLEY_DATA, or the URI of a MongoDB; MONGODB_URI where this is not set"`
	MongoDatabase            Database      `env:"MONGODB_DATABASE" valid:"a name of up to 63 letters, digits, hyphens and underscores, or nothing" value:"name" help:"database of that MongoDB; the one that its URI names, else parley"`
	APIKey                   Secret        `env:"PARLEY_API_KEY" valid:"visible ASCII characters without spaces, at least one" value:"key" help:"key that clients must send as a bearer token"`
	InsecureNoAuth           bool          `env:"PARLEY_INSECURE_NO_AUTH" envDefault:"false" valid:"true or false" help:"listen on a public address without a key"`
	AllowedHosts             Hosts         `env:"PARLEY_ALLOWED_HOSTS" valid:"host names or addresses without a port, separated by commas" value:"hosts" help:"host names to answer to where no key is set, besides the loopback ones"`
	SecretKey                Secret        `env:"PARLEY_SECRET_KEY" valid:"at least 32 characters" value:"secret" help:"secret that pseudonyms derive from; made once in PARLEY_DATA if not set"`
	OpenAIKey                Secret        `env:"OPENAI_API_KEY" valid:"visible ASCII characters without spaces" value:"key" help:"key for OpenAI or a compatible server"`
	OpenAIBaseURL            URL           `env:"OPENAI_BASE_URL" envDefault:"https://api.openai.com/v1" valid:"an http or https URL with a host and without user name, password or fragment" help:"OpenAI or a compatible server: Ollama, vLLM, llama.cpp, Azure"`
	OpenAIModel              string        `env:"OPENAI_MODEL" value:"model" help:"model to ask for there; gpt-4o-mini, or the first one that OPENAI_BASE_URL lists"`
	AnthropicKey             Secret        `env:"ANTHROPIC_API_KEY" valid:"visible ASCII characters without spaces" value:"key" help:"key for Anthropic; it adds the provider anthropic"`
	AnthropicBaseURL         URL           `env:"ANTHROPIC_BASE_URL" envDefault:"https://api.anthropic.com" valid:"an http or https URL with a host and without user name, password or fragment" help:"Anthropic or a compatible server; /v1/messages is appended"`
	AnthropicModel           string        `env:"ANTHROPIC_MODEL" value:"model" help:"model to ask for there where OpenAI is not set up; the first one that it lists"`
	ProvidersFile            string        `env:"PARLEY_PROVIDERS" value:"file" help:"JSON file of further providers; see docs/providers.md"`
	Model                    string        `env:"PARLEY_MODEL" value:"model" help:"model of prompts that name none: that of the default provider, which is the first one configured; parley/echo where there is none"`
	ContextMessages          int           `env:"PARLEY_CONTEXT_MESSAGES" envDefault:"0" min:"0" max:"1000000" help:"how many stored messages a prompt carries; 0 is all"`
	AutoTitle                string        `env:"PARLEY_AUTO_TITLE" envDefault:"start" oneof:"start model" help:"title of a conversation that was given none: start of its first message, or one that the model is asked for after the first answer"`
	AuditMaxChars            int           `env:"PARLEY_AUDIT_MAX_CHARS" envDefault:"2000" min:"0" max:"1000000" help:"how many characters of a masked text the audit log keeps; 0 is none"`
	MaxBody                  Size          `env:"PARLEY_MAX_BODY" envDefault:"8MiB" min:"1KiB" max:"64MiB" help:"largest request body"`
	UpstreamFirstByteTimeout time.Duration `env:"PARLEY_UPSTREAM_FIRST_BYTE_TIMEOUT" envDefault:"300s" min:"1ms" max:"24h" help:"how long to wait for a model's first byte"`
	UpstreamIdleTimeout      time.Duration `env:"PARLEY_UPSTREAM_IDLE_TIMEOUT" envDefault:"120s" min:"1ms" max:"24h" help:"how long a model may be silent within an answer"`
	UpstreamTimeout          time.Duration `env:"PARLEY_UPSTREAM_TIMEOUT" envDefault:"15m" min:"1ms" max:"24h" help:"how long one response may take, retries included"`
	UpstreamConcurrency      int           `env:"PARLEY_UPSTREAM_CONCURRENCY" envDefault:"256" min:"1" max:"100000" help:"how many responses may run at once"`
	ShutdownTimeout          time.Duration `env:"PARLEY_SHUTDOWN_TIMEOUT" envDefault:"30s" min:"0s" max:"1h" help:"how long running responses may go on after SIGTERM"`
	LogLevel                 string        `env:"PARLEY_LOG_LEVEL" envDefault:"info" oneof:"debug info warn error" help:"least severe log line to write"`
	LogFormat                string        `env:"PARLEY_LOG_FORMAT" oneof:"text json" help:"form of log lines: text on a terminal, else json"`

	// NoColor is set by NO_COLOR, which is a convention of terminals and no setting of ours.
	NoColor bool
	// Warnings are for the log: what was found and is not used.
	Warnings []string

	raw     map[string]string
	origins map[string]string
	// filed are the providers of ProvidersFile.
	filed     []Provider
	fallbacks []fallbackList
	// files are those that values were read from.
	files map[string]string
}

// SourceDefault is the source of a value that nobody has set.
const SourceDefault = "default"

// TitleByModel is the AutoTitle that has a model asked.
const TitleByModel = "model"

// Names of the settings that need more than their tags say.
const (
	nameAddr      = "PARLEY_ADDR"
	nameStore     = "PARLEY_STORE"
	nameClientKey = "PARLEY_API_KEY"
	nameMasterKey = "PARLEY_SECRET_KEY"
	nameBaseURL   = "OPENAI_BASE_URL"
	nameProviders = "PARLEY_PROVIDERS"

	nameAnthropicBaseURL = "ANTHROPIC_BASE_URL"
)

// Level is LogLevel for slog.
func (c *Config) Level() slog.Level {
	switch c.LogLevel {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

// StoreName is where conversations are kept, as it may be shown.
func (c *Config) StoreName() string {
	if c.Store.MongoDB() {
		return c.Store.shown()
	}
	return c.StorePath()
}

// StorePath is the file of the SQLite database.
func (c *Config) StorePath() string {
	path := filepath.FromSlash(strings.TrimPrefix(string(c.Store), "sqlite:"))
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.Data, path)
}

func (c *Config) isSet(name string) bool { return c.origins[name] != SourceDefault }

// CheckExposure refuses a listening address that others can reach while no key protects it.
func (c *Config) CheckExposure() error {
	if c.Addr.Loopback() || c.APIKey != "" || c.InsecureNoAuth {
		return nil
	}
	return c.Problem(nameAddr, string(c.Addr)+
		" can be reached from other machines and PARLEY_API_KEY is not set, so anyone could read every conversation. "+
		"Set PARLEY_API_KEY, listen on 127.0.0.1, or give --insecure-no-auth if something else guards the address")
}

// CheckSecretKey refuses a file of the secret key that Keys would refuse. It makes none where there is none.
func (c *Config) CheckSecretKey() error {
	path := filepath.Join(c.Data, secretKeyFile)
	if c.SecretKey != "" || !isThere(path) {
		return nil
	}
	if _, err := loadSecretKey(path); err != nil {
		return c.Problem(nameMasterKey, err.Error())
	}
	return nil
}

// Problem is an error about a setting, which it names with its source.
func (c *Config) Problem(name, text string) *Error {
	return &Error{Problems: []string{name + " (" + c.origins[name] + "): " + text}}
}

// APIKeyFile is the file that PARLEY_API_KEY was read from, and whether that is .env; empty where it came another way.
func (c *Config) APIKeyFile() (path string, dotEnv bool) {
	return c.files[nameClientKey], c.origins[nameClientKey] == fromDotEnv
}

// Effective is a setting's value as it is in force. A secret's value is never in it.
type Effective struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

// Effective lists all settings in the order of their declaration, and the providers behind the file of providers. PARLEY_SECRET_KEY shows its fingerprint, so that two
// servers can be compared.
func (c *Config) Effective() []Effective {
	var list []Effective
	for _, s := range Settings() {
		e := Effective{Name: s.Name, Value: c.raw[s.Name], Source: c.origins[s.Name]}
		if s.Name == nameStore && c.Store.MongoDB() {
			e.Value = c.Store.shown()
		}
		if s.Secret && e.Value != "" {
			e.Value = "set"
		}
		if s.Name == nameMasterKey && e.Value != "" {
			if keys, err := NewKeys(c.SecretKey); err == nil {
				e.Value = fmt.Sprintf("set, fingerprint %x", keys.Fingerprint[:4])
			}
		}
		list = append(list, e)
		if s.Name == nameProviders {
			list = append(list, c.effectiveProviders()...)
		}
	}
	return list
}
