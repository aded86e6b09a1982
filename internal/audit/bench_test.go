package audit

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkSeal(b *testing.B) {
	c := NewChain("inst/1")
	r := goldenRecords()[1]
	buf := c.AppendSeal(nil, &r)
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		buf = c.AppendSeal(buf[:0], &r)
	}
}

func BenchmarkNewPayload(b *testing.B) {
	text := strings.Repeat("a masked text ", 2000/14)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		NewPayload(PartPrompt, text)
	}
}

// BenchmarkVerify checks intents and outcomes in turn; records/s is what a core does.
func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{0, 200, 2000} {
		b.Run(fmt.Sprint("text=", size), func(b *testing.B) {
			l := &testLog{}
			l.start()
			for range 1000 {
				l.begin()
				l.end(0, "completed")
			}
			rows := withTexts(l.rows(), size)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				v := NewVerifier()
				for _, r := range rows {
					v.Add(r)
				}
				if rep := v.Finish(); !rep.OK {
					b.Fatalf("%+v", rep)
				}
				n += len(rows)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// withTexts seals a chain anew with each kept text of that size, or without texts.
func withTexts(rows []*Row, size int) []*Row {
	out := make([]*Row, len(rows))
	head := Head{Chain: rows[0].Chain}
	text := strings.Repeat("x", size)
	for i, r := range rows {
		var payloads []Payload
		sealed, next := reseal(r, head, func(rec *Record) {
			for _, p := range rec.Payloads {
				switch {
				case !p.Stored:
					payloads = append(payloads, NewCommitment(p.Part, p.Items, nil))
				case size > 0:
					payloads = append(payloads, NewPayload(p.Part, text))
				}
			}
			rec.Payloads = payloads
		})
		sealed.Payloads = row(sealed.Header, &Record{Payloads: payloads}).Payloads
		out[i], head = sealed, next
	}
	return out
}

// BenchmarkVerifyExport is BenchmarkVerify over the lines of an export.
func BenchmarkVerifyExport(b *testing.B) {
	l := &testLog{}
	l.start()
	for range 1000 {
		l.begin()
		l.end(0, "completed")
	}
	lines := exported(withTexts(l.rows(), 200))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if rep := verifyExport(lines); !rep.OK {
			b.Fatalf("%+v", rep)
		}
		n += len(lines)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
