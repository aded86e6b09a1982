package upstream

import (
	"net"
	"net/http"
	"time"
)

const (
	connectTimeout = 5 * time.Second
	// poolSize is as many connections as are kept open; it is the number of calls that run at once by default.
	poolSize = 256
)

// NewTransport makes the transport of a Client: it honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY, trusts the system's
// certificate authorities (and SSL_CERT_FILE), gives up connecting and TLS after 5 seconds each, and keeps connections open.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           poolSize,
		MaxIdleConnsPerHost:    poolSize,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		// The transport would ask for compression and hide it; a stream must come as it is sent.
		DisableCompression: true,
		// A connection whose other end has vanished is found by pings; otherwise its calls would wait for the first byte.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
}
