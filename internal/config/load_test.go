package config_test

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/config"
)

type input struct {
	flags map[string]string
	env   []string
	// dotEnv is the content of .env; files are further files beside it.
	dotEnv string
	files  map[string]string
}

// load runs Load with the files in a directory that is also the working directory.
func load(t *testing.T, in input) (*config.Config, error) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	if in.dotEnv != "" {
		write(t, filepath.Join(dir, ".env"), in.dotEnv)
	}
	for name, content := range in.files {
		write(t, filepath.Join(dir, name), content)
	}
	return config.Load(config.Input{Flags: in.flags, Environ: in.env})
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustLoad(t *testing.T, in input) *config.Config {
	t.Helper()
	c, err := load(t, in)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

func effective(t *testing.T, c *config.Config, name string) config.Effective {
	t.Helper()
	for _, e := range c.Effective() {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("no setting %s", name)
	return config.Effective{}
}

func TestDefaultsAreThoseOfTheDocumentation(t *testing.T) {
	c := mustLoad(t, input{})
	want := map[string]string{
		"PARLEY_ADDR":                        "127.0.0.1:8000",
		"PARLEY_DATA":                        "./data",
		"PARLEY_STORE":                       "sqlite:parley.db",
		"MONGODB_DATABASE":                   "",
		"PARLEY_API_KEY":                     "",
		"PARLEY_INSECURE_NO_AUTH":            "false",
		"PARLEY_ALLOWED_HOSTS":               "",
		"PARLEY_SECRET_KEY":                  "",
		"OPENAI_API_KEY":                     "",
		"OPENAI_BASE_URL":                    "https://api.openai.com/v1",
		"OPENAI_MODEL":                       "",
		"ANTHROPIC_API_KEY":                  "",
		"ANTHROPIC_BASE_URL":                 "https://api.anthropic.com",
		"ANTHROPIC_MODEL":                    "",
		"PARLEY_PROVIDERS":                   "",
		"PARLEY_MODEL":                       "",
		"PARLEY_CONTEXT_MESSAGES":            "0",
		"PARLEY_AUTO_TITLE":                  "start",
		"PARLEY_AUDIT_MAX_CHARS":             "2000",
		"PARLEY_MAX_BODY":                    "8MiB",
		"PARLEY_UPSTREAM_FIRST_BYTE_TIMEOUT": "300s",
		"PARLEY_UPSTREAM_IDLE_TIMEOUT":       "120s",
		"PARLEY_UPSTREAM_TIMEOUT":            "15m",
		"PARLEY_UPSTREAM_CONCURRENCY":        "256",
		"PARLEY_SHUTDOWN_TIMEOUT":            "30s",
		"PARLEY_LOG_LEVEL":                   "info",
		"PARLEY_LOG_FORMAT":                  "",
	}
	got := map[string]string{}
	for _, e := range c.Effective() {
		got[e.Name] = e.Value
		if e.Source != config.SourceDefault {
			t.Errorf("%s comes from %q", e.Name, e.Source)
		}
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s = %q, want %q", name, got[name], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d settings, want %d", len(got), len(want))
	}
	if c.Addr != "127.0.0.1:8000" || c.MaxBody != 8<<20 || c.UpstreamTimeout != 15*time.Minute || c.UpstreamConcurrency != 256 ||
		c.AuditMaxChars != 2000 || c.OpenAIBaseURL.String() != "https://api.openai.com/v1" || c.Level() != slog.LevelInfo {
		t.Errorf("parsed: %+v", c)
	}
	if len(c.Providers()) > 0 {
		t.Error("OpenAI counts as set up")
	}
	if want := filepath.Join("data", "parley.db"); c.StorePath() != want {
		t.Errorf("StorePath = %q, want %q", c.StorePath(), want)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %q", c.Warnings)
	}
}

func TestAFlagBeatsTheEnvironmentBeatsDotEnvBeatsTheDefault(t *testing.T) {
	const name = "PARLEY_CONTEXT_MESSAGES"
	flag, env, dotEnv := map[string]string{"context-messages": "1"}, []string{name + "=2"}, name+"=3"
	for _, tt := range []struct {
		title  string
		in     input
		want   int
		source string
	}{
		{"nothing", input{}, 0, "default"},
		{".env", input{dotEnv: dotEnv}, 3, ".env"},
		{"environment", input{env: env}, 2, "environment"},
		{"flag", input{flags: flag}, 1, "flag"},
		{"environment over .env", input{env: env, dotEnv: dotEnv}, 2, "environment"},
		{"flag over .env", input{flags: flag, dotEnv: dotEnv}, 1, "flag"},
		{"flag over environment", input{flags: flag, env: env}, 1, "flag"},
		{"flag over all", input{flags: flag, env: env, dotEnv: dotEnv}, 1, "flag"},
		{"an empty variable is not set", input{env: []string{name + "="}, dotEnv: dotEnv}, 3, ".env"},
		{"an empty flag is not set", input{flags: map[string]string{"context-messages": ""}, env: env}, 2, "environment"},
		{"an empty line in .env is not set", input{dotEnv: name + "="}, 0, "default"},
	} {
		t.Run(tt.title, func(t *testing.T) {
			c := mustLoad(t, tt.in)
			if e := effective(t, c, name); c.ContextMessages != tt.want || e.Source != tt.source {
				t.Errorf("%d from %s, want %d from %s", c.ContextMessages, e.Source, tt.want, tt.source)
			}
		})
	}
}

func TestPortStandsInForAnAddressThatIsNotSet(t *testing.T) {
	for _, tt := range []struct {
		title, want, source string
		in                  input
	}{
		{"alone", "127.0.0.1:9001", "environment, PORT", input{env: []string{"PORT=9001"}}},
		{"from .env", "127.0.0.1:9001", ".env, PORT", input{dotEnv: "PORT=9001"}},
		{"beside an address", "127.0.0.1:7000", "environment", input{env: []string{"PORT=9001", "PARLEY_ADDR=127.0.0.1:7000"}}},
		{"beside an address from .env", "127.0.0.1:7000", ".env", input{env: []string{"PORT=nonsense"}, dotEnv: "PARLEY_ADDR=127.0.0.1:7000"}},
		{"beside an empty address", "127.0.0.1:9001", "environment, PORT", input{env: []string{"PORT=9001", "PARLEY_ADDR="}}},
	} {
		t.Run(tt.title, func(t *testing.T) {
			c := mustLoad(t, tt.in)
			if e := effective(t, c, "PARLEY_ADDR"); string(c.Addr) != tt.want || e.Value != tt.want || e.Source != tt.source {
				t.Errorf("%s (%s from %s), want %s from %s", c.Addr, e.Value, e.Source, tt.want, tt.source)
			}
		})
	}
}

func TestDotEnvReadsWhatPeopleWrite(t *testing.T) {
	c := mustLoad(t, input{dotEnv: "\ufeff# a comment\r\nexport OPENAI_MODEL='my model'\r\n\r\nOPENAI_API_KEY=\"sk-1\" # mine\r\nOTHER_PROGRAM=x\r\n"})
	if c.OpenAIModel != "my model" || c.OpenAIKey.Reveal() != "sk-1" {
		t.Errorf("model %q, key %q", c.OpenAIModel, c.OpenAIKey.Reveal())
	}
	if len(c.Providers()) == 0 {
		t.Error("a key does not set OpenAI up")
	}
}

func TestASecretMayComeFromAFile(t *testing.T) {
	for _, tt := range []struct {
		title, source string
		in            input
	}{
		{"environment", "environment, PARLEY_API_KEY_FILE", input{env: []string{"PARLEY_API_KEY_FILE=key"}}},
		{".env", ".env, PARLEY_API_KEY_FILE", input{dotEnv: "PARLEY_API_KEY_FILE=key"}},
		{"flag", "flag, PARLEY_API_KEY_FILE", input{flags: map[string]string{"api-key-file": "key"}}},
		{"environment's file over .env's value", "environment, PARLEY_API_KEY_FILE", input{env: []string{"PARLEY_API_KEY_FILE=key"}, dotEnv: "PARLEY_API_KEY=other"}},
	} {
		t.Run(tt.title, func(t *testing.T) {
			tt.in.files = map[string]string{"key": "from-a-file\n"}
			c := mustLoad(t, tt.in)
			e := effective(t, c, "PARLEY_API_KEY")
			if c.APIKey.Reveal() != "from-a-file" || e.Source != tt.source || e.Value != "set" {
				t.Errorf("%q, shown as %q from %q", c.APIKey.Reveal(), e.Value, e.Source)
			}
		})
	}
}

func TestTheEnvironmentsValueBeatsDotEnvsFile(t *testing.T) {
	c := mustLoad(t, input{env: []string{"OPENAI_API_KEY=sk-env"}, dotEnv: "OPENAI_API_KEY_FILE=no-such-file"})
	if c.OpenAIKey.Reveal() != "sk-env" {
		t.Errorf("key %q", c.OpenAIKey.Reveal())
	}
}

func TestAWrongValueIsAnErrorThatNamesTheSettingAndTheRange(t *testing.T) {
	const canary = "cAnArY"
	long := strings.Repeat("x", 31)
	for _, tt := range []struct {
		name, value string
		says        []string
	}{
		{"PARLEY_ADDR", canary, []string{"host:port"}},
		{"PARLEY_ADDR", "127.0.0.1:65536", []string{"65535"}},
		{"PARLEY_ADDR", "127.0.0.1:http", []string{"65535"}},
		{"PARLEY_ADDR", "127.0.0.1:+80", []string{"65535"}},
		{"PARLEY_ADDR", "http://127.0.0.1:80", []string{"host:port"}},
		{"PARLEY_ADDR", "my host:80", []string{"host:port"}},
		{"PORT", "70000", []string{"0 to 65535"}},
		{"PORT", canary, []string{"0 to 65535"}},
		{"PARLEY_STORE", canary, []string{"sqlite:FILE"}},
		{"PARLEY_STORE", "sqlite:", []string{"sqlite:FILE"}},
		{"PARLEY_STORE", "sqlite::memory:", []string{"sqlite:FILE"}},
		{"PARLEY_STORE", "sqlite://host/file", []string{"sqlite:FILE"}},
		{"PARLEY_STORE", "sqlite:file?mode=ro", []string{"sqlite:FILE"}},
		{"PARLEY_STORE", "sqlite:dir/", []string{"sqlite:FILE"}},
		{"PARLEY_STORE", "mongodb://u:" + canary + "@", []string{"sqlite:FILE", "mongodb://"}},
		{"PARLEY_STORE", "mongodb://", []string{"mongodb://"}},
		{"PARLEY_STORE", "mongodb://u:" + canary + "/x@h/", []string{"mongodb://"}},
		{"MONGODB_URI", "http://u:" + canary + "@h/", []string{"mongodb+srv://", "MONGODB_URI"}},
		{"MONGODB_DATABASE", canary + "/x", []string{"63 letters"}},
		{"PARLEY_PROVIDERS", "missing.json", []string{"cannot be read"}},
		{"PARLEY_AUTO_TITLE", "none", []string{"one of start, model"}},
		{"PARLEY_API_KEY", "", []string{"empty"}},
		{"PARLEY_API_KEY", "two words", []string{"without spaces"}},
		{"PARLEY_API_KEY", "schlüssel", []string{"ASCII"}},
		{"PARLEY_SECRET_KEY", "", []string{"empty"}},
		{"PARLEY_SECRET_KEY", long, []string{"32 characters"}},
		{"OPENAI_API_KEY", "line\nbreak", []string{"without spaces"}},
		{"OPENAI_BASE_URL", canary, []string{"http or https"}},
		{"OPENAI_BASE_URL", "ftp://host/", []string{"http or https"}},
		{"OPENAI_BASE_URL", "http:///v1", []string{"host"}},
		{"OPENAI_BASE_URL", "http://u:" + canary + "@h/v1", []string{"password"}},
		{"OPENAI_BASE_URL", "http://h/v1#x", []string{"fragment"}},
		{"OPENAI_BASE_URL", "http://h\x7f/", []string{"http or https"}},
		{"PARLEY_ALLOWED_HOSTS", "a,,b", []string{"commas"}},
		{"PARLEY_ALLOWED_HOSTS", "https://a", []string{"without a port"}},
		{"PARLEY_ALLOWED_HOSTS", "a:80", []string{"without a port"}},
		{"PARLEY_INSECURE_NO_AUTH", "perhaps", []string{"true or false"}},
		{"PARLEY_CONTEXT_MESSAGES", "-1", []string{"from 0 to 1000000"}},
		{"PARLEY_CONTEXT_MESSAGES", "1000001", []string{"from 0 to 1000000"}},
		{"PARLEY_CONTEXT_MESSAGES", "many", []string{"from 0 to 1000000"}},
		{"PARLEY_AUDIT_MAX_CHARS", "-1", []string{"from 0 to 1000000"}},
		{"PARLEY_UPSTREAM_CONCURRENCY", "0", []string{"from 1 to 100000"}},
		{"PARLEY_UPSTREAM_CONCURRENCY", "99999999999999999999", []string{"from 1 to 100000"}},
		{"PARLEY_MAX_BODY", "1023", []string{"from 1KiB to 64MiB"}},
		{"PARLEY_MAX_BODY", "65MiB", []string{"from 1KiB to 64MiB"}},
		{"PARLEY_MAX_BODY", "8XiB", []string{"from 1KiB to 64MiB"}},
		{"PARLEY_MAX_BODY", "-8MiB", []string{"from 1KiB to 64MiB"}},
		{"PARLEY_MAX_BODY", "9223372036854775807GiB", []string{"from 1KiB to 64MiB"}},
		{"PARLEY_MAX_BODY", "1.5MiB", []string{"from 1KiB to 64MiB"}},
		{"PARLEY_UPSTREAM_TIMEOUT", "0s", []string{"from 1ms to 24h"}},
		{"PARLEY_UPSTREAM_TIMEOUT", "25h", []string{"from 1ms to 24h"}},
		{"PARLEY_UPSTREAM_TIMEOUT", "15", []string{"such as 30s"}},
		{"PARLEY_UPSTREAM_IDLE_TIMEOUT", "soon", []string{"from 1ms to 24h"}},
		{"PARLEY_UPSTREAM_FIRST_BYTE_TIMEOUT", "-1s", []string{"from 1ms to 24h"}},
		{"PARLEY_SHUTDOWN_TIMEOUT", "61m", []string{"from 0s to 1h"}},
		{"PARLEY_LOG_LEVEL", "loud", []string{"debug, info, warn, error"}},
		{"PARLEY_LOG_FORMAT", "xml", []string{"text, json"}},
		{"PARLEY_API_KEY_FILE", "no-such-file", []string{"PARLEY_API_KEY ", "no-such-file"}},
		{"PARLEY_API_KEY_FILE", ".", []string{"PARLEY_API_KEY "}},
		{"PARLEY_API_KEY_FILE", "empty", []string{"file is empty"}},
		{"PARLEY_API_KEY_FILE", "large", []string{"larger"}},
		{"PARLEY_SECRET_KEY_FILE", "short", []string{"32 characters"}},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			in := input{
				env:   []string{tt.name + "=" + tt.value},
				files: map[string]string{"empty": " \n", "short": long + "\n", "large": strings.Repeat("x", 1<<17)},
			}
			_, err := load(t, in)
			problems, ok := errors.AsType[*config.Error](err)
			if !ok || len(problems.Problems) != 1 {
				t.Fatalf("error = %v, want one problem", err)
			}
			text := err.Error()
			if !strings.HasPrefix(text, strings.TrimSuffix(tt.name, "_FILE")) {
				t.Errorf("%q does not begin with the setting's name", text)
			}
			for _, part := range append(tt.says, "environment") {
				if !strings.Contains(text, part) {
					t.Errorf("%q does not say %q", text, part)
				}
			}
			if strings.Contains(text, canary) || strings.Contains(text, long) {
				t.Errorf("%q repeats the value", text)
			}
		})
	}
}

func TestAValueAndAFileForTheSameSecretAreAContradiction(t *testing.T) {
	_, err := load(t, input{env: []string{"OPENAI_API_KEY=a", "OPENAI_API_KEY_FILE=b"}})
	if err == nil || !strings.Contains(err.Error(), "OPENAI_API_KEY_FILE") {
		t.Errorf("error = %v", err)
	}
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	_, err := load(t, input{
		flags:  map[string]string{"log-level": "loud"},
		env:    []string{"PARLEY_MAX_BODY=1", "PARLEY_UPSTREAM_TIMEOUT=x"},
		dotEnv: "PARLEY_AUDIT_MAX_CHARS=-1\nPARLEY_ADRR=1\n",
	})
	problems, ok := errors.AsType[*config.Error](err)
	if !ok {
		t.Fatalf("error = %v", err)
	}
	for _, want := range []string{
		"PARLEY_LOG_LEVEL (flag)", "PARLEY_MAX_BODY (environment)", "PARLEY_UPSTREAM_TIMEOUT (environment)",
		"PARLEY_AUDIT_MAX_CHARS (.env)", "PARLEY_ADRR (.env)",
	} {
		if !slices.ContainsFunc(problems.Problems, func(p string) bool { return strings.HasPrefix(p, want+": ") }) {
			t.Errorf("no problem with %s in %q", want, problems.Problems)
		}
	}
	if len(problems.Problems) != 5 {
		t.Errorf("%d problems: %q", len(problems.Problems), problems.Problems)
	}
}

func TestAnUnknownNameIsAnErrorInDotEnvAndAWarningInTheEnvironment(t *testing.T) {
	_, err := load(t, input{dotEnv: "PARLEY_SERVICE_HOST=1\nPARLEY_MODEL_FILE=x\n"})
	if err == nil || !strings.Contains(err.Error(), "PARLEY_SERVICE_HOST (.env)") || !strings.Contains(err.Error(), "PARLEY_MODEL_FILE (.env)") {
		t.Errorf("error = %v", err)
	}
	c := mustLoad(t, input{env: []string{"PARLEY_SERVICE_HOST=10.0.0.1", "PARLEY_PORT=tcp://10.0.0.1:8000", "PATH=/bin"}})
	if len(c.Warnings) != 2 || !strings.HasPrefix(c.Warnings[0], "PARLEY_PORT (environment)") || !strings.HasPrefix(c.Warnings[1], "PARLEY_SERVICE_HOST (environment)") {
		t.Errorf("warnings = %q", c.Warnings)
	}
}

func TestAMongoDBIsAStoreAndItsSecretsAreNotShown(t *testing.T) {
	const uri = "mongodb://user:s3cret@one.test:27017,two.test/chats?replicaSet=rs0&tlsCertificateKeyFilePassword=s3cret"
	for source, in := range map[string]input{
		"environment":              {env: []string{"PARLEY_STORE=" + uri}},
		"environment, MONGODB_URI": {env: []string{"MONGODB_URI=" + uri, "MONGODB_DATABASE=other"}},
		".env, MONGODB_URI":        {dotEnv: "MONGODB_URI=" + uri},
	} {
		c := mustLoad(t, in)
		if string(c.Store) != uri || !c.Store.MongoDB() || c.StoreName() != "mongodb://one.test:27017,two.test/chats" {
			t.Errorf("%s: %q, shown as %q", source, c.Store, c.StoreName())
		}
		if got := effective(t, c, "PARLEY_STORE"); got.Value != c.StoreName() || got.Source != source {
			t.Errorf("%s: %+v", source, got)
		}
		if database := string(c.MongoDatabase); (database == "other") != (source == "environment, MONGODB_URI") {
			t.Errorf("%s: database %q", source, database)
		}
	}
	c := mustLoad(t, input{env: []string{"MONGODB_URI=mongodb://h/", "PARLEY_STORE=sqlite:x.db"}})
	if c.Store.MongoDB() || c.StoreName() != c.StorePath() {
		t.Errorf("PARLEY_STORE does not come first: %q", c.Store)
	}
	if c := mustLoad(t, input{env: []string{"MONGODB_URI=mongodb+srv://h"}}); c.StoreName() != "mongodb+srv://h" {
		t.Errorf("shown as %q", c.StoreName())
	}
}

func TestABrokenDotEnvIsNamedByItsLineAndNotQuoted(t *testing.T) {
	for _, tt := range []struct{ title, content, line string }{
		{"first", "not an assignment!\nA=b\n", "line 1 "},
		{"later", "OPENAI_API_KEY=\"a\nb\"\n# c\nsk-cAnArY!\n", "line 4 "},
	} {
		t.Run(tt.title, func(t *testing.T) {
			_, err := load(t, input{dotEnv: tt.content})
			if err == nil || !strings.Contains(err.Error(), tt.line) || strings.Contains(err.Error(), "cAnArY") {
				t.Errorf("error = %v", err)
			}
		})
	}
	t.Run("a directory", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, ".env"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(config.Input{Dir: dir}); err == nil || !strings.HasPrefix(err.Error(), ".env: ") {
			t.Errorf("error = %v", err)
		}
	})
}

func TestAPublicAddressNeedsAKey(t *testing.T) {
	for _, tt := range []struct {
		addr    string
		env     []string
		refused bool
	}{
		{"127.0.0.1:8000", nil, false},
		{"127.8.9.1:8000", nil, false},
		{"localhost:8000", nil, false},
		{"LocalHost:8000", nil, false},
		{"[::1]:8000", nil, false},
		{"[::ffff:127.0.0.1]:8000", nil, false},
		{"0.0.0.0:8000", nil, true},
		{":8000", nil, true},
		{"[::]:8000", nil, true},
		{"192.168.1.4:8000", nil, true},
		{"localhost.example.com:8000", nil, true},
		{"127.0.0.1.example.com:8000", nil, true},
		{"0.0.0.0:8000", []string{"PARLEY_API_KEY=k"}, false},
		{"0.0.0.0:8000", []string{"PARLEY_INSECURE_NO_AUTH=true"}, false},
	} {
		t.Run(tt.addr+strings.Join(tt.env, ","), func(t *testing.T) {
			err := mustLoad(t, input{env: append(tt.env, "PARLEY_ADDR="+tt.addr)}).CheckExposure()
			if (err != nil) != tt.refused {
				t.Fatalf("CheckExposure = %v", err)
			}
			if err == nil {
				return
			}
			for _, part := range []string{tt.addr, "PARLEY_API_KEY", "--insecure-no-auth", "other machines"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestDialableIsReachableFromHere(t *testing.T) {
	for addr, want := range map[config.Addr]string{
		":8000":          "127.0.0.1:8000",
		"0.0.0.0:8000":   "127.0.0.1:8000",
		"[::]:8000":      "[::1]:8000",
		"10.1.2.3:8000":  "10.1.2.3:8000",
		"localhost:8000": "localhost:8000",
	} {
		if got := addr.Dialable(); got != want {
			t.Errorf("Dialable(%s) = %s, want %s", addr, got, want)
		}
		if _, _, err := net.SplitHostPort(addr.Dialable()); err != nil {
			t.Error(err)
		}
	}
}
