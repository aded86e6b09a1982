package main

import (
	"math"
	"runtime/debug"
)

// How the garbage collector is set unless GOGC or GOMEMLIMIT say otherwise.
const (
	gcDefault = 100
	// gcPercent has the heap collected when it has grown by half instead of to twice its size: streams that are open hold
	// most of it.
	gcPercent = 50
	// gcReserve is added to the heap whose growth that is. Without it the few megabytes of a server that holds little
	// would be collected dozens of times a second under load.
	gcReserve = 32 << 20
)

// setCollector sets the garbage collector and returns the memory that has to stay reachable as long as the server runs.
// It is never touched, so that it exists in the collector's books alone. What the start has left over is given back.
func setCollector() (reserve []byte) {
	if before := debug.SetGCPercent(gcPercent); before != gcDefault || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		debug.SetGCPercent(before)
		return nil
	}
	reserve = make([]byte, gcReserve)
	debug.FreeOSMemory()
	return reserve
}
