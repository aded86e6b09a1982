package config

import (
	"reflect"
	"strings"
	"time"
)

// Setting describes one setting.
type Setting struct {
	// Name is the environment variable, such as PARLEY_ADDR.
	Name string
	// Flag is the name of the command line flag, without dashes.
	Flag string
	// Default is empty where there is none.
	Default string
	// Help says in a few words what the setting is for, Valid what it may hold.
	Help, Valid string
	// Value names what the flag takes, for its help: host:port, directory, duration.
	Value string
	// Secret: the value may also come from a file named by Name + "_FILE".
	Secret bool
	// Bool: the flag needs no value.
	Bool bool

	field    string
	min, max string
	oneOf    []string
}

// FileSuffix is appended to the name of a secret for the setting that names a file with it.
const FileSuffix = "_FILE"

// Settings lists all settings in the order of Config's fields.
func Settings() []Setting {
	var list []Setting
	for field := range reflect.TypeFor[Config]().Fields() {
		name := field.Tag.Get("env")
		if name == "" {
			continue
		}
		s := Setting{
			Name:    name,
			Flag:    FlagName(name),
			Default: field.Tag.Get("envDefault"),
			Help:    field.Tag.Get("help"),
			Valid:   field.Tag.Get("valid"),
			Value:   field.Tag.Get("value"),
			Secret:  field.Type == reflect.TypeFor[Secret](),
			Bool:    field.Type.Kind() == reflect.Bool,
			field:   field.Name,
			min:     field.Tag.Get("min"),
			max:     field.Tag.Get("max"),
			oneOf:   strings.Fields(field.Tag.Get("oneof")),
		}
		if s.Valid == "" {
			s.Valid = describe(s, field.Type)
		}
		if s.Value == "" {
			s.Value = valueName(s, field.Type)
		}
		list = append(list, s)
	}
	return list
}

// FlagName is the flag of an environment variable: PARLEY_LOG_LEVEL is --log-level, OPENAI_MODEL is --openai-model.
func FlagName(name string) string {
	name = strings.TrimPrefix(name, "PARLEY_")
	return strings.ToLower(strings.ReplaceAll(name, "_", "-"))
}

func describe(s Setting, t reflect.Type) string {
	bounds := "from " + s.min + " to " + s.max
	switch {
	case len(s.oneOf) > 0:
		return "one of " + strings.Join(s.oneOf, ", ")
	case t == reflect.TypeFor[time.Duration]():
		return "a duration " + bounds + ", such as 30s or 5m"
	case t == reflect.TypeFor[Size]():
		return "a size " + bounds + ", such as 8MiB"
	case t.Kind() == reflect.Int:
		return "a whole number " + bounds
	default:
		return "any text"
	}
}

func valueName(s Setting, t reflect.Type) string {
	switch {
	case len(s.oneOf) > 0:
		return strings.Join(s.oneOf, "|")
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[Size]():
		return "size"
	case t == reflect.TypeFor[URL]():
		return "URL"
	case t.Kind() == reflect.Int:
		return "number"
	default:
		return "text"
	}
}
