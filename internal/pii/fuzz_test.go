package pii

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

var seeds = []string{
	"", chat, dense, jsonLine,
	"+65 9123 4567, 8123 4567 / 6123 4567 ext 12", "[MASKED_PHONE] 91234567 [MASKED_X]", "a@b.co@c.de",
	"ＳＩＮＧＡＰＯＲＥ　Ｓ１２３４５６７Ｄ ９１２３　４５６７", "9\u200b1\u200b2\u200b3 4567", "\xff\xfe91234567\x00", "::1 1::2:3 ::ffff:1.2.3.4",
	"john dot doe at example dot com", "name [at] host [dot] com", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def",
	"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "postgres://user:pa55word@db/x", `{"a":"{\"phone\":\"91234567\"}"}`,
	"Blk 1 #05-12 S(560123) 12 Jalan Besar, 56 rue La Boétie, Hauptstraße 5", "0065 9123-4567x12 (212) 555-0134 1-800-555-0199",
	"GB29NWBK60161331926819 4111-1111-1111-1111 078-05-1123 0044 20 7946 0958", "pwd: 'x y z' password is hunter2! Bearer abc123def",
	// Texts that once became another when they were masked again.
	"80000001Blk 0", "8000 0001 0012 00 0000000", "S010000K0AA 0", "80000001 0 K0", "0.0.0.0-0100 00000", "01000 0000:A::0",
	"pAsswd \"BeArer 00000000", "80000100)0100 00000", "(010)000000 0 1.200 200 0000", "pwd 000=" + strings.Repeat("0", 77), "S 010000/0 JAlAn0",
}

func FuzzAppendText(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	m := New()
	f.Fuzz(func(t *testing.T, text string) {
		var c Counts
		got := m.AppendText(nil, text, &c)

		var want []byte
		var found Counts
		end := 0
		for _, x := range m.Find(nil, text) {
			if x.Start < end || x.End <= x.Start || x.End > len(text) || int(x.Entity) >= NumEntities {
				t.Fatalf("finding %+v after %d in %q", x, end, text)
			}
			want = append(append(want, text[end:x.Start]...), x.Entity.Tag()...)
			found[x.Entity]++
			end = x.End
		}
		want = append(want, text[end:]...)
		if !bytes.Equal(got, want) || c != found {
			t.Fatalf("AppendText and Find differ:\n%q\n%q", got, want)
		}
		if again := m.AppendText(nil, string(got), nil); !bytes.Equal(again, got) {
			t.Fatalf("masking again changes it:\n%q\n%q\n%q", text, got, again)
		}
	})
}

func FuzzAppendJSON(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
		quoted, _ := json.Marshal(s)
		f.Add([]byte(`{"phone":` + string(quoted) + `,"password":[91234567,"a",{"zip":1234}]}`))
	}
	m := New()
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		var c Counts
		got := m.AppendJSON([]byte("kept"), data, &c)
		if !bytes.Equal(before, data) {
			t.Fatal("the input was changed")
		}
		if !bytes.HasPrefix(got, []byte("kept")) {
			t.Fatal("what was in dst is gone")
		}
		got = got[len("kept"):]
		if json.Valid(data) && !json.Valid(got) {
			t.Fatalf("no valid JSON any more:\n%s\n%s", data, got)
		}
		if c == (Counts{}) && !bytes.Equal(got, data) {
			t.Fatalf("changed although nothing was masked:\n%s\n%s", data, got)
		}
		if again := m.AppendJSON(nil, got, nil); json.Valid(data) && !json.Valid(again) {
			t.Fatalf("no valid JSON after the second time:\n%s", again)
		}
	})
}
