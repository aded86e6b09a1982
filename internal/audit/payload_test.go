package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAPayloadCommitsToItsPartAndText(t *testing.T) {
	p := NewPayload(PartPrompt, "Hé [MASKED_EMAIL]")
	if p.Part != PartPrompt || p.Text != "Hé [MASKED_EMAIL]" || p.Chars != 17 || !p.Stored || p.Items != 0 || len(p.Salt) != 32 {
		t.Fatalf("%+v", p)
	}
	h := hmac.New(sha256.New, p.Salt)
	h.Write([]byte("promptHé [MASKED_EMAIL]"))
	if !bytes.Equal(h.Sum(nil), p.Commitment[:]) {
		t.Error("the commitment is not HMAC-SHA-256(salt, part || text)")
	}
}

func TestTheSameTextHasAnotherCommitmentEachTime(t *testing.T) {
	a, b := NewPayload(PartPrompt, "yes"), NewPayload(PartPrompt, "yes")
	if a.Commitment == b.Commitment || bytes.Equal(a.Salt, b.Salt) {
		t.Error("a salt came twice")
	}
}

func TestAPayloadHoldsOnlyValidText(t *testing.T) {
	p := NewPayload(PartError, "a\xffb\xc3")
	if p.Text != "a\uFFFDb\uFFFD" || p.Chars != 4 || !utf8.ValidString(p.Text) {
		t.Errorf("%+v", p)
	}
	if commit(p.Salt, p.Part, []byte(p.Text)) != p.Commitment {
		t.Error("the commitment is to another text than the one kept")
	}
}

func TestACommitmentKeepsNoData(t *testing.T) {
	data := []byte(`{"messages":[]}`)
	p := NewCommitment(PartContext, 7, data)
	if p.Part != PartContext || p.Items != 7 || p.Chars != len(data) || p.Stored || p.Text != "" || len(p.Salt) != 32 {
		t.Fatalf("%+v", p)
	}
	if commit(p.Salt, PartContext, data) != p.Commitment {
		t.Error("who has data and salt cannot show that it is this data")
	}
}

func TestCutKeepsCodePointsAndTagsWhole(t *testing.T) {
	long := "[MASKED_" + strings.Repeat("A", 60) + "]"
	for _, c := range []struct {
		text       string
		n          int
		head, tail string
	}{
		{"hello", 0, "", ""},
		{"hello", -1, "", ""},
		{"", 3, "", ""},
		{"hello", 2, "he", "lo"},
		{"hello", 5, "hello", "hello"},
		{"hello", 9, "hello", "hello"},
		{"é漢😀", 1, "é", "😀"},
		{"é漢😀", 2, "é漢", "漢😀"},
		{"é漢😀", 3, "é漢😀", "é漢😀"},
		{"\xff\xfe\xfd", 2, "\xff\xfe", "\xfe\xfd"},
		{"ab[MASKED_EMAIL]cd", 2, "ab", "cd"},
		{"ab[MASKED_EMAIL]cd", 3, "ab", "cd"},
		{"ab[MASKED_EMAIL]cd", 9, "ab", "cd"},
		{"ab[MASKED_EMAIL]cd", 15, "ab", "cd"},
		{"ab[MASKED_EMAIL]cd", 16, "ab[MASKED_EMAIL]", "[MASKED_EMAIL]cd"},
		{"[MASKED_EMAIL]", 13, "", ""},
		{"[MASKED_IP][MASKED_IP]", 15, "[MASKED_IP]", "[MASKED_IP]"},
		{"[[MASKED_CREDIT_CARD2]]", 22, "[[MASKED_CREDIT_CARD2]", "[MASKED_CREDIT_CARD2]]"},
		{"xxxxxxxx[MASKED_CREDIT_CARD]y", 27, "xxxxxxxx", "xxxxxx[MASKED_CREDIT_CARD]y"},
		{"y[MASKED_CREDIT_CARD]xxxxxxxx", 27, "y[MASKED_CREDIT_CARD]xxxxxx", "xxxxxxxx"},
		// Not tags: cut like any other text.
		{"[MASKED_]xx", 8, "[MASKED_", "SKED_]xx"},
		{"[MASKED_mail]", 9, "[MASKED_m", "KED_mail]"},
		{"[MASKED_EMAIL", 10, "[MASKED_EM", "SKED_EMAIL"},
		{"[note] text", 3, "[no", "ext"},
		{long, 3, "[MA", "AA]"},
	} {
		if got := CutHead(c.text, c.n); got != c.head {
			t.Errorf("CutHead(%q, %d) = %q, not %q", c.text, c.n, got, c.head)
		}
		if got := CutTail(c.text, c.n); got != c.tail {
			t.Errorf("CutTail(%q, %d) = %q, not %q", c.text, c.n, got, c.tail)
		}
	}
}

func TestNoCutBreaksATag(t *testing.T) {
	const text = "é[MASKED_EMAIL][MASKED_NRIC] x [MASKED_PHONE]."
	for n := range len(text) + 1 {
		for _, cut := range []string{CutHead(text, n), CutTail(text, n)} {
			if utf8.RuneCountInString(cut) > n {
				t.Errorf("%q has more than %d code points", cut, n)
			}
			rest := strings.NewReplacer("[MASKED_EMAIL]", "", "[MASKED_NRIC]", "", "[MASKED_PHONE]", "").Replace(cut)
			if strings.ContainsAny(rest, "[]_") {
				t.Errorf("cut to %d: %q", n, cut)
			}
		}
	}
}
