package pii

import "testing"

func TestNRICNumbers(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"a citizen born before 2000", "S1234567D", "[MASKED_NRIC]"},
		{"a citizen born after", "T1234567J", "[MASKED_NRIC]"},
		{"a foreigner before 2000", "F1234567N", "[MASKED_NRIC]"},
		{"a foreigner until 2021", "G1234567X", "[MASKED_NRIC]"},
		{"a foreigner since 2022", "M1234567K", "[MASKED_NRIC]"},
		{"in lower case", "my ic is s1234567d ok", "my ic is [MASKED_NRIC] ok"},
		{"with spaces", "S 1234567 D", "[MASKED_NRIC]"},
		{"with hyphens", "S-1234567-D", "[MASKED_NRIC]"},
		{"full-width", "Ｓ１２３４５６７Ｄ", "[MASKED_NRIC]"},
		{"with a zero-width character inside", "S123\u200b4567D", "[MASKED_NRIC]"},
		{"between Chinese", "身份证S1234567D号", "身份证[MASKED_NRIC]号"},
		{"a list", "S1234567D/T1234567J,F1234567N", "[MASKED_NRIC]/[MASKED_NRIC],[MASKED_NRIC]"},
		{"a wrong checksum next to the word", "NRIC: S1234567A", "NRIC: [MASKED_NRIC]"},
		{"a wrong checksum next to FIN", "her FIN no. is G7654321A", "her FIN no. is [MASKED_NRIC]"},
		{"a wrong checksum with the word behind it", "S1234567A (NRIC)", "[MASKED_NRIC] (NRIC)"},
		{"a wrong checksum as the only answer", "S1234567A", "[MASKED_NRIC]"},
		{"in lower case with spaces, next to the word", "nric s 1234567 d", "nric [MASKED_NRIC]"},
	})
	runUntouched(t, []string{
		"part S1234567A is in stock", "XS1234567D", "S1234567DX", "S12345678D", "S123456D", "A1234567D", "S1234567", "S1234567-1", "the 1234567 D",
		"is 1234567 d", "S1234567D_x",
	})
}

// One number for each prefix and each letter that may end it.
func TestNRICCheckLetters(t *testing.T) {
	numbers := []string{
		"S5433012Z", "S2530829H", "S0810111F", "S1215279E", "S8990608C", "S6135241D", "S3602037G", "S1441955A", "S7015764J", "S1037872I", "S9823754B",
		"T6655194B", "T0831970C", "T3709137A", "T0781527H", "T4858837E", "T2420198D", "T1976225J", "T9578342I", "T9399557G", "T1728987F", "T9189627Z",
		"F1053424X", "F9468528K", "F0999941T", "F3455413R", "F8328453Q", "F5270514L", "F7811503M", "F7603172W", "F6066345U", "F4095259N", "F6738472P",
		"G9218072M", "G4661367N", "G2297239T", "G9231152Q", "G4671130R", "G6019181L", "G6382745U", "G0202384P", "G4408156W", "G0068679X", "G6109648K",
		"M7954941R", "M2060950P", "M1935310Q", "M8188423K", "M7818005J", "M8117398W", "M5232013L", "M2417890T", "M2708490N", "M8662655U", "M9112921X",
	}
	m := New()
	for _, n := range numbers {
		if got := string(m.AppendText(nil, "it is "+n+" then", nil)); got != "it is [MASKED_NRIC] then" {
			t.Errorf("%s becomes %q", n, got)
		}
		// A digit that is one higher takes another letter.
		wrong := []byte(n)
		wrong[7] = '0' + (wrong[7]-'0'+1)%10
		if got := string(m.AppendText(nil, "it is "+string(wrong)+" then", nil)); got != "it is "+string(wrong)+" then" {
			t.Errorf("%s becomes %q", wrong, got)
		}
	}
}

func TestCardNumbers(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"Visa", "4111111111111111", "[MASKED_CREDIT_CARD]"},
		{"Visa in fours", "4111 1111 1111 1111", "[MASKED_CREDIT_CARD]"},
		{"Visa with hyphens", "4012-8888-8888-1881", "[MASKED_CREDIT_CARD]"},
		{"Visa of 13 digits", "it is 4222222222222 ok", "it is [MASKED_CREDIT_CARD] ok"},
		{"Mastercard", "5555555555554444", "[MASKED_CREDIT_CARD]"},
		{"Mastercard of the second range", "2223003122003222", "[MASKED_CREDIT_CARD]"},
		{"American Express in 4-6-5", "3782 822463 10005", "[MASKED_CREDIT_CARD]"},
		{"American Express in one", "pay with 378282246310005 now", "pay with [MASKED_CREDIT_CARD] now"},
		{"Discover", "6011111111111117", "[MASKED_CREDIT_CARD]"},
		{"Diners Club", "30569309025904", "[MASKED_CREDIT_CARD]"},
		{"Diners Club in 4-6-4", "3056 930902 5904", "[MASKED_CREDIT_CARD]"},
		{"JCB", "3530111333300000", "[MASKED_CREDIT_CARD]"},
		{"UnionPay of 19 digits", "6205500000000000004", "[MASKED_CREDIT_CARD]"},
		{"Maestro of 12 digits, with a word", "my card 501864667909", "my card [MASKED_CREDIT_CARD]"},
		{"an issuer nobody knows, with a word", "card number 9999999999999995", "card number [MASKED_CREDIT_CARD]"},
		{"a wrong checksum next to a word", "card: 4111 1111 1111 1112", "card: [MASKED_CREDIT_CARD]"},
		{"a word behind it", "4111111111111112 is my visa", "[MASKED_CREDIT_CARD] is my visa"},
		{"an expiry and a code behind it", "4111 1111 1111 1111 12/27 123", "[MASKED_CREDIT_CARD] 12/27 123"},
		{"in fours, although an order stands before it", "for my order 4111 1111 1111 1111", "for my order [MASKED_CREDIT_CARD]"},
		{"full-width", "４１１１１１１１１１１１１１１１", "[MASKED_CREDIT_CARD]"},
		{"with no-break spaces", "4111\u00a01111\u00a01111\u00a01111", "[MASKED_CREDIT_CARD]"},
		{"with zero-width characters", "4111\u200b1111\u200b1111\u200b1111", "[MASKED_CREDIT_CARD]"},
		{"spelled digit by digit next to a word", "card 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "card [MASKED_CREDIT_CARD]"},
		{"a list", "cards 4111111111111111, 5555555555554444", "cards [MASKED_CREDIT_CARD], [MASKED_CREDIT_CARD]"},
		{"behind a hash", "card # 4111111111111111 or card #4111111111111111", "card # [MASKED_CREDIT_CARD] or card #[MASKED_CREDIT_CARD]"},
		{"the end of a sentence", "It is 4111111111111111. Thanks", "It is [MASKED_CREDIT_CARD]. Thanks"},
		{"the end of a sentence without a space", "It is 4111111111111111.thanks", "It is [MASKED_CREDIT_CARD].thanks"},
	})
	runUntouched(t, []string{
		"4111111111111112", "order 4111111111111111", "order number: 4111111111111111", "tracking 6011111111111117", "$4111111111111111",
		"1748503543012", "1700000000000", "0000000000000000", "4111-1111-1111-1111-1111", "ABC-4111111111111111", "4111111111111111a",
		"0x4111111111111111", "5018646679090 is 13 digits", "123456789012", "41111111111111111111111", "1234 5678 9012 3456",
		"4111.11111111.1111", "imei 490154203237518", "61 2345 6789 0123",
	})
}

func TestIBANs(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"in one piece", "GB29NWBK60161331926819", "[MASKED_IBAN]"},
		{"in fours", "pay to GB29 NWBK 6016 1331 9268 19 please", "pay to [MASKED_IBAN] please"},
		{"with hyphens", "DE89-3704-0044-0532-0130-00", "[MASKED_IBAN]"},
		{"in lower case", "gb29nwbk60161331926819", "[MASKED_IBAN]"},
		{"in groups of a bank's own", "FR14 20041 01005 0500013M026 06", "[MASKED_IBAN]"},
		{"of the shortest kind", "NO9386011117947", "[MASKED_IBAN]"},
		{"of the longest kind", "RU0304452522540817810538091310419", "[MASKED_IBAN]"},
		{"with letters at its end", "MT84MALT011000012345MTLCAST001S", "[MASKED_IBAN]"},
		{"a wrong checksum next to a word", "IBAN: DE89370400440532013001", "IBAN: [MASKED_IBAN]"},
		{"full-width", "ＧＢ29 NWBK 6016 1331 9268 19 and GB２９NWBK60161331926819", "[MASKED_IBAN] and [MASKED_IBAN]"},
		{"a word behind it", "AL47 2121 1009 0000 0002 3569 8741 ALL", "[MASKED_IBAN] ALL"},
	})
	runUntouched(t, []string{
		"GB29NWBK60161331926818", "XX29NWBK60161331926819", "GB29NWBK6016133192681", "GB29NWBK601613319268190", "AGB29NWBK60161331926819",
		"DE89 is a code", "bank DE12 and then we went home", "GB29NWBK60161331926819@example", "BE12 3456",
	})
}

func TestSocialSecurityNumbers(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"with hyphens", "078-05-1123", "[MASKED_SSN]"},
		{"with spaces", "it is 078 05 1123", "it is [MASKED_SSN]"},
		{"with dots", "078.05.1123", "[MASKED_SSN]"},
		{"of a high area", "846-15-5715", "[MASKED_SSN]"},
		{"in one piece next to the word", "SSN 078051123", "SSN [MASKED_SSN]"},
		{"in two pieces next to the word", "ssn: 07805-1123, ssn: 078-051123", "ssn: [MASKED_SSN], ssn: [MASKED_SSN]"},
		{"in words", "his social security number is 846-15-5715", "his social security number is [MASKED_SSN]"},
		{"an invalid one next to the word", "SSN: 000-12-3456", "SSN: [MASKED_SSN]"},
	})
	runUntouched(t, []string{
		"000-12-3456", "666-12-3456", "900-12-3456", "078-00-1123", "078-05-0000", "078051123", "1078-05-1123",
		"order 078-05-1123", "078-05.1123", "part 078 05 1123", "A078-05-1123", "x-078-05-1123", "078-05-1123-4",
	})
}
