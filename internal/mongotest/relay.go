package mongotest

import (
	"context"
	"io"
	"net"
	"net/url"
	"testing"
)

// Relay stands before the server at uri until the test ends and returns the URI by which clients go through it. up passes on what a client says, and
// down what the server does, until there is no more; nil copies it as it is. A Proxy, unlike it, knows what is said.
func Relay(t testing.TB, uri string, up, down func(to io.Writer, from io.Reader)) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	server := u.Host
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go relay(client, server, up, down)
		}
	}()
	// Direct, or the driver would go to the address by which the replica set knows itself.
	u.Host, u.RawQuery = listener.Addr().String(), "directConnection=true"
	return u.String()
}

func relay(client net.Conn, address string, up, down func(to io.Writer, from io.Reader)) {
	defer func() { _ = client.Close() }()
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		pass(server, client, up)
		_ = server.Close()
	}()
	pass(client, server, down)
}

func pass(to io.Writer, from io.Reader, how func(to io.Writer, from io.Reader)) {
	if how == nil {
		_, _ = io.Copy(to, from)
		return
	}
	how(to, from)
}
