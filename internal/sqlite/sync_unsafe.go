//go:build parley_unsafe_sync

package sqlite

// synchronous is for one test alone: with it a power cut loses what was acknowledged, and the test of power cuts must see that.
const synchronous = "NORMAL"
