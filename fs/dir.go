package fs

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"ckptfs/fs/store"
)

// dir is a directory of the live tree. It stays one node for as long as its
// name lives: what a save or a commit changes is what the store answers.
type dir struct {
	fusefs.Inode
	shown
	m    *mount
	last atomic.Pointer[store.Attr] // what it was when it had a name
}

// ofCheckpoint reports whether the directory is one of a checkpoint.
func (d *dir) ofCheckpoint() bool {
	last := d.last.Load()
	return last != nil && last.Checkpoint
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
	return d.child(ctx, name, &a, out), 0
}

// child answers with the node of a live entry: the one that is known under the
// name, or else one that go-fuse replaces by what it knows of the same identity.
func (d *dir) child(ctx context.Context, name string, a *store.Attr, out *fuse.EntryOut) *fusefs.Inode {
	n := d.GetChild(name)
	if n == nil || n.StableAttr() != stable(a) {
		var node fusefs.InodeEmbedder = &file{m: d.m}
		if a.IsDir() {
			node = &dir{m: d.m}
		}
		n = d.NewInode(ctx, node, stable(a))
	}
	d.m.fillEntry(out, a)
	switch node := n.Operations().(type) {
	case *dir:
		node.last.Store(a)
		node.time(&out.Attr)
	case *file:
		node.last.Store(&sighting{*a, time.Now()})
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
		d.m.fillAttr(out, &gone)
		return 0
	} else if errno != 0 {
		return errno
	}
	a, err := d.m.store.Attr(p, store.Ident{})
	if err != nil {
		return d.m.errno("stat "+p, err)
	}
	d.last.Store(&a)
	d.m.fillAttr(out, &a)
	d.time(&out.Attr)
	return 0
}

// Setattr changes owner, mode or times, in place.
func (d *dir) Setattr(ctx context.Context, _ fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return errno
	}
	ch := changeOf(in)
	a, err := d.m.store.SetAttr(p, store.Ident{}, nil, ch, caller(ctx))
	if err != nil {
		return d.m.errno("change "+p, err)
	}
	if ch.Mtime != nil {
		d.timeSet()
	}
	d.m.fillAttr(out, &a)
	d.time(&out.Attr)
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

// OpendirHandle takes the listing at the first read.
func (d *dir) OpendirHandle(_ context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	return d.open(directory{d, d.settled, d.list, d.child}, flags)
}

// settled says so of a plain directory too: others may have changed it beneath the
// mount a moment ago, or within the same tick of its clock.
func (d *dir) settled() bool {
	if !d.shown.settled() {
		return false
	}
	if d.ofCheckpoint() {
		return true
	}
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return false
	}
	a, err := d.m.store.Attr(p, store.Ident{})
	return err == nil && time.Since(time.Unix(a.Mtime.Unix())) > inFlight
}

// list names the real entries, then the views.
func (d *dir) list(attributes bool) ([]entry, syscall.Errno) {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return nil, errno
	}
	out, err := d.m.entries(p, attributes)
	if err != nil {
		return nil, d.m.errno("list "+p, err)
	}
	real := make(map[string]bool, len(out))
	for _, e := range out {
		real[e.Name] = true
	}
	for _, name := range d.m.store.Listed(p, func(name string) bool { return real[name] }) {
		at := slices.Index(d.m.opts.Config.Views.Names(), strings.TrimPrefix(name, "@"))
		out = append(out, entry{DirEntry: fuse.DirEntry{Name: name, Mode: d.m.viewMode(), Off: cookieView + uint64(at)}})
	}
	return out, 0
}

// entries names what is in a live directory.
func (m *mount) entries(p string, attributes bool) ([]entry, error) {
	if attributes {
		list, err := m.store.ReadDirPlus(p)
		return described(list), err
	}
	list, err := m.store.ReadDir(p)
	return named(list), err
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
