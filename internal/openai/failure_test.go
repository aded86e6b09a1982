package openai

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/llmtest"
	"github.com/parley-llm/parley/internal/upstream"
)

func TestStatusesAndProblems(t *testing.T) {
	for _, tc := range []struct {
		status    int
		body      string
		kind      fault.Kind
		code      string
		retryable bool
		message   string
	}{
		{400, `{"error":{"message":"secret","code":"invalid_value","param":"messages[0].content"}}`, fault.Invalid, "upstream_rejected", false, "(code invalid_value, param messages[0].content)"},
		{400, `{"error":{"message":"secret","code":"the secret value","param":"<secret>"}}`, fault.Invalid, "upstream_rejected", false, "rejected the request."},
		{400, `{"error":{"message":"secret","code":"` + strings.Repeat("s", 65) + `"}}`, fault.Invalid, "upstream_rejected", false, "rejected the request."},
		{400, `{"error":{"code":400,"message":"secret"}}`, fault.Invalid, "upstream_rejected", false, "(code 400)"},
		{400, `{"error":{"code":"context_length_exceeded"}}`, fault.Invalid, "context_length_exceeded", false, ""},
		{400, `{"error":"This model's Maximum Context Length is 4096 tokens"}`, fault.Invalid, "context_length_exceeded", false, ""},
		{400, `{"error":"max_tokens is too large: 99999"}`, fault.Invalid, "upstream_rejected", false, ""},
		{413, `<html>`, fault.Invalid, "context_length_exceeded", false, ""},
		{401, ``, fault.Upstream, "upstream_auth", false, ""},
		{403, ``, fault.Upstream, "upstream_auth", false, ""},
		{404, ``, fault.NotFound, "model_not_found", false, ""},
		{408, ``, fault.Timeout, "upstream_timeout", true, ""},
		{429, ``, fault.RateLimited, "upstream_rate_limited", true, ""},
		{429, `{"error":{"code":"insufficient_quota"}}`, fault.RateLimited, "upstream_rate_limited", false, ""},
		{429, `{"error":{"type":"insufficient_quota"}}`, fault.RateLimited, "upstream_rate_limited", false, ""},
		{429, `{"error":{"type":"rate_limit_error","details":{"error_code":"enforced_spend_limit_reached"}}}`, fault.RateLimited, "upstream_rate_limited", false, "quota"},
		{402, `{"error":{"type":"billing_error"}}`, fault.RateLimited, "upstream_rate_limited", false, "quota"},
		{400, `{"error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. secret"}}`, fault.RateLimited, "upstream_rate_limited", false, "quota"},
		{402, ``, fault.Upstream, "upstream_failed", false, "402"},
		{422, ``, fault.Upstream, "upstream_failed", false, "422"},
		{301, ``, fault.Upstream, "upstream_failed", false, "redirect"},
		{101, ``, fault.Upstream, "upstream_failed", false, ""},
		{500, ``, fault.Upstream, "upstream_failed", true, "500"},
		{502, ``, fault.Upstream, "upstream_failed", true, ""},
		{529, ``, fault.Upstream, "upstream_failed", true, ""},
	} {
		c := fakeClient(t, "http://127.0.0.1:1/v1", func(*http.Request) (*http.Response, error) {
			return response(tc.status, "application/json", strings.NewReader(tc.body)), nil
		})
		a := llmtest.Collect(t.Context(), t, c, &llm.Call{})
		if a.Err == nil || a.Err.Fault.Kind != tc.kind || a.Err.Fault.Code != tc.code || a.Err.Retryable != tc.retryable || a.Err.HTTPStatus != tc.status {
			t.Errorf("%d %s: got %+v", tc.status, tc.body, a.Err)
			continue
		}
		if m := a.Err.Fault.Message; !strings.Contains(m, tc.message) || strings.Contains(a.Err.Error(), "secret") {
			t.Errorf("%d %s: says %q, %v", tc.status, tc.body, m, a.Err)
		}
	}
}

// timeout is an error as a dialler or a resolver returns it.
type timeout struct{}

func (timeout) Error() string   { return "i/o timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

func TestServersThatCannotBeReached(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, tc := range []struct {
		name               string
		err                error
		connected          bool
		kind               fault.Kind
		code               string
		retryable, notSent bool
	}{
		{"an unknown name", dial(&net.DNSError{Err: "no such host", IsNotFound: true}), false, fault.Upstream, "upstream_failed", true, true},
		{"a resolver that is silent", dial(&net.DNSError{Err: "timeout", IsTimeout: true}), false, fault.Timeout, "upstream_timeout", false, true},
		{"a connection refused", dial(syscall.ECONNREFUSED), false, fault.Upstream, "upstream_failed", true, true},
		{"a connection that hangs", dial(timeout{}), false, fault.Timeout, "upstream_timeout", false, true},
		{"a bad certificate", fmt.Errorf("tls: %w", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), false, fault.Upstream, "upstream_failed", false, true},
		{"a wrong host", &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}}, false, fault.Upstream, "upstream_failed", false, true},
		{"a reset after the request", syscall.ECONNRESET, true, fault.Upstream, "upstream_failed", true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := fakeClient(t, "http://127.0.0.1:1/v1", func(r *http.Request) (*http.Response, error) {
				if tc.connected {
					httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
				}
				return nil, tc.err
			})
			a := llmtest.Collect(t.Context(), t, c, &llm.Call{})
			e := a.Err
			if e == nil || e.Fault.Kind != tc.kind || e.Fault.Code != tc.code || e.Retryable != tc.retryable || e.NotSent != tc.notSent || !errors.Is(e, tc.err) {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, hello)
		w.(http.Flusher).Flush()
		if r.ProtoMajor == 2 {
			_, _ = fmt.Fprint(w, stop+done)
		}
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := func(trusting bool) *http.Transport {
		tr := upstream.NewTransport()
		if trusting {
			tr.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
			tr.TLSClientConfig.RootCAs.AddCert(server.Certificate())
		}
		t.Cleanup(tr.CloseIdleConnections)
		return tr
	}
	call := func(tr *http.Transport, base string) llmtest.Answer {
		c, err := New(upstream.Config{BaseURL: base, Transport: tr})
		if err != nil {
			t.Fatal(err)
		}
		return llmtest.Collect(t.Context(), t, c, &llm.Call{Stream: true, Body: []byte(`{}`)})
	}

	if a := call(transport(true), server.URL); a.Text != "Hello" || a.Err != nil {
		t.Errorf("HTTP/2 with a trusted certificate: %q, %v", a.Text, a.Err)
	}
	if a := call(transport(false), server.URL); a.Err == nil || !a.Err.NotSent || a.Err.Retryable || !strings.Contains(a.Err.Fault.Message, "certificate") {
		t.Errorf("a certificate that is not trusted: %+v", a.Err)
	}
	wrongHost := transport(true)
	wrongHost.TLSClientConfig.ServerName = "other.example.org"
	if a := call(wrongHost, server.URL); a.Err == nil || !a.Err.NotSent || a.Err.Retryable || !strings.Contains(a.Err.Fault.Message, "certificate") {
		t.Errorf("a certificate for another host: %+v", a.Err)
	}
}

func TestATLSHandshakeThatStalls(t *testing.T) {
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	tr := upstream.NewTransport()
	tr.TLSHandshakeTimeout = 50 * time.Millisecond
	c, err := New(upstream.Config{BaseURL: "https://" + silent.Addr().String(), Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	a := llmtest.Collect(t.Context(), t, c, &llm.Call{Body: []byte(`{}`)})
	if a.Err == nil || a.Err.Fault.Code != "upstream_timeout" || !a.Err.NotSent || a.Err.Retryable {
		t.Errorf("got %+v", a.Err)
	}
}
