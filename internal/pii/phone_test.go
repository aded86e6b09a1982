package pii

import (
	"fmt"
	"strings"
	"testing"
)

func TestPhoneNumbersWithACountryCode(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"in one piece", "Call +6591234567.", "Call [MASKED_PHONE]."},
		{"in groups", "reach me on +44 20 7946 0958 tomorrow", "reach me on [MASKED_PHONE] tomorrow"},
		{"with hyphens", "+1-212-555-0134", "[MASKED_PHONE]"},
		{"with dots", "+33.1.23.45.67.89", "[MASKED_PHONE]"},
		{"with a bracketed area", "+1 (212) 555-0134", "[MASKED_PHONE]"},
		{"with the trunk zero in brackets", "+49 (0)30 901820", "[MASKED_PHONE]"},
		{"with a trunk zero that should not be there", "+44 07700 900123", "[MASKED_PHONE]"},
		{"the whole in brackets", "(+65) 9123 4567", "[MASKED_PHONE]"},
		{"the plus in its own bracket and a sentence around", "my line (+65 9123 4567) is open", "my line ([MASKED_PHONE]) is open"},
		{"a space behind the plus", "+ 65 9123 4567", "[MASKED_PHONE]"},
		{"behind 00", "0065 9123 4567 or 0044 20 7946 0958", "[MASKED_PHONE] or [MASKED_PHONE]"},
		{"behind 00 in one piece", "dial 006591234567", "dial [MASKED_PHONE]"},
		{"behind 011", "from the US 011 65 9123 4567", "from the US [MASKED_PHONE]"},
		{"with an extension", "+65 6123 4567 ext. 89 please", "[MASKED_PHONE] please"},
		{"with an extension after x", "+1-903-555-0108x769", "[MASKED_PHONE]"},
		{"behind an escaped plus", "tel=%2B6591234567&x=1", "tel=[MASKED_PHONE]&x=1"},
		{"with a full-width plus and digits", "＋６５９１２３４５６７", "[MASKED_PHONE]"},
		{"two in a row", "+65 9123 4567 +65 8123 4567", "[MASKED_PHONE] [MASKED_PHONE]"},
		{"not the number that follows it", "+65 9123 4567 2 persons", "[MASKED_PHONE] 2 persons"},
		{"a free one that is longer", "+353 1800 123 456", "[MASKED_PHONE]"},
		{"behind an equals sign", "to=+6591234567", "to=[MASKED_PHONE]"},
		{"a code that no country has needs words", "phone +999 123 4567", "phone [MASKED_PHONE]"},
	})
	runUntouched(t, []string{
		"a sum: 12+6591234567", "The offset is 2023-01-01T00:00:00+0800.", "C++11 and C++20", "gained +12345 points", "1+1 = 2",
		"+1 for this idea", "+100% growth", "x+91234567 in code",
	})
}

func TestPhoneNumbersAsTheyAreWrittenAtHome(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"North America with brackets", "(212) 555-0134", "[MASKED_PHONE]"},
		{"North America with brackets and no space", "at (579)888-3058 now", "at [MASKED_PHONE] now"},
		{"North America with hyphens", "212-555-0134", "[MASKED_PHONE]"},
		{"North America with dots", "212.555.0134", "[MASKED_PHONE]"},
		{"North America with spaces", "it was 212 555 0134", "it was [MASKED_PHONE]"},
		{"a free number", "1-800-555-0199", "[MASKED_PHONE]"},
		{"North America with an extension", "(898)666-3621x0135", "[MASKED_PHONE]"},
		{"North America in one piece, with a word", "fax: 9498777106", "fax: [MASKED_PHONE]"},
		{"the United Kingdom", "020 7946 0958 is it", "[MASKED_PHONE] is it"},
		{"a British mobile", "07700 900123", "[MASKED_PHONE]"},
		{"France", "06 12 34 56 78 or 03.93.92.16.85", "[MASKED_PHONE] or [MASKED_PHONE]"},
		{"Australia", "(08) 8747 6301 / 0412 345 678", "[MASKED_PHONE] / [MASKED_PHONE]"},
		{"South Africa", "082 490 1693-Office", "[MASKED_PHONE]-Office"},
		{"a bracketed area without a zero", "(64) 3591-3246", "[MASKED_PHONE]"},
		{"a number in a bracket of the sentence", "ask Tom (212-555-0134)", "ask Tom ([MASKED_PHONE])"},
	})
	runUntouched(t, []string{
		"(12) 345-678 are pages", "112-555-0134 has no such area", "10 000 000", "1 234 567.89", "0.1234567890", "003 200 100", "0900-1700 hours",
	})
}

func TestPhoneNumbersThatWordsMakePhoneNumbers(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"a label", "Phone: 467 3395", "Phone: [MASKED_PHONE]"},
		{"a label in a line of its own", "Phone:\n60-56-85-91\n", "Phone:\n[MASKED_PHONE]\n"},
		{"a verb", "please call me on 450 0840?", "please call me on [MASKED_PHONE]?"},
		{"a word behind it", "416 60 039 office", "[MASKED_PHONE] office"},
		{"a label that touches it", "Tel-9123.4567, HP:81234567, Tel91234567", "Tel-[MASKED_PHONE], HP:[MASKED_PHONE], Tel[MASKED_PHONE]"},
		{"a label with a hash", "phone #4673395", "phone #[MASKED_PHONE]"},
		{"a list speaks for the rest", "tel 467 3395, 467 3396 and 467 3397", "tel [MASKED_PHONE], [MASKED_PHONE] and [MASKED_PHONE]"},
		{"my number", "my number is 467 3395", "my number is [MASKED_PHONE]"},
		{"a compound", "phoneNumber=4673395", "phoneNumber=[MASKED_PHONE]"},
		{"an identifier in upper case", "CONTACT_PHONE=4673395", "CONTACT_PHONE=[MASKED_PHONE]"},
		{"the parameter of a URL", "https://x.example/?phone=4673395&a=1", "https://x.example/?phone=[MASKED_PHONE]&a=1"},
		{"Chinese", "请致电4673395联系我", "请致电[MASKED_PHONE]联系我"},
		{"Chinese with a colon", "我的电话：4673395", "我的电话：[MASKED_PHONE]"},
		{"slashes between groups", "phone 650/253-1234", "phone [MASKED_PHONE]"},
		{"a slash between two", "HP 91234567/81234567", "HP [MASKED_PHONE]/[MASKED_PHONE]"},
		{"an unknown spelling", "handphone: 9 123 4567", "handphone: [MASKED_PHONE]"},
		{"a number behind an escaped line break", `phone:\n4673395`, `phone:\n[MASKED_PHONE]`},
	})
	runUntouched(t, []string{
		"call me between 0900-1700", "call me at 10:30", "call 3 times", "call me on 2023-01-15", "phone ordered 12/05/2023", "my number is 42",
		"467 3395 are the results", "the office has 4673 desks", "in room 467 3395 items wait",
	})
}

// Singapore's numbers in every usual spelling, alone in a sentence that does not say "phone".
func TestSingaporeNumbersInEverySpelling(t *testing.T) {
	prefixes := []string{"", "+65", "+65 ", "+65-", "65 ", "65-", "65", "0065", "0065 ", "0065-", "(65) ", "(65)", "(+65) ", "+65.", "+(65) ", "00 65 "}
	groupings := []string{"%s%s", "%s %s", "%s-%s", "%s.%s", "%s\u00a0%s", "%s\u2011%s", "%s – %s"}
	sentences := []string{"%s", "Hi, it is %s.", "ok lah %s can?", "(%s)", "\"%s\"", "Ah Seng:%s\n", "a %s,b", "是%s吗"}
	m := New()
	for _, first := range []string{"3123", "6123", "8123", "9123"} {
		for _, p := range prefixes {
			for _, g := range groupings {
				if g == "%s.%s" && p == "" && first < "8" {
					continue // 6123.4567 is a decimal number
				}
				number := p + fmt.Sprintf(g, first, "4567")
				for _, sentence := range sentences {
					text := fmt.Sprintf(sentence, number)
					want := fmt.Sprintf(sentence, "[MASKED_PHONE]")
					if got := string(m.AppendText(nil, text, nil)); got != want {
						t.Errorf("%q becomes %q", text, got)
					}
				}
			}
		}
	}
}

func TestSingaporeNumbersInOtherWriting(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"full-width digits", "９１２３４５６７ and ９１２３　４５６７", "[MASKED_PHONE] and [MASKED_PHONE]"},
		{"zero-width characters inside", "9\u200b1\u200c2\u200d3\u20604\ufeff567", "[MASKED_PHONE]"},
		{"a soft hyphen inside", "9123\u00ad4567", "[MASKED_PHONE]"},
		{"Arabic digits", "٩١٢٣٤٥٦٧", "[MASKED_PHONE]"},
		{"Devanagari digits", "९१२३४५६७", "[MASKED_PHONE]"},
		{"mathematical digits", "𝟗𝟏𝟐𝟑𝟒𝟓𝟔𝟕", "[MASKED_PHONE]"},
		{"PayNow", "paynow to 91234567 pls", "paynow to [MASKED_PHONE] pls"},
		{"a country code in one piece with a space", "659123 4567", "[MASKED_PHONE]"},
		{"two beside each other", "9123 4567 8123 4567", "[MASKED_PHONE] [MASKED_PHONE]"},
	})
}

func TestNumbersThatAreNoPhoneNumbers(t *testing.T) {
	runUntouched(t, []string{
		"order 91234567", "Order number: 91234567", "order no. 9123 4567", "invoice #91234567", "INV-91234567", "ticket 81234567",
		"ref 61234567", "tracking ID 912345678901", "it cost $91234567", "SGD 91234567", "S$91,234,567", "91234567 dollars",
		"91234567 bytes", "population 91234567", "91234567.50", "0.91234567", "1.91234567", "version 9123.4567", "v91234567",
		"commit 91234567", "user id 91234567", "user_id=91234567", "a91234567", "91234567a", "_91234567", "91234567_", "91234567%",
		"d41d8cd98f00b204e9800998ecf8427e", "91234567-89ab-cdef-0123-456789abcdef", "123e4567-e89b-12d3-a456-426614174000",
		"12345678-1234-1234-1234-123456789012", "0x91234567", "#91234567", "timestamp 1700000000", "1700000000000", "2023-01-15T10:20:30Z",
		"15/01/2023", "31121999", "20230115", "10:20:30", "1,234,567", "12345678", "912345678", "8000-9000 steps", "80000000",
		"33554432", "67108864", "/users/91234567/edit", "isbn 978-3-16-148410-0", "const big = 1_000_000", "pi is 3.14159265",
		"6371.0088 km", "lat 1.35208311", "1234 5678 9012 3456", "192.168.1", "91234567:80", "12:91234567", "Build 6123.4567",
		"91234567.jpg", "page 9123-4567", "abc-9123-4567", "9123-4567-8901", "91 23", "the years 1998-2004",
	})
}

func TestExtensions(t *testing.T) {
	for _, ext := range []string{"x12", " x12", " x 12", " ext 12", " ext. 12", ", ext 12", " extension 12", "ext12", " Ext: 12", " #12"} {
		text := "212-555-0134" + ext
		if got := string(New().AppendText(nil, text, nil)); got != "[MASKED_PHONE]" {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	for _, rest := range []string{" exit 12", " x", " x1234567", " ext", " extra 5", "#12", " x12a"} {
		text := "212-555-0134" + rest
		if got := string(New().AppendText(nil, text, nil)); !strings.HasSuffix(got, rest) {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

func TestCallingCodesAreUnambiguous(t *testing.T) {
	for code := range 1000 {
		if byCallingCode[code].max == 0 {
			continue
		}
		if l := byCallingCode[code]; l.min == 0 || l.min > l.max || l.max > maxPhone-1 {
			t.Errorf("+%d has %d to %d digits", code, l.min, l.max)
		}
		d := fmt.Appendf(nil, "%d23456789", code)
		if n, _ := callingCode(d); n != len(fmt.Sprint(code)) {
			t.Errorf("+%d is read as %d digits", code, n)
		}
	}
}
