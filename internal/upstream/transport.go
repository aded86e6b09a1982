package upstream

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
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
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer(nil).DialContext,
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           poolSize,
		MaxIdleConnsPerHost:    poolSize,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		// The transport would ask for compression and hide it; a stream must come as it is sent.
		DisableCompression: true,
		// A connection has one as long as it is open; long bodies pass by it.
		WriteBufferSize: shortRequest,
		// A connection whose other end has vanished is found by pings; otherwise its calls would wait for the first byte.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
}

func dialer(control func(network, address string, c syscall.RawConn) error) *net.Dialer {
	return &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second, Control: control}
}

var errPrivate = errors.New("the address is in a private network, which this provider may not be in")

// sharedSpace is what carriers number their customers with (RFC 6598); netip knows it by no name.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// publicOnly looks at the address that a name has led to, right before it is connected to: a name may lead elsewhere later.
func publicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return errPrivate
	}
	ip := at.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || sharedSpace.Contains(ip) {
		return errPrivate
	}
	return nil
}
