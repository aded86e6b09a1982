package openai

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
	"github.com/parley-llm/parley/internal/llmtest"
	"github.com/parley-llm/parley/internal/upstream"
)

// spoken is a body that is said piece by piece, each after a pause, and then ends or falls silent. As with a real
// transport, its request's context breaks it off.
func spoken(ctx context.Context, silent bool, pieces ...any) io.Reader {
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = w.CloseWithError(context.Cause(ctx)) })
	go func() {
		for _, p := range pieces {
			switch p := p.(type) {
			case time.Duration:
				select {
				case <-time.After(p):
				case <-ctx.Done():
					return
				}
			case string:
				_, _ = io.WriteString(w, p)
			}
		}
		if !silent {
			_ = w.Close()
		}
	}()
	return r
}

// speak generates from a body that is spoken, and says how long that took.
func speak(t *testing.T, ctx context.Context, silent bool, pieces ...any) (llmtest.Answer, time.Duration) { //nolint:revive // t comes first in a test's helper
	t.Helper()
	c := fakeClient(t, "http://127.0.0.1:1/v1", func(r *http.Request) (*http.Response, error) {
		return response(200, "text/event-stream", spoken(r.Context(), silent, pieces...)), nil
	})
	c.http.FirstByte, c.http.Idle = 60*time.Second, 20*time.Second
	began := time.Now()
	a := llmtest.Collect(ctx, t, c, &llm.Call{Stream: true})
	return a, time.Since(began)
}

func TestTimeLimits(t *testing.T) {
	const s = time.Second
	for _, tc := range []struct {
		name   string
		pieces []any
		silent bool
		code   string
		text   string
		took   time.Duration
	}{
		{"the first byte may take long", []any{59 * s, hello + stop + done}, false, "", "Hello", 59 * s},
		{"but not for ever", []any{61 * s, hello + stop + done}, false, "upstream_timeout", "", 60 * s},
		{"silence is bounded", []any{hello, 21 * s, stop + done}, false, "upstream_timeout", "Hello", 20 * s},
		{"a comment breaks it", []any{hello, 15 * s, ": alive\n\n", 15 * s, ":", 15 * s, "\n" + stop + done}, false, "", "Hello", 45 * s},
		{"the end may fail to come", []any{hello + stop}, true, "", "Hello", 10 * s},
		{"the end may drip", []any{hello + stop, 6 * s, ": a\n\n", 6 * s, usage3 + done}, false, "", "Hello", 10 * s},
		{"the end may be late", []any{hello + stop, 9 * s, usage3 + done}, false, "", "Hello", 9 * s},
		{"nobody waits for the connection behind the end", []any{hello + stop + done}, true, "", "Hello", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, took := speak(t, t.Context(), tc.silent, tc.pieces...)
				if tc.code == "" && a.Err != nil || tc.code != "" && (a.Err == nil || a.Err.Fault.Code != tc.code || a.Err.Fault.Kind != fault.Timeout || a.Err.Retryable) {
					t.Errorf("got %v", a.Err)
				}
				if a.Text != tc.text || took != tc.took {
					t.Errorf("text %q after %v, want %q after %v", a.Text, took, tc.text, tc.took)
				}
			})
		})
	}
}

func TestOnlyWaitingForTheProviderCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakeClient(t, "http://127.0.0.1:1/v1", func(r *http.Request) (*http.Response, error) {
			return response(200, "text/event-stream", spoken(r.Context(), false, hello, time.Second, hello, time.Second, hello, time.Second, stop+done)), nil
		})
		c.http.Idle = 20 * time.Second
		for _, err := range c.Generate(t.Context(), &llm.Call{Stream: true}) {
			if err != nil {
				t.Fatal(err)
			}
			// A reader that is slow, as when a disk is.
			time.Sleep(time.Minute)
		}
	})
}

func TestTheCallersContext(t *testing.T) {
	left := errors.New("the user has left")
	for name, tc := range map[string]struct {
		end   func(context.Context) (context.Context, context.CancelFunc)
		kind  fault.Kind
		code  string
		cause error
	}{
		"cancelled with a cause": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(5*time.Second, func() { cancel(left) })
			return ctx, func() { cancel(nil) }
		}, fault.Canceled, "canceled", left},
		"a deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 5*time.Second)
		}, fault.Timeout, "upstream_timeout", context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := tc.end(t.Context())
				defer cancel()
				a, took := speak(t, ctx, true, hello)
				if a.Err == nil || a.Err.Fault.Kind != tc.kind || a.Err.Fault.Code != tc.code || !errors.Is(a.Err, tc.cause) || took != 5*time.Second {
					t.Errorf("after %v got %+v", took, a.Err)
				}
			})
		})
	}
}

func TestTheBodyOfAnErrorIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakeClient(t, "http://127.0.0.1:1/v1", func(r *http.Request) (*http.Response, error) {
			return response(429, "application/json", spoken(r.Context(), true, `{"error":`)), nil
		})
		began := time.Now()
		a := llmtest.Collect(t.Context(), t, c, &llm.Call{Stream: true})
		if a.Err == nil || a.Err.Fault.Code != "upstream_rate_limited" || time.Since(began) != upstream.ProblemTimeout {
			t.Errorf("after %v got %+v", time.Since(began), a.Err)
		}
	})
}

// watched is a body that remembers whether its end was read, and that it was closed.
type watched struct {
	io.Reader
	ended, closed bool
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.ended = w.ended || errors.Is(err, io.EOF)
	return n, err
}

func (w *watched) Close() error {
	w.closed = true
	return nil
}

func TestTheConnectionOfACompleteAnswerIsKeptIfItsEndComesSoon(t *testing.T) {
	for name, tc := range map[string]struct {
		stream string
		late   time.Duration
		kept   bool
	}{
		"soon":                          {hello + stop + done, upstream.DrainTimeout / 2, true},
		"not soon":                      {hello + stop + done, 2 * upstream.DrainTimeout, false},
		"of an answer not complete":     {hello + done, upstream.DrainTimeout / 2, false},
		"of an answer with much behind": {hello + stop + done + string(make([]byte, 2*upstream.MaxDrain)), upstream.DrainTimeout / 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var body *watched
				c := fakeClient(t, "http://127.0.0.1:1/v1", func(r *http.Request) (*http.Response, error) {
					body = &watched{Reader: spoken(r.Context(), false, tc.stream, tc.late)}
					res := response(200, "text/event-stream", nil)
					res.Body = body
					return res, nil
				})
				llmtest.Collect(t.Context(), t, c, &llm.Call{Stream: true})
				time.Sleep(3 * upstream.DrainTimeout)
				synctest.Wait()
				if body.ended != tc.kept || !body.closed {
					t.Errorf("read to its end: %v, closed: %v", body.ended, body.closed)
				}
			})
		})
	}
}
