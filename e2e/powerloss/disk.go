// Package powerloss has a disk whose power fails: a file system in memory, served through FUSE, that forgets what was not
// synced, counts its operations and stops at any of them, fills up, and fails. The tests run the real server on it.
package powerloss

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// Kind is what an operation does.
type Kind string

// The kinds of operation that change something. A create, an unlink, a rename and a mkdir are Entry.
const (
	Write    Kind = "write"
	Truncate Kind = "truncate"
	Allocate Kind = "allocate"
	Sync     Kind = "sync"
	Entry    Kind = "entry"
)

// Op is one operation.
type Op struct {
	Kind Kind
	// Name is the file's, without directories.
	Name string
}

// Disk is a file system in memory. What a file's fsync has not confirmed, and an entry of a directory that the directory's fsync
// has not, may be gone after PowerLoss. It is safe for concurrent use.
type Disk struct {
	mu   sync.Mutex
	root *inode
	ino  uint64
	// size is how many bytes it holds at most, used how many it does.
	size, used int64
	ops        int
	cutAt      int
	cut        chan struct{}
	isCut      bool
	fail       func(Op) syscall.Errno
	failed     int
}

// inode is a file or a directory.
type inode struct {
	ino  uint64
	mode uint32
	name string
	// data is a file's content, and log how to get back from it to what was synced last.
	data []byte
	log  []change
	// entries are a directory's, synced those that are sure, and steps leads from these to those.
	entries, synced map[string]*inode
	steps           []step
}

// change is one write or truncation of a file: size bytes before, and these bytes in the place of those.
type change struct {
	size     int64
	off      int64
	old, new []byte
	// length is the size after it.
	length int64
}

// step is one change of a directory, which a power loss leaves whole or not at all. A nil inode removes a name.
type step map[string]*inode

// NewDisk makes an empty disk of so many bytes.
func NewDisk(size int64) *Disk {
	d := &Disk{size: size, cut: make(chan struct{})}
	d.root = d.dir(0o755)
	return d
}

func (d *Disk) dir(mode uint32) *inode {
	d.ino++
	return &inode{ino: d.ino, mode: mode, entries: map[string]*inode{}, synced: map[string]*inode{}}
}

func (d *Disk) file(name string, mode uint32) *inode {
	d.ino++
	return &inode{ino: d.ino, mode: mode, name: name}
}

func (n *inode) isDir() bool { return n.entries != nil }

// CutAt has the power fail at the n-th operation from now on, which is not carried out; 0 is never.
func (d *Disk) CutAt(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutAt = 0
	if n > 0 {
		d.cutAt = d.ops + n
	}
}

// Cut has the power fail now. No operation is carried out after it.
func (d *Disk) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fallDark()
}

// Dark is closed when the power has failed.
func (d *Disk) Dark() <-chan struct{} { return d.cut }

func (d *Disk) fallDark() {
	if !d.isCut {
		d.isCut = true
		close(d.cut)
	}
}

// Ops is how many operations were begun.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// Fail has each operation fail for which fail returns an error; nil ends it.
func (d *Disk) Fail(fail func(Op) syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = fail
}

// Failed is how many operations have failed by Fail or for want of room.
func (d *Disk) Failed() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// Resize leaves so many bytes free.
func (d *Disk) Resize(free int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.size = d.used + free
}

// begin is the gate of all operations. The shared memory of SQLite's is nothing that is kept: it counts for nothing.
func (d *Disk) begin(op Op) syscall.Errno {
	if d.isCut {
		return syscall.EIO
	}
	if filepath.Ext(op.Name) != ".db-shm" {
		d.ops++
		if d.ops == d.cutAt {
			d.fallDark()
			return syscall.EIO
		}
	}
	if d.fail != nil {
		if errno := d.fail(op); errno != 0 {
			d.failed++
			return errno
		}
	}
	return 0
}

// grow takes room for n bytes, or gives it back.
func (d *Disk) grow(n int64) syscall.Errno {
	if n > 0 && d.used+n > d.size {
		d.failed++
		return syscall.ENOSPC
	}
	d.used += n
	return 0
}

func (d *Disk) write(n *inode, data []byte, off int64) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errno := d.begin(Op{Write, n.name}); errno != 0 {
		return errno
	}
	size := int64(len(n.data))
	length := max(size, off+int64(len(data)))
	if errno := d.grow(length - size); errno != 0 {
		return errno
	}
	c := change{size: size, off: off, new: append([]byte(nil), data...), length: length}
	if off < size {
		c.old = append([]byte(nil), n.data[off:min(size, off+int64(len(data)))]...)
	}
	n.apply(c)
	n.log = append(n.log, c)
	return 0
}

func (d *Disk) resize(kind Kind, n *inode, length int64) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errno := d.begin(Op{kind, n.name}); errno != 0 {
		return errno
	}
	size := int64(len(n.data))
	if kind == Allocate {
		length = max(length, size)
	}
	if errno := d.grow(length - size); errno != 0 {
		return errno
	}
	c := change{size: size, off: length, length: length}
	if length < size {
		c.old = append([]byte(nil), n.data[length:]...)
	}
	n.apply(c)
	n.log = append(n.log, c)
	return 0
}

// apply changes the content.
func (n *inode) apply(c change) {
	if c.length <= int64(len(n.data)) {
		n.data = n.data[:c.length]
	} else {
		n.data = append(n.data, make([]byte, c.length-int64(len(n.data)))...)
	}
	copy(n.data[min(c.off, c.length):], c.new)
}

// undo takes a change back.
func (n *inode) undo(c change) {
	n.apply(change{length: c.size})
	if c.off < c.size {
		copy(n.data[c.off:], c.old)
	}
}

func (d *Disk) sync(n *inode) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errno := d.begin(Op{Sync, n.name}); errno != 0 {
		return errno
	}
	n.log, n.steps = nil, nil
	if n.isDir() {
		n.synced = maps.Clone(n.entries)
	}
	return 0
}

// enter changes a directory by one step.
func (d *Disk) enter(dir *inode, name string, s step) syscall.Errno {
	if errno := d.begin(Op{Entry, name}); errno != 0 {
		return errno
	}
	dir.take(s)
	dir.steps = append(dir.steps, s)
	return 0
}

func (n *inode) take(s step) {
	for name, child := range s {
		if child == nil {
			delete(n.entries, name)
		} else {
			n.entries[name] = child
		}
	}
}

// Loss says what a power loss does to what was not synced.
type Loss struct {
	// Keep is the share of it that is on the disk all the same: 0 forgets everything.
	Keep float64
	// Random chooses what is kept. Writes are kept or lost in sectors; the changes of a directory in their order.
	Random *rand.Rand
}

// sector is what a disk writes whole.
const sector = 512

// PowerLoss returns the disk as it is found when the power is back, and how many bytes and entries are lost. The disk itself must
// be dark and nobody may use it.
func (d *Disk) PowerLoss(l Loss) (after *Disk, lost int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	after = NewDisk(d.size)
	known := map[*inode]*inode{}
	after.root = after.copyOf(d.root, l, known, &lost)
	return after, lost
}

func (d *Disk) copyOf(n *inode, l Loss, known map[*inode]*inode, lost *int) *inode {
	if c := known[n]; c != nil {
		return c
	}
	if !n.isDir() {
		c := d.file(n.name, n.mode)
		known[n] = c
		*lost += n.lose(l)
		c.data = append([]byte(nil), n.data...)
		d.used += int64(len(c.data))
		return c
	}
	c := d.dir(n.mode)
	known[n] = c
	kept := &inode{entries: maps.Clone(n.synced)}
	for _, s := range n.steps {
		if l.Keep == 0 || l.Random.Float64() >= l.Keep {
			// What a directory goes through it goes through in order.
			*lost++
			break
		}
		kept.take(s)
	}
	for name, child := range kept.entries {
		c.entries[name] = d.copyOf(child, l, known, lost)
	}
	c.synced = maps.Clone(c.entries)
	return c
}

// lose takes a file back to what was synced last and makes some of the changes again.
func (n *inode) lose(l Loss) (lost int) {
	changes := n.log
	for i := len(changes) - 1; i >= 0; i-- {
		n.undo(changes[i])
	}
	n.log = nil
	for _, c := range changes {
		if l.Keep == 0 {
			lost += max(len(c.new), 1)
			continue
		}
		if len(c.new) == 0 {
			if l.Random.Float64() < l.Keep {
				n.apply(c)
			} else {
				lost++
			}
			continue
		}
		for at := 0; at < len(c.new); at += sector {
			part := c.new[at:min(at+sector, len(c.new))]
			if l.Random.Float64() >= l.Keep {
				lost += len(part)
				continue
			}
			off := c.off + int64(at)
			n.apply(change{off: off, new: part, length: max(int64(len(n.data)), off+int64(len(part)))})
		}
	}
	return lost
}

// Dump writes what the disk holds into a directory.
func (d *Disk) Dump(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.root.dump(dir)
}

func (n *inode) dump(path string) error {
	if !n.isDir() {
		return os.WriteFile(path, n.data, fs.FileMode(n.mode).Perm())
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	for name, child := range n.entries {
		if err := child.dump(filepath.Join(path, name)); err != nil {
			return err
		}
	}
	return nil
}
