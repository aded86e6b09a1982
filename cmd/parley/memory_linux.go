package main

import (
	"bufio"
	"io/fs"
	"math"
	"os"
	"path"
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

// memoryOf is how much memory the control groups that the process is in let it have, and how much the machine has, each 0 where it is not
// known or not bounded.
func memoryOf() (group, machine int64) {
	root := os.DirFS("/")
	return groupMemory(root), machineMemory(root)
}

func groupMemory(root fs.FS) int64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path; the unified hierarchy names no controllers.
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		mount, name := "sys/fs/cgroup", "memory.max"
		switch {
		case f[1] == "memory":
			mount, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		case f[1] != "":
			continue
		}
		// A group is bounded by those above it, too. Within a container the path may be one outside of it, and what is mounted the group itself.
		for group := path.Join("/", f[2]); ; group = path.Dir(group) {
			if n, err := fs.ReadFile(root, path.Join(mount, group, name)); err == nil {
				if limit, err := strconv.ParseInt(strings.TrimSpace(string(n)), 10, 64); err == nil && limit > 0 {
					least = min(least, limit)
				}
			}
			if group == "/" {
				break
			}
		}
	}
	// More than any machine has stands for no bound.
	if least >= 1<<60 {
		return 0
	}
	return least
}

func machineMemory(root fs.FS) int64 {
	info, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(info)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}
