//go:build !linux

package faulttest

import "testing"

// blocked needs to know how a kernel treats a full queue of connections.
func blocked(s *scene) {
	s.t.(*testing.T).Skip("only known how to on Linux")
}
