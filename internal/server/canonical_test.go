package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"testing"
)

func TestTextsOfOneValueHaveOneForm(t *testing.T) {
	groups := [][]string{
		{`{}`, ` { } `, "{\n}"},
		{`[]`, `[ ]`},
		{`null`},
		{`true`},
		{`false`},
		{`""`},
		{`"null"`},
		{`{"a":1,"b":[true,null]}`, `{"b" : [ true , null ], "a" : 1.0}`, `{"\u0061":10e-1,"b":[true,null]}`},
		{`{"a":{"x":1,"y":2},"b":{}}`, `{"b":{},"a":{"y":2,"x":1}}`},
		{`{"b":{"a":{"y":2,"x":1}}}`},
		{`[1,2]`, `[1,2.0]`},
		{`[2,1]`},
		{`[12]`},
		{`[[1],2]`},
		{`[1,[2]]`},
		{`"\u00e9\u2028/"`, "\"é\u2028/\"", `"\u00E9\u2028\/"`},
		{`"\ud83d\ude00"`, `"😀"`},
		{`0`, `-0`, `0.0`, `0e5`, `-0.00E-7`},
		{`100`, `1e2`, `1E+2`, `100.00`, `0.1e3`},
		{`-100`, `-1e2`},
		{`1000`},
		{`1e-2`, `0.01`},
		{`0.010001`, `10001e-6`},
		{`9007199254740993`},
		{`9007199254740992`},
		{`1e-99999999999999999999`},
		{`{"a":"1:b"}`},
		{`{"a":"1","b":""}`},
		{`["a","b"]`},
		{`["a\",\"b"]`},
		{`["a1:b"]`},
	}
	seen := map[string]string{}
	for _, texts := range groups {
		first := string(appendCanonical(nil, []byte(texts[0])))
		if other, taken := seen[first]; taken {
			t.Errorf("%s and %s have one form: %q", texts[0], other, first)
		}
		seen[first] = texts[0]
		for _, text := range texts[1:] {
			if got := string(appendCanonical(nil, []byte(text))); got != first {
				t.Errorf("%s is %q, but %s is %q", text, got, texts[0], first)
			}
		}
	}
}

// FuzzCanonicalFormsAreOfValues holds the form against encoding/json: the same for what it writes anew, and another for another value.
func FuzzCanonicalFormsAreOfValues(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"a":1,"b":[true,null,"x"]}`, `{"b":[true,null,"x"],"a":1}`}, {`[1.50,-2e3]`, `["\n\u2028"]`}, {`{"b":{"d":1,"c":2},"a":{}}`, `{}`}, {`"a"`, `1e400`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		va, okA := valueOf(a)
		vb, okB := valueOf(b)
		if okA {
			again, err := json.Marshal(va)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := appendCanonical(nil, again), appendCanonical(nil, a); string(got) != string(want) {
				t.Errorf("%s is %q, written anew %s %q", a, want, again, got)
			}
		}
		if okA && okB && reflect.DeepEqual(normal(va), normal(vb)) != (string(appendCanonical(nil, a)) == string(appendCanonical(nil, b))) {
			t.Errorf("%s is %q, %s is %q", a, appendCanonical(nil, a), b, appendCanonical(nil, b))
		}
	})
}

// valueOf decodes a text in which scan finds nothing wrong.
func valueOf(text []byte) (v any, ok bool) {
	if faults, err := scan(text, nil); err != nil || len(faults) > 0 {
		return nil, false
	}
	return v, json.Unmarshal(text, &exact{&v}) == nil
}

// exact decodes without rounding numbers.
type exact struct{ v *any }

func (e *exact) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(e.v)
}

// normal has a number in one form, as its canonical one is tested by the table.
func normal(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
		return v
	case map[string]any:
		for k := range v {
			v[k] = normal(v[k])
		}
		return v
	case json.Number:
		if _, err := strconv.ParseFloat(v.String(), 64); err != nil {
			return fmt.Sprint("out of range: ", v)
		}
		return json.Number(appendNumber(nil, []byte(v)))
	default:
		return v
	}
}
