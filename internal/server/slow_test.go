package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// oneConn is a listener with a single connection.
type oneConn chan net.Conn

func (l oneConn) Accept() (net.Conn, error) {
	if c, ok := <-l; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (oneConn) Close() error   { return nil }
func (oneConn) Addr() net.Addr { return &net.UnixAddr{} }

// slowClient sends a request's head at once and a body of so many bytes, one of them a second; -1 stands for one that never
// ends. It returns the answer, when it came, and when the server closed the connection. It must run in a bubble.
func slowClient(t *testing.T, s *server, head string, bytes int) (resp *http.Response, answered, closed time.Duration) {
	t.Helper()
	client, conn := net.Pipe()
	listener := make(oneConn, 1)
	listener <- conn
	close(listener)
	web := &http.Server{Handler: s, ReadHeaderTimeout: ReadHeaderTimeout, IdleTimeout: IdleTimeout}
	go func() { _ = web.Serve(listener) }()
	began := time.Now()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, err := io.WriteString(client, head)
		for i := 0; err == nil && i != bytes; i++ {
			time.Sleep(time.Second)
			_, err = io.WriteString(client, " ")
		}
	}()
	in := bufio.NewReader(client)
	resp, err := http.ReadResponse(in, nil)
	answered = time.Since(began)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if err != nil && resp != nil {
		t.Errorf("the answer is not whole: %v", err)
	}
	_, _ = io.Copy(io.Discard, in)
	closed = time.Since(began)
	_ = client.Close()
	<-sent
	return resp, answered, closed
}

const (
	post     = "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
	typeJSON = "Content-Type: application/json\r\n"
)

// What the head alone decides is not to wait for the body, and nobody is to hold a connection by sending it slowly.
func TestARefusalDoesNotWaitForTheBody(t *testing.T) {
	for _, test := range []struct {
		name, head, key string
		status          int
	}{
		{"no key", fmt.Sprintf(post, "/api/conversations") + typeJSON, "secret", 401},
		{"a chunked body", strings.Replace(fmt.Sprintf(post, "/api/conversations")+typeJSON, "Content-Length: 1000", "Transfer-Encoding: chunked", 1), "secret", 401},
		{"a large body", strings.Replace(fmt.Sprintf(post, "/api/conversations")+typeJSON, "1000", "1000000", 1), "secret", 401},
		{"a foreign host", strings.Replace(fmt.Sprintf(post, "/api/conversations")+typeJSON, "localhost", "evil.example", 1), "", 403},
		{"another site", fmt.Sprintf(post, "/api/conversations") + typeJSON + "Sec-Fetch-Site: cross-site\r\n", "", 403},
		{"no such path", fmt.Sprintf(post, "/api/nothing") + typeJSON, "", 404},
		{"no such method", strings.Replace(fmt.Sprintf(post, "/livez"), "POST", "PUT", 1) + typeJSON, "", 405},
		{"not JSON", fmt.Sprintf(post, "/api/conversations") + "Content-Type: text/plain\r\n", "", 415},
		{"compressed", fmt.Sprintf(post, "/api/conversations") + typeJSON + "Content-Encoding: gzip\r\n", "", 415},
		{"too large", strings.Replace(fmt.Sprintf(post, "/api/conversations")+typeJSON, "1000", "8388609", 1), "", 413},
		{"too large, asking first", strings.Replace(fmt.Sprintf(post, "/api/conversations")+typeJSON+"Expect: 100-continue\r\n", "1000", "8388609", 1), "", 413},
		{"a body that nobody reads", strings.Replace(fmt.Sprintf(post, "/livez"), "POST", "GET", 1), "", 200},
	} {
		for name, bytes := range map[string]int{"nothing comes": 0, "it drips": -1} {
			t.Run(test.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, _ := bare(t)
					if s.Service.Audit = (deafLog{}); test.key != "" {
						s.APIKey = test.key
					}
					resp, answered, closed := slowClient(t, s, test.head+"\r\n", bytes)
					if resp == nil || resp.StatusCode != test.status || !resp.Close {
						t.Fatalf("%+v", resp)
					}
					if answered != 0 {
						t.Errorf("answered after %v", answered)
					}
					// What net/http adds is half a second for the client to see the end.
					if closed > lingerTimeout+time.Second {
						t.Errorf("closed after %v", closed)
					}
				})
			})
		}
	}
}

func TestABodyThatIsReadHasADeadlineToo(t *testing.T) {
	for name, bytes := range map[string]int{"nothing comes": 0, "it drips": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := bare(t)
				resp, answered, closed := slowClient(t, s, fmt.Sprintf(post, "/api/conversations")+typeJSON+"\r\n", bytes)
				if resp == nil || resp.StatusCode != http.StatusRequestTimeout || !resp.Close {
					t.Fatalf("%+v", resp)
				}
				if answered != bodyTimeout || closed > bodyTimeout+lingerTimeout+time.Second {
					t.Errorf("answered after %v, closed after %v", answered, closed)
				}
			})
		})
	}
}

func TestAHeadThatDoesNotArriveIsNotWaitedFor(t *testing.T) {
	for name, bytes := range map[string]int{"nothing comes": 0, "it drips": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := bare(t)
				if _, _, closed := slowClient(t, s, "GET /livez HTTP/1.1\r\nX-Slow: ", bytes); closed > ReadHeaderTimeout+time.Second {
					t.Errorf("closed after %v", closed)
				}
			})
		})
	}
}

// A client that sends everything before it reads must find the refusal, and not a connection that was reset.
func TestARefusalReachesAClientThatSendsEverythingFirst(t *testing.T) {
	s, _ := bare(t)
	s.APIKey, s.Service.Audit = "secret", deafLog{}
	ts := httptest.NewServer(s)
	defer ts.Close()
	for _, size := range []int{1, 300 << 10, 8 << 20, 32 << 20} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ts.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Write(append(fmt.Appendf(nil, "POST /api/conversations HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", size), make([]byte, size)...))
		if err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || resp.ContentLength <= 0 {
			t.Errorf("%d bytes: %v %+v", size, err, resp)
		}
		if resp != nil {
			_ = resp.Body.Close()
		}
		_ = conn.Close()
	}
}
