package main

import (
	"cmp"
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
//
// Where the process may have only so much memory, which is group, 0 for no such bound, the collector works harder the closer the heap comes to two
// thirds of that: the rest is for the database, for the program itself, and for what the kernel counts besides.
func setCollector(group int64) (reserve []byte) {
	if before := debug.SetGCPercent(gcPercent); before != gcDefault || memoryLimited() {
		debug.SetGCPercent(before)
		return nil
	}
	if group > 0 {
		debug.SetMemoryLimit(group/3*2 + gcReserve)
	}
	reserve = make([]byte, gcReserve)
	debug.FreeOSMemory()
	return reserve
}

// memoryLimited reports whether GOMEMLIMIT is set.
func memoryLimited() bool { return debug.SetMemoryLimit(-1) != math.MaxInt64 }

// How much of large answers is in memory at a time: a share of the memory that there is, within bounds.
const (
	roomShare = 64
	leastRoom = 4 << 20
	mostRoom  = 64 << 20
)

// mostContexts is as much as the contexts of conversations in use may take; where there is little memory it is as much as the room for large answers.
const mostContexts = 8 << 20

// roomOf is the room for large answers where there is so much memory for the process, or, where that is 0, for the whole machine; 0 is not known.
func roomOf(group, machine int64) int {
	total := cmp.Or(group, machine)
	if memoryLimited() {
		total = debug.SetMemoryLimit(-1)
	}
	return int(min(max(total/roomShare, leastRoom), mostRoom))
}
