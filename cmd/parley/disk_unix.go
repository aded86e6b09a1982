//go:build linux || darwin || freebsd || dragonfly

package main

import "golang.org/x/sys/unix"

// freeSpace is how many bytes a user may still write to the disk that a directory is on.
func freeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:gosec,unconvert // no disk overflows it; the types differ between systems
}
