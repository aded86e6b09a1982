//go:build unix

package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/search"
)

// benchWords makes texts of words as often as in a language: the most frequent one is every fifteenth or so.
type benchWords struct {
	words []string
	next  *rand.Zipf
}

func newBenchWords(seed uint64) *benchWords {
	r := rand.New(rand.NewPCG(1, 2))
	w := &benchWords{words: make([]string, 50_000)}
	for i := range w.words {
		for range 1 + r.IntN(4) {
			w.words[i] += string("bcdfghklmnprstvw"[r.IntN(16)]) + string("aeiou"[r.IntN(5)])
		}
	}
	w.next = rand.NewZipf(rand.New(rand.NewPCG(seed, 0)), 1.07, 5, uint64(len(w.words)-1))
	return w
}

func (w *benchWords) text(n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(w.words[w.next.Uint64()])
		b.WriteByte(' ')
	}
	return b.String()
}

// BenchmarkSearch searches and filters as many conversations as PARLEY_BENCH_CONVERSATIONS says, each of four messages.
func BenchmarkSearch(b *testing.B) {
	n := 2000
	if asked, err := strconv.Atoi(os.Getenv("PARLEY_BENCH_CONVERSATIONS")); err == nil {
		n = asked
	}
	s := openBench(b)
	began := time.Now()
	var group sync.WaitGroup
	const writers = 8
	for g := range writers {
		group.Go(func() {
			words := newBenchWords(uint64(g))
			for i := g; i < n; i += writers {
				c := chat.Conversation{
					ID: benchNewID(chat.PrefixConversation), Title: words.text(4), CreatedAt: time.Now(), UpdatedAt: time.Now(),
					User: fmt.Sprintf("user-%d", i%1000), Model: []string{"", "small", "large"}[i%3], Metadata: map[string]string{"n": strconv.Itoa(i % 100)},
				}
				var items []chat.Item
				for m := range 4 {
					content, _ := json.Marshal(words.text(15 + 25*(m%2)))
					items = append(items, benchItem([]llm.Role{llm.User, llm.Assistant}[m%2], content))
				}
				if i == n/2 {
					items[0].Content = json.RawMessage(`"quokkas are rare"`)
				}
				if err := s.CreateConversation(context.Background(), benchOwner, nil, &c, items); err != nil {
					b.Error(err)
				}
			}
		})
	}
	group.Wait()
	b.Logf("%d conversations written in %v", n, time.Since(began))
	began = time.Now()
	id := benchConversation(b, s, 2)
	var slowest time.Duration
	for behind := true; behind; {
		s.indexer.mu.Lock()
		behind = len(s.indexer.pending) > 1 || s.indexer.working
		s.indexer.mu.Unlock()
		at := time.Now()
		if err := s.AppendItems(b.Context(), benchOwner, nil, id, "", []chat.Item{benchItem(llm.User, benchQuestion)}); err != nil {
			b.Fatal(err)
		}
		slowest = max(slowest, time.Since(at))
	}
	b.Logf("indexed after another %v; the slowest write meanwhile took %v", time.Since(began), slowest)

	w := newBenchWords(0).words
	past := time.Now().Add(-time.Hour)
	for _, c := range []struct {
		name  string
		text  string
		query chat.Query
	}{
		{"rare", "quokkas", chat.Query{}},
		{"missing", "xyzzy", chat.Query{}},
		{"frequent", w[0] + " " + w[0], chat.Query{}},
		{"two frequent", w[0] + " " + w[1], chat.Query{}},
		{"six", strings.Join(w[:6], " "), chat.Query{}},
		{"rare and frequent", w[0] + " " + w[1] + " quokk", chat.Query{}},
		{"middling", w[300] + " " + w[400], chat.Query{}},
		{"letter", w[0][:1], chat.Query{}},
		{"two letters", w[0][:2], chat.Query{}},
		{"three letters", w[200][:min(3, len(w[200]))], chat.Query{}},
		{"frequent and a letter", w[0] + " " + w[1][:1], chat.Query{}},
		{"frequent of nobody", w[0] + " " + w[0], chat.Query{User: "nobody"}},
		{"frequent of one", w[0] + " " + w[0], chat.Query{User: "user-7"}},
		{"user", "", chat.Query{User: "user-7"}},
		{"model", "", chat.Query{Model: "small"}},
		{"model missing", "", chat.Query{Model: "none"}},
		{"pair", "", chat.Query{Metadata: map[string]string{"n": "7"}}},
		{"model and pair that never meet", "", chat.Query{Model: "small", Metadata: map[string]string{"n": "x"}}},
		{"created never", "", chat.Query{CreatedBefore: &past}},
		{"created since", "", chat.Query{CreatedAfter: &past}},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.query.Page = chat.Page{Limit: 20, Desc: true}
			if c.text != "" {
				var err error
				if c.query.Search, err = search.Parse(c.text); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			before := cpuTime(b)
			hits := 0
			for b.Loop() {
				list, err := s.Conversations(b.Context(), benchOwner, c.query)
				if err != nil {
					b.Fatal(err)
				}
				hits = len(list.Data)
			}
			reportCPU(b, before)
			b.ReportMetric(float64(hits), "hits")
		})
	}
}
