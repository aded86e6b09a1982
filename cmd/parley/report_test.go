package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/config"
)

func TestAReportWithAFindingIsPrintedAndFails(t *testing.T) {
	report := audit.Report{
		Records: 7, Chains: 2, Open: []string{"b/2"}, Pending: 1, Omitted: 3,
		Findings: []audit.Finding{{Kind: audit.FindingModified, Chain: "a/1", Seq: 5, RecordID: "aud_1", Detail: "hash differs"}},
	}
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		cmd := &cobra.Command{}
		cmd.SetOut(&out)
		if err := printReport(cmd, report, asJSON); !errors.Is(err, errFindings) {
			t.Errorf("printReport = %v", err)
		}
		if asJSON {
			var got audit.Report
			if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Records != 7 || len(got.Findings) != 1 {
				t.Errorf("%v in %s", err, &out)
			}
			continue
		}
		for _, part := range []string{"modified: chain a/1, record 5 (aud_1): hash differs\n", "and 3 findings more", "7 records in 2 chains: 4 findings", "calls without an outcome: 1 "} {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%q is not in\n%s", part, &out)
			}
		}
	}
}

func TestWhatIsOneIsCountedInTheSingular(t *testing.T) {
	if got := counted(1, "chain") + ", " + counted(0, "finding") + ", " + counted(int64(2), "record"); got != "1 chain, 0 findings, 2 records" {
		t.Error(got)
	}
}

func TestAMeterShowsOnATerminalWhatTakesLong(t *testing.T) {
	var out bytes.Buffer
	clock := time.Unix(0, 0)
	m := &meter{w: &out, now: func() time.Time { return clock }, what: "verified", unit: "records", began: clock}
	for n := range int64(25) {
		m.at(n*1000, 0)
		clock = clock.Add(100 * time.Millisecond)
	}
	m.end()
	if want := clearLine + "verified 20000 records, 2 s" + clearLine + "verified 22000 records, 2 s" + clearLine + "verified 24000 records, 2 s" + clearLine; out.String() != want {
		t.Errorf("shown %q", &out)
	}
	out.Reset()
	clock = clock.Add(time.Second)
	m.at(30, 40)
	if want := clearLine + "verified [##################      ]  75 %, 3 s"; out.String() != want {
		t.Errorf("shown %q", &out)
	}
	// What is no terminal gets nothing.
	out.Reset()
	m = newMeter(&out, "x", "y")
	m.began = m.began.Add(-time.Hour)
	m.at(1, 2)
	if err := m.watch(func() error { return errBroken }); !errors.Is(err, errBroken) || out.Len() > 0 {
		t.Errorf("%v, shown %q", err, &out)
	}
}

func TestLogLinesHaveTheFormThatWasAskedFor(t *testing.T) {
	for _, tt := range []struct {
		format string
		isJSON bool
	}{{"", true}, {"json", true}, {"text", false}} {
		var out bytes.Buffer
		log := newLogger(&out, &config.Config{LogFormat: tt.format, LogLevel: "warn"})
		log.Info("too small a thing")
		log.Warn("a thing", slog.String("text", "two\nlines\u2028and \x1b[31mcolour"))
		if json.Valid(out.Bytes()) != tt.isJSON || strings.Count(out.String(), "\n") != 1 || strings.ContainsAny(out.String(), "\x1b\u2028") {
			t.Errorf("format %q: %q", tt.format, &out)
		}
		if strings.Contains(out.String(), "too small") {
			t.Errorf("level warn lets pass: %s", &out)
		}
	}
}
