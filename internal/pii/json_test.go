package pii

import (
	"encoding/json"
	"strings"
	"testing"
)

func runJSONCases(t *testing.T, cases []maskCase) {
	t.Helper()
	m := New()
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			got := string(m.AppendJSON(nil, []byte(c.text), nil))
			if got != c.want {
				t.Errorf("%s\nbecomes %s\nmust be %s", c.text, got, c.want)
			}
			if json.Valid([]byte(c.text)) != json.Valid([]byte(got)) {
				t.Errorf("%s is valid %v", got, json.Valid([]byte(got)))
			}
			if again := string(m.AppendJSON(nil, []byte(got), nil)); again != got {
				t.Errorf("masking again: %s", again)
			}
		})
	}
}

func TestJSONIsMaskedAndStaysJSON(t *testing.T) {
	runJSONCases(t, []maskCase{
		{"a string", `{"a":"mail jane@example.com"}`, `{"a":"mail [MASKED_EMAIL]"}`},
		{"the spaces stay", "{ \"a\" : [ 1 , \"jane@example.com\" ] }\n", "{ \"a\" : [ 1 , \"[MASKED_EMAIL]\" ] }\n"},
		{"what is not masked keeps its escapes", `{"a":"\u0041\/","b":"9123 4567"}`, `{"a":"\u0041\/","b":"[MASKED_PHONE]"}`},
		{"a value in escapes", `{"a":"jane\u0040example\u002ecom"}`, `{"a":"[MASKED_EMAIL]"}`},
		{"escapes beside a value", `{"a":"\"x\"\n\t\\ \u0001 9123 4567"}`, `{"a":"\"x\"\n\t\\ \u0001 [MASKED_PHONE]"}`},
		{"a pair of surrogates beside a value", `["\ud83d\ude00 9123 4567"]`, `["😀 [MASKED_PHONE]"]`},
		{"a key", `{"jane@example.com":1}`, `{"[MASKED_EMAIL]":1}`},
		{"an escaped key", `{"p\u0068one":"4673395"}`, `{"p\u0068one":"[MASKED_PHONE]"}`},
		{"a key names a number", `{"phone":4673395,"n":4673395}`, `{"phone":"[MASKED_PHONE]","n":4673395}`},
		{"a key names the elements of an array", `{"phones":["4673395",4673396]}`, `{"phones":["[MASKED_PHONE]","[MASKED_PHONE]"]}`},
		{"a key around an object", `{"phone":{"home":"467 3395","id":4673395}}`, `{"phone":{"home":"[MASKED_PHONE]","id":4673395}}`},
		{"a key in camel case", `{"mobileNumber":"467 33 95"}`, `{"mobileNumber":"[MASKED_PHONE]"}`},
		{"a key that takes it back", `{"phone_id":"91234567","order":"9123 4567"}`, `{"phone_id":"91234567","order":"9123 4567"}`},
		{"a short number under its key", `{"phone":"12345"}`, `{"phone":"[MASKED_PHONE]"}`},
		{"a postal code under its key", `{"zip":"EC1A 1BB","postal_code":560123,"postcode":"1234"}`, `{"zip":"[MASKED_POSTAL]","postal_code":"[MASKED_POSTAL]","postcode":"[MASKED_POSTAL]"}`},
		{"an address under its key", `{"address":"Flat 3, The Oaks","street_line1":"5 The Oaks"}`, `{"address":"[MASKED_ADDRESS]","street_line1":"[MASKED_ADDRESS]"}`},
		{"an address of another kind", `{"ip_address":"10.0.0.1","email_address":"a@b.co","address":"Singapore"}`, `{"ip_address":"[MASKED_IP]","email_address":"[MASKED_EMAIL]","address":"Singapore"}`},
		{"a mistyped NRIC under its key", `{"nric":"S1234567A"}`, `{"nric":"[MASKED_NRIC]"}`},
		{"an SSN as a number", `{"ssn":536221234}`, `{"ssn":"[MASKED_SSN]"}`},
		{"a password under its key", `{"password":"open sesame","client_secret":"abc"}`, `{"password":"[MASKED_API_KEY]","client_secret":"abc"}`},
		{"a password as a number", `{"password":123456}`, `{"password":"[MASKED_API_KEY]"}`},
		{"a token under its key", `{"access_token":"ab12cd34ef56","token":"hello"}`, `{"access_token":"[MASKED_API_KEY]","token":"hello"}`},
		{"counts of tokens", `{"max_tokens":12345678,"token_count":91234567}`, `{"max_tokens":12345678,"token_count":91234567}`},
		{"a card as a number", `{"x":4111111111111111,"order":4111111111111111}`, `{"x":"[MASKED_CREDIT_CARD]","order":4111111111111111}`},
		{"numbers of other shapes", `[-1,0.5,1e9,-0,12345678901234567890]`, `[-1,0.5,1e9,-0,12345678901234567890]`},
		{"what was masked", `{"phone":"[MASKED_PHONE]","password":"[MASKED_API_KEY]","zip":"[MASKED_POSTAL]"}`, `{"phone":"[MASKED_PHONE]","password":"[MASKED_API_KEY]","zip":"[MASKED_POSTAL]"}`},
		{"JSON inside a string", `{"arguments":"{\"phone\":4673395,\"n\":1}"}`, `{"arguments":"{\"phone\":\"[MASKED_PHONE]\",\"n\":1}"}`},
		{"JSON inside JSON inside JSON", `"{\"a\":\"{\\\"phone\\\":\\\"4673395\\\"}\"}"`, `"{\"a\":\"{\\\"phone\\\":\\\"[MASKED_PHONE]\\\"}\"}"`},
		{"nothing to mask in JSON inside a string", `{"arguments":"{\"a\": 1}"}`, `{"arguments":"{\"a\": 1}"}`},
		{"a bracket that opens a sentence", `["[note] call 9123 4567"]`, `["[note] call [MASKED_PHONE]"]`},
		{"scalars", `"a@b.co"`, `"[MASKED_EMAIL]"`},
		{"empty things", `{"":{},"a":[],"b":""}`, `{"":{},"a":[],"b":""}`},
		{"literals", `[true,false,null]`, `[true,false,null]`},
		{"a very long key", `{"` + strings.Repeat("phone", 20) + `":1}`, `{"` + strings.Repeat("phone", 20) + `":1}`},
	})
}

func TestWhatIsNoJSONIsMaskedAsText(t *testing.T) {
	runJSONCases(t, []maskCase{
		{"nothing", ``, ``},
		{"a sentence", `call 9123 4567`, `call [MASKED_PHONE]`},
		{"an object that breaks off", `{"phone":"9123 4567"`, `{"phone":"[MASKED_PHONE]"`},
		{"a string that breaks off", `{"a":"9123 4567`, `{"a":"[MASKED_PHONE]`},
		{"something behind it", `{} 9123 4567`, `{} [MASKED_PHONE]`},
		{"a key without quotes", `{phone: "4673395"}`, `{phone: "[MASKED_PHONE]"}`},
		{"no colon", `{"phone" 4673395}`, `{"phone" [MASKED_PHONE]}`},
		{"no value", `{"a":}`, `{"a":}`},
		{"no comma", `["a" "9123 4567"]`, `["a" "[MASKED_PHONE]"]`},
		{"a comma too many", `{"a":1,}`, `{"a":1,}`},
		{"an object without a comma", `{"a":1 "b":2}`, `{"a":1 "b":2}`},
		{"a leading zero", `[01]`, `[01]`},
		{"a number that breaks off", `[1.]`, `[1.]`},
		{"an exponent that breaks off", `[1e+]`, `[1e+]`},
		{"a lone minus", `[-]`, `[-]`},
		{"an unknown escape", `["\x 9123 4567"]`, `["\x [MASKED_PHONE]"]`},
		{"an escape that breaks off", `["\u12`, `["\u12`},
		{"a control character", "[\"a\nb\"]", "[\"a\nb\"]"},
		{"an unknown literal", `[nil]`, `[nil]`},
		{"a key that breaks off", `{"a`, `{"a`},
	})
}

func TestJSONThatIsNestedTooDeepIsText(t *testing.T) {
	m := New()
	deep := strings.Repeat("[", 9000) + `"a@b.co"` + strings.Repeat("]", 9000)
	if got := string(m.AppendJSON(nil, []byte(deep), nil)); !json.Valid([]byte(got)) || strings.Contains(got, "a@b.co") {
		t.Error("9,000 levels are still JSON")
	}
	deeper := strings.Repeat("[", 200000) + `"a@b.co"`
	if got := string(m.AppendJSON(nil, []byte(deeper), nil)); strings.Contains(got, "a@b.co") {
		t.Error("an address at level 200,000 leaks")
	}
	quoted := `"a@b.co"`
	for range 2 * maxNested {
		b, err := json.Marshal("[" + quoted + "]")
		if err != nil {
			t.Fatal(err)
		}
		if quoted = string(b); len(quoted) > 1<<20 {
			break
		}
	}
	if got := string(m.AppendJSON(nil, []byte(quoted), nil)); !json.Valid([]byte(got)) || strings.Contains(got, "a@b.co") {
		t.Error("an address in JSON in JSON leaks")
	}
}

// Whatever is masked in a sentence is masked in a string of JSON, and in JSON in a string.
func TestWhatIsMaskedFlatIsMaskedNested(t *testing.T) {
	m := New()
	for _, seed := range seeds {
		for line := range strings.Lines(seed) {
			line = strings.ToValidUTF8(strings.TrimSpace(line), "?")
			var flat, once, twice Counts
			m.AppendText(nil, line, &flat)
			inner, err := json.Marshal(map[string]string{"x": line})
			if err != nil {
				t.Fatal(err)
			}
			m.AppendJSON(nil, inner, &once)
			outer, err := json.Marshal(map[string]string{"y": string(inner)})
			if err != nil {
				t.Fatal(err)
			}
			m.AppendJSON(nil, outer, &twice)
			if strings.HasPrefix(line, "{") || strings.HasPrefix(line, "[") {
				continue // it is JSON itself, and its keys say more than its text
			}
			if flat != once || once != twice {
				t.Errorf("%q: %v flat, %v in JSON, %v in JSON in JSON", line, flat, once, twice)
			}
		}
	}
}
