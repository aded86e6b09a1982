package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parley-llm/parley/internal/chat"
	"github.com/parley-llm/parley/internal/fault"
)

const (
	requestIDHeader = "X-Request-Id"
	maxRequestID    = 128

	// apiPolicy is the content security policy of everything that is not a page.
	apiPolicy = "default-src 'none'; frame-ancestors 'none'"
)

// ServeHTTP gives every request its id, headers that keep browsers from guessing, its line in the log, its place in the
// metrics, and an answer even where a handler panics.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	x := &exchange{ResponseWriter: w, server: s, head: r.Method == http.MethodHead, unread: r.ContentLength != 0}
	x.caller = chat.Caller{Owner: chat.DefaultOwner, Actor: s.actor(), RequestID: s.requestID(r)}
	ctx := context.WithValue(r.Context(), exchangeKey{}, x)
	r = r.WithContext(ctx)

	h := w.Header()
	h[requestIDHeader] = []string{x.caller.RequestID}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["Cross-Origin-Resource-Policy"] = []string{"same-origin"}
	h["Content-Security-Policy"] = []string{apiPolicy}
	h["Cache-Control"] = []string{"no-store"}

	defer x.linger(r)
	defer s.finish(x, r, began)
	if err := s.guard(x, r); err != nil {
		s.fail(ctx, x, err)
		return
	}
	s.mux.ServeHTTP(x, r)
}

// finish contains a panic and logs the request. It runs deferred.
func (s *server) finish(x *exchange, r *http.Request, began time.Time) {
	panicked := recover()
	if panicked != nil && panicked != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		s.Log.LogAttrs(r.Context(), slog.LevelError, "a handler panicked",
			slog.String("request_id", x.caller.RequestID), slog.String("panic", describe(panicked)), slog.String("stack", string(debug.Stack())))
		if x.status == 0 {
			s.fail(r.Context(), x, fault.New(fault.Internal, "internal", "Something went wrong on our side. The server's log has it under this request's id."))
			panicked = nil
		}
	}
	route, method := routeOf(r), methodOf(r)
	status := x.status
	if status == 0 {
		status = statusClientGone
	}
	duration := time.Since(began)
	s.Metrics.answered(route, method, status, duration)
	level := slog.LevelInfo
	if isProbe(r.URL.Path) {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String("method", method), slog.String("route", route), slog.Int("status", status),
		slog.Float64("duration_ms", float64(duration.Microseconds())/1000), slog.Int64("bytes", x.written),
		slog.String("request_id", x.caller.RequestID),
	}
	if x.code != "" {
		attrs = append(attrs, slog.String("code", x.code))
	}
	s.Log.LogAttrs(r.Context(), level, "request", attrs...)
	if panicked != nil {
		// Half of an answer is out: only breaking the connection off tells the client.
		panic(http.ErrAbortHandler)
	}
}

// describe says what a panic was without any text that may be a caller's.
func describe(panicked any) string {
	if err, ok := panicked.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", panicked)
}

// routeOf is the pattern that a request matched, without its method.
func routeOf(r *http.Request) string {
	if _, route, found := strings.Cut(r.Pattern, " "); found {
		return route
	}
	return "unmatched"
}

// methodOf keeps methods that nobody knows out of logs and metrics.
func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return r.Method
	default:
		return "OTHER"
	}
}

// requestID is the caller's id for the request if it is a sane one, else a new one.
func (s *server) requestID(r *http.Request) string {
	id := r.Header.Get(requestIDHeader)
	if id == "" || len(id) > maxRequestID {
		return s.Service.NewID(chat.PrefixRequest)
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return s.Service.NewID(chat.PrefixRequest)
		}
	}
	return id
}

// guard refuses requests ahead of any route.
func (s *server) guard(x *exchange, r *http.Request) error {
	if err := s.authenticate(x, r); err != nil {
		return err
	}
	// The mux would answer an unclean path by a redirect that repeats it.
	if p := r.URL.EscapedPath(); path.Clean(p) != strings.TrimSuffix(p, "/") && p != "/" {
		return noSuchRoute()
	}
	if !utf8.ValidString(r.URL.Path) || strings.IndexByte(r.URL.Path, 0) >= 0 {
		return noSuchRoute()
	}
	return nil
}

// noRoute answers what no route matches: 405 where another method would, else 404.
func (s *server) noRoute(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r.Context())
	// Neither the log nor the metrics are to show it as the route "/".
	r.Pattern = ""
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := s.mux.Handler(probe); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		s.fail(r.Context(), x, noSuchRoute())
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	s.fail(r.Context(), x, fault.New(fault.Invalid, codeMethodNotAllowed, "This path has other methods: see the Allow header."))
}

func noSuchRoute() error {
	return fault.New(fault.NotFound, codeRouteNotFound, "There is nothing at this path. The documentation is at /docs.")
}
