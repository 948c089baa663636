package fs

import (
	"context"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
)

// Create makes and opens a file.
func (d *dir) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return nil, nil, 0, errno
	}
	mode, c := maker(ctx, mode)
	f, a, err := d.m.store.Create(join(p, name), int(flags), mode, c)
	if err != nil {
		return nil, nil, 0, d.m.errno("create "+join(p, name), err)
	}
	d.touch()
	h, fuseFlags := d.m.handle(f, flags, c)
	return d.child(ctx, name, &a, out), h, fuseFlags, 0
}

// Mkdir makes a directory.
func (d *dir) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	return d.entry(ctx, "mkdir", name, out, func(p string) (store.Attr, error) {
		mode, c := maker(ctx, mode)
		return d.m.store.Mkdir(p, mode, c)
	})
}

// Mknod makes a file, pipe, socket or device.
func (d *dir) Mknod(ctx context.Context, name string, mode, dev uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	return d.entry(ctx, "mknod", name, out, func(p string) (store.Attr, error) {
		mode, c := maker(ctx, mode)
		return d.m.store.Mknod(p, mode, dev, c)
	})
}

// Symlink makes a symbolic link.
func (d *dir) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	return d.entry(ctx, "symlink", name, out, func(p string) (store.Attr, error) {
		return d.m.store.Symlink(target, p, caller(ctx))
	})
}

// Link gives a file another name.
func (d *dir) Link(ctx context.Context, target fusefs.InodeEmbedder, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	n, ok := target.(*file)
	if !ok {
		return nil, syscall.EXDEV // what a view shows
	}
	at, release, ok := d.m.hold(n.EmbeddedInode(), d.EmbeddedInode())
	defer release()
	if !ok {
		return nil, syscall.ESTALE // the kernel looks both up again
	}
	p := join(at[1], name)
	a, err := d.m.store.Link(at[0], n.ident(), p, caller(ctx))
	if err != nil {
		return nil, d.m.errno("link "+p, err)
	}
	d.touch()
	return d.child(ctx, name, &a, out), 0
}

func (d *dir) entry(ctx context.Context, doing, name string, out *fuse.EntryOut, f func(p string) (store.Attr, error)) (*fusefs.Inode, syscall.Errno) {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return nil, errno
	}
	a, err := f(join(p, name))
	if err != nil {
		return nil, d.m.errno(doing+" "+join(p, name), err)
	}
	d.touch()
	return d.child(ctx, name, &a, out), 0
}

// Unlink removes a name.
func (d *dir) Unlink(ctx context.Context, name string) syscall.Errno {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return errno
	}
	return d.removed(p, name, "unlink", d.m.store.Unlink(join(p, name), caller(ctx)))
}

// Rmdir removes an empty directory.
func (d *dir) Rmdir(ctx context.Context, name string) syscall.Errno {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return errno
	}
	return d.removed(p, name, "rmdir", d.m.store.Rmdir(join(p, name), caller(ctx)))
}

// removed turns "no such entry" into EROFS for the name of a view.
func (d *dir) removed(p, name, doing string, err error) syscall.Errno {
	d.touch()
	errno := d.m.errno(doing+" "+join(p, name), err)
	if errno == syscall.ENOENT {
		if _, ok := d.m.store.View(p, name); ok {
			return syscall.EROFS
		}
	}
	return errno
}

// Rename moves a name to here or to another live directory.
func (d *dir) Rename(ctx context.Context, name string, newParent fusefs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := newParent.(*dir)
	if !ok {
		return syscall.EROFS
	}
	if p, ok := d.m.pathOf(d.EmbeddedInode()); ok {
		if q, ok := d.m.pathOf(to.EmbeddedInode()); ok {
			d.m.store.Conclude(join(p, name), join(q, newName))
		}
	}
	p, q, release, errno := d.m.holdBoth(d, to, name, newName)
	if errno != 0 {
		return errno
	}
	d.m.endings.add(requestOf(ctx), release) // go-fuse moves the nodes yet
	err := d.m.store.Rename(join(p, name), join(q, newName), uint(flags), caller(ctx))
	to.touch()
	return d.removed(p, name, "rename to "+join(q, newName)+" of", err)
}

// changeOf reads what a SETATTR asks for.
func changeOf(in *fuse.SetAttrIn) store.Change {
	var ch store.Change
	if mode, ok := in.GetMode(); ok {
		ch.Mode = &mode
	}
	if uid, ok := in.GetUID(); ok {
		ch.UID = &uid
	}
	if gid, ok := in.GetGID(); ok {
		ch.GID = &gid
	}
	if size, ok := in.GetSize(); ok {
		n := int64(size)
		ch.Size = &n
	}
	ch.DropSetID = in.Valid&fuse.FATTR_KILL_SUIDGID != 0
	ch.Atime = timeOf(in.Valid, fuse.FATTR_ATIME, fuse.FATTR_ATIME_NOW, in.Atime, in.Atimensec)
	ch.Mtime = timeOf(in.Valid, fuse.FATTR_MTIME, fuse.FATTR_MTIME_NOW, in.Mtime, in.Mtimensec)
	return ch
}

func timeOf(valid, set, now uint32, sec uint64, nsec uint32) *unix.Timespec {
	switch {
	case valid&now != 0:
		return &unix.Timespec{Nsec: unix.UTIME_NOW}
	case valid&set != 0:
		return &unix.Timespec{Sec: int64(sec), Nsec: int64(nsec)}
	}
	return nil
}
