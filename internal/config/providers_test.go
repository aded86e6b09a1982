package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

const twoProviders = `{
  "default": "local",
  "fallbacks": {"local/large": ["claude/opus", "small"], "small": ["claude/haiku"]},
  "providers": [
    {"name": "claude", "protocol": "anthropic", "api_key_env": "CLAUDE_KEY", "max_output_tokens": 100},
    {
      "name": "local",
      "protocol": "openai",
      "base_url": "http://127.0.0.1:11434/v1?key=cAnArY",
      "api_key": "cAnArY",
      "models": ["small", "large"],
      "first_byte_timeout": "10s",
      "idle_timeout": "5s",
      "private_network": false,
      "headers": {"X-Team": "cAnArY"}
    }
  ]
}`

func TestAFileNamesProviders(t *testing.T) {
	c := mustLoad(t, input{
		env:    []string{"PARLEY_PROVIDERS=p.json", "OPENAI_API_KEY=k"},
		dotEnv: "CLAUDE_KEY=sk-1",
		files:  map[string]string{"p.json": twoProviders},
	})
	list := c.Providers()
	if len(list) != 3 {
		t.Fatalf("got %v", list)
	}
	if p := list[0]; p.Name != "local" || p.Key != "cAnArY" || p.Model != "small" || len(p.Models) != 2 || p.FirstByteTimeout != 10*time.Second || p.IdleTimeout != 5*time.Second || !p.PublicOnly || p.Headers["X-Team"] != "cAnArY" {
		t.Errorf("the default comes first: %+v", p)
	}
	if p := list[1]; p.Name != "claude" || p.Key != "sk-1" || p.BaseURL != "https://api.anthropic.com" || p.MaxOutputTokens != 100 || p.Model != "" || p.PublicOnly {
		t.Errorf("got %+v", p)
	}
	if list[2].Name != "openai" {
		t.Errorf("what the settings set up comes behind: %+v", list[2])
	}
	if e := effective(t, c, "provider local"); e.Source != "p.json" || e.Value != "openai, at http://127.0.0.1:11434/v1, key set, model small, 1 header, no private network" {
		t.Errorf("shown as %+v", e)
	}
	if f := c.Fallbacks(); len(f) != 2 || strings.Join(f["local/large"], " ") != "claude/opus small" || strings.Join(f["small"], " ") != "claude/haiku" {
		t.Errorf("fallbacks %v", f)
	}
	if e := effective(t, c, "fallback of local/large"); e.Value != "claude/opus, small" || e.Source != "p.json" {
		t.Errorf("shown as %+v", e)
	}
	if shown := fmt.Sprintf("%v %+v", c.Effective(), list[0].Headers); strings.Contains(shown, "cAnArY") {
		t.Errorf("shown: %s", shown)
	}
}

func TestAFileGoesBeforeTheSettings(t *testing.T) {
	c := mustLoad(t, input{
		env:   []string{"PARLEY_PROVIDERS=p.json", "OPENAI_API_KEY=k", "ANTHROPIC_API_KEY=k"},
		files: map[string]string{"p.json": `{"providers":[{"name":"openai","protocol":"openai","base_url":"http://h/v1"}]}`},
	})
	if list := c.Providers(); len(list) != 2 || list[0].BaseURL != "http://h/v1" || list[0].Key != "" || list[1].Name != "anthropic" {
		t.Errorf("got %+v", list)
	}
}

func TestWhatIsWrongWithAFileIsNamedByItsLine(t *testing.T) {
	const good = `"name": "a", "protocol": "openai"`
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"no JSON", "{\n\"providers\": cAnArY}", []string{"line 2: the file must be one JSON object"}},
		{"nothing", "", []string{"line 1: the file must be one JSON object"}},
		{"a list", "[]", []string{"line 1: the file must be an object"}},
		{"more behind it", `{"providers":[]} {}`, []string{"one JSON object"}},
		{"an unknown field", "{\n\"provider\": []}", []string{"line 2: provider is not known here; there are default, fallbacks, providers"}},
		{"an unknown field of a provider", "{\"providers\": [\n{" + good + ",\n\"url\": \"cAnArY\"}]}", []string{"line 3: providers[0].url is not known here", "base_url"}},
		{"a field that is given twice", "{\"providers\": [{" + good + ",\n\"name\": \"b\"}]}", []string{"line 2: providers[0].name is given twice"}},
		{"another type", "{\"providers\": [{" + good + ",\n\"private_network\": \"cAnArY\"}]}", []string{"line 2: providers[0].private_network must be true or false"}},
		{"providers that are no list", `{"providers": "cAnArY"}`, []string{"line 1: providers must be a list"}},
		{"a provider that is no object", `{"providers": [7]}`, []string{"providers[0] must be an object"}},
		{"no protocol", `{"providers": [{"name": "a"}]}`, []string{"providers[0].protocol must be one of openai, anthropic"}},
		{"an unknown protocol", `{"providers": [{"name": "a", "protocol": "cAnArY"}]}`, []string{"providers[0].protocol must be one of openai, anthropic"}},
		{"a bad name", `{"providers": [{"name": "a/b", "protocol": "openai"}]}`, []string{"providers[0].name must be a name of small letters"}},
		{"a name that is taken", `{"providers": [{"name": "parley", "protocol": "openai"}]}`, []string{"not parley"}},
		{"the same name", `{"providers": [{` + good + `}, {` + good + `}]}`, []string{"providers[1].name is that of another provider"}},
		{"a bad URL", `{"providers": [{` + good + `, "base_url": "ftp://cAnArY"}]}`, []string{"providers[0].base_url must be an http or https URL"}},
		{"two keys", `{"providers": [{` + good + `, "api_key": "cAnArY", "api_key_env": "X"}]}`, []string{"one of api_key, api_key_file and api_key_env"}},
		{"a key that is not set", `{"providers": [{` + good + `, "api_key_env": "X"}]}`, []string{"api_key_env names a variable that is not set"}},
		{"a key's file that is missing", `{"providers": [{` + good + `, "api_key_file": "missing"}]}`, []string{"api_key_file cannot be read"}},
		{"a key of two words", `{"providers": [{` + good + `, "api_key": "cAnArY x"}]}`, []string{"without spaces"}},
		{"an empty model", `{"providers": [{` + good + `, "models": ["x", ""]}]}`, []string{"providers[0].models[1] must be the name of a model"}},
		{"a bad duration", `{"providers": [{` + good + `, "idle_timeout": "cAnArY"}]}`, []string{"idle_timeout must be a duration from 1ms to 24h"}},
		{"a limit of nothing", `{"providers": [{"name": "a", "protocol": "anthropic", "max_output_tokens": 0}]}`, []string{"max_output_tokens must be a whole number from 1"}},
		{"a limit that is a fraction", `{"providers": [{"name": "a", "protocol": "anthropic", "max_output_tokens": 1.5}]}`, []string{"max_output_tokens must be a whole number from 1"}},
		{"a limit where the protocol wants none", `{"providers": [{` + good + `, "max_output_tokens": 5}]}`, []string{"max_output_tokens is for the protocol anthropic"}},
		{"a header that a request is made of", `{"providers": [{` + good + `, "headers": {"content-length": "7"}}]}`, []string{"headers must be named", "Content-Length"}},
		{"a header of two lines", `{"providers": [{` + good + `, "headers": {"x": "cAnArY\ny"}}]}`, []string{"headers.x must be visible ASCII"}},
		{"a default that does not exist", "{\n\"default\": \"cAnArY\", \"providers\": [{" + good + "}]}", []string{"line 2: default must be the name of a provider in the file"}},
		{"a fallback to nothing", "{\n\"fallbacks\": {\"m\": []}}", []string{"line 2: fallbacks must name from 1 to 8 other models"}},
		{"a fallback to itself", `{"fallbacks": {"m": ["m"]}}`, []string{"fallbacks must name from 1 to 8 other models"}},
		{"a fallback that is no list", "{\"fallbacks\": {\n\"m\": \"cAnArY\"}}", []string{"line 2: fallbacks.m must be a list"}},
		{"fallbacks that are no object", `{"fallbacks": []}`, []string{"line 1: fallbacks must be an object"}},
		{"an unknown field behind fallbacks", `{"fallback": {}}`, []string{"fallback is not known here; there are default, fallbacks, providers"}},
		{"two things at once", `{"x": 1, "providers": [{"y": 1, ` + good + `}]}`, []string{"x is not known", "providers[0].y is not known"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, input{env: []string{"PARLEY_PROVIDERS=p.json"}, files: map[string]string{"p.json": tt.file}})
			if err == nil || strings.Contains(err.Error(), "cAnArY") {
				t.Fatalf("error = %v", err)
			}
			for _, want := range append(tt.want, "PARLEY_PROVIDERS (p.json): line ") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in:\n%v", want, err)
				}
			}
		})
	}
}

// A wrong field is at its own line, a missing one at the brace that opens its object, wherever the object stands.
func TestTheLineOfAFindingIsThatOfItsField(t *testing.T) {
	const first = "{\n  \"providers\": [\n    {\"name\": \"a\", \"protocol\": \"openai\"},\n    "
	for _, tt := range []struct{ second, want string }{
		{`{"name": "b", "protocol": "openai", "api_key_file": "missing"}`, "line 4: providers[1].api_key_file cannot be read"},
		{"{\n\"name\": \"b\",\n\"protocol\": \"openai\",\n\"api_key_file\": \"missing\"\n}", "line 7: providers[1].api_key_file cannot be read"},
		{"{\n\"name\": \"b\",\n\"protocol\": \"openai\",\n\"api_key_env\": \"X\"\n}", "line 7: providers[1].api_key_env names"},
		{"{\n\"name\": \"b\",\n\"api_key\": \"a b\",\n\"protocol\": \"openai\"}", "line 6: providers[1] must have a key"},
		{"{\n\"name\": \"b\"\n}", "line 4: providers[1].protocol must be one of"},
		{"{\n\"protocol\": \"openai\"\n}", "line 4: providers[1].name must be a name"},
		{"\n{\n\"protocol\": \"openai\"\n}", "line 5: providers[1].name must be a name"},
		{"{\n\"name\": \"b\",\n\"protocol\": \"x\"\n}", "line 6: providers[1].protocol must be one of"},
		{"{\n\"protocol\": \"openai\",\n\"name\": \"a\"\n}", "line 6: providers[1].name is that of another"},
		{"{\n\"name\": \"b\",\n\"protocol\": \"openai\",\n\"base_url\": \"x\"\n}", "line 7: providers[1].base_url must be"},
		{"{\n\"name\": \"b\",\n\"protocol\": \"openai\",\n\"models\": {\n\"x\": 1\n}\n}", "line 7: providers[1].models must be a list"},
		{"{\n\"name\": [\n1\n],\n\"protocol\": \"openai\"}", "line 5: providers[1].name must be a name"},
		{"[\n\n]", "line 4: providers[1] must be an object"},
	} {
		file := first + tt.second + "\n  ]\n}"
		_, err := load(t, input{env: []string{"PARLEY_PROVIDERS=p.json"}, files: map[string]string{"p.json": file}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q is missing for %q:\n%v", tt.want, tt.second, err)
		}
	}
}

func FuzzAProvidersFileIsTakenOrRefused(f *testing.F) {
	f.Add(twoProviders)
	f.Add(`{"providers":[{"headers":{"a":[]}},[],{"models":{}}],"default":null}`)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "p.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Input{Environ: []string{"PARLEY_PROVIDERS=" + path, "CLAUDE_KEY=k"}, Dir: dir})
		if err != nil {
			return
		}
		for _, p := range c.Providers() {
			if p.Name == "" || p.BaseURL == "" || p.Protocol == "" {
				t.Errorf("%q passed with %+v", text, p)
			}
		}
	})
}
