package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// unmapBinary gives back the pages of the program's own file that only the start has needed: those that are needed again come back from
// the kernel's cache, a few at a time. Where it cannot, nothing is lost.
func unmapBinary() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer func() { _ = smaps.Close() }()
	var begin, end uint64
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		f := strings.Fields(lines.Text())
		switch {
		// A mapping begins: addresses, permissions, offset, device, inode, path.
		case len(f) > 4 && strings.Contains(f[0], "-"):
			begin, end = 0, 0
			if len(f) == 6 && f[5] == self && f[1][1] != 'w' {
				from, to, _ := strings.Cut(f[0], "-")
				begin, _ = strconv.ParseUint(from, 16, 64)
				end, _ = strconv.ParseUint(to, 16, 64)
			}
		// Pages that differ from the file's, by a loader's relocations, would be lost.
		case len(f) == 3 && f[0] == "Anonymous:":
			if f[1] == "0" && begin < end {
				_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, uintptr(begin), uintptr(end-begin), syscall.MADV_DONTNEED)
			}
		}
	}
}
