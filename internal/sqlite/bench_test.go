//go:build unix

package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

const benchOwner = "default"

var (
	benchQuestion = json.RawMessage(`"` + strings.Repeat("What is the tallest mountain of the country? ", 4) + `"`)
	benchAnswer   = json.RawMessage(`"` + strings.Repeat("It is the one that the capital's people see on a clear day. ", 8) + `"`)
	benchNewID    = chat.NewID(time.Now)
)

func openBench(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.Context(), Options{Path: filepath.Join(b.TempDir(), "parley.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

func benchItem(role llm.Role, content json.RawMessage) chat.Item {
	return chat.Item{
		ID: benchNewID(chat.PrefixMessage), Item: llm.Item{Type: llm.TypeMessage, Role: role, Content: content},
		Status: chat.ItemCompleted, Version: 1, CreatedAt: time.Now(),
	}
}

func benchConversation(b *testing.B, s *Store, messages int) string {
	b.Helper()
	c := chat.Conversation{ID: benchNewID(chat.PrefixConversation), Owner: benchOwner, Title: "a title", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	var items []chat.Item
	for i := range messages {
		if i%2 == 0 {
			items = append(items, benchItem(llm.User, benchQuestion))
		} else {
			items = append(items, benchItem(llm.Assistant, benchAnswer))
		}
	}
	if err := s.CreateConversation(context.Background(), benchOwner, nil, &c, items); err != nil {
		b.Fatal(err)
	}
	return c.ID
}

// benchTurn is what the core does for one prompt, without its model: read the context, begin, end.
func benchTurn(b *testing.B, s *Store, id string, window int) {
	ctx := context.Background()
	c, _, err := s.Context(ctx, benchOwner, id, window)
	if err != nil {
		b.Fatal(err)
	}
	benchBeginEnd(b, s, c)
}

func benchBeginEnd(b *testing.B, s *Store, c chat.Conversation) {
	ctx := context.Background()
	now := time.Now()
	usage := &llm.Usage{InputTokens: 900, OutputTokens: 120, TotalTokens: 1020}
	record := func(kind audit.Kind, r *chat.Response) audit.Record {
		return audit.Record{
			ID: benchNewID(chat.PrefixAudit), Time: now, Kind: kind, Owner: benchOwner, Actor: "env", ConversationID: c.ID, ResponseID: r.ID, Attempt: 1,
			RequestID: "req_01jd9zq2m4c8v6t0x3y5w7n9rk", Provider: "openai", Model: "gpt-4o-mini", UpstreamHost: "api.openai.com",
			Mask: &audit.Mask{EngineVersion: "1", Policy: "tag"},
		}
	}
	r := chat.Response{
		ID: benchNewID(chat.PrefixResponse), Owner: benchOwner, ConversationID: c.ID, Status: chat.InProgress, Model: "gpt-4o-mini", Provider: "openai",
		Host: "api.openai.com", Attempts: 1, RequestID: "req_01jd9zq2m4c8v6t0x3y5w7n9rk", Actor: "env", CreatedAt: now,
	}
	turn := chat.Turn{Conversation: c, Title: "a title", Input: []chat.Item{benchItem(llm.User, benchQuestion)}, Response: r, Intent: record(audit.KindIntent, &r)}
	turn.Intent.Payloads = []audit.Payload{audit.NewPayload(audit.PartPrompt, string(benchQuestion)), audit.NewCommitment(audit.PartContext, 51, benchAnswer)}
	if err := s.Begin(ctx, benchOwner, &turn); err != nil {
		b.Fatal(err)
	}
	r.Status, r.Usage, r.FinishReason = chat.Completed, usage, "stop"
	r.StartedAt, r.FirstTokenAt, r.CompletedAt = now, now, time.Now()
	answer := benchItem(llm.Assistant, benchAnswer)
	answer.Model, answer.Usage = r.Model, usage
	r.Output = []chat.Item{answer}
	end := chat.Ending{Response: r, Outcome: record(audit.KindOutcome, &r)}
	end.Outcome.Status, end.Outcome.Usage = "completed", &audit.Usage{InputTokens: 900, OutputTokens: 120, TotalTokens: 1020}
	end.Outcome.Payloads = []audit.Payload{audit.NewPayload(audit.PartResponse, string(benchAnswer))}
	if err := s.End(ctx, benchOwner, &end); err != nil {
		b.Fatal(err)
	}
}

// cpuTime is what the process has used so far, in user and system mode.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// reportCPU reports the figure that busy cores leave steady: microseconds of processor time an operation.
func reportCPU(b *testing.B, before time.Duration) {
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

// BenchmarkTurn is begin + end of turns at concurrency 64, each on a conversation of its own.
func BenchmarkTurn(b *testing.B) {
	for _, context := range []bool{false, true} {
		b.Run(fmt.Sprintf("context=%v", context), func(b *testing.B) {
			s := openBench(b)
			var next atomic.Int64
			ids := make([]string, 64)
			for i := range ids {
				ids[i] = benchConversation(b, s, 2)
			}
			b.SetParallelism(32)
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			b.RunParallel(func(pb *testing.PB) {
				n := 0
				var c chat.Conversation
				for pb.Next() {
					// A fresh conversation every 20 turns keeps the histories short.
					if n%20 == 0 {
						id := ids[int(next.Add(1)-1)%len(ids)]
						if n > 0 || context {
							id = benchConversation(b, s, 2)
						}
						c = chat.Conversation{ID: id, Version: 1, ContextVersion: 1}
					}
					n++
					if context {
						benchTurn(b, s, c.ID, 0)
						continue
					}
					benchBeginEnd(b, s, c)
					c.Version += 2
				}
			})
			reportCPU(b, before)
		})
	}
}

// BenchmarkContext50of10000 reads what a prompt on a long conversation sends; of50 is the same window of a short one.
func BenchmarkContext50of10000(b *testing.B) {
	for _, messages := range []int{50, 10_000} {
		b.Run(fmt.Sprintf("of%d", messages), func(b *testing.B) {
			s := openBench(b)
			id := benchConversation(b, s, messages)
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				_, items, err := s.Context(b.Context(), benchOwner, id, 50)
				if err != nil || len(items) != 50 {
					b.Fatal(len(items), err)
				}
			}
			reportCPU(b, before)
		})
	}
}

// BenchmarkAppend stores single messages: alone, each with its own fsync, and at concurrency 64.
func BenchmarkAppend(b *testing.B) {
	b.Run("c=1", func(b *testing.B) {
		s := openBench(b)
		id := benchConversation(b, s, 2)
		b.ReportAllocs()
		before := cpuTime(b)
		for b.Loop() {
			if err := s.AppendItems(b.Context(), benchOwner, nil, id, "", []chat.Item{benchItem(llm.User, benchQuestion)}); err != nil {
				b.Fatal(err)
			}
		}
		reportCPU(b, before)
	})
	b.Run("c=64", func(b *testing.B) {
		s := openBench(b)
		var next atomic.Int64
		ids := make([]string, 64)
		for i := range ids {
			ids[i] = benchConversation(b, s, 2)
		}
		b.SetParallelism(32)
		b.ReportAllocs()
		b.ResetTimer()
		before := cpuTime(b)
		b.RunParallel(func(pb *testing.PB) {
			id := ids[int(next.Add(1)-1)%len(ids)]
			for pb.Next() {
				if err := s.AppendItems(context.Background(), benchOwner, nil, id, "", []chat.Item{benchItem(llm.User, benchQuestion)}); err != nil {
					b.Error(err)
					return
				}
			}
		})
		reportCPU(b, before)
	})
}

// BenchmarkList reads pages of 50 from the middle of 10,000.
func BenchmarkList(b *testing.B) {
	s := openBench(b)
	id := benchConversation(b, s, 10_000)
	all, err := s.Items(b.Context(), benchOwner, id, chat.Page{Limit: 5000})
	if err != nil {
		b.Fatal(err)
	}
	middle := all.Data[4999].ID
	b.Run("messages", func(b *testing.B) {
		b.ReportAllocs()
		before := cpuTime(b)
		for b.Loop() {
			list, err := s.Items(b.Context(), benchOwner, id, chat.Page{Limit: 50, After: middle})
			if err != nil || len(list.Data) != 50 {
				b.Fatal(len(list.Data), err)
			}
		}
		reportCPU(b, before)
	})
	for n := range 9990 {
		c := chat.Conversation{ID: benchNewID(chat.PrefixConversation), Owner: benchOwner, Title: "a title of some words", CreatedAt: time.Now(), UpdatedAt: time.Now()}
		if err := s.CreateConversation(b.Context(), benchOwner, nil, &c, nil); err != nil {
			b.Fatal(err)
		}
		if n == 5000 {
			middle = c.ID
		}
	}
	b.Run("conversations", func(b *testing.B) {
		b.ReportAllocs()
		before := cpuTime(b)
		for b.Loop() {
			list, err := s.Conversations(b.Context(), benchOwner, chat.Query{Page: chat.Page{Limit: 50, After: middle, Desc: true}})
			if err != nil || len(list.Data) != 50 {
				b.Fatal(len(list.Data), err)
			}
		}
		reportCPU(b, before)
	})
}

// BenchmarkVerify is one record of the log.
func BenchmarkVerify(b *testing.B) {
	s := openBench(b)
	const n = 20_000
	for from := 0; from < n; from += 1000 {
		var recs []audit.Record
		for range 1000 {
			recs = append(recs, audit.Record{
				ID: benchNewID(chat.PrefixAudit), Time: time.Now(), Kind: audit.KindRead, Owner: benchOwner, Actor: "env", ConversationID: "conv_1", Provider: "openai", Model: "gpt-4o-mini",
				Payloads: []audit.Payload{audit.NewPayload(audit.PartPrompt, string(benchQuestion)), audit.NewCommitment(audit.PartContext, 51, benchAnswer)},
			})
		}
		if err := s.Append(b.Context(), recs...); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		if report, err := VerifyAudit(b.Context(), s.options.Path, nil); err != nil || !report.OK {
			b.Fatal(report, err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkStall measures how long other writers wait while a conversation of ten thousand messages is forked, and while one is
// deleted: the longest wait of all, and the one that a thousandth exceeds, in milliseconds. The numbers are of use on an idle machine only.
func BenchmarkStall(b *testing.B) {
	const messages = 10_000
	s := openBench(b)
	source := benchConversation(b, s, messages)
	other := benchConversation(b, s, 0)
	ctx := context.Background()
	run := func(b *testing.B, act func() error, settled func() bool) {
		var waits []time.Duration
		for b.Loop() {
			done := make(chan error, 1)
			go func() { done <- act() }()
			for ended := false; !ended; {
				began := time.Now()
				if err := s.AppendItems(ctx, benchOwner, nil, other, "", []chat.Item{benchItem(llm.User, benchQuestion)}); err != nil {
					b.Fatal(err)
				}
				waits = append(waits, time.Since(began))
				select {
				case err := <-done:
					if err != nil {
						b.Fatal(err)
					}
					done = nil
				default:
				}
				ended = done == nil && settled()
			}
		}
		slices.Sort(waits)
		b.ReportMetric(float64(waits[len(waits)-1].Microseconds())/1000, "ms/longest-wait")
		b.ReportMetric(float64(waits[len(waits)-1-len(waits)/1000].Microseconds())/1000, "ms/p99.9-wait")
	}
	// What they wait for where there is nothing but themselves, and the copying of the log that they cause.
	b.Run("nothing", func(b *testing.B) {
		run(b, func() error { time.Sleep(time.Second); return nil }, func() bool { return true })
	})
	var forks []string
	fork := func() error {
		c := chat.Conversation{ID: benchNewID(chat.PrefixConversation), CreatedAt: time.Now(), UpdatedAt: time.Now()}
		forks = append(forks, c.ID)
		return s.ForkConversation(ctx, benchOwner, nil, source, "", &c)
	}
	b.Run("fork", func(b *testing.B) { run(b, fork, func() bool { return true }) })
	b.Run("delete", func(b *testing.B) {
		run(b, func() error {
			if len(forks) == 0 {
				if err := fork(); err != nil {
					return err
				}
			}
			last := forks[len(forks)-1]
			forks = forks[:len(forks)-1]
			return s.DeleteConversation(ctx, benchOwner, last, 0, "")
		}, func() bool {
			nums, err := s.purger.pending(ctx)
			return err == nil && len(nums) == 0
		})
	})
}
