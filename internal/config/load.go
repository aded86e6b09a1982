package config

import (
	"cmp"
	"errors"
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caarlos0/env/v11"
)

// Input is where settings come from, besides the .env file.
type Input struct {
	// Flags that were given, by their name without dashes.
	Flags map[string]string
	// Environ is the environment as "NAME=value" pairs.
	Environ []string
	// Dir holds the .env file; empty is the working directory.
	Dir string
}

// Error is everything wrong with the settings at once. It repeats no value.
type Error struct{ Problems []string }

// Error puts each problem on a line of its own.
func (e *Error) Error() string { return strings.Join(e.Problems, "\n") }

// Load reads all sources, a flag before the environment before .env before the default. An empty value counts as not
// set, except that of PARLEY_API_KEY and PARLEY_SECRET_KEY: who sets those wants protection, and an empty one gives none.
// An error is an *Error.
func Load(in Input) (*Config, error) {
	l := loader{config: &Config{raw: map[string]string{}, origins: map[string]string{}, files: map[string]string{}}, dotEnv: filepath.Join(in.Dir, dotEnvFile), bad: map[string]bool{}}
	l.gather(in)
	for _, s := range Settings() {
		l.pick(s)
	}
	l.port()
	l.mongo()
	l.unknown()
	l.parse()
	l.check()
	l.readProviders()
	if len(l.problems) > 0 {
		return nil, &Error{Problems: l.problems}
	}
	return l.config, nil
}

type source struct {
	name   string
	values map[string]string
}

type loader struct {
	config   *Config
	dotEnv   string
	sources  []source
	problems []string
	// bad settings have their problem already.
	bad map[string]bool
}

const (
	fromFlags       = "flag"
	fromEnvironment = "environment"
	fromDotEnv      = ".env"
)

// problem notes what is wrong with a setting, once.
func (l *loader) problem(name, text string) {
	if !l.bad[name] {
		l.bad[name] = true
		l.problemFrom(name, l.config.origins[name], text)
	}
}

func (l *loader) problemFrom(name, from, text string) {
	l.problems = append(l.problems, name+" ("+from+"): "+text)
}

func (l *loader) gather(in Input) {
	flags := map[string]string{}
	for _, s := range Settings() {
		for _, name := range []string{s.Name, s.Name + FileSuffix} {
			if value, given := in.Flags[FlagName(name)]; given {
				flags[name] = value
			}
		}
	}
	environment := map[string]string{}
	for _, pair := range in.Environ {
		if name, value, found := strings.Cut(pair, "="); found {
			environment[name] = value
		}
	}
	dotEnv, err := readDotEnv(l.dotEnv)
	if err != nil {
		l.problems = append(l.problems, err.Error())
	}
	l.sources = []source{{fromFlags, flags}, {fromEnvironment, environment}, {fromDotEnv, dotEnv}}
	l.config.NoColor = environment["NO_COLOR"] != ""
}

// lookup finds the first source that sets a name.
func (l *loader) lookup(name string) (value, from string, found bool) {
	for _, src := range l.sources {
		if value := src.values[name]; value != "" {
			return value, src.name, true
		}
	}
	return "", "", false
}

// pick decides which source's value of a setting is in force.
func (l *loader) pick(s Setting) {
	c := l.config
	c.raw[s.Name], c.origins[s.Name] = s.Default, SourceDefault
	for _, src := range l.sources {
		value, present := src.values[s.Name]
		if present && value == "" && guards(s.Name) {
			c.origins[s.Name] = src.name
			l.problem(s.Name, "is set but empty: give it a value or remove it")
			return
		}
		file := ""
		if s.Secret {
			file = src.values[s.Name+FileSuffix]
		}
		switch {
		case value != "" && file != "":
			c.origins[s.Name] = src.name
			l.problem(s.Name, "is set together with "+s.Name+FileSuffix+": keep one of them")
			return
		case value != "":
			c.raw[s.Name], c.origins[s.Name] = value, src.name
			if src.name == fromDotEnv {
				c.files[s.Name] = l.dotEnv
			}
			return
		case file != "":
			c.origins[s.Name] = src.name + ", " + s.Name + FileSuffix
			secret, err := readSecretFile(file)
			if err != nil {
				l.problem(s.Name, err.Error())
			}
			c.raw[s.Name], c.files[s.Name] = secret, file
			return
		}
	}
}

// guards reports whether a setting protects the server.
func guards(name string) bool { return name == nameClientKey || name == nameMasterKey }

// port lets PORT, as platforms set it, stand in for PARLEY_ADDR.
func (l *loader) port() {
	port, from, found := l.lookup("PORT")
	if !found || l.config.isSet(nameAddr) {
		return
	}
	host, _, _ := net.SplitHostPort(l.config.raw[nameAddr])
	candidate := net.JoinHostPort(host, port)
	if new(Addr).UnmarshalText([]byte(candidate)) != nil {
		l.problemFrom("PORT", from, "must be a whole number from 0 to 65535")
		return
	}
	l.config.raw[nameAddr], l.config.origins[nameAddr] = candidate, from+", PORT"
}

// mongo lets MONGODB_URI, as the service that Parley began as had it, stand in for PARLEY_STORE.
func (l *loader) mongo() {
	if uri, from, found := l.lookup("MONGODB_URI"); found && !l.config.isSet(nameStore) {
		if !Store(uri).MongoDB() || new(Store).UnmarshalText([]byte(uri)) != nil {
			l.problemFrom("MONGODB_URI", from, "must be a URI such as mongodb://host:27017/parley?replicaSet=rs0; mongodb+srv:// is known, too")
			return
		}
		l.config.raw[nameStore], l.config.origins[nameStore] = uri, from+", MONGODB_URI"
	}
}

// unknown names misspelt settings. In the environment they are only worth a warning: Kubernetes puts names such as
// PARLEY_SERVICE_HOST there for a service called parley.
func (l *loader) unknown() {
	known := map[string]bool{}
	for _, s := range Settings() {
		known[s.Name] = true
		if s.Secret {
			known[s.Name+FileSuffix] = true
		}
	}
	for _, src := range l.sources {
		var names []string
		for name := range src.values {
			if strings.HasPrefix(name, "PARLEY_") && !known[name] {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			const text = "no such setting; `parley config` lists them all"
			if src.name == fromEnvironment {
				l.config.Warnings = append(l.config.Warnings, name+" ("+src.name+"): "+text)
			} else {
				l.problemFrom(name, src.name, text)
			}
		}
	}
}

// parse fills the struct. A value of the wrong form fails here, one outside of its range in check.
func (l *loader) parse() {
	values := map[string]string{}
	for name, value := range l.config.raw {
		if value != "" {
			values[name] = value
		}
	}
	err := env.ParseWithOptions(l.config, env.Options{Environment: values})
	if err == nil {
		return
	}
	wrong := map[string]bool{}
	all, _ := errors.AsType[env.AggregateError](err)
	for _, one := range all.Errors {
		if failed, ok := errors.AsType[env.ParseError](one); ok {
			wrong[failed.Name] = true
		}
	}
	for _, s := range Settings() {
		if wrong[s.field] {
			l.problem(s.Name, "must be "+s.Valid)
		}
	}
}

func (l *loader) check() {
	c := reflect.ValueOf(l.config).Elem()
	for _, s := range Settings() {
		if l.config.raw[s.Name] != "" && !inRange(s, c.FieldByName(s.field).Interface()) {
			l.problem(s.Name, "must be "+s.Valid)
		}
	}
}

func inRange(s Setting, value any) bool {
	switch v := value.(type) {
	case Secret:
		if s.Name == nameMasterKey {
			return utf8.RuneCountInString(string(v)) >= minSecretKey
		}
		return v.header()
	case string:
		return len(s.oneOf) == 0 || slices.Contains(s.oneOf, v)
	case int:
		return within(v, s, strconv.Atoi)
	case time.Duration:
		return within(v, s, time.ParseDuration)
	case Size:
		return within(v, s, func(text string) (n Size, err error) { return n, n.UnmarshalText([]byte(text)) })
	default:
		return true
	}
}

func within[T cmp.Ordered](v T, s Setting, parse func(string) (T, error)) bool {
	low, errLow := parse(s.min)
	high, errHigh := parse(s.max)
	return errLow == nil && errHigh == nil && low <= v && v <= high
}
