package rawjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzScannerAgreesWithTheDecoder(f *testing.F) {
	for _, s := range []string{`{"model":"m","choices":[{"index":0,"delta":{"content":" conversation"}}],"usage":null}`, `[1,-0.5e+7,{"a":"\u12ab\\"},[],{},null,true]`, `"\ud800"`, `01`, `1.`, `-`, `[1,]`, `{"a":1,}`, `{,}`, `tru`, "\"\x01\"", `"\u12"`, `"\`, `"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := NewScanner(text)
		_, ok := s.Value()
		ok = ok && s.End()
		if valid := json.Valid(text); ok != valid && bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) < maxDepth {
			t.Fatalf("%q: scanned %v, valid %v", text, ok, valid)
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(text, &fields) == nil {
			for name, value := range Members(text) {
				if utf8.ValidString(name) && !strings.Contains(name, `\`) && !json.Valid(value) {
					t.Fatalf("%q: member %q is %q", text, name, value)
				}
			}
		}
		var values []json.RawMessage
		if json.Unmarshal(text, &values) == nil {
			n := 0
			for value := range Elements(text) {
				if n < len(values) && !bytes.Equal(value, values[n]) {
					t.Fatalf("%q: element %d is %q", text, n, value)
				}
				n++
			}
			if n != len(values) && ok {
				t.Fatalf("%q: %d elements of %d", text, n, len(values))
			}
		}
	})
}

func TestScannerDoesNotFollowForEver(t *testing.T) {
	for _, open := range []string{"[", `{"a":`} {
		s := NewScanner([]byte(strings.Repeat(open, 1_000_000)))
		if _, ok := s.Value(); ok {
			t.Error("it is malformed all the same")
		}
	}
}

func TestStringsAreWrittenPlainly(t *testing.T) {
	for in, want := range map[string]string{
		"":                        `""`,
		"plain <b>&</b> é 😀":      `"plain <b>&</b> é 😀"`,
		"\"\\/":                   `"\"\\/"`,
		"\n\r\t\x00\x1f\x7f":      `"\n\r\t\u0000\u001f` + "\x7f" + `"`,
		"a\u2028b\u2029c":         `"a\u2028b\u2029c"`,
		"\xffa\xc3":               `"\ufffda\ufffd"`,
		"\ufffd is itself":        "\"\ufffd is itself\"",
		"end with a control \x01": `"end with a control \u0001"`,
	} {
		if got := string(AppendString(nil, in)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func FuzzStringsComeBack(f *testing.F) {
	f.Add("a\"\\\n\x00\x1f\u2028é😀\xff\xed\xa0\x80<&>")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		quoted := AppendString(nil, s)
		// Converting to runes and back replaces every byte that is not UTF-8 as the encoder does.
		if err := json.Unmarshal(quoted, &got); err != nil || got != string([]rune(s)) {
			t.Fatalf("%q became %s: %v", s, quoted, err)
		}
		if strings.ContainsAny(string(quoted), "\n\r\u2028\u2029") {
			t.Fatalf("%q breaks a line", quoted)
		}
	})
}
