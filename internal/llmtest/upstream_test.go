package llmtest

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// get asks the upstream on a connection of its own and returns the raw answer with how it ended.
func get(t *testing.T, u *Upstream, request string) (string, error) {
	t.Helper()
	conn := connect(t, u)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func connect(t *testing.T, u *Upstream) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(u.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(waitLimit)); err != nil {
		t.Fatal(err)
	}
	return conn
}

const plainGet = "GET /x?y=1 HTTP/1.1\r\nHost: h\r\n\r\n"

func TestAnUpstreamSaysWhatItsScriptSays(t *testing.T) {
	for _, tc := range []struct {
		name, script, want string
		err                error
	}{
		{name: "to the end of the connection", script: "HTTP/1.1 200 OK\nX: y\n\none\n\ntwo\n", want: "HTTP/1.1 200 OK\r\nX: y\r\n\r\none\n\ntwo\n"},
		{name: "in chunks", script: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\ndata: 1\n\ndata: 2\n\n%% close", want: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n"},
		{name: "with a length that it counts", script: "HTTP/1.1 200 OK\ncontent-length: auto\n\n{}\n%% close", want: "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{}\n"},
		{name: "with a length that is wrong", script: "HTTP/1.1 200 OK\nContent-Length: 99\n\n{}\n%% close", want: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}\n"},
		{name: "nothing but a reset", script: "%% reset", err: syscall.ECONNRESET},
		{name: "in chunks, and then raw", script: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\none\n\n%% raw\ntwo\n", want: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\none\n\n\r\ntwo\n"},
		{name: "after a pause", script: "HTTP/1.1 200 OK\n\none\n%% pause 1ms\ntwo\n", want: "HTTP/1.1 200 OK\r\n\r\none\ntwo\n"},
		{name: "a lump", script: "HTTP/1.1 200 OK\n\na\n%% fill 3\nb\n", want: "HTTP/1.1 200 OK\r\n\r\na\nxxxb\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := NewUpstream(t)
			u.Answer(tc.script)
			got, err := get(t, u, plainGet)
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%q, %v; want %q, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestAnUpstreamKeepsItsConnectionsAndItsOrder(t *testing.T) {
	u := NewUpstream(t)
	const script = "HTTP/1.1 200 OK\nContent-Length: auto\n\n"
	u.Answer(script+"one", script+"two")
	u.Always("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nmore\n")
	conn := connect(t, u)
	in := bufio.NewReader(conn)
	for i, want := range []string{"one", "two", "more\n", "more\n"} {
		if _, err := io.WriteString(conn, "POST /v1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nX-I: "+string(rune('0'+i))+"\r\n\r\n{}"); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if string(body) != want || err != nil {
			t.Errorf("answer %d: %q, %v", i, body, err)
		}
	}
	requests := u.Requests()
	if u.Connections() != 1 || len(requests) != 4 {
		t.Fatalf("%d connections, %d requests", u.Connections(), len(requests))
	}
	if r := requests[3]; r.Method != "POST" || r.Target != "/v1" || string(r.Body) != "{}" || r.Header.Get("X-I") != "3" {
		t.Errorf("received %+v", r)
	}
}

func TestAnUpstreamWaitsAndSeesItsClientsGo(t *testing.T) {
	u := NewUpstream(t)
	u.Always("HTTP/1.1 200 OK\n\n%% hold\nheld\n%% stall")
	conn := connect(t, u)
	if _, err := io.WriteString(conn, plainGet); err != nil {
		t.Fatal(err)
	}
	wait(t, "the request", u.Arrived)
	u.Release()
	u.Release()
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "held\n" {
			break
		}
	}
	_ = conn.Close()
	wait(t, "the client to go", u.Gone)
}

func TestAnUpstreamRepeatsItselfUntilItsClientGoes(t *testing.T) {
	for _, pause := range []string{"0s", "1ms"} {
		u := NewUpstream(t)
		u.Answer("HTTP/1.1 200 OK\n\n%% repeat " + pause + "\na\n\nb\n\n")
		conn := connect(t, u)
		if _, err := io.WriteString(conn, plainGet); err != nil {
			t.Fatal(err)
		}
		const want = "HTTP/1.1 200 OK\r\n\r\na\n\nb\n\na\n\n"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
		_ = conn.Close()
		wait(t, "the client to go", u.Gone)
	}
}

func TestABombUnpacksToItsSize(t *testing.T) {
	u := NewUpstream(t)
	u.Answer("HTTP/1.1 200 OK\n\n%% bomb 3MiB")
	got, err := get(t, u, plainGet)
	_, packed, _ := strings.Cut(got, "\r\n\r\n")
	if err != nil || len(packed) > 64<<10 {
		t.Fatalf("%d bytes, %v", len(packed), err)
	}
	zip, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, zip); n != 3<<20 || err != nil {
		t.Errorf("unpacks to %d bytes, %v", n, err)
	}
}

func TestScriptsAreChecked(t *testing.T) {
	for _, script := range []string{"%%", "%% explode", "%% repeat often", "%% pause a while", "%% fill much"} {
		if _, err := parseScript(script); err == nil {
			t.Errorf("%q passed", script)
		}
	}
}

// complaints is a testing.TB that only counts.
type complaints struct {
	testing.TB
	n int
}

func (c *complaints) Helper()               {}
func (c *complaints) Errorf(string, ...any) { c.n++ }

// told is a provider that says what it is told to.
type told []any

func (told) Encode(*llm.Request) ([]byte, error)         { return nil, nil }
func (told) Models(context.Context) ([]llm.Model, error) { return nil, nil }
func (p told) Generate(context.Context, *llm.Call) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		for _, what := range p {
			ev, _ := what.(llm.Event)
			err, _ := what.(error)
			if !yield(ev, err) {
				return
			}
		}
	}
}

func TestCollectKnowsTheOrderOfEvents(t *testing.T) {
	failed := &llm.Error{Fault: fault.New(fault.Upstream, "upstream_failed", "It failed.")}
	start, text, end := llm.Started{}, llm.TextDelta{Text: "a"}, llm.Finished{}
	call := llm.ToolCallStarted{Index: 0, CallID: "c", Name: "f"}
	for name, tc := range map[string]struct {
		events told
		wrong  bool
	}{
		"an answer":                      {told{start, text, text, end}, false},
		"a call":                         {told{start, call, llm.ToolCallDelta{Arguments: "{}"}, end}, false},
		"a failure":                      {told{failed}, false},
		"a failure on the way":           {told{start, text, failed}, false},
		"no end":                         {told{start, text}, true},
		"nothing":                        {told{}, true},
		"no start":                       {told{text, end}, true},
		"two starts":                     {told{start, start, end}, true},
		"two ends":                       {told{start, end, end}, true},
		"more behind an error":           {told{start, failed, text}, true},
		"an error of another type":       {told{start, io.EOF}, true},
		"an error without a fault":       {told{start, &llm.Error{}}, true},
		"an empty text":                  {told{start, llm.TextDelta{}, end}, true},
		"an empty refusal":               {told{start, llm.RefusalDelta{}, end}, true},
		"an empty reasoning":             {told{start, llm.ReasoningDelta{}, end}, true},
		"encrypted reasoning":            {told{start, llm.ReasoningEncrypted{Content: "x"}, end}, false},
		"nothing encrypted":              {told{start, llm.ReasoningEncrypted{}, end}, true},
		"empty arguments":                {told{start, call, llm.ToolCallDelta{}, end}, true},
		"arguments without a call":       {told{start, llm.ToolCallDelta{Arguments: "{}"}, end}, true},
		"a call without a name":          {told{start, llm.ToolCallStarted{CallID: "c"}, end}, true},
		"a call with the wrong index":    {told{start, call, call, end}, true},
		"a call with an index too great": {told{start, call, llm.ToolCallDelta{Index: 1, Arguments: "{}"}, end}, true},
	} {
		tb := &complaints{TB: t}
		Collect(t.Context(), tb, tc.events, &llm.Call{})
		if (tb.n > 0) != tc.wrong {
			t.Errorf("%s: %d complaints", name, tb.n)
		}
	}
}
