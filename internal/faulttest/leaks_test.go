package faulttest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/llm"
)

const (
	// clients prompt at the same time.
	clients = 32
	// mostLines is more than a stream has, so that some clients read it to its end.
	mostLines = 120
)

// load is a world under clients that leave and providers that fail.
type load struct {
	*world
	scenes []*scene
	faults []string
	begun  atomic.Int64
	mu     sync.Mutex
	ids    []string
}

// TestNothingLeaks drops streams at every point and has providers fail in every way that takes no waiting, and looks whether the server
// then holds what it did before. PARLEY_DROPPED_STREAMS and PARLEY_UPSTREAM_FAULTS say how many, PARLEY_SEED repeats a run's choices.
func TestNothingLeaks(t *testing.T) {
	dropped := int(envInt(t, "PARLEY_DROPPED_STREAMS", 300))
	failures := int(envInt(t, "PARLEY_UPSTREAM_FAULTS", 60))
	seed := envInt(t, "PARLEY_SEED", time.Now().UnixNano())
	t.Logf("PARLEY_SEED=%d", seed)
	l := newLoad(t, rand.New(rand.NewPCG(uint64(seed), 0)))
	// What is made once, such as the store's connections and the vocabulary, is no leak.
	l.run(uint64(seed)+1, clients, clients)
	before := settled(t, l.hangUp)
	began := time.Now()
	l.run(uint64(seed)+2, dropped, failures)
	t.Logf("%d streams were dropped and %d calls failed in %v; %d responses were begun", dropped, failures, time.Since(began).Round(time.Millisecond), l.begun.Load())
	before.check(t, l.hangUp)
	l.ended()
	l.verify()
}

func newLoad(t *testing.T, random *rand.Rand) *load {
	t.Helper()
	l := &load{}
	var endpoints []llm.Endpoint
	add := func(name string, s *scene, r *row) {
		l.scenes = append(l.scenes, s)
		endpoints = append(endpoints, llm.Endpoint{Name: name, Host: name + ".test", Provider: s.provider(r)})
	}
	for i := range protocols {
		slow := newScene(t, &protocols[i], true, random)
		slow.answers(streamHead + protocols[i].begin + strings.Repeat(slow.piece("word ")+"%% pause 1ms\n", 20) + protocols[i].end)
		add(protocols[i].name, slow, &row{})
		for n, r := range table(nil) {
			// Bombs take long, and to have no name only tests the resolver.
			if !r.heals || r.id == "F30" || r.id == "F31" {
				continue
			}
			s := newScene(t, &protocols[i], n%2 == 0, random)
			r.set(s)
			name := fmt.Sprintf("%s%d", protocols[i].name, n)
			l.faults = append(l.faults, name)
			add(name, s, &r)
		}
	}
	l.world = newWorld(t, endpoints...)
	return l
}

// run drops so many streams and has so many calls fail.
func (l *load) run(seed uint64, dropped, failures int) {
	var all sync.WaitGroup
	var left, right atomic.Int64
	for client := range clients {
		random := rand.New(rand.NewPCG(seed, uint64(client)))
		all.Go(func() {
			for left.Add(1) <= int64(dropped) {
				l.drop(random)
			}
			for n := right.Add(1); n <= int64(failures); n = right.Add(1) {
				l.fail(random, n)
			}
		})
	}
	all.Wait()
}

var responseID = regexp.MustCompile(`"id":"(resp_[a-z0-9]+)"`)

// drop begins a stream on a connection of its own, reads some of it, and goes: by a close, a reset, or after the end.
func (l *load) drop(random *rand.Rand) {
	conversation, err := l.service.CreateConversation(l.t.Context(), chat.Caller{Owner: chat.DefaultOwner, Actor: "anonymous"}, chat.Conversation{}, nil)
	if err != nil {
		l.t.Error(err)
		return
	}
	conn, err := new(net.Dialer).DialContext(l.t.Context(), "tcp", strings.TrimPrefix(l.url, "http://"))
	if err != nil {
		l.t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if tcp, ok := conn.(*net.TCPConn); ok && random.IntN(2) == 0 {
		_ = tcp.SetLinger(0)
	}
	body := fmt.Sprintf(`{"prompt":"Hello?","model":"%s/model-1","stream":true}`, protocols[random.IntN(len(protocols))].name)
	_, err = fmt.Fprintf(conn, "POST /api/conversations/%s/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", conversation.ID, len(body), body)
	if err != nil {
		l.t.Error(err)
		return
	}
	in := bufio.NewReader(conn)
	for range random.IntN(mostLines) {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if m := responseID.FindStringSubmatch(line); m != nil && strings.Contains(line, `"response.created"`) {
			l.note(m[1])
		}
		if strings.Contains(line, "event: response.completed") {
			return
		}
	}
}

// fail has a provider fail. Each call is to a model of its own, which nothing holds back.
func (l *load) fail(random *rand.Rand, n int64) {
	conversation, err := l.service.CreateConversation(l.t.Context(), chat.Caller{Owner: chat.DefaultOwner, Actor: "anonymous"}, chat.Conversation{}, nil)
	if err != nil {
		l.t.Error(err)
		return
	}
	body := fmt.Sprintf(`{"prompt":"Hello?","model":"%s/model-%d","stream":%t}`, l.faults[random.IntN(len(l.faults))], n, random.IntN(2) == 0)
	req, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, l.url+"/api/conversations/"+conversation.ID+"/responses", strings.NewReader(body))
	if err != nil {
		l.t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := l.client.Do(req)
	if err != nil {
		l.t.Error(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Error(err)
	}
	m := responseID.FindSubmatch(answer)
	if m == nil {
		m = regexp.MustCompile(`"response_id":"(resp_[a-z0-9]+)"`).FindSubmatch(answer)
	}
	if m == nil {
		l.t.Errorf("%s: %d %s", body, resp.StatusCode, answer)
		return
	}
	l.note(string(m[1]))
}

func (l *load) note(id string) {
	l.begun.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = append(l.ids, id)
}

// hangUp ends the connections that are kept open for later.
func (l *load) hangUp() {
	l.client.CloseIdleConnections()
	for _, s := range l.scenes {
		s.transport.CloseIdleConnections()
	}
}

// ended looks whether every response that was begun has ended.
func (l *load) ended() {
	l.t.Helper()
	statuses := map[string]int{}
	for _, id := range l.ids {
		r, err := l.service.Response(context.WithoutCancel(l.t.Context()), chat.DefaultOwner, id)
		if err != nil {
			l.t.Fatal(err)
		}
		statuses[string(r.Status)]++
	}
	l.t.Logf("responses: %v", statuses)
	if n := statuses["completed"] + statuses["failed"]; n != len(l.ids) || n == 0 {
		l.t.Errorf("of %d responses: %v", len(l.ids), statuses)
		for line := range strings.Lines(l.logs.String()) {
			if strings.Contains(line, `"level":"ERROR"`) {
				l.t.Log(line)
			}
		}
	}
}
