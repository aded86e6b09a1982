package sqlite

import (
	"errors"
	"net/url"
	"sync"
	"syscall"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
	"zombiezen.com/go/sqlite"
)

// The VFS of this file is SQLite's own but for three things about the write-ahead log, which make a commit cheaper:
//
//   - SQLite writes each page of a commit by two system calls, 34 of them for a turn's beginning. What is written one piece behind the other is gathered
//     and goes out as one write ahead of whatever else is done with the file.
//   - It is synced by fdatasync, as a SQLite is that is built with HAVE_FDATASYNC, and not by fsync, for which the file system writes down the time of the
//     change as well.
//   - Where it grows, it grows by growth, with zeros: a commit that writes into what is there needs no new length to be made durable, either.
//
// The bytes of the log, up to its last commit, and when they are synced are as SQLite would have them. What lies behind them has no
// checksum of a frame, like what is left of earlier uses of the log.
// It is for a connection with synchronous = FULL alone: that one syncs the log ahead of telling anybody of its new pages.
//
// See https://sqlite.org/vfs.html and https://sqlite.org/fileformat2.html#the_write_ahead_log. SQLite is Go here, but its pointers
// are numbers, and lead to memory that Go knows nothing of: what SQLite refers to is allocated there, and the unsafe lines below, each of which
// says a C declaration in Go, lead nowhere else.

const (
	gatheringName = "parley-gathering"
	// maxGathered is as much as is held back. SQLite takes the length of what it writes by one system call for a number of 17 bits.
	maxGathered = 1<<17 - 4<<10
	// growth is by how much a log grows at a time.
	growth = 1 << 20
)

// gathering makes the VFS known to SQLite, once, and returns its name.
var gathering = sync.OnceValues(func() (string, error) {
	tls := libc.NewTLS()
	defer tls.Close()
	own := lib.Xsqlite3_vfs_find(tls, 0)
	if own == 0 {
		return "", errors.New("SQLite has no VFS")
	}
	name, err := libc.CString(gatheringName)
	if err != nil {
		return "", err
	}
	vfs := lib.Xsqlite3_malloc(tls, int32(unsafe.Sizeof(lib.Tsqlite3_vfs{})))
	if vfs == 0 {
		return "", errNoMemory
	}
	v := at[lib.Tsqlite3_vfs](vfs)
	*v = *at[lib.Tsqlite3_vfs](own)
	ownOpen = function[openFunc](v.FxOpen)
	v.FzName, v.FxOpen = name, address(openGathering)
	if lib.Xsqlite3_vfs_register(tls, vfs, 0) != lib.SQLITE_OK {
		return "", errors.New("SQLite does not take the VFS")
	}
	return gatheringName, nil
})

// gatheringURI is the URI of the database at a path, for a connection that writes.
func gatheringURI(path string) (string, error) {
	name, err := gathering()
	if err != nil {
		return "", err
	}
	uri := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: url.Values{"vfs": {name}}.Encode()}
	return uri.String(), nil
}

type (
	openFunc     = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32
	closeFunc    = func(tls *libc.TLS, file uintptr) int32
	readFunc     = func(tls *libc.TLS, file, buf uintptr, n int32, offset int64) int32
	writeFunc    = func(tls *libc.TLS, file, buf uintptr, n int32, offset int64) int32
	truncateFunc = func(tls *libc.TLS, file uintptr, size int64) int32
	syncFunc     = func(tls *libc.TLS, file uintptr, flags int32) int32
	sizeFunc     = func(tls *libc.TLS, file, size uintptr) int32
)

var (
	errNoMemory = errors.New("SQLite has no memory left")
	ownOpen     openFunc
	// openLogs are all *gathered, by the addresses of their sqlite3_file.
	openLogs sync.Map
	zeros    [64 << 10]byte
)

// gathered is a log that is open, with what was written to it and has not gone out. Like a connection it is for one goroutine at a time.
type gathered struct {
	own *lib.Tsqlite3_io_methods
	// methods is the address of those that SQLite calls instead.
	methods uintptr
	write   writeFunc
	// buf, at address, goes to offset.
	buf     []byte
	address uintptr
	offset  int64
	// size is how long the file is at least.
	size int64
	// synced: SQLite has synced it, and its directory.
	synced bool
}

// openGathering is xOpen.
func openGathering(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32 {
	rc := ownOpen(tls, vfs, name, file, flags, outFlags)
	if rc != lib.SQLITE_OK || flags&lib.SQLITE_OPEN_WAL == 0 {
		return rc
	}
	f := at[lib.Tsqlite3_file](file)
	own := at[lib.Tsqlite3_io_methods](f.FpMethods)
	// Without this SQLite pads a commit up to the device's next sector behind its last sync.
	if function[closeFunc](own.FxDeviceCharacteristics)(tls, file)&lib.SQLITE_IOCAP_POWERSAFE_OVERWRITE == 0 {
		return rc
	}
	const methodsSize = int32(unsafe.Sizeof(*own))
	methods := lib.Xsqlite3_malloc(tls, methodsSize+maxGathered)
	if methods == 0 {
		return rc
	}
	m := at[lib.Tsqlite3_io_methods](methods)
	*m = *own
	m.FxClose = address(closeGathered)
	m.FxRead = address(readGathered)
	m.FxWrite = address(writeGathered)
	m.FxTruncate = address(truncateGathered)
	m.FxSync = address(syncGathered)
	m.FxFileSize = address(sizeGathered)
	g := &gathered{own: own, methods: methods, write: function[writeFunc](own.FxWrite), address: methods + uintptr(methodsSize)}
	g.buf = unsafe.Slice(at[byte](g.address), maxGathered)[:0]
	openLogs.Store(file, g)
	f.FpMethods = methods
	return rc
}

func writeGathered(tls *libc.TLS, file, buf uintptr, n int32, offset int64) int32 {
	g := gatheredOf(file)
	if offset != g.offset+int64(len(g.buf)) || len(g.buf)+int(n) > maxGathered {
		if rc := g.flush(tls, file); rc != lib.SQLITE_OK {
			return rc
		}
		g.offset = offset
	}
	// It is a page at most, which is half of the room there is.
	g.buf = append(g.buf, unsafe.Slice(at[byte](buf), n)...)
	return lib.SQLITE_OK
}

// flush writes what was gathered. Where that fails it is gone: so is the transaction that it was of.
func (g *gathered) flush(tls *libc.TLS, file uintptr) int32 {
	if len(g.buf) == 0 {
		return lib.SQLITE_OK
	}
	rc := g.write(tls, file, g.address, int32(len(g.buf)), g.offset)
	g.offset += int64(len(g.buf))
	g.buf = g.buf[:0]
	if rc == lib.SQLITE_OK && g.offset > g.size {
		g.grow(descriptor(file))
	}
	return rc
}

// grow writes zeros behind the end of the file, where that has come. Nobody needs them, so that it may fail.
func (g *gathered) grow(fd int) {
	var st syscall.Stat_t
	if syscall.Fstat(fd, &st) != nil {
		return
	}
	g.size = st.Size
	if g.size != g.offset {
		return
	}
	for g.size < g.offset+growth {
		n, err := syscall.Pwrite(fd, zeros[:], g.size)
		if err != nil {
			break
		}
		g.size += int64(n)
	}
}

func readGathered(tls *libc.TLS, file, buf uintptr, n int32, offset int64) int32 {
	return flushed(tls, file, func(own *lib.Tsqlite3_io_methods) int32 {
		return function[readFunc](own.FxRead)(tls, file, buf, n, offset)
	})
}

func truncateGathered(tls *libc.TLS, file uintptr, size int64) int32 {
	return flushed(tls, file, func(own *lib.Tsqlite3_io_methods) int32 {
		// How long it is now is looked at when it next grows.
		gatheredOf(file).size = 0
		return function[truncateFunc](own.FxTruncate)(tls, file, size)
	})
}

func syncGathered(tls *libc.TLS, file uintptr, flags int32) int32 {
	return flushed(tls, file, func(own *lib.Tsqlite3_io_methods) int32 {
		g := gatheredOf(file)
		if g.synced {
			return syncData(descriptor(file))
		}
		// SQLite's own syncs the directory as well.
		rc := function[syncFunc](own.FxSync)(tls, file, flags)
		g.synced = rc == lib.SQLITE_OK
		return rc
	})
}

func syncData(fd int) int32 {
	for {
		switch err := syscall.Fdatasync(fd); err {
		case nil:
			return lib.SQLITE_OK
		case syscall.EINTR:
		default:
			return int32(sqlite.ResultIOErrFsync)
		}
	}
}

func sizeGathered(tls *libc.TLS, file, size uintptr) int32 {
	return flushed(tls, file, func(own *lib.Tsqlite3_io_methods) int32 {
		return function[sizeFunc](own.FxFileSize)(tls, file, size)
	})
}

// flushed is what SQLite's own method does with the file as SQLite believes it to be.
func flushed(tls *libc.TLS, file uintptr, do func(own *lib.Tsqlite3_io_methods) int32) int32 {
	g := gatheredOf(file)
	if rc := g.flush(tls, file); rc != lib.SQLITE_OK {
		return rc
	}
	return do(g.own)
}

func closeGathered(tls *libc.TLS, file uintptr) int32 {
	g := gatheredOf(file)
	rc := g.flush(tls, file)
	openLogs.Delete(file)
	// SQLite's own resets what refers to the methods.
	if closed := function[closeFunc](g.own.FxClose)(tls, file); rc == lib.SQLITE_OK {
		rc = closed
	}
	lib.Xsqlite3_free(tls, g.methods)
	return rc
}

func gatheredOf(file uintptr) *gathered {
	g, _ := openLogs.Load(file)
	return g.(*gathered)
}

// descriptor is that of a file of SQLite's.
func descriptor(file uintptr) int { return int(at[lib.TunixFile](file).Fh) }

// at is what lies at an address of SQLite's.
func at[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// function is the one that a pointer of SQLite's leads to.
func function[F any](pointer uintptr) F { return *(*F)(unsafe.Pointer(&struct{ uintptr }{pointer})) }

// address is a pointer to a function of this package, as SQLite takes it. The function is no closure, so that nothing need keep it.
func address[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }
