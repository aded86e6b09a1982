package server

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

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
		if got := string(appendString(nil, in)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", "a\"\\\n\u2028", "\xff\xc3é", "😀"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		quoted := appendString(nil, s)
		var back string
		if err := json.Unmarshal(quoted, &back); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && back != want {
			t.Fatalf("%q came back as %q", s, back)
		}
		if strings.ContainsAny(string(quoted), "\n\r\u2028\u2029") {
			t.Fatalf("%q breaks a line", quoted)
		}
	})
}
