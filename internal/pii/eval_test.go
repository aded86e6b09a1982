package pii

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unicode/utf8"
)

// dataFolder is where the evaluation sets lie; they are no part of the repository.
func dataFolder(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("PARLEY_PII_DATA")
	if dir == "" {
		t.Skip("PARLEY_PII_DATA names no folder with evaluation sets")
	}
	return dir
}

type labelled struct {
	Text  string `json:"full_text"`
	Spans []struct {
		Type  string `json:"entity_type"`
		Start int    `json:"start_position"`
		End   int    `json:"end_position"`
	} `json:"spans"`
}

// figures counts spans that were found, missed and found for nothing, and the characters of those that should be.
type figures struct {
	right, missed, wrong int
	chars, leaked        int
}

func (f *figures) String() string {
	ratio := func(a, b int) float64 {
		if b == 0 {
			return 1
		}
		return float64(a) / float64(b)
	}
	p, r := ratio(f.right, f.right+f.wrong), ratio(f.right, f.right+f.missed)
	return fmt.Sprintf("P %.3f  R %.3f  F1 %.3f  (right %d, missed %d, wrong %d)  characters leaked %d of %d, %.1f %%",
		p, r, 2*p*r/max(p+r, 1e-9), f.right, f.missed, f.wrong, f.leaked, f.chars, 100*ratio(f.leaked, max(f.chars, 1)))
}

// The figures are printed, not judged: go test -run TestEvaluation -v with PARLEY_PII_DATA set.
func TestEvaluation(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(dataFolder(t), "synth_dataset_v2.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []labelled
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	entities := map[string]Entity{
		"EMAIL_ADDRESS": Email, "PHONE_NUMBER": Phone, "CREDIT_CARD": Card, "IBAN_CODE": IBAN, "US_SSN": SSN, "IP_ADDRESS": IP,
		"STREET_ADDRESS": Address, "ZIP_CODE": Postal,
	}
	verbose := os.Getenv("PARLEY_PII_VERBOSE")
	var by [NumEntities]figures
	other, overmasked := 0, 0
	m := New()
	for _, row := range rows {
		found := m.Find(nil, row.Text)
		offsets := runeOffsets(row.Text)
		used := make([]bool, len(found))
		labelledBytes := make([]bool, len(row.Text))
		for _, span := range row.Spans {
			start, end := offsets[span.Start], offsets[span.End]
			for i := start; i < end; i++ {
				labelledBytes[i] = true
			}
			e, ok := entities[span.Type]
			if !ok {
				continue
			}
			f := &by[e]
			f.chars += span.End - span.Start
			f.leaked += leaked(row.Text, start, end, found)
			i := slices.IndexFunc(found, func(x Finding) bool { return x.Entity == e && overlap(x, start, end) >= 0.9 })
			if i >= 0 {
				used[i] = true
				f.right++
				continue
			}
			f.missed++
			if verbose == e.String() {
				t.Logf("missed %q in %q: %v", row.Text[start:end], row.Text, found)
			}
		}
		for i, x := range found {
			if !used[i] {
				by[x.Entity].wrong++
				if verbose == x.Entity.String() {
					t.Logf("wrong %s %q in %q", x.Rule, row.Text[x.Start:x.End], row.Text)
				}
			}
		}
		for i := range row.Text {
			if !labelledBytes[i] {
				other++
				if slices.ContainsFunc(found, func(x Finding) bool { return x.Start <= i && i < x.End }) {
					overmasked++
				}
			}
		}
	}
	for e := range by {
		t.Logf("%-12s %s", Entity(e), &by[e])
	}
	t.Logf("other characters masked: %d of %d, %.2f %%", overmasked, other, 100*float64(overmasked)/float64(other))
}

func runeOffsets(t string) []int {
	var offsets []int
	for i := range t {
		offsets = append(offsets, i)
	}
	return append(offsets, len(t))
}

// leaked counts the characters from start to end that no finding covers.
func leaked(t string, start, end int, found []Finding) int {
	n := 0
	for i := start; i < end; i++ {
		if utf8.RuneStart(t[i]) && !slices.ContainsFunc(found, func(x Finding) bool { return x.Start <= i && i < x.End }) {
			n++
		}
	}
	return n
}

// overlap is the length of the intersection over that of the union.
func overlap(x Finding, start, end int) float64 {
	both := min(x.End, end) - max(x.Start, start)
	if both <= 0 {
		return 0
	}
	return float64(both) / float64(max(x.End, end)-min(x.Start, start))
}

// Every example of a phone number in the international spellings must be masked whole.
func TestEvaluationOfPhoneExamples(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(dataFolder(t), "example_formats.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct{ Region, Type, E164, International, National string }
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	m := New()
	var total, right [4]int
	for _, row := range rows {
		texts := [...]string{row.E164, row.International, "My phone number is " + row.National + ".", row.National}
		for i, text := range texts {
			total[i]++
			want := [...]string{row.E164, row.International, row.National, row.National}[i]
			found := m.Find(nil, text)
			if len(found) == 1 && found[0].Entity == Phone && text[found[0].Start:found[0].End] == want {
				right[i]++
			} else if i < 3 && os.Getenv("PARLEY_PII_VERBOSE") == "EXAMPLES" {
				t.Log(row.Region, row.Type, text, found)
			}
		}
	}
	t.Logf("E.164 %d of %d, international %d of %d, national with context %d of %d, national alone %d of %d",
		right[0], total[0], right[1], total[1], right[2], total[2], right[3], total[3])
}

// The cases of another engine's tests, for the types that both have.
func TestEvaluationOfCases(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(dataFolder(t), "cases.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	entities := map[string]Entity{
		"EMAIL_ADDRESS": Email, "CREDIT_CARD": Card, "IBAN_CODE": IBAN, "US_SSN": SSN, "IP_ADDRESS": IP, "SG_NRIC_FIN": NRIC,
		"UK_POSTCODE": Postal,
	}
	var total, right [NumEntities]int
	m := New()
	for line := range slices.Values(splitLines(data)) {
		var row struct {
			Entities []string
			Text     string
			Spans    *[][2]int
		}
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		if len(row.Entities) != 1 || row.Spans == nil {
			continue
		}
		e, ok := entities[row.Entities[0]]
		if !ok {
			continue
		}
		offsets := runeOffsets(row.Text)
		var want, got [][2]int
		for _, s := range *row.Spans {
			want = append(want, [2]int{offsets[s[0]], offsets[s[1]]})
		}
		for _, x := range m.Find(nil, row.Text) {
			if x.Entity == e {
				got = append(got, [2]int{x.Start, x.End})
			}
		}
		total[e]++
		if slices.Equal(want, got) {
			right[e]++
		} else if os.Getenv("PARLEY_PII_VERBOSE") == "CASES" {
			t.Logf("%s %q: want %v, got %v", e, row.Text, want, got)
		}
	}
	for e := range total {
		if total[e] > 0 {
			t.Logf("%-12s %d of %d exact", Entity(e), right[e], total[e])
		}
	}
}

func splitLines(data []byte) [][]byte {
	var lines [][]byte
	for len(data) > 0 {
		i := slices.Index(data, '\n')
		if i < 0 {
			i = len(data) - 1
		}
		lines = append(lines, data[:i+1])
		data = data[i+1:]
	}
	return lines
}
