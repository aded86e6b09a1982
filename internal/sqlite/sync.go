//go:build !parley_unsafe_sync

package sqlite

// synchronous has each commit wait until it is on the disk: whoever is answered keeps what was acknowledged.
const synchronous = "FULL"
