//go:build linux || darwin

package sqlite

import "syscall"

func diskSpace(dir string) (free, total uint64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	block := uint64(st.Bsize) //nolint:gosec // its type differs between systems; it is never negative
	return st.Bavail * block, st.Blocks * block, nil
}
