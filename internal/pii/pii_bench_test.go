package pii

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// chat is what people write to a model: mostly words, a number here and there, seldom personal data.
const chat = `Can you help me plan a trip to Kyoto in April? We are a family of four and would like to stay about 6 nights, close to
the station if possible. Our budget is around $2,500 for the hotel, and we do not mind walking 15 minutes or so.
Sure! For April I would book early: the cherry blossom season usually runs from March 25 to April 10, and prices double.
1. Fly into Kansai (KIX) and take the Haruka express, 75 minutes, about 3,600 yen.
2. Stay near Karasuma Oike; both subway lines cross there.
3. Day trips: Nara (45 min), Osaka (30 min), Uji (20 min).
Would you like me to suggest restaurants as well? I can also draft an e-mail to the hotel with your dates.
Yes please. Write it politely, ask whether they have connecting rooms, and say that we arrive late, around 22:30. You can give
them my number, +65 9123 4567, in case something changes.
func main() { for i := 0; i < 10; i++ { fmt.Println("attempt", i, time.Now().UTC()) } } // why does this print twice?
The loop itself prints once per iteration; the second line comes from the deferred call in line 42, see the stack trace above.
Thanks, that was it. One more thing: what is the difference between a mutex and a semaphore, in two sentences, for a beginner?
`

const dense = `Jane Tan, S1234567D, jane.tan@example.com, +65 9123 4567, Blk 123 Ang Mo Kio Ave 3 #05-12 Singapore 560123
card 4111 1111 1111 1111, IBAN GB29 NWBK 6016 1331 9268 19, SSN 123-45-6789, from 203.0.113.7 and 2001:db8::8a2e:370:7334
call (212) 555-0134 or 020 7946 0958, api_key=sk-proj-abcDEF1234567890abcDEF12, password: hunter2!
`

const jsonLine = `{"id":"call_8f14e45f","type":"function_call","name":"send_invoice","arguments":"{\"to\":\"jane.tan@example.com\",` +
	`\"phone\":\"9123 4567\",\"lines\":[{\"sku\":\"A-1001\",\"qty\":3,\"price\":12.5},{\"sku\":\"A-1002\",\"qty\":1,\"price\":99}],` +
	`\"note\":\"Please deliver before noon, the reception closes early on Fridays.\"}","metadata":{"attempt":1,"trace":` +
	`"4bf92f3577b34da6a3ce929d0e0e4736","text":"A longer passage of text such as models write when they explain what they are ` +
	`about to do, in whole sentences, with commas and the like, and nothing personal in it at all."}}`

func benchmarkText(b *testing.B, text string) {
	m := New()
	dst := make([]byte, 0, 2*len(text))
	var c Counts
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	start := cpuTime()
	for b.Loop() {
		dst = m.AppendText(dst[:0], text, &c)
	}
	reportCPU(b, start, len(text))
}

// reportCPU adds megabytes per second of processor time, which is what the goals speak of.
func reportCPU(b *testing.B, start time.Duration, size int) {
	if used := cpuTime() - start; used > 0 {
		b.ReportMetric(float64(size)*float64(b.N)/1e6/used.Seconds(), "cpuMB/s")
	}
}

func BenchmarkChat(b *testing.B) { benchmarkText(b, chat) }

func BenchmarkDense(b *testing.B) { benchmarkText(b, dense) }

// BenchmarkDelta is one piece of a stream.
func BenchmarkDelta(b *testing.B) { benchmarkText(b, chat[:256]) }

func BenchmarkJSON(b *testing.B) {
	m := New()
	data := []byte("[" + strings.Repeat(jsonLine+",", 7) + jsonLine + "]")
	dst := make([]byte, 0, 2*len(data))
	var c Counts
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	start := cpuTime()
	for b.Loop() {
		dst = m.AppendJSON(dst[:0], data, &c)
	}
	reportCPU(b, start, len(data))
	if bytes.Contains(dst, []byte("9123 4567")) {
		b.Fatal("a number leaked")
	}
}
