//go:build unix

package main

import "syscall"

// harden keeps conversations and keys from other users of the machine: files are made for the owner alone, and a crash
// leaves no image of the memory. A system that refuses either is none where a server should not start.
func harden() {
	syscall.Umask(0o077)
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
}
