package fs

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
)

// entry is one name in a directory.
type entry struct {
	fuse.DirEntry
	attr *store.Attr // what a look-up would answer; nil when only that can tell
}

// listing is a directory that is being read. Its offsets are cookies: a name has
// the same in every listing, whatever comes and goes beside it. So a scan that
// removes what it finds misses nothing, a reader may go on in a newer listing than
// it began in, and the kernel may cache what it was told.
type listing struct {
	directory
	of         *shown
	attributes bool // they are wanted
	entries    []entry
	at         int
	loaded     bool
}

// directory is what a listing asks of the node.
type directory struct {
	node
	// settled reports whether the kernel may keep a listing that was read to its end.
	settled func() bool
	// names lists what is in it, with attributes when they are wanted and can be had.
	names func(attributes bool) ([]entry, syscall.Errno)
	// child answers with the node of an entry whose attributes are known.
	child func(ctx context.Context, name string, a *store.Attr, out *fuse.EntryOut) *fusefs.Inode
}

// node is what every directory is.
type node interface {
	fusefs.InodeEmbedder
	fusefs.NodeLookuper
}

// open is how each directory is opened; the flags are those of rawFS.
func (s *shown) open(d directory, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	return &listing{directory: d, of: s, attributes: flags&wantsAttributes != 0}, fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE, 0
}

// seed keeps others from making names whose cookies are the same.
var seed = maphash.MakeSeed()

// The cookies of "." and ".."; those of names come after them, and then those of
// views. The kernel takes none above 1<<63.
const (
	cookieSelf = 1 + iota
	cookieParent
	firstCookie
	cookieView = 1 << 62
)

// cookie is the offset behind a name.
func cookie(name string) uint64 { return max(maphash.String(seed, name)>>2, firstCookie) }

// inOrder gives entries their cookies where they have none, and sorts them by these.
func inOrder(entries []entry) []entry {
	for i := range entries {
		entries[i].Off = cmp.Or(entries[i].Off, cookie(entries[i].Name))
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Off, b.Off), cmp.Compare(a.Name, b.Name))
	})
	for i := 1; i < len(entries); i++ { // once in 2^62, but then a name must not be missed
		entries[i].Off = max(entries[i].Off, entries[i-1].Off+1)
	}
	dots := []entry{
		{DirEntry: fuse.DirEntry{Name: ".", Mode: unix.S_IFDIR, Off: cookieSelf}},
		{DirEntry: fuse.DirEntry{Name: "..", Mode: unix.S_IFDIR, Off: cookieParent}},
	}
	return append(dots, entries...)
}

func named(list []store.Dirent) []entry {
	out := make([]entry, 0, len(list))
	for _, e := range list {
		out = append(out, entry{DirEntry: fuse.DirEntry{Name: e.Name, Mode: e.Type, Ino: e.Ident.Ino}})
	}
	return out
}

func described(list []store.DirentPlus) []entry {
	out := make([]entry, 0, len(list))
	for i := range list {
		e := &list[i]
		added := entry{DirEntry: fuse.DirEntry{Name: e.Name, Mode: e.Type, Ino: e.Ident.Ino}}
		if e.Known {
			added.attr = &e.Attr
		}
		out = append(out, added)
	}
	return out
}

// Readdirent is the next entry, nil at the end.
func (l *listing) Readdirent(context.Context) (*fuse.DirEntry, syscall.Errno) {
	if !l.loaded {
		if errno := l.begin(0); errno != 0 {
			return nil, errno
		}
	}
	if l.at >= len(l.entries) {
		return nil, 0
	}
	e := l.entries[l.at].DirEntry
	l.at++
	return &e, 0
}

// Lookup implements fusefs.FileLookuper: it answers for the entry that was read
// last. Only attributes that were asked for in this request are believed: what has
// changed since an earlier one the kernel may know already.
func (l *listing) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if e := l.entries[l.at-1]; l.attributes && e.attr != nil {
		return l.child(ctx, name, e.attr, out), 0
	}
	return l.node.Lookup(ctx, name, out)
}

// Seekdir goes on behind the entry with a cookie.
func (l *listing) Seekdir(_ context.Context, off uint64) syscall.Errno { return l.begin(off) }

func (l *listing) begin(off uint64) (errno syscall.Errno) {
	l.loaded = true
	l.attributes = l.attributes && off == 0
	if l.entries, errno = l.of.entries(off == 0, func() ([]entry, syscall.Errno) { return l.names(l.attributes) }); errno != 0 {
		return errno
	}
	l.at, _ = slices.BinarySearchFunc(l.entries, off, func(e entry, off uint64) int {
		return cmp.Compare(e.Off, off+1)
	})
	if l.at == len(l.entries) { // there is no more to ask for
		l.of.end()
		if !l.settled() {
			l.of.moves.Add(1)
			l.EmbeddedInode().NotifyContent(0, 0)
		}
	}
	return 0
}

// rawFS answers requests for listings without any for opening and closing the
// directory: the kernel, told once that nobody wants those (ENOSYS), sends them no
// more. It caches each listing, and takes it anew when the time of the directory
// is another one; see shown.

// OpenDir implements fuse.RawFileSystem.
func (r rawFS) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if r.unopened() {
		return fuse.ENOSYS
	}
	return r.RawFileSystem.OpenDir(cancel, in, out)
}

// unopened reports whether the kernel reads directories that it has not opened.
func (r rawFS) unopened() bool {
	return r.m.server.KernelSettings().Flags64()&fuse.CAP_NO_OPENDIR_SUPPORT != 0
}

// ReadDir implements fuse.RawFileSystem.
func (r rawFS) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return r.opened(cancel, in, 0, func(in *fuse.ReadIn) fuse.Status { return r.RawFileSystem.ReadDir(cancel, in, out) })
}

// ReadDirPlus implements fuse.RawFileSystem: it looks up what it lists.
func (r rawFS) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	defer r.m.endings.end(cancel)
	return r.opened(cancel, in, wantsAttributes, func(in *fuse.ReadIn) fuse.Status { return r.RawFileSystem.ReadDirPlus(cancel, in, out) })
}

// wantsAttributes among the flags of an OPENDIR says that what is listed is looked up.
const wantsAttributes = 1 << 31

// opened opens the directory for one request, as the nodes of go-fuse expect it.
func (r rawFS) opened(cancel <-chan struct{}, in *fuse.ReadIn, flags uint32, read func(*fuse.ReadIn) fuse.Status) fuse.Status {
	if !r.unopened() {
		return read(in)
	}
	var opened fuse.OpenOut
	if status := r.RawFileSystem.OpenDir(cancel, &fuse.OpenIn{InHeader: in.InHeader, Flags: flags}, &opened); !status.Ok() {
		return status
	}
	defer r.RawFileSystem.ReleaseDir(&fuse.ReleaseIn{InHeader: in.InHeader, Fh: opened.Fh})
	handled := *in
	handled.Fh = opened.Fh
	return read(&handled)
}
