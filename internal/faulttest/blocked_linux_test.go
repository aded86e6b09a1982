package faulttest

import (
	"fmt"
	"net"
	"syscall"
	"time"
)

// blocked has the scene's host be one to which no connection comes about: its queue of connections is full, and the kernel
// answers no further one.
func blocked(s *scene) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		s.t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		s.t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		s.t.Fatal(err)
	}
	s.host = fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
	s.fired = func() int { return int(s.dials.Load()) }
	for range 10 {
		conn, err := (&net.Dialer{Timeout: 200 * time.Millisecond}).DialContext(s.t.Context(), "tcp", s.host)
		if err != nil {
			return
		}
		s.t.Cleanup(func() { _ = conn.Close() })
	}
	s.t.Fatal("the queue does not fill")
}
