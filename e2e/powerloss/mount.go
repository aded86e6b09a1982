package powerloss

import (
	"context"
	"maps"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Mount serves the disk at a directory until unmount is called. What the kernel has cached is gone with it, as with a machine.
func (d *Disk) Mount(dir string) (unmount func() error, err error) {
	server, err := fs.Mount(dir, &node{disk: d, in: d.root}, &fs.Options{
		NullPermissions: true,
		MountOptions: fuse.MountOptions{
			DirectMount: true, FsName: "powerloss", Name: "powerloss", DisableXAttrs: true,
			// Nobody else changes a file, so that what is mapped stays.
			ExplicitDataCacheControl: true,
		},
	})
	if err != nil {
		return nil, err
	}
	return func() error {
		if err := server.Unmount(); err != nil {
			// Somebody still has a file open: let go of it.
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				return err
			}
		}
		server.Wait()
		return nil
	}, nil
}

// node is what the kernel knows of an inode.
type node struct {
	fs.Inode
	disk *Disk
	in   *inode
}

var (
	_ fs.NodeLookuper  = (*node)(nil)
	_ fs.NodeReaddirer = (*node)(nil)
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeCreater   = (*node)(nil)
	_ fs.NodeMkdirer   = (*node)(nil)
	_ fs.NodeLinker    = (*node)(nil)
	_ fs.NodeUnlinker  = (*node)(nil)
	_ fs.NodeRmdirer   = (*node)(nil)
	_ fs.NodeRenamer   = (*node)(nil)
	_ fs.NodeReader    = (*node)(nil)
	_ fs.NodeWriter    = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
	_ fs.NodeFlusher   = (*node)(nil)
	_ fs.NodeAllocater = (*node)(nil)
	_ fs.NodeStatfser  = (*node)(nil)
)

const blockSize = 4096

func (n *node) child(ctx context.Context, in *inode) *fs.Inode {
	mode := uint32(syscall.S_IFREG)
	if in.isDir() {
		mode = syscall.S_IFDIR
	}
	return n.NewInode(ctx, &node{disk: n.disk, in: in}, fs.StableAttr{Mode: mode, Ino: in.ino})
}

func (in *inode) attr(out *fuse.Attr) {
	out.Ino, out.Mode, out.Nlink, out.Blksize = in.ino, syscall.S_IFREG|in.mode, 1, blockSize
	if in.isDir() {
		out.Mode, out.Nlink = syscall.S_IFDIR|in.mode, 2
	}
	out.Size = uint64(len(in.data))
	out.Blocks = (out.Size + 511) / 512
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	in := n.in.entries[name]
	if in == nil {
		return nil, syscall.ENOENT
	}
	in.attr(&out.Attr)
	return n.child(ctx, in), 0
}

func (n *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	var list []fuse.DirEntry
	for _, name := range slices.Sorted(maps.Keys(n.in.entries)) {
		var attr fuse.Attr
		n.in.entries[name].attr(&attr)
		list = append(list, fuse.DirEntry{Name: name, Mode: attr.Mode, Ino: attr.Ino})
	}
	return fs.NewListDirStream(list), 0
}

func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	n.in.attr(&out.Attr)
	return 0
}

func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		if errno := n.disk.resize(Truncate, n.in, int64(size)); errno != 0 {
			return errno
		}
	}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if mode, ok := in.GetMode(); ok {
		n.in.mode = mode & 0o7777
	}
	n.in.attr(&out.Attr)
	return 0
}

func (n *node) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (n *node) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	in := n.disk.file(name, mode&0o7777)
	if errno := n.disk.enter(n.in, name, step{name: in}); errno != 0 {
		return nil, nil, 0, errno
	}
	in.attr(&out.Attr)
	return n.child(ctx, in), nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	in := n.disk.dir(mode & 0o7777)
	if errno := n.disk.enter(n.in, name, step{name: in}); errno != 0 {
		return nil, errno
	}
	in.attr(&out.Attr)
	return n.child(ctx, in), 0
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	to, ok := target.(*node)
	if !ok || n.in.entries[name] != nil {
		return nil, syscall.EEXIST
	}
	if errno := n.disk.enter(n.in, name, step{name: to.in}); errno != 0 {
		return nil, errno
	}
	to.in.attr(&out.Attr)
	return n.child(ctx, to.in), 0
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	in := n.in.entries[name]
	if errno := n.disk.enter(n.in, name, step{name: nil}); errno != 0 {
		return errno
	}
	if in != nil && !slices.Contains(slices.Collect(maps.Values(n.in.entries)), in) {
		n.disk.used -= int64(len(in.data))
	}
	return 0
}

func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno { return n.Unlink(ctx, name) }

// Rename renames within a directory.
func (n *node) Rename(_ context.Context, name string, newParent fs.InodeEmbedder, newName string, _ uint32) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	to, ok := newParent.(*node)
	if !ok || to.in != n.in {
		return syscall.EXDEV
	}
	in := n.in.entries[name]
	if in == nil {
		return syscall.ENOENT
	}
	if errno := n.disk.enter(n.in, newName, step{name: nil, newName: in}); errno != 0 {
		return errno
	}
	in.name = newName
	return 0
}

func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if off >= int64(len(n.in.data)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(dest[:copy(dest, n.in.data[off:])]), 0
}

func (n *node) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := n.disk.write(n.in, data, off); errno != 0 {
		return 0, errno
	}
	return uint32(len(data)), 0
}

func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno { return n.disk.sync(n.in) }

func (n *node) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

func (n *node) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	if mode != 0 {
		return syscall.EOPNOTSUPP
	}
	return n.disk.resize(Allocate, n.in, int64(off+size))
}

func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	out.Bsize, out.Frsize, out.NameLen = blockSize, blockSize, 255
	out.Blocks = uint64(n.disk.size / blockSize)
	out.Bfree = uint64(max(n.disk.size-n.disk.used, 0) / blockSize)
	out.Bavail = out.Bfree
	return 0
}
