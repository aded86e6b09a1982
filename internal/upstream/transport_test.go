package upstream

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/parley-llm/parley/internal/fault"
)

func TestWhatIsPublic(t *testing.T) {
	for address, public := range map[string]bool{
		"93.184.216.34:443": true, "[2606:2800:220:1::1]:443": true, "[::ffff:93.184.216.34]:443": true,
		"127.0.0.1:80": false, "[::1]:80": false, "10.1.2.3:80": false, "172.16.0.1:80": false, "192.168.1.1:80": false, "100.64.0.1:80": false,
		"169.254.169.254:80": false, "0.0.0.0:80": false, "[::]:80": false, "[fd00::1]:80": false, "[fe80::1%eth0]:80": false,
		"[::ffff:127.0.0.1]:80": false, "224.0.0.1:80": false, "255.255.255.255:80": false, "localhost:80": false,
	} {
		if err := publicOnly("tcp", address, nil); (err == nil) != public {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestAClientForPublicAddressesConnectsToNoOther(t *testing.T) {
	c, err := New(&Config{BaseURL: "http://localhost:1", PublicOnly: true}, "/x", "an answer")
	if err != nil {
		t.Fatal(err)
	}
	_, failure := c.send(t.Context(), "GET", c.Base, c.getHead, nil)
	if failure == nil || !errors.Is(failure, errPrivate) || failure.Retryable || !failure.NotSent {
		t.Errorf("got %+v", failure)
	}
}

func TestAConnectionThatThisMachineHasNoRoomForIsNoFailureOfTheProvider(t *testing.T) {
	x := &Exchange{parent: t.Context(), ctx: t.Context()}
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.EADDRNOTAVAIL} {
		err := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", errno)}
		for _, err := range []error{err, &net.DNSError{UnwrapErr: err}} {
			if e := x.unanswered(err); e.Fault.Kind != fault.Unavailable || e.Fault.Code != "overloaded" || e.Outage || !e.Retryable || !e.NotSent {
				t.Errorf("%v: %+v", err, e)
			}
		}
	}
	if e := x.unanswered(os.NewSyscallError("connect", syscall.ECONNREFUSED)); e.Fault.Code != "upstream_failed" || !e.Outage {
		t.Errorf("%+v", e)
	}
}
