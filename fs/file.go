package fs

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
)

// file is one inode of the live tree that is not a directory. Two contents of a
// name are two of these: go-fuse keeps one backing file per node, and a write
// would land in the committed file otherwise.
type file struct {
	fusefs.Inode
	m    *mount
	last atomic.Pointer[sighting] // by a name; nil before the first
}

// sighting is what a look-up said of an inode, and when.
type sighting struct {
	store.Attr
	at time.Time
}

// aMoment is how long after it was looked up an inode is described as it was then,
// if the name has become another's: stat(2) and open(2) are a look-up and more, and
// what comes in between is as if it came after. An open for writing is sent back once
// by itself, and another ESTALE before that would reach the user.
const aMoment = time.Second

func (n *file) ident() store.Ident {
	s := n.StableAttr()
	return store.Ident{Ino: s.Ino, Gen: s.Gen}
}

// hold takes a path of the inode, which stays true until it is released; named is
// false when it has none.
func (n *file) hold() (p string, release func(), named bool) {
	at, release, named := n.m.hold(n.EmbeddedInode())
	return at[0], release, named
}

// nameless answers a request that names the inode by a path, when we know of none:
// the kernel looks it up again. An inode with several names is one node, and
// go-fuse knows it by the one that was looked up last.
func (n *file) nameless(ctx context.Context, writes, empty bool) syscall.Errno {
	return n.m.errno("find the name of a file", n.m.store.Nameless(caller(ctx).TID, writes, empty))
}

// Getattr asks by name; an inode without one is described by a handle.
func (n *file) Getattr(_ context.Context, fh fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	p, release, named := n.hold()
	defer release()
	err := error(syscall.ESTALE)
	var a store.Attr
	if named {
		a, err = n.m.store.Attr(p, n.ident())
	}
	if h, ok := fh.(*handle); err != nil && ok {
		if a, err = h.f.Stat(); err != nil {
			return n.m.errno("stat an open file", err)
		}
		a.Volatile = true
	} else if last := n.last.Load(); errors.Is(err, syscall.ESTALE) && last != nil && time.Since(last.at) < aMoment {
		a, err = last.Attr, nil
		a.Volatile = true
	}
	if err != nil {
		return n.m.errno("stat "+p, err)
	}
	n.m.fillAttr(out, &a)
	return 0
}

// Setattr changes owner, mode, times or size.
func (n *file) Setattr(ctx context.Context, fh fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	p, release, named := n.hold()
	defer release()
	h, _ := fh.(*handle)
	var f *store.File
	if h != nil {
		f = h.f
	} else if !named {
		size, resized := in.GetSize()
		return n.nameless(ctx, resized, size == 0)
	}
	a, err := n.m.store.SetAttr(p, n.ident(), f, changeOf(in), caller(ctx))
	if err != nil {
		return n.m.errno("change "+p, err)
	}
	a.Volatile = a.Volatile || f != nil
	n.m.fillAttr(out, &a)
	out.Ino = n.StableAttr().Ino // go-fuse does not say it here
	return 0
}

// Open opens the inode. For writing below a checkpoint the store answers ESTALE
// once: the kernel looks the name up again and comes back with the draft's node.
func (n *file) Open(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	p, release, named := n.hold()
	defer release()
	var f *store.File
	var err error
	if named {
		f, err = n.m.store.OpenFile(p, n.ident(), int(flags), caller(ctx))
	} else {
		f, err = n.m.store.OpenNameless(n.ident(), int(flags), caller(ctx))
	}
	if err != nil {
		return nil, 0, n.m.errno("open "+p, err)
	}
	h, fuseFlags := n.m.handle(f, flags, caller(ctx))
	return h, fuseFlags, 0
}

// Readlink reads a symbolic link.
func (n *file) Readlink(context.Context) ([]byte, syscall.Errno) {
	p, release, named := n.hold()
	defer release()
	if !named {
		return nil, syscall.ENOENT
	}
	target, err := n.m.store.Readlink(p)
	return []byte(target), n.m.errno("readlink "+p, err)
}

// handle is an open file. Its data goes past the daemon where the kernel can do
// that; otherwise in large requests.
type handle struct {
	m      *mount
	f      *store.File
	fd     int
	opener store.Caller
}

// handle wraps an open file of the store, and says how the kernel may cache it, and
// that a reader's close is of no interest.
func (m *mount) handle(f *store.File, flags uint32, opener store.Caller) (h *handle, fuseFlags uint32) {
	h = &handle{m: m, f: f, fd: int(f.Fd()), opener: opener}
	if flags&unix.O_ACCMODE == unix.O_RDONLY && !f.Publishes() {
		fuseFlags = fuse.FOPEN_NOFLUSH
	}
	switch {
	case m.passthrough.Load():
	case flags&unix.O_ACCMODE == unix.O_WRONLY:
		// The fastest way to write without passthrough; never for readers, who
		// may want to map the file.
		fuseFlags |= fuse.FOPEN_DIRECT_IO
	case f.Immutable:
		fuseFlags |= fuse.FOPEN_KEEP_CACHE
	}
	return h, fuseFlags
}

// through is called when data comes through the daemon. go-fuse gives up
// passthrough for the whole mount, without a word, when one backing file cannot
// be registered; this is where it shows.
func (h *handle) through() {
	if h.m.passthrough.CompareAndSwap(true, false) {
		h.m.log.Warn("passthrough is off from here on: the kernel refused a backing file", "file", h.f.Name())
	}
}

// Read hands the kernel the descriptor to splice from.
func (h *handle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	h.through()
	return fuse.ReadResultFd(uintptr(h.fd), off, len(dest)), 0
}

// Write writes where the kernel says; an error reaches the writer as it is.
func (h *handle) Write(_ context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	h.through()
	n := 0
	err := h.m.store.WithRoom(func() error {
		return h.asOpener(func() (err error) {
			n, err = unix.Pwrite(h.fd, data, off)
			return err
		})
	})
	if err != nil {
		h.f.Poison(err)
		return 0, h.m.errno("write "+h.f.Name(), err)
	}
	return uint32(n), 0
}

// Flush is one close(2) of one of the descriptors of the handle. The request's
// context is not passed on: a signal says nothing about the file.
func (h *handle) Flush(ctx context.Context) syscall.Errno {
	return h.m.errno("close "+h.f.Name(), h.f.Flush(caller(ctx).TID))
}

// Release is the end of the last one.
func (h *handle) Release(context.Context) syscall.Errno {
	h.f.Release()
	return 0
}

// Fsync makes the data durable where it lies now.
func (h *handle) Fsync(context.Context, uint32) syscall.Errno {
	return h.m.errno("fsync", h.f.Sync())
}

// Allocate is fallocate(2).
func (h *handle) Allocate(_ context.Context, off, size uint64, mode uint32) syscall.Errno {
	err := h.m.store.WithRoom(func() error {
		return h.asOpener(func() error { return unix.Fallocate(h.fd, mode, int64(off), int64(size)) })
	})
	if err == unix.ENOSPC || err == unix.EDQUOT || err == unix.EIO {
		h.f.Poison(err)
	}
	return h.m.errno("allocate", err)
}

// Lseek finds data and holes.
func (h *handle) Lseek(_ context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	n, err := unix.Seek(h.fd, int64(off), int(whence))
	if err != nil {
		return 0, h.m.errno("seek", err)
	}
	return uint64(n), 0
}
