package fs

import (
	"context"
	"strings"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// versionsName is the directory below .ckptfs that shows each version by its id,
// as a view shows one, and its manifest as ID.json: what is committed, earlier or
// deleted. So a version can be copied while the name gets another. It belongs to
// who may command the daemon, and to nobody else: a run may be closed to others.
const versionsName = "versions"

type versionsDir struct {
	readOnly
	fusefs.Inode
	shown
	m *mount
}

func (m *mount) fillVersions(out *fuse.Attr) {
	m.fillVirtual(out, unix.S_IFDIR|0o500)
	out.Uid = m.master()
}

func (m *mount) lookupVersions(ctx context.Context, d *controlDir, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	m.fillVersions(&out.Attr)
	if known := d.GetChild(versionsName); known != nil {
		return known, 0
	}
	id := m.store.FreshIdent()
	return d.NewInode(ctx, &versionsDir{m: m}, fusefs.StableAttr{Mode: unix.S_IFDIR, Ino: id.Ino, Gen: viewGen}), 0
}

// Lookup finds a version, or its manifest. It is asked for each name anew, and by
// whom: the mount may be without the kernel's checks.
func (d *versionsDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if !d.m.commands(caller(ctx).UID) {
		return nil, syscall.EACCES
	}
	id, manifest := strings.CutSuffix(name, ".json")
	v := d.m.store.VersionByID(id)
	switch {
	case v == nil:
		return nil, syscall.ENOENT
	case !manifest:
		return d.m.viewRoot(ctx, d.EmbeddedInode(), name, v, out)
	}
	f := &manifestFile{m: d.m, id: id}
	f.fill(&out.Attr)
	if known := d.GetChild(name); known != nil {
		return known, 0
	}
	ident := d.m.store.FreshIdent()
	return d.NewInode(ctx, f, fusefs.StableAttr{Mode: unix.S_IFREG, Ino: ident.Ino, Gen: viewGen}), 0
}

func (d *versionsDir) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.m.fillVersions(&out.Attr)
	return 0
}

// OpendirHandle lists nothing: ls.json does, with what the versions are.
func (d *versionsDir) OpendirHandle(_ context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	return d.open(directory{d, d.settled, func(bool) ([]entry, syscall.Errno) { return nil, 0 }, nil}, flags)
}

// manifestFile is the manifest of a version, made when it is opened.
type manifestFile struct {
	readOnly
	fusefs.Inode
	m  *mount
	id string
}

func (f *manifestFile) fill(out *fuse.Attr) {
	f.m.fillVirtual(out, unix.S_IFREG|0o400)
	out.Uid = f.m.master()
}

func (f *manifestFile) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.fill(&out.Attr)
	return 0
}

func (f *manifestFile) Open(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	v := f.m.store.VersionByID(f.id)
	switch {
	case !f.m.commands(caller(ctx).UID), flags&unix.O_ACCMODE != unix.O_RDONLY:
		return nil, 0, syscall.EACCES
	case v == nil:
		return nil, 0, syscall.ENOENT
	}
	b, err := asJSON(f.m.store.HashedManifest(v))
	if err != nil {
		return nil, 0, f.m.errno("make the manifest of "+f.id, err)
	}
	return &reportHandle{b}, fuse.FOPEN_DIRECT_IO, 0
}
