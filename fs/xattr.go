package fs

import (
	"context"
	"strings"
	"syscall"

	"ckptfs/fs/store"
	"ckptfs/fs/store/disk"
)

// The attributes user.ckptfs.* of checkpoints and views are the store's own;
// all others are those of the backing file.

func (d *dir) Getxattr(_ context.Context, attr string, dest []byte) (uint32, syscall.Errno) {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return 0, errno
	}
	if strings.HasPrefix(attr, store.XattrPrefix) {
		return answer(d.m.store.Xattrs(p), attr, dest)
	}
	return d.m.getxattr(p, store.Ident{}, attr, dest)
}

func (d *dir) Listxattr(_ context.Context, dest []byte) (uint32, syscall.Errno) {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return 0, errno
	}
	return d.m.listxattr(p, store.Ident{}, dest)
}

func (d *dir) Setxattr(_ context.Context, attr string, data []byte, flags uint32) syscall.Errno {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return errno
	}
	return d.m.setxattr(p, store.Ident{}, attr, data, flags)
}

func (d *dir) Removexattr(_ context.Context, attr string) syscall.Errno {
	p, release, errno := d.hold()
	defer release()
	if errno != 0 {
		return errno
	}
	return d.m.errno("removexattr", d.m.store.Removexattr(p, store.Ident{}, attr))
}

func (n *file) Getxattr(_ context.Context, attr string, dest []byte) (uint32, syscall.Errno) {
	p, release, ok := n.hold()
	defer release()
	if !ok {
		return 0, syscall.ESTALE // no list at all would open what one closes
	}
	if strings.HasPrefix(attr, store.XattrPrefix) {
		return answer(n.m.store.Xattrs(p), attr, dest)
	}
	return n.m.getxattr(p, n.ident(), attr, dest)
}

func (n *file) Listxattr(_ context.Context, dest []byte) (uint32, syscall.Errno) {
	p, release, ok := n.hold()
	defer release()
	if !ok {
		return 0, syscall.ESTALE
	}
	return n.m.listxattr(p, n.ident(), dest)
}

func (n *file) Setxattr(_ context.Context, attr string, data []byte, flags uint32) syscall.Errno {
	p, release, ok := n.hold()
	defer release()
	if !ok {
		return syscall.ESTALE
	}
	return n.m.setxattr(p, n.ident(), attr, data, flags)
}

func (n *file) Removexattr(_ context.Context, attr string) syscall.Errno {
	p, release, ok := n.hold()
	defer release()
	if !ok {
		return syscall.ESTALE
	}
	return n.m.errno("removexattr", n.m.store.Removexattr(p, n.ident(), attr))
}

func (m *mount) getxattr(p string, id store.Ident, attr string, dest []byte) (uint32, syscall.Errno) {
	n, err := m.store.Getxattr(p, id, attr, dest)
	return uint32(max(n, 0)), m.errno("getxattr", err)
}

func (m *mount) listxattr(p string, id store.Ident, dest []byte) (uint32, syscall.Errno) {
	n, err := m.store.Listxattr(p, id, dest)
	if errno := m.errno("listxattr", err); errno != 0 && errno != syscall.EOPNOTSUPP {
		return 0, errno
	}
	return uint32(max(n, 0)), 0
}

func (m *mount) setxattr(p string, id store.Ident, attr string, data []byte, flags uint32) syscall.Errno {
	if strings.HasPrefix(attr, store.XattrPrefix) {
		return syscall.EPERM
	}
	drop := flags&dropSetGID != 0 && attr == disk.AccessACL // the kernel says so for a default list too
	return m.errno("setxattr", m.store.Setxattr(p, id, attr, data, int(flags&^dropSetGID), drop))
}

// answer gives one of a set of attributes.
func answer(set map[string]string, attr string, dest []byte) (uint32, syscall.Errno) {
	v, ok := set[attr]
	if !ok {
		return 0, syscall.ENODATA
	}
	if len(dest) < len(v) {
		if len(dest) == 0 {
			return uint32(len(v)), 0
		}
		return uint32(len(v)), syscall.ERANGE
	}
	return uint32(copy(dest, v)), 0
}

// names lists a set of attributes as listxattr(2) does.
func names(set map[string]string, dest []byte) (uint32, syscall.Errno) {
	var b []byte
	for name := range set {
		b = append(append(b, name...), 0)
	}
	if len(dest) < len(b) {
		if len(dest) == 0 {
			return uint32(len(b)), 0
		}
		return uint32(len(b)), syscall.ERANGE
	}
	return uint32(copy(dest, b)), 0
}
