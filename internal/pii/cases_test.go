package pii

import (
	"encoding/json"
	"testing"
)

func TestMasksEmailAddresses(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"plain, in a sentence", "Write to jane.doe@example.com.", "Write to [MASKED_EMAIL]."},
		{"with a tag and a subdomain", "<jane+tag@mail.example.co.uk>", "<[MASKED_EMAIL]>"},
		{"with a quoted local part", `"jane doe"@example.com is mine`, `[MASKED_EMAIL] is mine`},
		{"at an address in brackets", "root@[192.168.10.20] today", "[MASKED_EMAIL] today"},
		{"at an international domain", "jane@münchen.de", "[MASKED_EMAIL]"},
		{"spelled out", "jane at example dot com", "[MASKED_EMAIL]"},
		{"spelled out in brackets", "jane [at] example [dot] com", "[MASKED_EMAIL]"},
		{"behind mailto", "mailto:jane@example.com?x", "mailto:[MASKED_EMAIL]?x"},
	})
	runUntouched(t, []string{"@handle says hi", "logo@2x.png", "a@b", "user@", "look at the dot on the map", `""@x`, "meet @ 5pm"})
}

func TestMasksPhoneNumbers(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"Singapore, eight digits", "call 91234567 now", "call [MASKED_PHONE] now"},
		{"Singapore, two groups", "call 9123 4567 now", "call [MASKED_PHONE] now"},
		{"Singapore, with a dash", "call 6123-4567 now", "call [MASKED_PHONE] now"},
		{"Singapore, with its code", "+65 9123 4567", "[MASKED_PHONE]"},
		{"Singapore, code and number in one", "+6591234567", "[MASKED_PHONE]"},
		{"Singapore, code without a plus", "65 9123 4567 is mine", "[MASKED_PHONE] is mine"},
		{"Singapore, with 00", "0065 9123 4567", "[MASKED_PHONE]"},
		{"Singapore, code in brackets", "(65) 9123 4567", "[MASKED_PHONE]"},
		{"Singapore, plus and brackets", "(+65) 9123-4567", "[MASKED_PHONE]"},
		{"Singapore, with dots", "9123.4567", "[MASKED_PHONE]"},
		{"United Kingdom with a trunk zero", "+44 (0)20 7946 0958", "[MASKED_PHONE]"},
		{"Germany", "+49 30 901820", "[MASKED_PHONE]"},
		{"United States with brackets", "(212) 555-1234", "[MASKED_PHONE]"},
		{"United States with dashes", "212-555-1234", "[MASKED_PHONE]"},
		{"United States with one ahead", "1-800-555-1234", "[MASKED_PHONE]"},
		{"with an extension", "+1 212 555 1234 ext. 99", "[MASKED_PHONE]"},
		{"from the United States abroad", "011 44 20 7946 0958", "[MASKED_PHONE]"},
		{"in full-width digits", "call ９１２３４５６７", "call [MASKED_PHONE]"},
		{"with a no-break space", "9123\u00a04567", "[MASKED_PHONE]"},
		{"with a zero-width space", "9123\u200b4567", "[MASKED_PHONE]"},
	})
	runUntouched(t, []string{
		"order 91234567", "the total is 91,234,567.00", "commit 9123456789abcdef0123456789abcdef01234567", "version 9.1.2.3456",
		"550e8400-e29b-41d4-a716-446655440000", "2026-11-23T10:20:30.123Z", "in 2019 and 2020", "1/2/2024", "line 12345678:9", "$91234567",
		"91234567890123456789012", "0x91234567",
	})
}

func TestMasksIdentityNumbers(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"an NRIC of the last century", "S1234567D", "[MASKED_NRIC]"},
		{"an NRIC of this one", "T0123456G", "[MASKED_NRIC]"},
		{"a FIN", "my FIN is F1234567N", "my FIN is [MASKED_NRIC]"},
		{"a FIN of this century", "G1234567X", "[MASKED_NRIC]"},
		{"a FIN of the M series", "M1234567K", "[MASKED_NRIC]"},
		{"in lower case", "nric s1234567d", "nric [MASKED_NRIC]"},
		{"with its letters apart", "NRIC: S 1234567 D", "NRIC: [MASKED_NRIC]"},
		{"mistyped, beside its name", "my NRIC is S1234567A", "my NRIC is [MASKED_NRIC]"},
		{"in full-width letters", "Ｓ１２３４５６７Ｄ", "[MASKED_NRIC]"},
		{"a social security number", "SSN 536-22-1234", "SSN [MASKED_SSN]"},
		{"a social security number in a sentence", "my social is 536 22 1234", "my social is [MASKED_SSN]"},
	})
	runUntouched(t, []string{"part S1234567A of the list", "XS1234567D", "S1234567DX", "A1234567D", "000-12-3456", "666-12-3456", "912-34-5678 pieces of 123-00-4567"})
}

func TestMasksMoneysNumbers(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"a Visa card", "4111 1111 1111 1111", "[MASKED_CREDIT_CARD]"},
		{"a Visa card in one", "pay with 4111111111111111", "pay with [MASKED_CREDIT_CARD]"},
		{"a Mastercard with dashes", "5500-0055-5555-5559", "[MASKED_CREDIT_CARD]"},
		{"a Mastercard of the new range", "2223003122003222", "[MASKED_CREDIT_CARD]"},
		{"an American Express card", "3782 822463 10005", "[MASKED_CREDIT_CARD]"},
		{"a Discover card", "6011111111111117", "[MASKED_CREDIT_CARD]"},
		{"a JCB card", "3530111333300000", "[MASKED_CREDIT_CARD]"},
		{"a Diners card", "30569309025904", "[MASKED_CREDIT_CARD]"},
		{"a UnionPay card", "6240008631401148", "[MASKED_CREDIT_CARD]"},
		{"a Maestro card", "my card is 6759649826438453", "my card is [MASKED_CREDIT_CARD]"},
		{"a mistyped card beside its name", "credit card 4111 1111 1111 1112", "credit card [MASKED_CREDIT_CARD]"},
		{"a British IBAN", "GB29 NWBK 6016 1331 9268 19", "[MASKED_IBAN]"},
		{"a German IBAN in one", "IBAN DE89370400440532013000", "IBAN [MASKED_IBAN]"},
		{"a Norwegian IBAN", "NO9386011117947", "[MASKED_IBAN]"},
		{"a mistyped IBAN beside its name", "IBAN: DE88370400440532013000", "IBAN: [MASKED_IBAN]"},
	})
	runUntouched(t, []string{"4111 1111 1111 1112", "1234567890123456", "0000000000000000", "DE88370400440532013000", "GB29 is a road and so is NW1", "order 4111111111111111"[:5]})
}

func TestMasksAddressesOfMachines(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"IPv4", "from 203.0.113.7.", "from [MASKED_IP]."},
		{"IPv4 with a port", "203.0.113.7:8080", "[MASKED_IP]:8080"},
		{"IPv6", "2001:db8::8a2e:370:7334", "[MASKED_IP]"},
		{"IPv6 in full", "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "[MASKED_IP]"},
		{"IPv6 with IPv4 inside", "::ffff:192.0.2.128", "[MASKED_IP]"},
		{"IPv6 in brackets", "http://[2001:db8::1]:80/", "http://[[MASKED_IP]]:80/"},
	})
	runUntouched(t, []string{"256.1.1.1", "1.2.3.4.5", "std::vector", "at 12:30:45", "a::b", "version 1.2.3"})
}

func TestMasksPostalCodesAndStreets(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"Singapore", "Singapore 238823", "Singapore [MASKED_POSTAL]"},
		{"Singapore by name", "postal code 238823", "postal code [MASKED_POSTAL]"},
		{"a block, its street and its unit", "Blk 123 Ang Mo Kio Avenue 3 #05-12", "[MASKED_ADDRESS]"},
		{"a Malay street", "I live at 12 Jalan Besar", "I live at [MASKED_ADDRESS]"},
		{"a street with its number ahead", "He lives at 221B Baker Street", "He lives at [MASKED_ADDRESS]"},
		{"a post office box", "P.O. Box 1234, here", "[MASKED_ADDRESS], here"},
		{"a military address", "PSC 0413, Box 8144", "[MASKED_ADDRESS], [MASKED_ADDRESS]"},
		{"an apartment", "Apt. 864", "[MASKED_ADDRESS]"},
		{"a ZIP code behind its state", "New York, NY 10001-1234", "New York, NY [MASKED_POSTAL]"},
		{"a British postcode", "my postcode is SW1A 1AA", "my postcode is [MASKED_POSTAL]"},
	})
	runUntouched(t, []string{"238823 visitors came", "in 3 days on the street", "the box 12 is empty", "chapter 12 verse 3", "error 10001"})
}

func TestMasksKeysAndPasswords(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"of OpenAI", "sk-proj-abcDEF1234567890abcDEF1234567890", "[MASKED_API_KEY]"},
		{"of GitHub", "ghp_1234567890abcdefghijABCDEFGHIJ123456", "[MASKED_API_KEY]"},
		{"of Amazon", "AKIAIOSFODNN7EXAMPLE", "[MASKED_API_KEY]"},
		{"of Google", "AIzaSyA1234567890abcdefghijklmnopqrstuv", "[MASKED_API_KEY]"},
		{"of Slack", "xoxb-123456789012-1234567890123-abcdefABCDEF123456789012", "[MASKED_API_KEY]"},
		{"of GitLab", "glpat-abcDEF1234567890_xyz", "[MASKED_API_KEY]"},
		{"of a Telegram bot", "123456789:AAabcdefghijABCDEFGHIJ1234567890abc", "[MASKED_API_KEY]"},
		{"a bearer token", "Authorization: Bearer abcDEF1234567890abcDEF1234567890", "Authorization: Bearer [MASKED_API_KEY]"},
		{"a JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U", "[MASKED_API_KEY]"},
		{"a password by assignment", "password=hunter2!x", "password=[MASKED_API_KEY]"},
		{"a key by assignment", `api_key: "a8f5f167f44f4964e6c998dee827110c"`, `api_key: "[MASKED_API_KEY]"`},
		{"a private key", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----", "[MASKED_API_KEY]"},
	})
	runUntouched(t, []string{"password: required", "the key is under the mat", "token = nil", "sk-", "Bearer of good news", "http://example.com/a:b@c"})
}

func TestMasksInsideJSON(t *testing.T) {
	m := New()
	for _, c := range []maskCase{
		{"a value under its key", `{"phone":"91234567"}`, `{"phone":"[MASKED_PHONE]"}`},
		{"a number under its key", `{"phone":91234567,"n":91234567,"f":-1.5e+3,"g":1E5,"z":0.5}`, `{"phone":"[MASKED_PHONE]","n":91234567,"f":-1.5e+3,"g":1E5,"z":0.5}`},
		{"a card as a number", `{"x":4111111111111111}`, `{"x":"[MASKED_CREDIT_CARD]"}`},
		{"nested values", `{"a":[{"b":"mail jane@example.com"},null,true,false,[]],"c":{}}`, `{"a":[{"b":"mail [MASKED_EMAIL]"},null,true,false,[]],"c":{}}`},
		{"with white space kept", "{ \"to\" :\t\"jane@example.com\" ,\r\n \"n\" : [ 1 , 2 ] }", "{ \"to\" :\t\"[MASKED_EMAIL]\" ,\r\n \"n\" : [ 1 , 2 ] }"},
		{"behind escapes", `{"x":"a\u0040b \"jane\u0040example.com\" \ud83d\ude00 \b\f\n\r\t\/\\"}`, ""},
		{"JSON inside a string", `{"arguments":"{\"to\":\"jane@example.com\"}"}`, `{"arguments":"{\"to\":\"[MASKED_EMAIL]\"}"}`},
		{"a password under its key", `{"password":"hunter2"}`, `{"password":"[MASKED_API_KEY]"}`},
		{"a postal code under its key", `{"postal_code":"238823","zip":"10001"}`, `{"postal_code":"[MASKED_POSTAL]","zip":"[MASKED_POSTAL]"}`},
		{"a street under its key", `{"street_address":"5 Nowhere"}`, `{"street_address":"[MASKED_ADDRESS]"}`},
		{"an id that is no phone number", `{"phone_id":"91234567"}`, `{"phone_id":"91234567"}`},
		{"what is no JSON is text", `{"to": jane@example.com`, `{"to": [MASKED_EMAIL]`},
		{"numbers that are none", `[01, jane@example.com]`, `[01, [MASKED_EMAIL]]`},
		{"an exponent that is none", `[1e, "jane@example.com"]`, `[1e, "[MASKED_EMAIL]"]`},
		{"a fraction that is none", `[1., "jane@example.com"]`, `[1., "[MASKED_EMAIL]"]`},
		{"an escape that is none", `["\q jane@example.com"]`, `["\q [MASKED_EMAIL]"]`},
		{"an unfinished escape", `["jane@example.com \u00`, `["[MASKED_EMAIL] \u00`},
		{"a string that never ends", `["jane@example.com`, `["[MASKED_EMAIL]`},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			got := m.AppendJSON(nil, []byte(c.text), nil)
			if json.Valid([]byte(c.text)) && !json.Valid(got) {
				t.Fatalf("%s became %s, which is no JSON", c.text, got)
			}
			if c.want != "" && string(got) != c.want {
				t.Errorf("%s\nbecomes %s\nmust be %s", c.text, got, c.want)
			}
		})
	}
	var decoded map[string]string
	got := m.AppendJSON(nil, []byte(`{"x":"\"jane\u0040example.com\" \ud83d\ude00 \b\f\n\r\t\/\\"}`), nil)
	if err := json.Unmarshal(got, &decoded); err != nil || decoded["x"] != "\"[MASKED_EMAIL]\" 😀 \b\f\n\r\t/\\" {
		t.Errorf("escapes come back as %q (%v)", decoded["x"], err)
	}
}
