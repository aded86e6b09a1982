package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-llm/parley/api"
)

// How a server is soaked: so many streams at a time, each of as many pieces, and in short form for so long.
const (
	soakStreams = 300
	soakPieces  = 24
	soakPause   = 40 * time.Millisecond
	soakTurns   = 8
	soakShort   = 5 * time.Second
	// soakDrift is by how much the memory of the last quarter may be above that of the second one.
	soakDrift = 1.05
	soakWAL   = 64 << 20
)

// steadyModel streams an answer to a question in pieces, with a pause ahead of each.
func steadyModel(w http.ResponseWriter, r *http.Request) {
	var call struct{ Messages []struct{ Content string } }
	if json.NewDecoder(r.Body).Decode(&call) != nil || len(call.Messages) == 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	question := call.Messages[len(call.Messages)-1].Content
	tick := time.NewTicker(soakPause)
	defer tick.Stop()
	for i := range soakPieces {
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
		_, _ = fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", soakPiece(question, i))
		_ = http.NewResponseController(w).Flush()
	}
	_, _ = fmt.Fprint(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":24,\"total_tokens\":29}}\n\ndata: [DONE]\n\n")
}

func soakPiece(question string, i int) string { return fmt.Sprintf("%s, piece %d; ", question, i) }

// soaker is a client that streams one turn after the other, in conversations of some turns each, which it deletes.
type soaker struct {
	client *api.Client
	n      int
	turns  *atomic.Int64
}

// soak goes on until ctx ends, and has what has begun by then end.
func (s *soaker) soak(ctx context.Context) error {
	going := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		c, err := s.client.CreateConversation(going, api.NewConversation{})
		if err != nil {
			return err
		}
		for turn := 0; turn < soakTurns && ctx.Err() == nil; turn++ {
			if err := s.turn(going, c.ID, fmt.Sprintf("client %d, turn %d of jane.doe@example.com", s.n, turn)); err != nil {
				return err
			}
		}
		if err := s.client.DeleteConversation(going, c.ID, 0); err != nil {
			return err
		}
	}
	return nil
}

func (s *soaker) turn(ctx context.Context, conversation, question string) error {
	var want, got strings.Builder
	for i := range soakPieces {
		want.WriteString(soakPiece(question, i))
	}
	for ev, err := range s.client.Stream(ctx, conversation, api.NewResponse{Prompt: api.Text(question)}) {
		switch {
		case err != nil:
			return err
		case ev.Type == api.EventTextDelta:
			got.WriteString(ev.Delta)
		case ev.Last():
			s.turns.Add(1)
			if ev.Response.OutputText != want.String() || got.String() != want.String() {
				return fmt.Errorf("an answer is %q, and its pieces %q", ev.Response.OutputText, got.String())
			}
			return nil
		}
	}
	return errors.New("a stream has no end")
}

// R17: hours of streams leave the memory as it is, and the write-ahead log within its bounds. In short form each stream is looked at, and the log.
func TestASoakedServerStaysAsItIs(t *testing.T) {
	length := time.Duration(envInt(t, "PARLEY_SOAK_SECONDS", int64(soakShort/time.Second))) * time.Second
	if length < time.Second {
		t.Fatalf("PARLEY_SOAK_SECONDS makes it %v", length)
	}
	model := httptest.NewServer(http.HandlerFunc(steadyModel))
	t.Cleanup(model.Close)
	data := t.TempDir()
	p := launch(t, data, []string{"OPENAI_BASE_URL=" + model.URL + "/v1", "OPENAI_MODEL=steady", "PARLEY_UPSTREAM_CONCURRENCY=1000"})
	p.await(t)
	client := &api.Client{BaseURL: p.url, HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: soakStreams}}}

	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	var turns atomic.Int64
	failures := make([]error, soakStreams)
	var soaking sync.WaitGroup
	for n := range failures {
		soaking.Go(func() { failures[n] = (&soaker{client, n, &turns}).soak(ctx) })
	}
	samples := max(20, int(length/(10*time.Second)))
	var resident []int
	var longest int64
	for look := time.NewTicker(length / time.Duration(samples+1)); ctx.Err() == nil; {
		select {
		case <-look.C:
			resident = append(resident, p.resident(t, "VmRSS:"))
			if info, err := os.Stat(filepath.Join(data, "parley.db-wal")); err == nil {
				longest = max(longest, info.Size())
			}
		case <-ctx.Done():
			look.Stop()
		}
	}
	soaking.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	second, last := middle(resident[len(resident)/4:len(resident)/2]), middle(resident[len(resident)*3/4:])
	t.Logf("%d streams at a time for %v, %d in all: resident are %d MiB in the second quarter, %d MiB in the last, %d MiB at most; the log had %d MiB at most",
		soakStreams, length, turns.Load(), second>>10, last>>10, slices.Max(resident)>>10, longest>>20)
	if longest > soakWAL {
		t.Errorf("the write-ahead log had %d bytes", longest)
	}
	if length > soakShort && float64(last) > soakDrift*float64(second) {
		t.Errorf("%d KiB were resident in the second quarter, %d KiB in the last", second, last)
	}
}

// middle is the median.
func middle(list []int) int {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
