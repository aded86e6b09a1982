package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// newProxy is the yardstick: the least that a program between a client and a model can do. It reads the request's body
// before it forwards (a reverse proxy that does not truncates about one stream in a hundred, golang/go#40747), flushes every
// write and reuses its copy buffers: without that it costs a third more, which would flatter whatever is compared with it.
func newProxy(upstream *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		FlushInterval: -1,
		BufferPool:    &buffers{},
		Transport: &http.Transport{
			MaxIdleConns:        2048,
			MaxIdleConnsPerHost: 2048,
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true,
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "cannot read the body", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
		proxy.ServeHTTP(w, r)
	})
}

// buffers lends copy buffers of the size that the proxy would allocate for each answer.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[32 << 10]byte); ok {
		return buffer[:]
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buffer []byte) { b.pool.Put((*[32 << 10]byte)(buffer)) }

func runProxy(ctx context.Context, stdin io.Reader, stdout io.Writer, upstream string) error {
	target, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	return serveChild(ctx, stdin, stdout, newProxy(target))
}
