package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

const maxProvidersFile = 1 << 20

// providersFile reads the file that PARLEY_PROVIDERS names. What is wrong with it is collected, with lines, and no value
// of it is repeated: it may hold keys.
type providersFile struct {
	data     []byte
	in       *json.Decoder
	problems []string
	// lookup finds what "api_key_env" names.
	lookup func(name string) (value string, found bool)

	// offsets are those of the fields and of the providers, by where they stand.
	offsets map[string]int64

	byDefault   string
	defaultLine int
	list        []Provider
	fallbacks   []fallbackList
}

// maxFallbacks bounds how many models may stand in for one.
const maxFallbacks = 8

// fallbackList is one member of "fallbacks".
type fallbackList struct {
	line   int
	model  string
	others []string
}

var providerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

func parseProviders(data []byte, lookup func(string) (string, bool)) *providersFile {
	f := &providersFile{data: data, in: json.NewDecoder(bytes.NewReader(data)), lookup: lookup, offsets: map[string]int64{}}
	err := f.object("", map[string]func(at string) error{
		"default": func(at string) error {
			f.defaultLine = f.line()
			return f.text(at, &f.byDefault, "the name of a provider")
		},
		"providers": func(at string) error { return f.array(at, f.provider) },
		"fallbacks": f.fallback,
	})
	if err == nil {
		if _, err = f.in.Token(); errors.Is(err, io.EOF) {
			err = nil
		} else {
			err = errMore
		}
	}
	if err != nil {
		f.syntax(err)
		return f
	}
	f.checkTogether()
	return f
}

var errMore = errors.New("more than one value")

// syntax reports what ended the reading.
func (f *providersFile) syntax(err error) {
	line := f.line()
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		line = f.lineAt(s.Offset)
	}
	f.problems = append(f.problems, fmt.Sprintf("line %d: the file must be one JSON object", line))
}

// line is that of what has been read last.
func (f *providersFile) line() int { return f.lineAt(f.in.InputOffset()) }

// next is the offset of the next value.
func (f *providersFile) next() int64 { return int64(len(f.data) - len(f.rest())) }

// rest is the file from the next value on.
func (f *providersFile) rest() []byte {
	return bytes.TrimLeft(f.data[f.in.InputOffset():], " \t\r\n:,")
}

// lineOf is the line of a field, or of the object that should have it.
func (f *providersFile) lineOf(at, field string) int {
	if offset, given := f.offsets[join(at, field)]; given {
		return f.lineAt(offset)
	}
	return f.lineAt(f.offsets[at])
}

// wrongField notes that a field is not what it must be, at its line.
func (f *providersFile) wrongField(at, field, must string) {
	f.wrongOn(f.lineOf(at, field), join(at, field), must)
}

func (f *providersFile) lineAt(offset int64) int {
	return 1 + bytes.Count(f.data[:min(max(offset, 0), int64(len(f.data)))], []byte("\n"))
}

// wrong notes that what stands at a place is not what it must be.
func (f *providersFile) wrong(at, must string) { f.wrongOn(f.line(), at, must) }

func (f *providersFile) wrongOn(line int, at, must string) {
	f.problems = append(f.problems, fmt.Sprintf("line %d: %s %s", line, at, must))
}

// take decodes the next value. A value of another type is noted, an error is one of the syntax.
func (f *providersFile) take(at string, into any, must string) error {
	start := f.next()
	err := f.in.Decode(into)
	if _, other := errors.AsType[*json.UnmarshalTypeError](err); other {
		f.wrongOn(f.lineAt(start), at, "must be "+must)
		return nil
	}
	return err
}

// opens consumes the delimiter that must come. Where another value comes it is passed over and noted.
func (f *providersFile) opens(at string, delim byte, must string) (bool, error) {
	var raw json.RawMessage
	start := f.next()
	if rest := f.rest(); len(rest) > 0 && rest[0] == delim {
		_, err := f.in.Token()
		return true, err
	}
	err := f.in.Decode(&raw)
	if err == nil {
		f.wrongOn(f.lineAt(start), at, "must be "+must)
	}
	return false, err
}

// object reads an object whose members are known.
func (f *providersFile) object(at string, members map[string]func(at string) error) error {
	return f.members(at, func(name string) error {
		take, known := members[name]
		if known {
			return take(join(at, name))
		}
		names := make([]string, 0, len(members))
		for n := range members {
			names = append(names, n)
		}
		slices.Sort(names)
		f.wrong(join(at, name), "is not known here; there are "+strings.Join(names, ", "))
		return f.in.Decode(new(json.RawMessage))
	})
}

// members reads an object, each member by its name.
func (f *providersFile) members(at string, take func(name string) error) error {
	opened, err := f.opens(orFile(at), '{', "an object")
	if err != nil || !opened {
		return err
	}
	seen := map[string]bool{}
	for f.in.More() {
		token, err := f.in.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		if seen[name] {
			f.wrong(join(at, name), "is given twice")
		}
		seen[name] = true
		f.offsets[join(at, name)] = f.in.InputOffset()
		if err := take(name); err != nil {
			return err
		}
	}
	_, err = f.in.Token()
	return err
}

func (f *providersFile) array(at string, take func(at string) error) error {
	opened, err := f.opens(at, '[', "a list")
	if err != nil || !opened {
		return err
	}
	for i := 0; f.in.More(); i++ {
		if err := take(fmt.Sprintf("%s[%d]", at, i)); err != nil {
			return err
		}
	}
	_, err = f.in.Token()
	return err
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func orFile(at string) string {
	if at == "" {
		return "the file"
	}
	return at
}

func (f *providersFile) text(at string, into *string, must string) error {
	if err := f.take(at, into, must); err != nil {
		return err
	}
	if *into == "" && !f.blamed(at) {
		f.wrong(at, "must be "+must)
	}
	return nil
}

// blamed reports whether the last problem is about the same place.
func (f *providersFile) blamed(at string) bool {
	return len(f.problems) > 0 && strings.Contains(f.problems[len(f.problems)-1], ": "+at+" ")
}

func (f *providersFile) texts(at string, into *[]string, must string) error {
	return f.array(at, func(at string) error {
		var s string
		err := f.text(at, &s, must)
		*into = append(*into, s)
		return err
	})
}

// provider reads one element of "providers".
func (f *providersFile) provider(at string) error {
	p := Provider{}
	f.offsets[at] = f.next()
	var keyFile, keyEnv, key, firstByte, idle string
	err := f.object(at, map[string]func(at string) error{
		"name":     func(at string) error { return f.text(at, &p.Name, "a name") },
		"protocol": func(at string) error { return f.text(at, &p.Protocol, "openai or anthropic") },
		"base_url": func(at string) error { return f.text(at, &p.BaseURL, "a URL") },
		"api_key":  func(at string) error { return f.text(at, &key, "a text") },
		"api_key_file": func(at string) error {
			return f.text(at, &keyFile, "the path of a file")
		},
		"api_key_env": func(at string) error { return f.text(at, &keyEnv, "the name of an environment variable") },
		"model":       func(at string) error { return f.text(at, &p.Model, "the name of a model") },
		"models":      func(at string) error { return f.texts(at, &p.Models, "the name of a model") },
		"max_output_tokens": func(at string) error {
			const must = "a whole number from 1"
			err := f.take(at, &p.MaxOutputTokens, must)
			if err == nil && p.MaxOutputTokens < 1 && !f.blamed(at) {
				f.wrong(at, "must be "+must)
			}
			return err
		},
		"first_byte_timeout": func(at string) error { return f.duration(at, &firstByte, &p.FirstByteTimeout) },
		"idle_timeout":       func(at string) error { return f.duration(at, &idle, &p.IdleTimeout) },
		"private_network": func(at string) error {
			allowed := true
			err := f.take(at, &allowed, "true or false")
			p.PublicOnly = !allowed
			return err
		},
		"model_info": func(at string) error { return f.modelInfo(at, &p) },
		"headers":    func(at string) error { return f.headers(at, &p) },
	})
	if err != nil {
		return err
	}
	f.key(at, &p, key, keyFile, keyEnv)
	f.check(at, &p)
	f.list = append(f.list, p)
	return nil
}

func (f *providersFile) duration(at string, text *string, into *time.Duration) error {
	const must = "a duration from 1ms to 24h, such as 30s or 5m"
	if err := f.text(at, text, must); err != nil {
		return err
	}
	d, err := time.ParseDuration(*text)
	if (err != nil || d < time.Millisecond || d > 24*time.Hour) && !f.blamed(at) {
		f.wrong(at, "must be "+must)
	}
	*into = d
	return nil
}

// reserved headers are what a request is made of.
var reserved = []string{"Accept", "Accept-Encoding", "Connection", "Content-Length", "Content-Type", "Host", "Transfer-Encoding"}

var headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

func (f *providersFile) headers(at string, p *Provider) error {
	p.Headers = map[string]Secret{}
	return f.members(at, func(name string) error {
		var value string
		err := f.text(join(at, name), &value, "a text")
		switch {
		case !headerName.MatchString(name), slices.Contains(reserved, http.CanonicalHeaderKey(name)):
			f.wrong(at, "must be named with letters, digits and hyphens, and not "+strings.Join(reserved, ", "))
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
			f.wrong(join(at, name), "must be visible ASCII characters")
		}
		p.Headers[name] = Secret(value)
		return err
	})
}

// key takes the key from where it is said to be, which may be one place only.
func (f *providersFile) key(at string, p *Provider, key, file, env string) {
	given := 0
	for _, s := range []string{key, file, env} {
		if s != "" {
			given++
		}
	}
	if given > 1 {
		f.wrongOn(f.lineAt(f.offsets[at]), at, "must have one of api_key, api_key_file and api_key_env")
		return
	}
	field := "api_key"
	switch {
	case file != "":
		field = "api_key_file"
		secret, err := readSecretFile(file)
		if err != nil {
			f.wrongField(at, field, err.Error())
		}
		key = secret
	case env != "":
		field = "api_key_env"
		value, found := f.lookup(env)
		if !found {
			f.wrongField(at, field, "names a variable that is not set")
		}
		key = value
	}
	p.Key = Secret(key)
	if !p.Key.header() {
		f.wrongOn(f.lineOf(at, field), at, "must have a key of visible ASCII characters without spaces")
	}
}

// check looks at what a provider must and must not have.
func (f *providersFile) check(at string, p *Provider) {
	if !providerName.MatchString(p.Name) || p.Name == builtInName {
		f.wrongField(at, "name", "must be a name of small letters, digits, - and _, at most 32 of them, and not "+builtInName)
	}
	if slices.ContainsFunc(f.list, func(o Provider) bool { return o.Name == p.Name }) {
		f.wrongField(at, "name", "is that of another provider")
	}
	if !slices.Contains(protocols, p.Protocol) {
		f.wrongField(at, "protocol", "must be one of "+strings.Join(protocols, ", "))
	}
	if p.BaseURL == "" {
		p.BaseURL = defaultBaseURL(p.Protocol)
	} else if new(URL).UnmarshalText([]byte(p.BaseURL)) != nil {
		f.wrongField(at, "base_url", "must be an http or https URL with a host and without user name, password or fragment")
	}
	if p.MaxOutputTokens > 0 && p.Protocol == ProtocolOpenAI {
		f.wrongField(at, "max_output_tokens", "is for the protocol anthropic, which demands a limit; set params.max_output_tokens in a conversation")
	}
	if p.Model == "" && len(p.Models) > 0 {
		p.Model = p.Models[0]
	}
}

// fallback reads "fallbacks".
func (f *providersFile) fallback(at string) error {
	return f.members(at, func(model string) error {
		list := fallbackList{line: f.line(), model: model}
		err := f.texts(join(at, model), &list.others, "the name of a model")
		f.fallbacks = append(f.fallbacks, list)
		return err
	})
}

// checkTogether looks at what only the whole file can tell.
func (f *providersFile) checkTogether() {
	at := slices.IndexFunc(f.list, func(p Provider) bool { return p.Name == f.byDefault })
	switch {
	case at > 0:
		// The first one is the default.
		byDefault := f.list[at]
		f.list = slices.Insert(slices.Delete(f.list, at, at+1), 0, byDefault)
	case at < 0 && f.byDefault != "":
		f.wrongOn(f.defaultLine, "default", "must be the name of a provider in the file")
	}
	for _, list := range f.fallbacks {
		if len(list.others) == 0 || len(list.others) > maxFallbacks || slices.Contains(list.others, list.model) {
			f.wrongOn(list.line, "fallbacks", fmt.Sprintf("must name from 1 to %d other models for each", maxFallbacks))
		}
	}
}
