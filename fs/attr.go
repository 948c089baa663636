package fs

import (
	"context"
	"strings"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"ckptfs/fs/store"
)

// How long the kernel may believe an answer.
const (
	// lasting is for what changes through us only: committed versions, staged
	// files that nobody writes. A commit tells the kernel what moved.
	lasting = 24 * time.Hour
	// fleeting is for plain entries, which others may change beneath the mount.
	fleeting = time.Second
)

// viewGen marks the node of a file in a view: it has the st_ino of the live
// name and is a node of its own, read-only.
const viewGen = uint64(1) << 63

func caller(ctx context.Context) store.Caller {
	c, ok := fuse.FromContext(ctx)
	if !ok {
		return store.Caller{}
	}
	return store.Caller{TID: c.Pid, UID: c.Uid, GID: c.Gid}
}

// join is path.Join for clean parts.
func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// pathOf is where a live node is now; false when its name is gone.
func (m *mount) pathOf(n *fusefs.Inode) (string, bool) {
	p := n.Path(nil)
	if root := m.root.EmbeddedInode(); n != root {
		if strings.HasPrefix(p, ".go-fuse.") || !m.attached(n, root) {
			return "", false
		}
	}
	return p, true
}

// attached reports whether a walk up from n ends at the root.
func (m *mount) attached(n, root *fusefs.Inode) bool {
	for n != root {
		_, parent := n.Parent()
		if parent == nil {
			return false
		}
		n = parent
	}
	return true
}

// fill copies attributes into an answer.
func fill(out *fuse.Attr, a *store.Attr) {
	out.Mode = a.Mode
	out.Nlink = a.Nlink
	out.Uid, out.Gid = a.UID, a.GID
	out.Rdev = uint32(a.Rdev)
	out.Size = uint64(a.Size)
	out.Blocks = a.Blocks
	out.Blksize = max(a.Blksize, 512)
	out.Atime, out.Atimensec = uint64(a.Atime.Sec), uint32(a.Atime.Nsec)
	out.Mtime, out.Mtimensec = uint64(a.Mtime.Sec), uint32(a.Mtime.Nsec)
	out.Ctime, out.Ctimensec = uint64(a.Ctime.Sec), uint32(a.Ctime.Nsec)
}

// validity says how long an entry and its attributes may be believed. A directory
// that goes although nobody has asked the kernel to remove it is looked up again:
// its attributes are taken back, without which no path leads through it.
func (m *mount) validity(a *store.Attr) (entry, attr time.Duration) {
	switch {
	case a.Volatile: // what the name leads to; the inode is what it is for everybody
		return 0, fleeting
	case !a.Checkpoint:
		return fleeting, fleeting
	case a.Staged && a.IsDir():
		return fleeting, fleeting // every publication changes its times
	case a.IsDir() && !m.store.Watched():
		return fleeting, lasting
	default:
		return lasting, lasting
	}
}

func (m *mount) fillEntry(out *fuse.EntryOut, a *store.Attr) {
	fill(&out.Attr, a)
	entry, attr := m.validity(a)
	out.SetEntryTimeout(entry)
	out.SetAttrTimeout(attr)
}

func (m *mount) fillAttr(out *fuse.AttrOut, a *store.Attr) {
	fill(&out.Attr, a)
	_, attr := m.validity(a)
	out.SetTimeout(attr)
}

// stable is the identity of the node for a live entry.
func stable(a *store.Attr) fusefs.StableAttr {
	return fusefs.StableAttr{Mode: a.Mode, Ino: a.Ident.Ino, Gen: a.Ident.Gen}
}
