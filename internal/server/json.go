package server

import (
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/parley-llm/parley/internal/rawjson"
)

// timeFormat is RFC 3339 in UTC with milliseconds, always.
const timeFormat = "2006-01-02T15:04:05.000Z"

// object appends JSON field by field. What is kept as raw JSON goes out byte for byte, which encoding/json would not do,
// and nothing is reflected on: these answers are the hot path of every turn.
type object []byte

func (o *object) open()  { *o = append(*o, '{') }
func (o *object) close() { *o = append(*o, '}') }

// key begins a field. The name is one of ours and needs no escaping.
func (o *object) key(name string) {
	if n := len(*o); (*o)[n-1] != '{' {
		*o = append(*o, ',')
	}
	*o = append(*o, '"')
	*o = append(*o, name...)
	*o = append(*o, `":`...)
}

func (o *object) str(name, value string) {
	o.key(name)
	*o = rawjson.AppendString(*o, value)
}

// strOrNull writes an empty string as null.
func (o *object) strOrNull(name, value string) {
	if value == "" {
		o.null(name)
		return
	}
	o.str(name, value)
}

// strIf leaves an empty string out.
func (o *object) strIf(name, value string) {
	if value != "" {
		o.str(name, value)
	}
}

func (o *object) int(name string, value int64) {
	o.key(name)
	*o = strconv.AppendInt(*o, value, 10)
}

// intIf leaves a zero out.
func (o *object) intIf(name string, value int64) {
	if value != 0 {
		o.int(name, value)
	}
}

// intOrNull writes a zero as null.
func (o *object) intOrNull(name string, value int64) {
	if value == 0 {
		o.null(name)
		return
	}
	o.int(name, value)
}

// dollars writes millionths of a dollar as dollars, to the last of them.
func (o *object) dollars(name string, micros int64) {
	o.key(name)
	*o = strconv.AppendFloat(*o, float64(micros)/1e6, 'f', -1, 64)
}

// intPtrIf leaves a nil out.
func (o *object) intPtrIf(name string, value *int64) {
	if value != nil {
		o.int(name, *value)
	}
}

// floatPtrIf leaves a nil out.
func (o *object) floatPtrIf(name string, value *float64) {
	if value != nil {
		o.key(name)
		*o = strconv.AppendFloat(*o, *value, 'g', -1, 64)
	}
}

func (o *object) bool(name string, value bool) {
	o.key(name)
	*o = strconv.AppendBool(*o, value)
}

// time writes the zero time as null.
func (o *object) time(name string, t time.Time) {
	if t.IsZero() {
		o.null(name)
		return
	}
	o.key(name)
	*o = append(*o, '"')
	*o = t.UTC().AppendFormat(*o, timeFormat)
	*o = append(*o, '"')
}

func (o *object) raw(name string, value []byte) {
	o.key(name)
	*o = append(*o, value...)
}

func (o *object) hex(name string, value []byte) {
	o.key(name)
	*o = append(*o, '"')
	*o = hex.AppendEncode(*o, value)
	*o = append(*o, '"')
}

func (o *object) null(name string) {
	o.key(name)
	*o = append(*o, "null"...)
}

// strings writes a map of strings by its sorted keys, a nil one as an empty object.
func (o *object) strings(name string, m map[string]string) {
	o.key(name)
	o.open()
	if len(m) > 0 {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if n := len(*o); (*o)[n-1] != '{' {
				*o = append(*o, ',')
			}
			*o = rawjson.AppendString(*o, k)
			*o = append(*o, ':')
			*o = rawjson.AppendString(*o, m[k])
		}
	}
	o.close()
}

// unquote decodes a JSON string that is known to be valid.
func unquote(raw json.RawMessage) string {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return ""
	}
	return s
}
