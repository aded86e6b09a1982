package search

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestTermsOfATextAreItsDifferentWords(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"words in lower case, once", "The cat, the CAT", "the cat"},
		{"numbers", "In 2026: 3.14 or v2", "in 2026 3 14 or v2"},
		{"accents", "Müller café CRÈME naïve Ångström", "muller cafe creme naive angstrom"},
		{"decomposed accents", "Mu\u0308ller", "muller"},
		{"letters that Unicode does not decompose", "Straße GROẞ Øre Łódź Ærø", "strasse gross ore lodz aero"},
		{"compatibility forms", "ﬁnd ＡＢＣ x²", "find abc x2"},
		{"Greek and Cyrillic", "Ὀδυσσεύς ЁЛКА", "οδυσσευσ елка"},
		{"Hebrew points and Arabic vowels", "שָׁלוֹם مُحَمَّد", "שלום محمد"},
		{"Devanagari keeps its vowels", "हिन्दी", "हिन्दी"},
		{"Turkish", "İstanbul ırmak", "istanbul irmak"},
		{"apostrophes and hyphens separate", "l'hôtel well-known foo_bar", "l hotel well known foo bar"},
		{"soft hyphens and joiners are not there", "Donau\u00addampf", "donaudampf"},
		{"Chinese in pairs and the last character", "我爱北京", "我爱 爱北 北京 京"},
		{"a lone character", "猫 dog", "猫 dog"},
		{"Japanese", "カタカナとひらがな", "カタ タカ カナ ナと とひ ひら らが がな な"},
		{"half width is full width", "ｶﾞｰ", "ガー ー"},
		{"decomposed kana", "か\u3099き", "がき き"},
		{"Korean in pairs", "고양이가", "고양 양이 이가 가"},
		{"decomposed Korean", "\u1112\u1161\u11ab\u1100\u116e\u11a8", "한국 국"},
		{"Thai", "แมว", "แม มว ว"},
		{"scripts are cut apart", "iPhone用GPT", "iphone 用 gpt"},
		{"emoji by themselves", "Fun 🎉🎉 at 👩‍💻!", "fun 🎉 at 👩 💻"},
		{"emoji with a variation", "I ❤️ tea", "i ❤ tea"},
		{"a trade mark", "Foo™", "foo tm"},
		{"what is not UTF-8", "a\xffb", "a b"},
		{"nothing", " \t.,;:!?()[]{}<>\"'`~@#%^&*-+=|/\\ \x00", ""},
		{"a long word is cut", strings.Repeat("ab", 100), strings.Repeat("ab", 32)},
		{"and not within a character", "a" + strings.Repeat("я", 100), "a" + strings.Repeat("я", 31)},
	} {
		got := strings.Fields(Terms(c.text))
		if want := strings.Fields(c.want); !slices.Equal(got, want) {
			// Devanagari and the like are kept decomposed.
			if c.name != "Devanagari keeps its vowels" || len(got) != 1 {
				t.Errorf("%s: got %q, want %q", c.name, got, want)
			}
		}
	}
}

func TestATextHasSoManyTermsAtMost(t *testing.T) {
	var b strings.Builder
	for i := range MaxWords + 10 {
		b.WriteString("w" + strconv.Itoa(i) + " ")
	}
	if got := strings.Fields(Terms(b.String())); len(got) != MaxWords || got[0] != "w0" {
		t.Errorf("%d terms", len(got))
	}
}

func TestAQueryIsAllItsWordsAndTheLastIsAPrefix(t *testing.T) {
	for _, c := range []struct{ q, want string }{
		{"Lis", "lis*"},
		{"trip Lis", "trip lis*"},
		{"  Trip,  to LISBON?! ", "trip to lisbon*"},
		{"Straß", "strass*"},
		{"foo foo", "foo"},
		{"foo foobar foo", "foo foobar"},
		{"北京", "北京"},
		{"北京大学", "北京 京大 大学"},
		{"猫", "猫*"},
		{"猫 dog", "猫* dog*"},
		{"tea 🎉", "tea 🎉"},
		{`"lisbon" OR NEAR(a b) title:x AND NOT *`, "lisbon or near a b title x and not*"},
		{"'; DROP TABLE items; --", "drop table items*"},
	} {
		q, err := Parse(c.q)
		if err != nil {
			t.Errorf("%q: %v", c.q, err)
			continue
		}
		var got []string
		for _, term := range q.Terms {
			text := term.Text
			if term.Prefix {
				text += "*"
			}
			got = append(got, text)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: got %q, want %q", c.q, got, c.want)
		}
	}
}

func TestAQueryHasLimits(t *testing.T) {
	words := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strconv.Itoa(i) + " ")
		}
		return b.String()
	}
	for _, c := range []struct {
		q    string
		want error
	}{
		{"", ErrNoTerms},
		{" \t\n", ErrNoTerms},
		{"?!", ErrNoTerms},
		{"\u200d\u0301", ErrNoTerms},
		{strings.Repeat("ä", MaxQuery), nil},
		{strings.Repeat("ä", MaxQuery+1), ErrTooLong},
		{words(MaxTerms), nil},
		{words(MaxTerms + 1), ErrTooManyTerms},
	} {
		if _, err := Parse(c.q); !errors.Is(err, c.want) {
			t.Errorf("%.20q: %v, want %v", c.q, err, c.want)
		}
	}
}

// marked shows a snippet with its matches in brackets.
func marked(s Snippet) string {
	chars := []rune(s.Text)
	var b strings.Builder
	at := 0
	for _, m := range s.Matches {
		b.WriteString(string(chars[at:m.Start]) + "[" + string(chars[m.Start:m.End]) + "]")
		at = m.End
	}
	return b.String() + string(chars[at:])
}

func TestASnippetShowsWhatMatched(t *testing.T) {
	long := strings.Repeat("filler words of no use ", 40)
	for _, c := range []struct{ q, text, want string }{
		{"lis", "A trip to Lisbon.", "A trip to [Lisbon]."},
		{"muller", "Herr Müller und Frau MÜLLERIN", "Herr [Müller] und Frau [MÜLLERIN]"},
		{"hotel trip", "Trip:\n\n  the   l'hôtel\t\x07!", "[Trip]: the l'[hôtel] !"},
		{"北京大学", "我在北京大学学习", "我在[北京大学]学习"},
		{"猫", "黒猫がいる。猫", "黒[猫]がいる。[猫]"},
		{"ガー", "ｶﾞｰの", "[ｶﾞｰ]の"},
		{"🎉", "yes 🎉🎉 no", "yes [🎉🎉] no"},
		{"x", "nothing here", "nothing here"},
		{"needle", long + "the needle in it " + long, "…words of no use filler words of no use the [needle] in it filler words of no use filler words of no use filler words of no use filler words of no use filler words of no use filler words of no…"},
		{"needle pin", "a needle " + long + " a pin and a needle", "…filler words of no use filler words of no use a [pin] and a [needle]"},
		{"a", "<b>a</b> & \u202eb", "<b>[a]</b> & b"},
		{"b", "a\u00adb\u00adc b", "a\u00adb\u00adc [b]"},
	} {
		q, err := Parse(c.q)
		if err != nil {
			t.Fatal(err)
		}
		got := marked(q.Snippet(c.text))
		if want := strings.ReplaceAll(c.want, "  ", " "); got != want {
			t.Errorf("%q\n got %s\nwant %s", c.q, got, want)
		}
	}
}

// check holds the promises that hold for every text and query.
func check(t *testing.T, text, query string) {
	t.Helper()
	terms := strings.Fields(Terms(text))
	for _, term := range terms {
		if len(term) > maxTerm+8 {
			t.Errorf("a term of %d bytes", len(term))
		}
		for i := range len(term) {
			if c := term[i]; c < 0x80 && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				t.Errorf("the term %q holds %q", term, c)
			}
		}
	}
	q, err := Parse(query)
	if err != nil {
		return
	}
	s := q.Snippet(text)
	if n := len([]rune(s.Text)); n > maxSnippet+2 {
		t.Errorf("a snippet of %d characters", n)
	}
	at := 0
	for _, m := range s.Matches {
		if m.Start < at || m.End <= m.Start || m.End > len([]rune(s.Text)) {
			t.Fatalf("%q in %q: match %v of %v", query, s.Text, m, s.Matches)
		}
		at = m.End
	}
	if strings.ContainsAny(s.Text, "\n\r\x00\u202e\u2066") {
		t.Errorf("control characters in %q", s.Text)
	}
	// A text matches what it is searched by, and its snippet shows it.
	self, err := Parse(text)
	if err != nil {
		return
	}
	for _, want := range self.Terms {
		if !slices.ContainsFunc(terms, func(term string) bool { return term == want.Text || want.Prefix && strings.HasPrefix(term, want.Text) }) {
			t.Errorf("%q is not found by its own %q among %q", text, want.Text, terms)
		}
	}
	for _, want := range self.Terms {
		if !want.In(text) {
			t.Errorf("%q does not hold its own %q", text, want.Text)
		}
	}
	if len(self.Snippet(text).Matches) == 0 {
		t.Errorf("%q shows no match of itself", text)
	}
}

func FuzzSearch(f *testing.F) {
	for _, text := range []string{"The cat", "Müller İ ß", "ｶﾞｰ か\u3099", "고양이가", "\u1112\u1161", "แมวำ", "👩‍💻❤️", "a\xff\u00adb", "Foo™ ½ ㍿ ㊀", "\u3099", "\u0301a", "ǅ", "ﷺ"} {
		f.Add(text, "the CAT")
		f.Add("the cat", text)
	}
	f.Fuzz(func(t *testing.T, text, query string) { check(t, text, query) })
}

func BenchmarkTerms(b *testing.B) {
	for name, text := range map[string]string{
		"english": strings.Repeat("It is the one that the capital's people see on a clear day. ", 8),
		"german":  strings.Repeat("Die Straße führt über die Brücke, größtenteils über Felder. ", 8),
		"chinese": strings.Repeat("我在北京大学学习计算机科学。", 20),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				Terms(text)
			}
		})
	}
}
