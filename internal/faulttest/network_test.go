package faulttest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// listen accepts connections and hands each to serve, which owns it for as long as the test runs.
func listen(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			running.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return listener.Addr().String()
}

// silentTLS accepts connections and says nothing, so that the handshake stalls.
func silentTLS(s *scene) {
	var hellos atomic.Int64
	s.host = listen(s.t, func(conn net.Conn) {
		one := make([]byte, 1)
		if n, _ := conn.Read(one); n > 0 {
			hellos.Add(1)
		}
	})
	s.transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	s.fired = func() int { return int(hellos.Load()) }
}

// certified is a server with a certificate for name. trusted: the client knows who signed it.
func certified(s *scene, name string, trusted bool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses, template.DNSNames = []net.IP{ip}, nil
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if trusted {
		roots.AddCert(leaf)
	}
	s.transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	var refused atomic.Int64
	s.host = listen(s.t, func(conn net.Conn) {
		// A client that likes the certificate goes on with a request, and then the reading succeeds.
		c := tls.Server(conn, server)
		if _, err := c.Read(make([]byte, 1)); err != nil && strings.Contains(err.Error(), "certificate") {
			refused.Add(1)
		}
		_ = c.Close()
	})
	s.fired = func() int { return int(refused.Load()) }
}

// nameServer answers that no name exists, but for those that begin with "silent", to which it says nothing.
type nameServer struct {
	conn  net.PacketConn
	names atomic.Int64

	mu      sync.Mutex
	queries map[string]int
}

func newNameServer(t testing.TB) *nameServer {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameServer{conn: conn, queries: map[string]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.serve()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return n
}

func (n *nameServer) serve() {
	const header, flags, counts = 12, 2, 8
	buf := make([]byte, 512)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		name, end := question(buf[:size], header)
		n.mu.Lock()
		n.queries[name]++
		n.mu.Unlock()
		if strings.HasPrefix(name, "silent") {
			continue
		}
		// It is an answer, with recursion, of which the code is NXDOMAIN; nothing but the question stands in it.
		answer := append([]byte{}, buf[:end]...)
		answer[flags], answer[flags+1] = 0x81, 0x83
		clear(answer[counts-2 : header])
		_, _ = n.conn.WriteTo(answer, from)
	}
}

// question reads the name that is asked for, up to its first dot, and where the question ends.
func question(b []byte, at int) (first string, end int) {
	const typeAndClass = 4
	for at < len(b) && b[at] != 0 {
		label := string(b[at+1 : at+1+int(b[at])])
		if first == "" {
			first = label
		}
		at += 1 + len(label)
	}
	return first, at + 1 + typeAndClass
}

func (n *nameServer) asked(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.queries[name]
}

// named has the scene's host be a name that the name server is asked for. Each scene has its own: those who ask for the same one share
// the answer.
func (n *nameServer) named(s *scene, kind string) {
	name := fmt.Sprintf("%s-%d", kind, n.names.Add(1))
	s.host = name + ".invalid"
	s.fired = func() int {
		if n.asked(name) == 0 {
			return 0
		}
		return int(s.dials.Load())
	}
}

// resolver is the process's as long as it runs: a lookup outlives the call that gave it up, so there is no moment at which
// net.DefaultResolver could be put back. It asks the name server in use, or the system's.
func resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if n := nameServerInUse.Load(); n != nil {
			network, address = "udp", n.conn.LocalAddr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
}

var nameServerInUse atomic.Pointer[nameServer]

// use makes the process ask this server for every name until the test has ended.
func (n *nameServer) use(t testing.TB) {
	nameServerInUse.Store(n)
	t.Cleanup(func() { nameServerInUse.Store(nil) })
}
