//go:build !race

package faulttest

// spoken is how many of the protocols the table runs over.
const spoken = 2
