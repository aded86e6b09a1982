package pii

import "strings"

const (
	maxIBAN = 34
	// ibanCountries is the length of an IBAN by country, of the SWIFT registry.
	ibanCountries = `AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29
		ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21
		LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24
		SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30`
)

var ibanLengths = makeIBANLengths()

func makeIBANLengths() (l [26 * 26]int) {
	for c := range strings.FieldsSeq(ibanCountries) {
		l[countryIndex(c[0], c[1])] = atoi(c[2:])
	}
	return l
}

func countryIndex(a, b byte) int { return int(a&^0x20-'A')*26 + int(b&^0x20-'A') }

// iban recognises an international bank account number whose country stands at w: the country's length, in one piece or
// in groups, and a right checksum. Next to a word such as "IBAN" the checksum may be wrong.
func (s *scanner) iban(w int) bool {
	t := s.text
	a, width := letterAt(t, w)
	b, _ := letterAt(t, w+width)
	want := ibanLengths[countryIndex(a, b)]
	if want == 0 {
		return false
	}
	var compact [maxIBAN]byte
	end, ok := compactIBAN(compact[:want], t, w)
	if !ok || joinedAfter(t, end) || end < len(t) && t[end] == '@' {
		return false
	}
	h := hit{start: w, end: end, entity: IBAN, rule: ruleIBAN, score: 99, reasons: reasonShape | reasonChecksum}
	if mod97(compact[:want]) != 1 {
		if c := s.left(w); !c.has(hintBank) || !mostlyDigits(compact[:want]) {
			return false
		}
		h.score, h.reasons = 70, reasonShape|reasonBadChecksum|reasonContextBefore
	}
	s.add(h)
	return true
}

// compactIBAN fills dst with the letters and digits at i, in upper case and without the single spaces or hyphens between
// their groups.
func compactIBAN(dst []byte, t string, i int) (end int, ok bool) {
	for n := range dst {
		if n > 0 {
			i = skipZeroWidth(t, i)
			if sep, w := separatorAt(t, i); sep == sepSpace || sep == sepDash {
				i += w
			}
		}
		if d, w := digitAt(t, i); w > 0 {
			dst[n] = d
			i += w
		} else if l, w := letterAt(t, i); w > 0 && (n < 2 || n > 3) {
			dst[n] = l
			i += w
		} else {
			return 0, false
		}
	}
	return i, true
}

// mostlyDigits tells a mistyped number from a sentence that begins like one.
func mostlyDigits(c []byte) bool {
	n := 0
	for _, b := range c {
		if is(b, isDigit) {
			n++
		}
	}
	return n*2 > len(c)
}

// mod97 is the remainder of ISO 7064 over the number with its first four characters moved to the end.
func mod97(c []byte) int {
	n := 0
	for i := range c {
		b := c[(i+4)%len(c)]
		if is(b, isDigit) {
			n = (n*10 + int(b-'0')) % 97
		} else {
			n = (n*100 + int(b-'A') + 10) % 97
		}
	}
	return n
}
