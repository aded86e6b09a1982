package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"testing"
)

// exported are the lines of an export of a log: its records, and the one that closes it.
func exported(rows []*Row) [][]byte {
	var e Exporter
	var lines [][]byte
	for _, r := range rows {
		lines = append(lines, bytes.TrimSuffix(e.Append(nil, r), []byte("\n")))
	}
	return append(lines, bytes.TrimSuffix(e.AppendEnd(nil), []byte("\n")))
}

func verifyExport(lines [][]byte) Report { return verifyRange(lines, false) }

func verifyRange(lines [][]byte, isRange bool) Report {
	v := NewVerifier()
	v.Range = isRange
	for _, line := range lines {
		v.AddExport(line)
	}
	return v.FinishExport()
}

func TestTheLastLineOfAnExportSaysHowFarItGoes(t *testing.T) {
	rows := smallLog().rows()
	lines := exported(rows)
	var end struct {
		Object  string
		Records int
		Heads   []struct {
			Chain, Hash string
			Seq         int64
		}
	}
	if err := json.Unmarshal(lines[len(rows)], &end); err != nil {
		t.Fatal(err)
	}
	last := rows[len(rows)-1]
	if end.Object != "audit.export.end" || end.Records != len(rows) || len(end.Heads) != 3 || end.Heads[0].Chain != "inst/1" {
		t.Errorf("%s", lines[len(rows)])
	}
	if h := end.Heads[2]; h.Chain != last.Chain || h.Seq != last.Seq || h.Hash != hex.EncodeToString(last.Hash) {
		t.Errorf("%s", lines[len(rows)])
	}
	if got := string(exported(nil)[0]); got != `{"object":"audit.export.end","records":0,"heads":[]}` {
		t.Errorf("of nothing: %s", got)
	}
}

// Wherever an export breaks off between two lines, that is found, also in one of a range, which may end anywhere.
func TestAnExportThatIsCutShortIsFound(t *testing.T) {
	lines := exported(smallLog().rows())
	for _, isRange := range []bool{false, true} {
		for n := range lines {
			rep := verifyRange(lines[:n], isRange)
			if rep.OK || !slices.ContainsFunc(rep.Findings, func(f Finding) bool { return f.Kind == FindingTruncated }) {
				t.Errorf("%d of %d lines: %+v", n, len(lines), rep)
			}
			// Nor does it help to keep the line that closes it, or that of another export.
			if n < len(lines)-1 {
				if rep := verifyRange(slices.Concat(lines[:n], lines[len(lines)-1:]), isRange); rep.OK {
					t.Errorf("%d records and the last line: %+v", n, rep)
				}
			}
		}
		if rep := verifyRange(exported(nil), isRange); !rep.OK || rep.Records != 0 {
			t.Errorf("an export of nothing: %+v", rep)
		}
		for _, line := range [][]byte{lines[0], lines[len(lines)-1], {}} {
			if rep := verifyRange(append(slices.Clone(lines), line), isRange); rep.OK {
				t.Errorf("%s behind the end is not found", line)
			}
		}
	}
}

func TestALineOfAnExportIsTheRecordFlatWithTextsAndHeader(t *testing.T) {
	c := NewChain("i1/1")
	r := Record{
		ID: "aud_1", Time: testTime, Kind: KindIntent, Owner: "default", ResponseID: "resp_1", Attempt: 1,
		Mask:     &Mask{EngineVersion: "1", Policy: "tag"},
		Payloads: []Payload{NewPayload(PartPrompt, "a \"quoted\" [MASKED_EMAIL] \n 你好"), NewCommitment(PartContext, 2, []byte("{}"))},
	}
	kept := row(c.Seal(&r), &r)
	var line struct {
		Object, ID, Chain, Kind, Hash, Header string
		PrevHash                              string `json:"prev_hash"`
		Seq                                   int64
		Mask                                  struct{ Counts map[string]int }
		Payloads                              []struct {
			Part, Text, Salt, Commitment string
			Chars, Items                 int
		}
	}
	dec := json.NewDecoder(bytes.NewReader(AppendExport(nil, kept)))
	if err := dec.Decode(&line); err != nil {
		t.Fatal(err)
	}
	if line.Object != "audit.record" || line.ID != r.ID || line.Chain != "i1/1" || line.Seq != 1 || line.Kind != "llm.intent" || line.Mask.Counts == nil {
		t.Errorf("%+v", line)
	}
	if line.Header != string(kept.Header) || len(line.Hash) != 64 || len(line.PrevHash) != 64 {
		t.Errorf("%+v", line)
	}
	if p := line.Payloads[0]; p.Text != r.Payloads[0].Text || len(p.Salt) != 64 || len(p.Commitment) != 64 {
		t.Errorf("%+v", p)
	}
	if p := line.Payloads[1]; p.Part != PartContext || p.Text != "" || p.Items != 2 || len(p.Salt) != 64 {
		t.Errorf("%+v", p)
	}
	// What was erased is left out, and the line is still one.
	kept.Payloads[0].Text, kept.Payloads[0].Salt = nil, nil
	erased := AppendExport(nil, kept)
	if bytes.Contains(erased, []byte(`"text"`)) || bytes.Count(erased, []byte(`"salt"`)) != 1 {
		t.Errorf("%s", erased)
	}
	if _, err := ParseExport(erased); err != nil {
		t.Error(err)
	}
}

func TestAnExportVerifiesAsItsLogDoes(t *testing.T) {
	r := newRand(t)
	for range *rounds * 200 {
		rows := honestLog(r).rows()
		want, got := verify(rows), verifyExport(exported(rows))
		if !reflect.DeepEqual(got, want) || !got.OK {
			t.Fatalf("the log: %+v\nits export: %+v", want, got)
		}
	}
}

func TestATamperedLogIsFoundInItsExport(t *testing.T) {
	r := newRand(t)
	for n := 0; n < *rounds*1000; {
		log := honestLog(r).rows()
		if len(log) < 3 {
			continue
		}
		tampered, how := tamperings[r.IntN(len(tamperings))](r, log)
		if how == "" {
			continue
		}
		if rep := verifyExport(exported(tampered)); rep.OK {
			t.Fatalf("not found: %s", how)
		}
		n++
	}
}

func TestAnAlteredBitOfALineIsFound(t *testing.T) {
	r := newRand(t)
	lines := exported(smallLog().rows())
	for i := range lines {
		// The salt of what is not kept can be checked by nobody without the data.
		var blind []byte
		if at := bytes.Index(lines[i], []byte(`"part":"context"`)); at >= 0 {
			blind = lines[i][at:len(lines[i]):len(lines[i])]
			blind = blind[bytes.Index(blind, []byte(`"salt":"`))+8:][:64]
		}
		const some = 29
		for bit := r.IntN(some); bit < 8*len(lines[i]); bit += some {
			if at := len(lines[i]) - bit/8; len(blind) > 0 && at <= cap(blind) && at > cap(blind)-len(blind) {
				continue
			}
			changed := slices.Clone(lines)
			changed[i] = bytes.Clone(lines[i])
			changed[i][bit/8] ^= 1 << (bit % 8)
			if rep := verifyExport(changed); rep.OK {
				t.Fatalf("bit %d of line %d: %s", bit, i, changed[i])
			}
		}
	}
}

func TestALineThatIsAlteredAroundItsHeaderIsFoundAlone(t *testing.T) {
	lines := exported(smallLog().rows())
	for i, line := range lines {
		changed := bytes.Replace(line, []byte(`"model":"gpt-4o-mini","upstream`), []byte(`"model":"gpt-4o-nano","upstream`), 1)
		if bytes.Equal(changed, line) {
			continue
		}
		lines[i] = changed
		rep := verifyExport(lines)
		if len(rep.Findings) != 1 || rep.Findings[0].Kind != FindingModified || rep.Findings[0].Seq == 0 {
			t.Errorf("%+v", rep)
		}
		return
	}
	t.Fatal("no line names the model")
}

func TestALineThatCannotBeReadIsAFinding(t *testing.T) {
	lines := exported(smallLog().rows())
	lines[len(lines)-2] = lines[len(lines)-2][:20]
	rep := verifyExport(lines)
	if rep.OK || rep.Findings[0].Kind != FindingModified || rep.Records != int64(len(lines)-1) {
		t.Errorf("%+v", rep)
	}
}

// Of each chain any run of records may be what an export of a range holds.
func TestARangeOfALogVerifies(t *testing.T) {
	r := newRand(t)
	for range *rounds * 200 {
		var rows []*Row
		holes := 0
		for _, chain := range honestLog(r).chains {
			from := r.IntN(len(chain))
			to := from + r.IntN(len(chain)-from) + 1
			rows = append(rows, chain[from:to]...)
			if to-from > 2 {
				holes++
			}
		}
		lines := exported(rows)
		if rep := verifyRange(lines, true); !rep.OK {
			t.Fatalf("%+v", rep)
		}
		if holes == 0 {
			continue
		}
		for i := 1; i < len(rows)-1; i++ {
			if rows[i-1].Chain == rows[i+1].Chain {
				if rep := verifyRange(exported(slices.Delete(slices.Clone(rows), i, i+1)), true); rep.OK {
					t.Fatalf("line %d is gone, and nothing is found", i)
				}
			}
		}
	}
}

func FuzzParseExport(f *testing.F) {
	for _, line := range exported(smallLog().rows()) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		row, err := ParseExport(line)
		if err != nil {
			return
		}
		if again := AppendExport(nil, &row); !bytes.Equal(again, line) {
			t.Errorf("%q is read as what is written %q", line, again)
		}
	})
}
