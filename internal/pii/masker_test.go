package pii

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
)

// maskCase is a sentence about what must happen, a text, and what it must become.
type maskCase struct{ sentence, text, want string }

func runMaskCases(t *testing.T, cases []maskCase) {
	t.Helper()
	m := New()
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			got := string(m.AppendText(nil, c.text, nil))
			if got != c.want {
				t.Errorf("%q\nbecomes %q\nmust be %q", c.text, got, c.want)
			}
			if again := string(m.AppendText(nil, got, nil)); again != got {
				t.Errorf("masking again: %q", again)
			}
		})
	}
}

// runUntouched checks that texts, each a sentence by itself, stay as they are.
func runUntouched(t *testing.T, texts []string) {
	t.Helper()
	m := New()
	for _, text := range texts {
		t.Run(text, func(t *testing.T) {
			if got := string(m.AppendText(nil, text, nil)); got != text {
				t.Errorf("%q\nbecomes %q", text, got)
			}
		})
	}
}

func TestMasksEachKindUnderItsTag(t *testing.T) {
	runMaskCases(t, []maskCase{
		{"a message with several kinds", "Jane, S1234567D, jane@example.com, +65 9123 4567", "Jane, [MASKED_NRIC], [MASKED_EMAIL], [MASKED_PHONE]"},
		{"a text of nothing else", "jane@example.com", "[MASKED_EMAIL]"},
		{"an empty text stays empty", "", ""},
		{"what was masked before is left alone", "[MASKED_PHONE] [MASKED_EMAIL] 9123 4567", "[MASKED_PHONE] [MASKED_EMAIL] [MASKED_PHONE]"},
		{"a tag of a later version is a tag too", "password=[MASKED_PERSON]", "password=[MASKED_PERSON]"},
		{"what only looks like a tag is text", "[MASKED_91234567 [masked_phone] [MASKED_]", "[MASKED_91234567 [masked_phone] [MASKED_]"},
		{"overlapping findings are one, under the stronger name", "S1234567D@example.com", "[MASKED_EMAIL]"},
		{"a number before an @ belongs to the address", "91234567@example.com and 9123.4567@example.com", "[MASKED_EMAIL] and [MASKED_EMAIL]"},
		{"a number with a dot and a name before an @ is one address", "91234567.tan@example.com", "[MASKED_EMAIL]"},
		{"invalid UTF-8 and NUL stay where they are", "\xff\x00 91234567 \xc3", "\xff\x00 [MASKED_PHONE] \xc3"},
	})
}

func TestCountsWhatIsMaskedByEntity(t *testing.T) {
	var c Counts
	m := New()
	m.AppendText(nil, "a@example.com b@example.com 9123 4567", &c)
	m.AppendJSON(nil, []byte(`{"phone":"9123 4567"}`), &c)
	if c[Email] != 2 || c[Phone] != 2 {
		t.Errorf("counts %v", c)
	}
	var names []string
	c.Each(func(e Entity, n int) {
		names = append(names, e.String())
		if n != 2 {
			t.Errorf("%s: %d", e, n)
		}
	})
	if !slices.Equal(names, []string{"EMAIL", "PHONE"}) {
		t.Errorf("Each says %v", names)
	}
	var sum Counts
	sum.Add(&c)
	sum.Add(&c)
	if sum[Email] != 4 {
		t.Errorf("sum %v", sum)
	}
}

func TestEachIsSortedByName(t *testing.T) {
	c := Counts{}
	for e := range c {
		c[e] = e + 1
	}
	var names []string
	c.Each(func(e Entity, _ int) { names = append(names, e.String()) })
	if len(names) != NumEntities || !slices.IsSorted(names) {
		t.Errorf("Each says %v", names)
	}
}

func TestEntitiesKeepTheirNamesAndTags(t *testing.T) {
	want := map[Entity]string{
		Email: "EMAIL", Phone: "PHONE", NRIC: "NRIC", Card: "CREDIT_CARD", IBAN: "IBAN", SSN: "SSN", IP: "IP", Postal: "POSTAL",
		Address: "ADDRESS", APIKey: "API_KEY",
	}
	if len(want) != NumEntities {
		t.Fatalf("%d entities, %d names", NumEntities, len(want))
	}
	for e, name := range want {
		if e.String() != name || e.Tag() != "[MASKED_"+name+"]" {
			t.Errorf("%d is %s with tag %s, want %s", e, e, e.Tag(), name)
		}
	}
	if noEntity.String() != "UNKNOWN" || noEntity.Tag() != "[MASKED_UNKNOWN]" {
		t.Errorf("an unknown entity is %s with tag %s", noEntity, noEntity.Tag())
	}
}

func TestFindingsSayWhyButNotWhat(t *testing.T) {
	text := "my card number is 4012 8888 8888 1882, mail jane@example.com"
	found := New().Find(nil, text)
	if len(found) != 2 {
		t.Fatalf("found %+v", found)
	}
	card := found[0]
	if card.Entity != Card || card.Rule != "card" || text[card.Start:card.End] != "4012 8888 8888 1882" {
		t.Errorf("card %+v", card)
	}
	if card.Score <= 0.5 || card.Score >= found[1].Score {
		t.Errorf("a card with a wrong checksum scores %v, an address %v", card.Score, found[1].Score)
	}
	if want := []string{"its shape", "its checksum is wrong", "words before it"}; !slices.Equal(card.Reasons, want) {
		t.Errorf("reasons %q", card.Reasons)
	}
	for r := range ruleNames {
		if rule(r).String() == "" {
			t.Errorf("rule %d has no name", r)
		}
	}
}

func TestFindAppends(t *testing.T) {
	kept := Finding{Rule: "kept"}
	found := New().Find([]Finding{kept}, "a@example.com, b@example.com")
	if len(found) != 3 || found[0].Rule != "kept" || found[1].End > found[2].Start {
		t.Errorf("found %+v", found)
	}
}

func TestAppendTextAppends(t *testing.T) {
	if got := string(New().AppendText([]byte("kept "), "9123 4567", nil)); got != "kept [MASKED_PHONE]" {
		t.Errorf("got %q", got)
	}
}

func TestManyFindingsInOneText(t *testing.T) {
	const n = 1000
	var c Counts
	got := New().AppendText(nil, strings.Repeat("a@b.co ", n), &c)
	if want := strings.Repeat("[MASKED_EMAIL] ", n); string(got) != want || c[Email] != n {
		t.Errorf("%d masked of %d", c[Email], n)
	}
}

func TestAMaskerServesManyAtOnce(t *testing.T) {
	m := New()
	want := m.AppendText(nil, dense, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if !bytes.Equal(m.AppendText(nil, dense, nil), want) {
					t.Error("results differ")
				}
			}
		})
	}
	wg.Wait()
}

func TestAppendTextAllocatesNothing(t *testing.T) {
	m := New()
	var c Counts
	for _, text := range []string{chat, dense} {
		dst := make([]byte, 0, 2*len(text))
		if n := testing.AllocsPerRun(10, func() { dst = m.AppendText(dst[:0], text, &c) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// The work for a text that is built to be slow must grow as its length does: steps are counted, not time.
func TestHostileTextsTakeLinearTime(t *testing.T) {
	const size = 1 << 17
	hostile := []string{
		"1 ", "1-", "1.", "12345678 ", "9123 ", "(1) ", "+65 ", "0", "a@", "@", "a@b.", "a", "a1", ":", "::", "a:", "1:", "=", "a=", "://", "a://b:c@",
		"password=", "password is ", "pwd ", "token: ", "eyJ", "eyJ.", "-eyJ", "sk-", "SG.", "-", "_", ".", "-----BEGIN PRIVATE KEY-----",
		"-----BEGIN PRIVATE KEY-----[MASKED_EMAIL]", "Bearer ", "dot ", "a at b dot ", "[MASKED_", "[MASKED_PHONE]", "Blk 1 ", "Apt 1 A ", "1 A ",
		"1 Aa Bb Cc Dd Ee Ff Gg ", "Jalan ", "S1234567", "S1", "GB29 ", "GB2", "\u200b", "1\u200b", "１", "\xff", "\x00", "\\n1", "%20", "%2B6", "#05-",
		"\u00e9", "中", "中1", "12:", "2001:db8::", "1.2.3.4", "card 4111 ", "K1A ",
	}
	m := New()
	for _, unit := range hostile {
		text := strings.Repeat(unit, size/len(unit))
		short := allSteps(text[:len(text)/8])
		long := allSteps(text)
		if long > 10*short+1000 {
			t.Errorf("%q: %d steps for an eighth, %d for the whole", unit, short, long)
		}
		if got := m.AppendText(nil, text, nil); len(got) == 0 {
			t.Errorf("%q: nothing comes back", unit)
		}
	}
}

// allSteps scans a text and counts how often the scan stopped.
func allSteps(text string) int {
	s := scanner{text: text}
	n := 0
	for s.pos < len(text) {
		s.step()
		s.size, s.head = 0, 0
		n++
	}
	return n
}
