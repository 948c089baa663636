package fs

import (
	"context"
	"sync/atomic"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
)

// dir is a directory of the live tree. It stays one node for as long as its
// name lives: what a save or a commit changes is what the store answers.
type dir struct {
	fusefs.Inode
	m    *mount
	last atomic.Pointer[store.Attr] // what it was when it had a name
}

// hold takes the path of the directory, which stays true until it is released.
func (d *dir) hold() (p string, release func(), errno syscall.Errno) {
	at, release, ok := d.m.hold(d.EmbeddedInode())
	if !ok {
		return "", release, syscall.ENOENT
	}
	return at[0], release, 0
}

// Lookup finds a real entry, else a view.
func (d *dir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	p, release, ok := d.m.holdName(d, name)
	if !ok {
		return nil, syscall.ENOENT
	}
	d.m.endings.add(requestOf(ctx), release) // go-fuse enters the node yet
	if p == "" && name == store.Private {
		return d.m.lookupControl(ctx, d, out)
	}
	a, err := d.m.store.Lookup(join(p, name), caller(ctx).TID)
	if e := d.m.errno("look up "+join(p, name), err); e == syscall.ENOENT {
		return d.m.lookupView(ctx, d.EmbeddedInode(), p, name, out)
	} else if e != 0 {
		return nil, e
	}
	fillEntry(out, &a)
	return d.child(ctx, &a), 0
}

// child is the node of a live entry. go-fuse finds the one that is known
// already by its identity.
func (d *dir) child(ctx context.Context, a *store.Attr) *fusefs.Inode {
	if a.IsDir() {
		n := &dir{m: d.m}
		n.last.Store(a)
		return d.NewInode(ctx, n, stable(a))
	}
	n := d.NewInode(ctx, &file{m: d.m}, stable(a))
	if f, ok := n.Operations().(*file); ok {
		f.last.Store(&sighting{*a, time.Now()})
	}
	return n
}

// Getattr describes the directory; one that was removed while somebody has it
// open is described as it was.
func (d *dir) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	p, release, errno := d.hold()
	defer release()
	if last := d.last.Load(); errno != 0 && last != nil {
		gone := *last
		gone.Nlink, gone.Volatile = 0, true
		fillAttr(out, &gone)
		return 0
	} else if errno != 0 {
		return errno
	}
	a, err := d.m.store.Attr(p, store.Ident{})
	if err != nil {
		return d.m.errno("stat "+p, err)
	}
	d.last.Store(&a)
	fillAttr(out, &a)
	return 0
}

// Setattr changes owner, mode or times, in place.
func (d *dir) Setattr(ctx context.Context, _ fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return errno
	}
	a, err := d.m.store.SetAttr(p, store.Ident{}, nil, changeOf(in), caller(ctx))
	if err != nil {
		return d.m.errno("change "+p, err)
	}
	fillAttr(out, &a)
	out.Ino = d.StableAttr().Ino // go-fuse does not say it here
	return 0
}

// Statfs describes the backing file system.
func (d *dir) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	st, err := d.m.store.Statfs()
	if err != nil {
		return d.m.errno("statfs", err)
	}
	var s syscall.Statfs_t
	s.Blocks, s.Bfree, s.Bavail, s.Files, s.Ffree = st.Blocks, st.Bfree, st.Bavail, st.Files, st.Ffree
	s.Bsize, s.Frsize, s.Namelen = st.Bsize, st.Frsize, st.Namelen
	out.FromStatfsT(&s)
	return 0
}

// OpendirHandle takes the listing at the first read. Only what is committed may
// be cached: a commit tells the kernel.
func (d *dir) OpendirHandle(context.Context, uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return nil, 0, errno
	}
	h := &listing{load: d.list, sync: func() syscall.Errno { return d.Fsync(context.Background(), nil, 0) }}
	if a, err := d.m.store.Attr(p, store.Ident{}); err == nil && a.Checkpoint && !a.Staged {
		return h, fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE, 0
	}
	return h, 0, 0
}

// list names the real entries, then the views.
func (d *dir) list() ([]fuse.DirEntry, syscall.Errno) {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return nil, errno
	}
	entries, err := d.m.store.ReadDir(p)
	if err != nil {
		return nil, d.m.errno("list "+p, err)
	}
	real := make(map[string]bool, len(entries))
	out := make([]fuse.DirEntry, 0, len(entries)+5)
	for _, e := range entries {
		real[e.Name] = true
		out = append(out, fuse.DirEntry{Name: e.Name, Mode: e.Type, Ino: e.Ident.Ino})
	}
	for _, name := range d.m.store.Listed(p, func(name string) bool { return real[name] }) {
		out = append(out, fuse.DirEntry{Name: name, Mode: d.m.viewMode()})
	}
	return out, 0
}

// Fsync is the trainer's word that what is in the directory is complete.
func (d *dir) Fsync(context.Context, fusefs.FileHandle, uint32) syscall.Errno {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return errno
	}
	return d.m.errno("fsync "+p, d.m.store.SyncDir(p))
}

// listing is an open directory. Its offsets are positions in a snapshot that is
// taken anew when the reader starts over, so that a scan that removes what it
// finds misses nothing.
type listing struct {
	load    func() ([]fuse.DirEntry, syscall.Errno)
	sync    func() syscall.Errno
	entries []fuse.DirEntry
	loaded  bool
	at      int
}

func (l *listing) Readdirent(context.Context) (*fuse.DirEntry, syscall.Errno) {
	if !l.loaded {
		entries, errno := l.load()
		if errno != 0 {
			return nil, errno
		}
		dots := []fuse.DirEntry{{Name: ".", Mode: unix.S_IFDIR}, {Name: "..", Mode: unix.S_IFDIR}}
		l.entries, l.loaded = append(dots, entries...), true
	}
	if l.at >= len(l.entries) {
		return nil, 0
	}
	e := l.entries[l.at]
	l.at++
	e.Off = uint64(l.at)
	return &e, 0
}

func (l *listing) Seekdir(_ context.Context, off uint64) syscall.Errno {
	if off == 0 {
		l.loaded = false
	}
	l.at = int(min(off, 1<<30))
	return 0
}

func (l *listing) Fsyncdir(context.Context, uint32) syscall.Errno {
	if l.sync == nil {
		return 0
	}
	return l.sync()
}
