package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/audit"
	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

func TestEveryKindOfFaultHasItsStatus(t *testing.T) {
	for kind, want := range map[fault.Kind]int{
		fault.Internal: 500, fault.Invalid: 422, fault.Unauthenticated: 401, fault.Forbidden: 403, fault.NotFound: 404, fault.Conflict: 409,
		fault.Precondition: 412, fault.TooLarge: 413, fault.RateLimited: 429, fault.Upstream: 502, fault.Timeout: 504, fault.Unavailable: 503, fault.Canceled: 499,
	} {
		if got := statusOf(fault.New(kind, "x", "")); got != want {
			t.Errorf("kind %d: %d, want %d", kind, got, want)
		}
	}
	for code, want := range map[string]int{
		codeMalformed: 400, codeNoBody: 400, codeBodyBroken: 400, codeBodyTimeout: 408, codeMediaType: 415, codeEncoding: 415, codeMethodNotAllowed: 405,
	} {
		if got := statusOf(fault.New(fault.Invalid, code, "")); got != want {
			t.Errorf("%s: %d, want %d", code, got, want)
		}
	}
}

func TestWhatMayBeRetried(t *testing.T) {
	begun := fault.New(fault.Unavailable, "interrupted", "")
	begun.ResponseID = "resp_1"
	for _, test := range []struct {
		fault *fault.Error
		want  string
	}{
		{chat.Locked(), "true"},
		{fault.New(fault.Unavailable, "draining", ""), "true"},
		{fault.New(fault.RateLimited, "x", ""), "true"},
		{fault.New(fault.Conflict, "duplicate_id", ""), "false"},
		{fault.New(fault.Internal, "internal", ""), "false"},
		{fault.New(fault.Invalid, "x", ""), "false"},
		{begun, "false"},
	} {
		p := problem{fault: test.fault, status: statusOf(test.fault)}
		if got := p.GetHeaders().Get("X-Should-Retry"); got != test.want {
			t.Errorf("%s: %s", test.fault.Code, got)
		}
	}
	locked := chat.Locked()
	h := (&problem{fault: locked}).GetHeaders()
	if h.Get("Retry-After-Ms") != "500" || h.Get("Retry-After") != "1" {
		t.Errorf("%v", h)
	}
}

// bare is a server without a core, for what does not reach it.
func bare(t *testing.T) (*server, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	s, ok := New(Config{
		Service: &chat.Service{NewID: chat.NewID(time.Now), Now: time.Now},
		Log:     slog.New(slog.NewJSONHandler(&log, nil)),
	}).(*server)
	if !ok {
		t.Fatal("New returns something else")
	}
	return s, &log
}

func TestAPanicIsOneFailedRequest(t *testing.T) {
	s, log := bare(t)
	s.mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("the user's canary") })
	s.mux.HandleFunc("GET /index", func(http.ResponseWriter, *http.Request) {
		var none []int
		_ = none[len(s.keyHash)]
	})
	s.mux.HandleFunc("GET /half", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half of it")
		_ = exchangeOf(r.Context()).flush()
		panic("canary")
	})
	s.mux.HandleFunc("GET /abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	ts := httptest.NewServer(s)
	defer ts.Close()
	for _, path := range []string{"/panic", "/index"} {
		resp := get(t, ts, path)
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusInternalServerError || resp.Header.Get("Content-Type") != problemType {
			t.Errorf("%s: %d %s %v", path, resp.StatusCode, body, err)
		}
		if strings.Contains(string(body), "canary") {
			t.Errorf("%s", body)
		}
	}
	resp := get(t, ts, "/half")
	_, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err == nil {
		t.Error("half of an answer looks whole")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ts.URL+"/abort", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := ts.Client().Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("an aborted handler answered")
	}
	ts.Close()
	text := log.String()
	if strings.Contains(text, "canary") {
		t.Errorf("the log quotes a panic: %s", text)
	}
	if strings.Count(text, "a handler panicked") != 3 || !strings.Contains(text, "index out of range") || !strings.Contains(text, `"panic":"string"`) {
		t.Errorf("the log: %s", text)
	}
}

func get(t *testing.T, ts *httptest.Server, path string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ts.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := ts.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestInternalErrorsGoToTheLogAlone(t *testing.T) {
	s, log := bare(t)
	rec := httptest.NewRecorder()
	x := &exchange{ResponseWriter: rec, server: s, caller: chat.Caller{RequestID: "req_1"}}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	s.fail(r.Context(), x, errors.New("disk sector 7"))
	if strings.Contains(rec.Body.String(), "sector") || rec.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if !strings.Contains(log.String(), "sector 7") || !strings.Contains(log.String(), "req_1") {
		t.Errorf("the log: %s", log)
	}
}

// slowWriter is a connection whose deadlines are seen.
type slowWriter struct {
	http.ResponseWriter
	deadlines []time.Time
	pieces    []int
	fail      bool
}

func (w *slowWriter) SetWriteDeadline(t time.Time) error {
	w.deadlines = append(w.deadlines, t)
	return nil
}

func (w *slowWriter) Write(p []byte) (int, error) {
	if w.fail {
		return 0, errors.New("the client reads nothing")
	}
	w.pieces = append(w.pieces, len(p))
	return len(p), nil
}

func TestWritesHaveDeadlines(t *testing.T) {
	w := &slowWriter{ResponseWriter: httptest.NewRecorder()}
	x := &exchange{ResponseWriter: w}
	n, err := x.Write(make([]byte, 2*writePiece+1))
	if n != 2*writePiece+1 || err != nil || len(w.pieces) != 3 || x.written != int64(n) || x.status != http.StatusOK {
		t.Errorf("%d %v %v %d", n, err, w.pieces, x.written)
	}
	if len(w.deadlines) != 1 || time.Until(w.deadlines[0]) > writeTimeout || time.Until(w.deadlines[0]) < writeTimeout/2 {
		t.Errorf("%v", w.deadlines)
	}
	w.fail = true
	if n, err := x.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("%d %v", n, err)
	}
}

// timeout is a body that never comes.
type timeout struct{}

func (timeout) Read([]byte) (int, error) { return 0, &net.OpError{Op: "read", Err: timeoutError{}} }
func (timeout) Close() error             { return nil }

type timeoutError struct{}

func (timeoutError) Error() string   { return "too slow" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// broken is a body that ends in the middle.
type broken struct{ timeout }

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestBodiesThatDoNotArrive(t *testing.T) {
	s, _ := bare(t)
	for _, test := range []struct {
		body io.ReadCloser
		want int
		code string
	}{
		{timeout{}, http.StatusRequestTimeout, codeBodyTimeout},
		{broken{}, http.StatusBadRequest, codeBodyBroken},
	} {
		rec := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/conversations", test.body)
		r.Host = "localhost"
		s.ServeHTTP(rec, r)
		var p struct{ Code string }
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || rec.Code != test.want || p.Code != test.code {
			t.Errorf("%d %s %v", rec.Code, rec.Body, err)
		}
	}
}

// readDeadlines is a connection whose read deadlines are seen.
type readDeadlines struct {
	http.ResponseWriter
	seen []time.Time
}

func (w *readDeadlines) SetReadDeadline(t time.Time) error {
	w.seen = append(w.seen, t)
	return nil
}

func TestABodyHasADeadlineAndAnAnswerHasNone(t *testing.T) {
	s, _ := bare(t)
	w := &readDeadlines{ResponseWriter: httptest.NewRecorder()}
	x := &exchange{ResponseWriter: w}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/conversations", strings.NewReader("{}"))
	if body, err := s.receive(x, r); err != nil || string(body) != "{}" {
		t.Errorf("%s %v", body, err)
	}
	if len(w.seen) != 2 || time.Until(w.seen[0]) < bodyTimeout/2 || time.Until(w.seen[0]) > bodyTimeout || !w.seen[1].IsZero() {
		t.Errorf("%v", w.seen)
	}
}

func TestABodyTooLargeIsNotAskedFor(t *testing.T) {
	s, _ := bare(t)
	rec := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/conversations", timeout{})
	r.Host, r.ContentLength = "localhost", DefaultMaxBody+1
	r.Header.Set("Expect", "100-continue")
	s.ServeHTTP(rec, r)
	if rec.Code != http.StatusRequestEntityTooLarge || rec.Header().Get("Connection") != "close" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestFailedAuthenticationsAreAuditedOnceAMinute(t *testing.T) {
	var a authFailures
	start := time.Unix(1700000000, 0)
	for _, test := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {time.Second, false}, {59 * time.Second, false}, {time.Minute, true}, {61 * time.Second, false}, {3 * time.Minute, true}} {
		if got := a.due(start.Add(test.after)); got != test.want {
			t.Errorf("after %v: %v", test.after, got)
		}
	}
}

// deafLog is an audit log that cannot be written.
type deafLog struct{ audit.Log }

func (deafLog) Append(context.Context, ...audit.Record) error { return errors.New("no disk") }

func TestAnAuditThatFailsDoesNotOpenTheDoor(t *testing.T) {
	s, log := bare(t)
	s.APIKey, s.Service.Audit = "secret", deafLog{}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/conversations", nil))
	if rec.Code != http.StatusUnauthorized || !strings.Contains(log.String(), "could not be audited") {
		t.Errorf("%d %s", rec.Code, log)
	}
}

func TestRequestIDs(t *testing.T) {
	s, _ := bare(t)
	for id, kept := range map[string]bool{
		"": false, "abc-DEF_1.2": true, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false, "a b": false, "a\u00e9": false, "a/b": false, "<a>": false,
	} {
		rec := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/livez", nil)
		r.Header.Set("X-Request-Id", id)
		s.ServeHTTP(rec, r)
		got := rec.Header().Get("X-Request-Id")
		if (got == id) != kept || !kept && !strings.HasPrefix(got, "req_") {
			t.Errorf("%q: %q", id, got)
		}
	}
}

func TestCursorsOfConversations(t *testing.T) {
	c := chat.Conversation{ID: "conv_1", UpdatedAt: time.UnixMilli(1700000000123).UTC()}
	id, activity := parseCursor(cursorOf(&c))
	if id != c.ID || !activity.Equal(c.UpdatedAt) {
		t.Errorf("%s %v", id, activity)
	}
	for _, plain := range []string{"", "conv_1", "eA", "MTIz", "Li4", "eC5jb252XzE"} {
		if id, activity := parseCursor(plain); id != plain || !activity.IsZero() {
			t.Errorf("%q: %q %v", plain, id, activity)
		}
	}
}

func TestHostnames(t *testing.T) {
	for host, want := range map[string]string{
		"localhost": "localhost", "LocalHost:8000": "localhost", "example.org.": "example.org", "[::1]:80": "::1", "[::1]": "::1", "::1": "::1",
		":80": "", "": "", "127.0.0.1:1": "127.0.0.1", "[fe80::1%25eth0]:80": "fe80::1%25eth0",
	} {
		if got := hostname(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}
