//go:build !linux

package sqlite

// gatheringURI leaves a path to SQLite's own VFS: what gather_linux.go does was tried on Linux alone.
func gatheringURI(path string) (string, error) { return path, nil }
