package faulttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/parley-llm/parley/internal/anthropic"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/llmtest"
	"github.com/parley-llm/parley/internal/openai"
	"github.com/parley-llm/parley/internal/upstream"
)

// protocol is what the upstream speaks. Its testdata holds the failures in its own words.
type protocol struct {
	name string
	new  func(upstream.Config) (llm.Provider, error)
	// answer is a whole answer; unfinished is one that says that it is not at its end.
	answer, unfinished string
	// begin, piece (of a text) and end are those of a stream, end being the end marker; behind may follow it, stray makes no sense
	// where it stands.
	begin, piece, end, behind, stray string
}

const (
	wholeHead  = "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: auto\n\n"
	streamHead = "HTTP/1.1 200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked\n\n"
	filler     = "%FILLER%"
)

var protocols = []protocol{
	{
		name:       "openai",
		new:        func(c upstream.Config) (llm.Provider, error) { c.BaseURL += "/v1"; return openai.New(c) },
		answer:     wholeHead + `{"model":"model-1","choices":[{"index":0,"message":{"role":"assistant","content":"I am well."},"finish_reason":"stop"}]}`,
		unfinished: wholeHead + `{"model":"model-1","choices":[{"index":0,"message":{"role":"assistant","content":"I am"},"finish_reason":null}]}`,
		begin:      "data: {\"model\":\"model-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
		piece:      "data: {\"model\":\"model-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + filler + "\"},\"finish_reason\":null}]}\n\n",
		end:        "data: {\"model\":\"model-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
		behind:     "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + llmtest.Canary + "\"},\"finish_reason\":null}]}\n\ndata: {\"error\":{\"message\":\"" + llmtest.Canary + "\"}}\n\n",
		stray:      "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":3,\"function\":{\"arguments\":\"" + llmtest.Canary + "\"}}]},\"finish_reason\":null}]}\n\n",
	},
	{
		name:       "anthropic",
		new:        func(c upstream.Config) (llm.Provider, error) { return anthropic.New(anthropic.Config{Config: c}) },
		answer:     wholeHead + `{"type":"message","role":"assistant","model":"model-1","content":[{"type":"text","text":"I am well."}],"stop_reason":"end_turn"}`,
		unfinished: wholeHead + `{"type":"message","role":"assistant","model":"model-1","content":[{"type":"text","text":"I am"}],"stop_reason":null}`,
		begin: "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"model-1\",\"content\":[],\"stop_reason\":null}}\n\n" +
			"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
		piece: "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"" + filler + "\"}}\n\n",
		end: "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n" +
			"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
		behind: "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"" + llmtest.Canary + "\"}}\n\n" +
			"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"" + llmtest.Canary + "\"}}\n\n",
		stray: "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"" + llmtest.Canary + "\"}}\n\n",
	},
}

// scene is one fault set up: an upstream, and the way to it.
type scene struct {
	t        testing.TB
	protocol *protocol
	stream   bool
	random   *rand.Rand

	// upstream speaks HTTP, trap must not be called. Faults of the network have a host of their own and use neither.
	upstream, trap *llmtest.Upstream
	host           string
	transport      *http.Transport
	// dials counts the connections that were tried.
	dials atomic.Int64
	// fired counts how often the fault has happened.
	fired func() int
	// said is the text that came before the fault.
	said string
}

func newScene(t testing.TB, p *protocol, stream bool, random *rand.Rand) *scene {
	s := &scene{t: t, protocol: p, stream: stream, random: random, upstream: llmtest.NewUpstream(t), trap: llmtest.NewUpstream(t), transport: upstream.NewTransport()}
	s.host = strings.TrimPrefix(s.upstream.URL, "http://")
	s.fired = func() int { return len(s.upstream.Requests()) }
	// The proxy of the machine that tests is none of the faults.
	s.transport.Proxy = nil
	dial := s.transport.DialContext
	s.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		s.dials.Add(1)
		return dial(ctx, network, address)
	}
	t.Cleanup(s.transport.CloseIdleConnections)
	return s
}

// provider is the client as it is configured.
func (s *scene) provider(r *row) llm.Provider {
	s.t.Helper()
	scheme := "http://"
	if s.transport.TLSClientConfig != nil {
		scheme = "https://"
	}
	cfg := upstream.Config{
		BaseURL: scheme + s.host, Key: keyCanary, Header: map[string]string{"X-Gateway": headerCanary}, Version: "test",
		FirstByteTimeout: cmp.Or(r.firstByte, patience), IdleTimeout: cmp.Or(r.idle, patience), Transport: s.transport,
	}
	p, err := s.protocol.new(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// answers has the upstream give one and the same answer.
func (s *scene) answers(script string) {
	s.t.Helper()
	script = strings.ReplaceAll(script, "{{trap}}", s.trap.URL)
	// Whatever quotes the provider's words quotes our secrets as well.
	s.upstream.Always(strings.ReplaceAll(script, llmtest.Canary, llmtest.Canary+" "+keyCanary+" "+headerCanary))
}

// file has it answer by the protocol's own testdata, or by those that serve all.
func (s *scene) file(name string) string {
	s.t.Helper()
	var text []byte
	err := fs.ErrNotExist
	for _, dir := range []string{s.protocol.name, "llmtest"} {
		if errors.Is(err, fs.ErrNotExist) {
			text, err = os.ReadFile(filepath.Join("..", dir, "testdata", name+".http"))
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// begun is the beginning of a stream, with a text of some length.
func (s *scene) begun() string {
	var b strings.Builder
	b.WriteString(streamHead + s.protocol.begin)
	for range 1 + s.random.IntN(20) {
		word := fmt.Sprintf("word%d ", s.random.IntN(1000))
		s.said += word
		b.WriteString(s.piece(word))
	}
	return b.String()
}

func (s *scene) piece(text string) string { return strings.ReplaceAll(s.protocol.piece, filler, text) }
