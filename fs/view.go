package fs

import (
	"context"
	"path"
	"strconv"
	"strings"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
)

// viewDir is a directory of a view. It is bound to one version: whoever has it
// open, or stands in it, keeps that version; a name that is looked up afresh
// leads to a new node when the view has moved on.
type viewDir struct {
	readOnly
	fusefs.Inode
	shown
	m   *mount
	v   *store.Version
	rel string
}

// OnAdd keeps the version on disk while the kernel knows the node.
func (d *viewDir) OnAdd(context.Context) { d.m.known.add(d.v, d.EmbeddedInode(), d.rel) }

// OnForget lets the version go.
func (d *viewDir) OnForget() { d.m.known.remove(d.v, d.EmbeddedInode()) }

// lookupView finds a view by name in a run.
func (m *mount) lookupView(ctx context.Context, parent *fusefs.Inode, dir, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	t, ok := m.store.View(dir, name)
	switch {
	case !ok:
		return nil, syscall.ENOENT // negative entries have no lifetime: a commit may make the name one
	case t.Index != store.NoIndex:
		return m.indexNode(ctx, parent, name, t.Index, out)
	case m.opts.Config.Views.Style == "symlink":
		return m.linkNode(ctx, parent, name, t.Version, out)
	}
	return m.viewRoot(ctx, parent, name, t.Version, out)
}

// viewRoot is the node of a view that resolves to v: the one that is known
// under the name as long as it still does.
func (m *mount) viewRoot(ctx context.Context, parent *fusefs.Inode, name string, v *store.Version, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	a, err := m.store.VersionAttr(v, "")
	if err != nil {
		return nil, m.errno("look up view "+name, err)
	}
	a.Blocks = 0 // a view owns nothing
	fill(&out.Attr, &a)
	out.SetAttrTimeout(lasting) // and no entry timeout: the view may move at any time
	if known := parent.GetChild(name); known != nil {
		if d, ok := known.Operations().(*viewDir); ok && d.v == v && d.rel == "" {
			return known, 0
		}
	}
	id := m.store.FreshIdent()
	d := &viewDir{m: m, v: v}
	return parent.NewInode(ctx, d, fusefs.StableAttr{Mode: unix.S_IFDIR, Ino: id.Ino, Gen: viewGen}), 0
}

func (d *viewDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	rel := join(d.rel, name)
	a, err := d.m.store.VersionAttr(d.v, rel)
	if err != nil {
		return nil, d.m.errno("look up "+rel+" in a view", err)
	}
	return d.child(ctx, name, &a, out), 0
}

// child is the node of an entry: the one that is known, for a version never changes.
func (d *viewDir) child(ctx context.Context, name string, a *store.Attr, out *fuse.EntryOut) *fusefs.Inode {
	fill(&out.Attr, a)
	out.SetEntryTimeout(lasting)
	out.SetAttrTimeout(lasting)
	if a.IsDir() {
		out.Blocks = 0
	}
	if known := d.GetChild(name); known != nil {
		return known
	}
	rel := join(d.rel, name)
	if !a.IsDir() {
		n := &viewFile{m: d.m, v: d.v, rel: rel}
		return d.NewInode(ctx, n, fusefs.StableAttr{Mode: a.Mode, Ino: a.Ident.Ino, Gen: a.Ident.Gen | viewGen})
	}
	id := d.m.store.FreshIdent()
	n := &viewDir{m: d.m, v: d.v, rel: rel}
	return d.NewInode(ctx, n, fusefs.StableAttr{Mode: unix.S_IFDIR, Ino: id.Ino, Gen: viewGen})
}

func (d *viewDir) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	a, err := d.m.store.VersionAttr(d.v, d.rel)
	if err != nil {
		return d.m.errno("stat a view", err)
	}
	a.Blocks = 0
	fill(&out.Attr, &a)
	out.SetTimeout(lasting)
	return 0
}

func (d *viewDir) OpendirHandle(_ context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	return d.open(directory{d, d.settled, d.list, d.child}, flags)
}

func (d *viewDir) list(attributes bool) ([]entry, syscall.Errno) {
	if attributes {
		list, err := d.m.store.VersionListPlus(d.v, d.rel)
		return described(list), d.m.errno("list a view", err)
	}
	list, err := d.m.store.VersionList(d.v, d.rel)
	return named(list), d.m.errno("list a view", err)
}

func (d *viewDir) Getxattr(_ context.Context, attr string, dest []byte) (uint32, syscall.Errno) {
	if d.rel == "" && strings.HasPrefix(attr, store.XattrPrefix) {
		return answer(d.m.store.VersionXattrs(d.v), attr, dest)
	}
	n, err := d.m.store.VersionGetxattr(d.v, d.rel, attr, dest)
	return uint32(max(n, 0)), d.m.errno("getxattr", err)
}

func (d *viewDir) Listxattr(_ context.Context, dest []byte) (uint32, syscall.Errno) {
	if d.rel != "" {
		return 0, 0
	}
	return names(d.m.store.VersionXattrs(d.v), dest)
}

func (d *viewDir) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	return d.m.root.Statfs(ctx, out)
}

// viewFile is a file of a version: the inode of the live name, seen read-only.
type viewFile struct {
	readOnly
	fusefs.Inode
	m   *mount
	v   *store.Version
	rel string
}

func (n *viewFile) OnAdd(context.Context) { n.m.known.add(n.v, n.EmbeddedInode(), n.rel) }

func (n *viewFile) OnForget() { n.m.known.remove(n.v, n.EmbeddedInode()) }

func (n *viewFile) Getattr(_ context.Context, fh fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	a, err := n.m.store.VersionAttr(n.v, n.rel)
	if h, ok := fh.(*handle); err != nil && ok {
		a, err = h.f.Stat() // the version is gone, the open file is not
	}
	if err != nil {
		return n.m.errno("stat "+n.rel+" in a view", err)
	}
	fill(&out.Attr, &a)
	out.SetTimeout(lasting)
	return 0
}

func (n *viewFile) Open(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	f, err := n.m.store.VersionOpen(n.v, n.rel, int(flags))
	if err != nil {
		return nil, 0, n.m.errno("open "+n.rel+" in a view", err)
	}
	h, fuseFlags := n.m.handle(f, flags, caller(ctx))
	return h, fuseFlags, 0
}

func (n *viewFile) Readlink(context.Context) ([]byte, syscall.Errno) {
	target, err := n.m.store.VersionReadlink(n.v, n.rel)
	return []byte(target), n.m.errno("readlink in a view", err)
}

func (n *viewFile) Getxattr(_ context.Context, attr string, dest []byte) (uint32, syscall.Errno) {
	c, err := n.m.store.VersionGetxattr(n.v, n.rel, attr, dest)
	return uint32(max(c, 0)), n.m.errno("getxattr", err)
}

// indexDir is by-epoch/ or by-step/: numbers, each of them a view.
type indexDir struct {
	readOnly
	fusefs.Inode
	shown
	m     *mount
	index store.Index
}

func (m *mount) indexNode(ctx context.Context, parent *fusefs.Inode, name string, index store.Index, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	m.fillVirtual(&out.Attr, unix.S_IFDIR|0o755) // writable by mode, as views are, so that a copy is
	if known := parent.GetChild(name); known != nil {
		if d, ok := known.Operations().(*indexDir); ok {
			d.time(&out.Attr)
			return known, 0
		}
	}
	id := m.store.FreshIdent()
	return parent.NewInode(ctx, &indexDir{m: m, index: index}, fusefs.StableAttr{Mode: unix.S_IFDIR, Ino: id.Ino, Gen: viewGen}), 0
}

// hold takes the path of the directory that the index belongs to, which stays
// true until it is released.
func (d *indexDir) hold() (p string, release func(), ok bool) {
	_, parent := d.EmbeddedInode().Parent()
	if parent == nil {
		return "", func() {}, false
	}
	at, release, ok := d.m.hold(parent)
	return at[0], release, ok
}

func (d *indexDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	dir, release, ok := d.hold()
	defer release()
	if !ok {
		return nil, syscall.ENOENT
	}
	v := d.m.store.Numbered(dir, d.index, name)
	if v == nil {
		return nil, syscall.ENOENT
	}
	if d.m.opts.Config.Views.Style == "symlink" {
		return d.m.linkNode(ctx, d.EmbeddedInode(), name, v, out)
	}
	return d.m.viewRoot(ctx, d.EmbeddedInode(), name, v, out)
}

func (d *indexDir) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.m.fillVirtual(&out.Attr, unix.S_IFDIR|0o755)
	d.time(&out.Attr)
	return 0
}

func (d *indexDir) OpendirHandle(_ context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	return d.open(directory{d, d.settled, d.list, nil}, flags)
}

func (d *indexDir) list(bool) ([]entry, syscall.Errno) {
	dir, release, ok := d.hold()
	defer release()
	if !ok {
		return nil, syscall.ENOENT
	}
	var out []entry
	for _, n := range d.m.store.Numbers(dir, d.index) {
		out = append(out, entry{DirEntry: fuse.DirEntry{Name: strconv.FormatInt(n, 10), Mode: d.m.viewMode()}})
	}
	return out, 0
}

// viewLink is a view in the style of a symbolic link: it leads to the name, so
// it shows what is live and not what is committed while a save is under way.
type viewLink struct {
	readOnly
	fusefs.Inode
	m      *mount
	target string
}

func (m *mount) linkNode(ctx context.Context, parent *fusefs.Inode, name string, v *store.Version, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	target := v.Name
	if _, ok := parent.Operations().(*indexDir); ok {
		target = path.Join("..", target)
	}
	m.fillVirtual(&out.Attr, unix.S_IFLNK|0o777)
	out.Attr.Size = uint64(len(target))
	id := m.store.FreshIdent()
	return parent.NewInode(ctx, &viewLink{m: m, target: target}, fusefs.StableAttr{Mode: unix.S_IFLNK, Ino: id.Ino, Gen: viewGen}), 0
}

func (n *viewLink) Readlink(context.Context) ([]byte, syscall.Errno) { return []byte(n.target), 0 }

func (n *viewLink) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.m.fillVirtual(&out.Attr, unix.S_IFLNK|0o777)
	out.Attr.Size = uint64(len(n.target))
	return 0
}

// viewMode is the type of a view in a listing.
func (m *mount) viewMode() uint32 {
	if m.opts.Config.Views.Style == "symlink" {
		return unix.S_IFLNK
	}
	return unix.S_IFDIR
}

// fillVirtual describes what exists in the mount only; it belongs to whoever
// owns the directory.
func (m *mount) fillVirtual(out *fuse.Attr, mode uint32) {
	out.Mode, out.Nlink, out.Blksize = mode, 1, 4096
	if mode&unix.S_IFMT == unix.S_IFDIR {
		out.Nlink = 2
	}
	if a, err := m.store.Attr("", store.Ident{}); err == nil {
		out.Uid, out.Gid = a.UID, a.GID
		out.Mtime, out.Mtimensec = uint64(a.Mtime.Sec), uint32(a.Mtime.Nsec)
		out.Ctime, out.Ctimensec = out.Mtime, out.Mtimensec
		out.Atime, out.Atimensec = out.Mtime, out.Mtimensec
	}
}
