package sqlite

import (
	"os"
	"syscall"
)

// allocate gives a file its blocks.
func allocate(f *os.File, n int64) error {
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, n); err == nil {
		return nil
	}
	return fill(f, n)
}
