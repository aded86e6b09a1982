package main

import (
	"fmt"
	"os"
	"syscall"
)

// childAttributes puts a child into a process group of its own, so that Ctrl-C reaches only the benchmark, which then ends
// it by its id, and has the kernel end it should the benchmark be killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func dataSync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// fileSystem names what the directory lies on: a rate of commits says nothing on a file system in memory.
func fileSystem(dir string) string {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return "unknown"
	}
	switch uint32(stat.Type) {
	case 0xef53:
		return "ext4"
	case 0x58465342:
		return "xfs"
	case 0x9123683e:
		return "btrfs"
	case 0x794c7630:
		return "overlayfs"
	case 0x01021994:
		return "tmpfs"
	default:
		return fmt.Sprintf("type %#x", uint32(stat.Type))
	}
}
