package main

import (
	"net"
	"testing"

	"github.com/parley-llm/parley/internal/config"
)

func TestTheGreetingNamesAnAddressThatCanBeReached(t *testing.T) {
	for _, test := range []struct {
		setting, listener, want string
	}{
		{"127.0.0.1:0", "127.0.0.1:4711", "127.0.0.1:4711"},
		// Listening on all of IPv4, the system names the other family.
		{"0.0.0.0:8000", "[::]:8000", "127.0.0.1:8000"},
		{":0", "[::]:4711", "127.0.0.1:4711"},
		{"[::]:8000", "[::]:8000", "[::1]:8000"},
		{"localhost:8000", "[::1]:8000", "localhost:8000"},
	} {
		listener, err := net.ResolveTCPAddr("tcp", test.listener)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(config.Addr(test.setting), listener); got != test.want {
			t.Errorf("%s listens as %s: %s, want %s", test.setting, test.listener, got, test.want)
		}
	}
}
