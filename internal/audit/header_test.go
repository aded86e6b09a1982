package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// goldenRecords are sealed into the chain whose headers stand in testdata/headers_v1.jsonl. Those bytes are for ever: a
// log that was written with them must verify in every later version.
func goldenRecords() []Record {
	millis := func(n int64) *int64 { return &n }
	fill := func(b byte) (hash [32]byte) {
		for i := range hash {
			hash[i] = b + byte(i)
		}
		return hash
	}
	at := time.Date(2026, time.January, 2, 3, 4, 5, 678_900_000, time.FixedZone("", 8*3600))
	return []Record{
		{
			ID: "aud_0001", Time: at, Kind: KindServerStarted, Owner: "default", Actor: "system",
			Heads: []Head{{Chain: "i0/1", Seq: 12, Hash: fill(1), Closed: true}, {Chain: "i0/2", Seq: 3, Hash: fill(2)}},
		},
		{
			ID: "aud_0002", Time: at.Add(time.Second), Kind: KindIntent, Owner: "default", Actor: "env", User: "u_5f",
			ConversationID: "conv_1", ResponseID: "resp_1", Attempt: 1, RequestID: "req_1",
			Provider: "openai", Model: "gpt-4o-mini", UpstreamHost: "api.openai.com",
			Mask: &Mask{EngineVersion: "1", Policy: "tag", Counts: []Count{{"EMAIL", 2}, {"PHONE", 1}}},
			Payloads: []Payload{
				{Part: PartPrompt, Chars: 40, Stored: true, Text: "not in the header", Salt: []byte("nor this"), Commitment: fill(3)},
				{Part: PartContext, Items: 4, Chars: 1234, Salt: []byte("nor this"), Commitment: fill(4)},
			},
		},
		{
			ID: "aud_0003", Time: at.Add(2 * time.Second), Kind: KindOutcome, Owner: "default", Actor: "env", User: "u_5f",
			ConversationID: "conv_1", ResponseID: "resp_1", Attempt: 1, RequestID: "req_1",
			Provider: "openai", Model: "gpt-4o-mini", UpstreamHost: "api.openai.com",
			Status: "completed", HTTPStatus: 200, FinishReason: "stop",
			Usage: &Usage{InputTokens: 31, OutputTokens: 0, TotalTokens: 31}, UsageSource: UsageProvider,
			FirstTokenMS: millis(0), DurationMS: millis(1500),
			Mask:     &Mask{EngineVersion: "1", Policy: "tag", Failed: true},
			Payloads: []Payload{{Part: PartResponse, Chars: 0, Stored: true, Commitment: fill(5)}},
		},
		{
			ID: "aud_0004", Time: at.Add(3 * time.Second), Kind: KindOutcome, Owner: "a \"quoted\" \\ owner", Actor: "tab\tnew\nline\x00\x1f\x7f",
			ResponseID: "resp_é漢😀\u2028</script>", Attempt: 2, Status: "failed", HTTPStatus: 429, ErrorCode: "upstream_rate_limited",
			Model: "bad \xff\xfe bytes", Mask: &Mask{},
		},
		{ID: "aud_0005", Time: at.Add(4 * time.Second), Kind: KindMessageDeleted, Owner: "default", ConversationID: "conv_1", ItemID: "msg_1"},
		{Kind: KindChainClosed},
		{
			ID: "aud_0007", Time: at.Add(5 * time.Second), Kind: KindOutcome, Owner: "default", ResponseID: "resp_2", Attempt: 1, Status: "completed",
			Usage: &Usage{InputTokens: 31, OutputTokens: 9, TotalTokens: 40}, UsageSource: UsageEstimated, DurationMS: millis(7),
			Cost: &Cost{AmountMicros: 11, Currency: "USD", PriceVersion: "list 1", Estimated: true},
			Mask: &Mask{EngineVersion: "1", Policy: "tag"},
		},
		{
			ID: "aud_0008", Time: at.Add(6 * time.Second), Kind: KindOutcome, ResponseID: "resp_3", Attempt: 1, Status: "completed",
			Usage: &Usage{InputTokens: 1, TotalTokens: 1}, UsageSource: UsageProvider, Cost: &Cost{Currency: "USD"},
		},
	}
}

func TestHeaderBytesStayAsTheyAre(t *testing.T) {
	golden, err := os.ReadFile("testdata/headers_v1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	chain := NewChain("i1/1")
	for i, want := range strings.Split(strings.TrimRight(string(golden), "\r\n"), "\n") {
		r := goldenRecords()[i]
		if got := string(chain.Seal(&r)); got != strings.TrimSuffix(want, "\r") {
			t.Errorf("record %d\n got %s\nwant %s", i+1, got, want)
		}
	}
	const want = "891acedf68b68a7d404a0f48b9d1dc96a6b2fed5fb5b3ce23adb49bea5bbb171"
	head := chain.Head()
	if got := hex.EncodeToString(head.Hash[:]); head.Seq != int64(len(goldenRecords())) || got != want {
		t.Errorf("the chain ends at %d with %s, not at %d with %s", head.Seq, got, len(goldenRecords()), want)
	}
}

func TestGoldenHeadersAreReadByAnyJSONReader(t *testing.T) {
	chain := NewChain("i1/1")
	for _, r := range goldenRecords() {
		header := chain.Seal(&r)
		var flat struct {
			V, Seq                  int64
			ID, Owner, Actor, Model string
			Time                    time.Time
			Attempt                 int
			HTTPStatus              int    `json:"http_status"`
			ResponseID              string `json:"response_id"`
			Usage                   *Usage
			Cost                    *struct {
				Micros  int64  `json:"amount_micros"`
				Version string `json:"price_version"`
			}
			FirstTokenMS *int64 `json:"first_token_ms"`
			Mask         *struct{ Counts map[string]int }
			Payloads     []struct{ Part, Commitment string }
			Heads        []struct{ Chain, Hash string }
		}
		if err := json.Unmarshal(header, &flat); err != nil {
			t.Fatalf("%v: %s", err, header)
		}
		if flat.V != 1 || flat.Seq != r.Seq || flat.ID != r.ID || flat.Owner != r.Owner || flat.Actor != r.Actor ||
			flat.ResponseID != r.ResponseID || flat.Attempt != r.Attempt || flat.HTTPStatus != r.HTTPStatus ||
			flat.Model != strings.ReplaceAll(r.Model, "\xff\xfe", "\uFFFD\uFFFD") ||
			(flat.Cost == nil) != (r.Cost == nil) || r.Cost != nil && (flat.Cost.Micros != r.Cost.AmountMicros || flat.Cost.Version != r.Cost.PriceVersion) ||
			!flat.Time.Equal(headerTime(r.Time)) || !reflect.DeepEqual(flat.Usage, r.Usage) || !reflect.DeepEqual(flat.FirstTokenMS, r.FirstTokenMS) ||
			len(flat.Payloads) != len(r.Payloads) || len(flat.Heads) != len(r.Heads) || (flat.Mask == nil) != (r.Mask == nil) {
			t.Errorf("another reader sees %+v in %s", flat, header)
		}
	}
}

// readBack is what ParseHeader must give for a record that was sealed.
func readBack(r Record) Record {
	r.Time = headerTime(r.Time)
	for _, s := range []*string{&r.ID, &r.Owner, &r.Actor, &r.ResponseID, &r.Model} {
		*s = headerText(*s)
	}
	r.Payloads = slices.Clone(r.Payloads)
	for i := range r.Payloads {
		r.Payloads[i].Text, r.Payloads[i].Salt = "", nil
	}
	return r
}

func TestParseHeaderGivesBackWhatWasSealed(t *testing.T) {
	chain := NewChain("i1/1")
	for _, r := range goldenRecords() {
		header := chain.Seal(&r)
		got, err := ParseHeader(header)
		if err != nil {
			t.Fatalf("%v: %s", err, header)
		}
		if want := readBack(r); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
}

func TestParseHeaderGivesBackRandomRecords(t *testing.T) {
	r := newRand(t)
	for range 5000 {
		rec := randomRecord(r)
		header := NewChain(randomText(r)).Seal(&rec)
		got, err := ParseHeader(header)
		if err != nil {
			t.Fatalf("%v: %s", err, header)
		}
		if !reflect.DeepEqual(got, rec) {
			t.Fatalf("got %+v\nwant %+v", got, rec)
		}
	}
}

// randomRecord fills about half of the fields.
func randomRecord(r *rand.Rand) Record {
	number := func() int64 { return r.Int64N(1<<40) - 1<<39 }
	hash := func() (h [32]byte) {
		for i := range h {
			h[i] = byte(r.Uint32())
		}
		return h
	}
	rec := Record{Time: time.UnixMilli(r.Int64N(4e12)).UTC()}
	v := reflect.ValueOf(&rec).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); r.IntN(2) == 0 {
			switch f.Kind() {
			case reflect.String:
				f.SetString(randomText(r))
			case reflect.Int:
				f.SetInt(number())
			default:
			}
		}
	}
	if r.IntN(2) == 0 {
		ms := number()
		rec.Usage, rec.FirstTokenMS, rec.DurationMS = &Usage{number(), number(), number()}, &ms, new(int64)
	}
	if r.IntN(2) == 0 {
		rec.Cost = &Cost{AmountMicros: number(), Currency: randomText(r), PriceVersion: randomText(r), Estimated: r.IntN(2) == 0}
	}
	if r.IntN(2) == 0 {
		rec.Mask = &Mask{EngineVersion: randomText(r), Policy: randomText(r), Failed: r.IntN(2) == 0}
		for i := range r.IntN(3) {
			rec.Mask.Counts = append(rec.Mask.Counts, Count{string(rune('A'+i)) + randomText(r), r.IntN(9)})
		}
	}
	for range r.IntN(3) {
		rec.Heads = append(rec.Heads, Head{Chain: randomText(r), Seq: number(), Hash: hash(), Closed: r.IntN(2) == 0})
		rec.Payloads = append(rec.Payloads, Payload{Part: randomText(r), Items: r.IntN(3), Chars: r.IntN(3), Stored: r.IntN(2) == 0, Commitment: hash()})
	}
	return rec
}

func randomText(r *rand.Rand) string {
	alphabet := []rune("ab\"\\/\b\t\n\f\r\x00\x1b\x7f<>&é漢😀\u2028\ufffd")
	out := make([]rune, r.IntN(6))
	for i := range out {
		out[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(out)
}

func TestHeaderTimesAreUTCMillisecondsOfYearsThatCanBeWritten(t *testing.T) {
	for _, c := range []struct {
		in   time.Time
		want string
	}{
		{time.Time{}, "0001-01-01T00:00:00.000Z"},
		{time.Date(2026, 5, 6, 7, 8, 9, 999_999_999, time.FixedZone("", -3600)), "2026-05-06T08:08:09.999Z"},
		{time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), "0000-01-01T00:00:00.000Z"},
		{time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC), "9999-12-31T23:59:59.999Z"},
	} {
		r := Record{Time: c.in}
		header := NewChain("c").Seal(&r)
		if !bytes.Contains(header, []byte(`"time":"`+c.want+`"`)) {
			t.Errorf("%v is written as %s", c.in, header)
		}
		if _, err := ParseHeader(header); err != nil {
			t.Errorf("%v: %v", c.in, err)
		}
	}
}

func TestCountsAreWrittenInOrderAndOnce(t *testing.T) {
	counts := []Count{{"PHONE", 1}, {"EMAIL", 2}, {"PHONE", 3}}
	r := Record{Mask: &Mask{Counts: counts}}
	header := NewChain("c").Seal(&r)
	if !bytes.Contains(header, []byte(`"mask":{"counts":{"EMAIL":2,"PHONE":4}}`)) {
		t.Errorf("%s", header)
	}
	if counts[0].Entity != "PHONE" || counts[0].N != 1 {
		t.Error("the caller's counts were changed")
	}
}

func TestParseHeaderRefusesWhatSealDoesNotWrite(t *testing.T) {
	const good = `{"v":1,"id":"a","chain":"c","seq":2,"time":"2026-01-02T03:04:05.678Z","kind":"k","usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3},` +
		`"duration_ms":5,"mask":{"engine_version":"1","policy":"tag","counts":{"A":1,"B":2},"failed":true},` +
		`"heads":[{"chain":"c","seq":1,"hash":"00000000000000000000000000000000000000000000000000000000000000ab","closed":true}],` +
		`"payloads":[{"part":"p","items":1,"chars":2,"stored":true,"commitment":"00000000000000000000000000000000000000000000000000000000000000cd"}],` +
		`"prev_hash":"00000000000000000000000000000000000000000000000000000000000000ef"}`
	if _, err := ParseHeader([]byte(good)); err != nil {
		t.Fatal(err)
	}
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	for name, bad := range map[string]string{
		"nothing":                   "",
		"not an object":             "[]",
		"another version":           replace(`"v":1`, `"v":2`),
		"a version that only looks": replace(`"v":1`, `"v":10`),
		"no version":                replace(`"v":1,`, ``),
		"something behind it":       good + " ",
		"a space":                   replace(`"id":`, `"id": `),
		"an unknown field":          replace(`,"kind"`, `,"x":1,"kind"`),
		"another order":             replace(`"id":"a","chain":"c"`, `"chain":"c","id":"a"`),
		"a field twice":             replace(`"id":"a"`, `"id":"a","id":"a"`),
		"an empty field":            replace(`"id":"a"`, `"id":""`),
		"no number":                 replace(`"seq":2,`, ``),
		"a number too big":          replace(`"seq":2`, `"seq":9223372036854775808`),
		"a number with a zero":      replace(`"seq":2`, `"seq":02`),
		"a number that is none":     replace(`"seq":2`, `"seq":-`),
		"a zero that is left out":   replace(`"duration_ms":5`, `"attempt":0`),
		"no time":                   replace(`"time":"2026-01-02T03:04:05.678Z",`, ``),
		"a time of another zone":    replace(`05.678Z`, `05.678+01:00`),
		"a time without its ms":     replace(`05.678Z`, `05Z`),
		"a time that is none":       replace(`2026-01-02`, `2026-13-02`),
		"a needless escape":         replace(`"k"`, `"\u006b"`),
		"an escape of another form": replace(`"k"`, `"\u000a"`),
		"an escape in capitals":     replace(`"k"`, `"\u001F"`),
		"an escape beyond ASCII":    replace(`"k"`, `"\u00e9"`),
		"an unknown escape":         replace(`"k"`, `"\x"`),
		"half an escape":            `{"v":1,"id":"\u0`,
		"an escape of no digits":    replace(`"k"`, `"\u00zz"`),
		"a raw control character":   replace(`"k"`, "\"\n\""),
		"invalid UTF-8":             replace(`"k"`, "\"\xff\""),
		"a string without an end":   `{"v":1,"id":"aaa`,
		"an escaped one without":    `{"v":1,"id":"\n`,
		"a string that is none":     replace(`"id":"a"`, `"id":1`),
		"usage in part":             replace(`"output_tokens":2,`, ``),
		"a mask in another order":   replace(`"engine_version":"1","policy":"tag"`, `"policy":"tag","engine_version":"1"`),
		"a mask without commas":     replace(`"1","policy"`, `"1""policy"`),
		"counts in another order":   replace(`"A":1,"B":2`, `"B":2,"A":1`),
		"a count twice":             replace(`"A":1,"B":2`, `"A":1,"A":2`),
		"no counts":                 replace(`{"A":1,"B":2}`, `{}`),
		"a mask that did not fail":  replace(`"failed":true`, `"failed":false`),
		"no heads":                  replace(`"heads":[{`, `"heads":[],"heads":[{`),
		"a head not closed":         replace(`"closed":true`, `"closed":false`),
		"a hash in capitals":        replace(`ab"`, `AB"`),
		"a hash too short":          replace(`00ab"`, `ab"`),
		"a hash too long":           replace(`ab"`, `00ab"`),
		"a hash of no digits":       replace(`ab"`, `xy"`),
		"a hash cut off":            `{"v":1,"seq":1,"time":"2026-01-02T03:04:05.678Z","prev_hash":"00`,
		"a hash that is zero":       replace(`ef"}`, `00"}`),
		"a payload without part":    replace(`"part":"p",`, ``),
		"no end":                    strings.TrimSuffix(good, "}"),
	} {
		if r, err := ParseHeader([]byte(bad)); err == nil {
			t.Errorf("%s: %s is read as %+v", name, bad, r)
		}
	}
}

func TestHashHeaderIsOverAZeroByteAndTheHeader(t *testing.T) {
	// SHA-256 of 00 and of 00 61.
	for in, want := range map[string]string{
		"":  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"a": "022a6979e6dab7aa5ae4c3e5e45f7e977112a7e63593820dbec1ec738a24f93c",
	} {
		got := HashHeader([]byte(in))
		if hex.EncodeToString(got[:]) != want {
			t.Errorf("%q: %x", in, got)
		}
	}
}

func TestEveryStringBecomesValidJSON(t *testing.T) {
	r := newRand(t)
	for range 20_000 {
		in := make([]byte, r.IntN(12))
		for i := range in {
			in[i] = byte(r.Uint32())
		}
		var got string
		if err := json.Unmarshal(appendString(nil, string(in)), &got); err != nil || got != headerText(string(in)) {
			t.Fatalf("%q: %q, %v", in, got, err)
		}
	}
}
