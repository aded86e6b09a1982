//go:build !linux

package main

import (
	"os"
	"syscall"
)

func childAttributes() *syscall.SysProcAttr { return nil }

func dataSync(f *os.File) error { return f.Sync() }

func fileSystem(string) string { return "unknown" }
