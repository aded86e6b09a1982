//go:build race

package faulttest

// spoken is how many of the protocols the table runs over. Under the race detector, where the store is ten times slower, one will do.
const spoken = 1
