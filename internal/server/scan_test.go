package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/parley-llm/parley/internal/fault"
)

var knownNames = names{"body": {}, "messages": {}, "content": {}, "metadata": {}}

func TestScanFindsWhatADecoderLetsPass(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`{}`, ""},
		{` [1, -0.5e+3, 0, "aé\ud83d\ude00\n", true, false, null, {"a": {}}] `, ""},
		{`{"content":"x","content":"y"}`, "body: a key is given twice"},
		{`{"content":"x","\u0063ontent":"y"}`, "body: a key is given twice"},
		{`{"messages":[{"content":1},{"content":1,"content":1}]}`, "body.messages[1]: a key is given twice"},
		{`{"content":"\u0000"}`, "body.content: text has a NUL character"},
		{`{"content":"\u0000\u0000"}`, "body.content: text has a NUL character"},
		{`{"secret":{"content":"\u0000"}}`, "body: text has a NUL character"},
		{`{"metadata":{"secret":"\ud800"}}`, "body.metadata: text has half of a surrogate pair"},
		{`{"content":"\ud800\ud800"}`, "body.content: text has half of a surrogate pair"},
		{`{"content":"\ud800\ud83d\ude00"}`, "body.content: text has half of a surrogate pair"},
		{`{"content":"\udc00"}`, "body.content: text has half of a surrogate pair"},
		{`{"content":"\ud800x"}`, "body.content: text has half of a surrogate pair"},
		{"{\"content\":\"\xff\"}", "body.content: text is not valid UTF-8"},
		{"{\"\xff\":1}", "body: text is not valid UTF-8"},
		{`{"content":1e400,"metadata":-1e999}`, "body.content: a number is out of range, body.metadata: a number is out of range"},
		{`[` + strings.Repeat("9", 400) + `]`, "body[0]: a number is out of range"},
		{`[` + strings.Repeat("9", 300) + `]`, ""},
		{strings.Repeat("[", 64) + strings.Repeat("]", 64), ""},
	} {
		fields, err := scan([]byte(test.text), knownNames)
		got := make([]string, len(fields))
		for i, f := range fields {
			got[i] = f.Location + ": " + f.Message
		}
		if err != nil || strings.Join(got, ", ") != test.want {
			t.Errorf("%.60s: %q, %v; want %q", test.text, got, err, test.want)
		}
	}
}

func TestScanRefusesWhatIsNoJSON(t *testing.T) {
	for _, text := range []string{
		"", " ", "x", "{", "[", `"`, `"\`, `"\x"`, `"\u12"`, `"\u123g"`, `"\ud800\u12"`, "\"\n\"", `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1 "b":2}`,
		`{a:1}`, `{1:1}`, `[1,]`, `[1 2]`, `[,]`, "tru", "nul", "falsey", "-", "01", "1.", ".5", "1e", "1e+", "+1", "1 2", "{} {}", "\ufeff{}", "NaN", "'a'", `"a" x`,
	} {
		if _, err := scan([]byte(text), knownNames); !errors.Is(err, errMalformed) {
			t.Errorf("%q: %v", text, err)
		}
		if json.Valid([]byte(text)) {
			t.Errorf("%q is valid after all", text)
		}
	}
	for _, deep := range []string{strings.Repeat("[", 65), strings.Repeat(`{"a":`, 65), strings.Repeat("[", 1<<20)} {
		if _, err := scan([]byte(deep), knownNames); !errors.Is(err, errTooDeep) {
			t.Errorf("%.9s...: %v", deep, err)
		}
	}
}

func TestScanCountsWhatABodyHolds(t *testing.T) {
	list := func(n int, one string) string { return "[" + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + "]" }
	keys := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":1`, i)
		}
		return "{" + strings.TrimPrefix(b.String(), ",") + "}"
	}
	known := names{"body": {}, "messages": {}, "prompt": {}, "content": {}, "tools": {}, "metadata": {}}
	for _, test := range []struct {
		frame, location, what string
		most                  int
		fill                  func(n int) string
	}{
		{`{"messages":%s}`, "body.messages", "elements", 1000, func(n int) string { return list(n, "{}") }},
		{`{"prompt":%s}`, "body.prompt", "elements", 1000, func(n int) string { return list(n, "{}") }},
		{`{"tools":%s}`, "body.tools", "elements", 1000, func(n int) string { return list(n, "{}") }},
		{`{"role":"user","content":%s}`, "body.content", "elements", 1000, func(n int) string { return list(n, "{}") }},
		{`{"messages":[{},{"content":%s}]}`, "body.messages[1].content", "elements", 1000, func(n int) string { return list(n, "{}") }},
		{`{"prompt":[{"content":%s}]}`, "body.prompt[0].content", "elements", 1000, func(n int) string { return list(n, "{}") }},
		{`{"content":[{"content":%s}]}`, "body.content[0].content", "elements", 10_000, func(n int) string { return list(n, "0") }},
		{`{"secret":%s}`, "body", "elements", 10_000, func(n int) string { return list(n, "0") }},
		{`%s`, "body", "elements", 10_000, func(n int) string { return list(n, "0") }},
		{`%s`, "body", "keys", 1000, keys},
		{`{"messages":[{"metadata":%s}]}`, "body.messages[0].metadata", "keys", 1000, keys},
		// Eleven arrays, whose ten thousand elements each would fit.
		{`[` + strings.Repeat(list(9_999, "0")+",", 9) + `%s,[]]`, "body", "values", 100_000, func(n int) string { return list(n-9*10_000-3, "0") }},
	} {
		if fields, err := scan(fmt.Appendf(nil, test.frame, test.fill(test.most)), known); err != nil || len(fields) > 0 {
			t.Errorf("%.40s: %d %s are refused: %v %v", test.frame, test.most, test.what, fields, err)
		}
		fields, err := scan(fmt.Appendf(nil, test.frame, test.fill(test.most+1)), known)
		want := fault.Field{Location: test.location, Message: fmt.Sprintf("expected at most %d %s", test.most, test.what)}
		if !errors.Is(err, errTooMany) || len(fields) != 1 || fields[0] != want {
			t.Errorf("%.40s: %v %v, want %v", test.frame, fields, err, want)
		}
	}
}

func TestScanSeesTwinsInLargeObjects(t *testing.T) {
	for n := 1; n < 40; n++ {
		var b strings.Builder
		b.WriteByte('{')
		for i := range n {
			fmt.Fprintf(&b, `"k%d":{"a":1,"b":2},`, i)
		}
		unique := b.String() + `"last":1}`
		if fields, err := scan([]byte(unique), knownNames); err != nil || len(fields) != 0 {
			t.Fatalf("%d keys: %v %v", n, fields, err)
		}
		for i := range n {
			twin := b.String() + fmt.Sprintf(`"k%d":1}`, i)
			if fields, err := scan([]byte(twin), knownNames); err != nil || len(fields) != 1 {
				t.Fatalf("%d keys, twin of %d: %v %v", n, i, fields, err)
			}
		}
	}
}

func TestScanListsNotEverything(t *testing.T) {
	many := `[` + strings.Repeat(`"\u0000",`, 100) + `1]`
	if fields, err := scan([]byte(many), knownNames); err != nil || len(fields) != maxFields {
		t.Errorf("%d %v", len(fields), err)
	}
}

// FuzzScan compares the scanner with encoding/json: they must agree on what is JSON, and what the scanner lets pass
// must decode without loss.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5e3,"x\u00e9",null]}`, `{"a":1,"a":2}`, `"\ud800\udc00"`, `[[[[]]]]`, "\"\xff\"", `{"":""}`, `-0`, `1e5`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fields, err := scan(data, knownNames)
		if errors.Is(err, errTooDeep) || errors.Is(err, errTooMany) {
			return
		}
		if valid := json.Valid(data); valid != (err == nil) {
			t.Fatalf("valid %v, scan says %v", valid, err)
		}
		if err != nil || len(fields) > 0 {
			return
		}
		if !utf8.Valid(data) {
			t.Fatal("what is not UTF-8 went through")
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		checkTexts(t, v)
	})
}

func checkTexts(t *testing.T, v any) {
	t.Helper()
	switch v := v.(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			t.Fatal("a NUL went through")
		}
	case []any:
		for _, e := range v {
			checkTexts(t, e)
		}
	case map[string]any:
		for k, e := range v {
			checkTexts(t, k)
			checkTexts(t, e)
		}
	}
}

func TestLocationsEndAtTheFirstNameThatIsNotOurs(t *testing.T) {
	for in, want := range map[string]string{
		"":                                 "",
		"body":                             "body",
		"body.content":                     "body.content",
		"body.messages[3].content":         "body.messages[3].content",
		"body.secret":                      "body",
		"body.metadata.secret":             "body.metadata",
		"body.metadata.se.cret":            "body.metadata",
		"body.messages[4111111111111111]":  "body.messages",
		"body.messages[12a]":               "body.messages",
		"body.messages[]":                  "body.messages",
		"body.messages[":                   "body.messages",
		"body.messages[1":                  "body.messages",
		"body..content":                    "body",
		"secret":                           "",
		"body.content.secret[1].content":   "body.content",
		"body.messages[9999].content[0]":   "body.messages[9999].content[0]",
		"body.messages[99999].content":     "body.messages",
		"body.messages[1]x.content":        "body.messages[1]",
		"body.messages[1][2].metadata.x.y": "body.messages[1][2].metadata",
	} {
		if got := knownNames.location(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
