package pii

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxStreetWords  = 7
	maxHouseDigits  = 5
	maxStreetNumber = 4
	shortestName    = 4
)

// street is what is read of a street's name behind a house number.
type street struct {
	end     int
	kind    hint // of the word that makes it a street
	capital bool // a word of it begins with an upper-case letter
	named   bool // and looks like a name
	number  bool // a number ends it: Via Franscini 71
}

// readStreet reads the words behind a house number that ends at i. Without relaxed only names with an upper-case letter
// count.
func readStreet(t string, i int, relaxed bool) (st street, ok bool) {
	j := skipGap(t, i)
	if j == i {
		return st, false
	}
	first := hint(0)
	names, plain, lastName := 0, 0, 0
	for range maxStreetWords {
		b := nameEnd(t, j)
		if b == j {
			break
		}
		h := words.of(t[j:b])
		upper := startsUpper(t, j) || is(t[j], isDigit)
		switch {
		case names > 0 && h&(hintStreet|hintStreetWeak) != 0 && (upper || relaxed && h&hintStreet != 0):
			if st.kind&hintStreet == 0 {
				st.kind = h & (hintStreet | hintStreetWeak)
			}
			st.end = skipDot(t, b)
			lastName = st.end
		case names == 0 && h&hintStreetFirst != 0 && (upper || len(t[j:b]) > 2 && h&(hintStreet|hintStreetWeak|hintFiller|hintParticle) == 0):
			first = hintStreetFirst
		case upper:
			st.capital = true
			st.named = st.named || b-j >= shortestName && !is(t[b-1], isUpper) && h&(hintMonth|hintOther) == 0
			lastName = b
			if compound(t[j:b]) {
				first |= hintStreet
			}
		case h&hintParticle != 0 && (names > 0 || first != 0):
		case relaxed && plain < 2 && h&(hintUnit|hintFiller) == 0:
			plain++
		default:
			b = j
		}
		if b == j {
			break
		}
		names++
		b = skipDot(t, b)
		j = b
		if j+1 >= len(t) || t[j] != ' ' {
			break
		}
		j++
	}
	if n := numberAfter(t, j); n > 0 && first != 0 && (st.capital || first&hintStreetFirst != 0) && st.kind == 0 {
		return street{end: n, kind: hintStreet, capital: true, number: true}, true
	}
	switch {
	case st.kind != 0:
		st.end = streetTail(t, st.end)
	case first&hintStreetFirst != 0 && lastName > 0:
		st.kind, st.end = hintStreet, streetTail(t, lastName)
	case st.capital && lastName > 0:
		st.end = lastName
		if n := numberAfter(t, j); n > 0 {
			st.end, st.number = n, true
		}
	default:
		return st, false
	}
	return st, true
}

// numberAfter returns the end of the house number that stands one space behind a street; 0 where there is none.
func numberAfter(t string, i int) int {
	if i == 0 || t[i-1] != ' ' {
		return 0
	}
	return houseEnd(t, i)
}

// skipGap skips a comma and the spaces between a house number and the street.
func skipGap(t string, i int) int {
	j := i
	if j < len(t) && t[j] == ',' {
		j++
	}
	for k := j; j < k+2; j++ {
		if j < len(t) && t[j] == ' ' {
			continue
		}
		if strings.HasPrefix(t[min(j, len(t)):], "\u00a0") {
			j++
			continue
		}
		break
	}
	if j > i && !isSpace(t[j-1]) && !is(t[j-1], isHigh) {
		return i
	}
	return j
}

func skipDot(t string, i int) int {
	if i+1 < len(t) && t[i] == '.' && t[i+1] == ' ' {
		return i + 1
	}
	return i
}

// nameEnd returns the end of the word at i, with the apostrophes and hyphens inside it, or of an ordinal such as 5th.
func nameEnd(t string, i int) int {
	const maxName = 32
	j := i
	if isAt(t, i, isDigit) {
		j = ends(t, i, isDigit)
		if e := ends(t, j, isLetter); e == j+2 && j-i <= 3 {
			switch strings.ToLower(t[j:e]) {
			case "st", "nd", "rd", "th":
				return e
			}
		}
		return i
	}
	for j < len(t) && j-i < maxName {
		switch c := t[j]; {
		case is(c, isLetter|isHigh):
			j++
		case (c == '\'' || c == '-') && j > i && isAt(t, j+1, isLetter|isHigh):
			j++
		default:
			return j
		}
	}
	return j
}

func startsUpper(t string, i int) bool {
	if t[i] < utf8.RuneSelf {
		return is(t[i], isUpper)
	}
	r, _ := utf8.DecodeRuneInString(t[i:])
	return unicode.IsUpper(r) || unicode.Is(unicode.Lo, r) && r < 0x2E80
}

// houseEnd returns the end of the house number at i, with a letter behind it; 0 where there is none.
func houseEnd(t string, i int) int {
	j := ends(t, min(i, len(t)), isDigit)
	if j == i || j-i > maxStreetNumber {
		return 0
	}
	if isAt(t, j, isLetter) && !joinedAfter(t, j+1) {
		j++
	}
	if joinedAfter(t, j) || j < len(t) && (t[j] == '%' || t[j] == ':') {
		return 0
	}
	return j
}

// streetTail adds what follows a street's name: its number in Singapore, a quarter of the sky, a flat.
func streetTail(t string, end int) int {
	for range 2 {
		j := skipGap(t, end)
		if j == end {
			break
		}
		b := ends(t, j, isLetter)
		if b > j && is(t[j], isUpper) && words.of(t[j:b])&hintCompass != 0 && !joinedAfter(t, b) {
			end = b
			continue
		}
		if n := houseEnd(t, j); n > 0 && n-j <= 3 && t[j-1] == ' ' && t[end] != ',' {
			end = n
		}
	}
	return flatTail(t, end)
}

// flatTail adds a flat behind a street: #05-12, Apt 4B, Suite 200.
func flatTail(t string, end int) int {
	j := end
	for j < len(t) && j < end+3 && (t[j] == ',' || t[j] == ' ') {
		j++
	}
	if e := unitEnd(t, j); e > 0 {
		return e
	}
	b := ends(t, j, isLetter)
	if b == j || words.of(t[j:b])&hintDwelling == 0 {
		return end
	}
	for k := b; b < len(t) && b < k+3 && (t[b] == '.' || t[b] == ' ' || t[b] == '#'); {
		b++
	}
	if e := houseEnd(t, b); e > 0 {
		return e
	}
	return end
}

// unitEnd returns the end of a unit as Singapore writes it, #05-12, #B1-03A, that begins at i; 0 where there is none.
func unitEnd(t string, i int) int {
	if i >= len(t) || t[i] != '#' {
		return 0
	}
	j := i + 1
	if j < len(t) && t[j]|0x20 == 'b' {
		j++
	}
	floor := ends(t, j, isDigit)
	if floor == j || floor-j > 3 || floor >= len(t) || t[floor] != '-' {
		return 0
	}
	unit := ends(t, floor+1, isDigit)
	if n := unit - floor - 1; n < 2 || n > 5 {
		return 0
	}
	if isAt(t, unit, isLetter) {
		unit++
	}
	if joinedAfter(t, unit) || isAt(t, unit, isDigit) || unit+1 < len(t) && t[unit] == '-' && is(t[unit+1], isAlnum) {
		return 0
	}
	return unit
}

// compounds end the names of streets in languages that write them in one word.
const compounds = `strasse straße straat laan gasse platz allee gade vej vænget vägen gatan katu kuja veien vegen utca gracht plein
	kade ringvej stræde brinken plass steeg`

var compoundEnds = strings.Fields(compounds)

// compound says whether a word is such a name.
func compound(w string) bool {
	const shortest = 7
	if len(w) < shortest {
		return false
	}
	for _, e := range compoundEnds {
		if len(w) > len(e)+2 && folds(w, len(w)-len(e), e) {
			return true
		}
	}
	return false
}
