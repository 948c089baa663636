package disktest

import (
	"fmt"
	"maps"
	"os"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// fresh is a number that no inode has had. Needs mu.
func (m *Memory) fresh() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	m.owners[m.next] = [2]uint32{uint32(os.Geteuid()), uint32(os.Getegid())}
	return m.next
}

// Mkdir implements disk.Disk.
func (m *Memory) Mkdir(op disk.Op, p string, mode uint32) error {
	return m.change(op, "mkdir "+p, made(p, m.fresh(), node{mode: unix.S_IFDIR | mode&0o7777}))
}

// Mknod implements disk.Disk.
func (m *Memory) Mknod(op disk.Op, p string, mode uint32, dev int) error {
	if mode&unix.S_IFMT == unix.S_IFREG {
		f, err := m.Open(op, p, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if err != nil {
			return err
		}
		return f.Close()
	}
	return m.change(op, "mknod "+p, made(p, m.fresh(), node{mode: mode, rdev: dev}))
}

// Symlink implements disk.Disk.
func (m *Memory) Symlink(op disk.Op, target, p string) error {
	return m.change(op, "symlink "+p, made(p, m.fresh(), node{mode: unix.S_IFLNK | 0o777, target: target}))
}

// Link implements disk.Disk.
func (m *Memory) Link(op disk.Op, from, to string) error {
	return m.change(op, "link "+from+" "+to, linked(from, to))
}

// Unlink implements disk.Disk.
func (m *Memory) Unlink(op disk.Op, p string) error {
	return m.change(op, "unlink "+p, removed(p, false))
}

// Rmdir implements disk.Disk.
func (m *Memory) Rmdir(op disk.Op, p string) error {
	return m.change(op, "rmdir "+p, removed(p, true))
}

// Rename implements disk.Disk.
func (m *Memory) Rename(op disk.Op, from, to string, flags uint) error {
	return m.change(op, "rename "+from+" "+to, renamed(from, to, flags))
}

// create makes a regular file. Its content is in the pool before it has a name.
func (m *Memory) create(op disk.Op, call, p string, c content) (uint64, error) {
	ino := m.fresh()
	if err := m.write(ino, c); err != nil {
		return 0, err
	}
	m.touched(ino)
	if err := m.change(op, call, made(p, ino, node{mode: unix.S_IFREG})); err != nil {
		os.Remove(m.file(ino))
		return 0, err
	}
	return ino, nil
}

// Copy implements disk.Disk.
func (m *Memory) Copy(op disk.Op, from, to string) error {
	ino, n, err := m.find(from)
	if err != nil {
		return fmt.Errorf("%s: copy %s: %w", op, from, err)
	}
	if !n.isRegular() {
		return fmt.Errorf("%s: copy %s: %w", op, from, unix.EINVAL)
	}
	c, err := m.read(ino)
	if err != nil {
		return err
	}
	copied, err := m.create(op, "copy "+from+" "+to, to, c)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.xattrs[copied] = maps.Clone(m.xattrs[ino])
	m.mu.Unlock()
	return nil
}

// find is tree.find for callers without the lock.
func (m *Memory) find(p string) (uint64, *node, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ino, err := m.live.find(p)
	if err != nil {
		return 0, nil, err
	}
	return ino, m.live[ino], nil
}

// attribute changes an attribute: of a regular file in the pool, else by f.
// Attributes other than mode and times of regular files survive always: no
// protocol rests on them.
func (m *Memory) attribute(op disk.Op, call, p string, pool func(name string) error, f func(ino uint64, n *node)) error {
	if m.Refuse != nil {
		if err := m.Refuse(op, call+" "+p); err != nil {
			return fmt.Errorf("%s: %s %s: %w", op, call, p, err)
		}
	}
	ino, n, err := m.find(p)
	if err == nil && n.isRegular() {
		m.touched(ino)
		err = pool(m.file(ino))
	} else if err == nil {
		m.mu.Lock()
		f(ino, n)
		m.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("%s: %s %s: %w", op, call, p, err)
	}
	return nil
}

// Chmod implements disk.Disk.
func (m *Memory) Chmod(op disk.Op, p string, mode uint32) error {
	return m.attribute(op, "chmod", p,
		func(name string) error { return unix.Chmod(name, mode&0o7777) },
		func(_ uint64, n *node) { n.mode = n.mode&unix.S_IFMT | mode&0o7777 })
}

// Chown implements disk.Disk.
func (m *Memory) Chown(op disk.Op, p string, uid, gid int) error {
	return m.attribute(op, "chown", p,
		func(name string) error { return unix.Chown(name, uid, gid) },
		func(ino uint64, _ *node) {
			owner := m.owners[ino]
			if uid >= 0 {
				owner[0] = uint32(uid)
			}
			if gid >= 0 {
				owner[1] = uint32(gid)
			}
			m.owners[ino] = owner
		})
}

// Chtimes implements disk.Disk.
func (m *Memory) Chtimes(op disk.Op, p string, atime, mtime unix.Timespec) error {
	return m.attribute(op, "utimes", p,
		func(name string) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{atime, mtime}, 0)
		},
		func(ino uint64, _ *node) {
			if mtime.Nsec != unix.UTIME_OMIT && mtime.Nsec != unix.UTIME_NOW {
				m.times[ino] = mtime
			}
		})
}

// Setxattr implements disk.Disk.
func (m *Memory) Setxattr(_ disk.Op, p, name string, data []byte, _ int) error {
	ino, _, err := m.find(p)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.xattrs[ino] == nil {
		m.xattrs[ino] = map[string][]byte{}
	}
	m.xattrs[ino][name] = data
	return nil
}

// Removexattr implements disk.Disk.
func (m *Memory) Removexattr(_ disk.Op, p, name string) error {
	ino, _, err := m.find(p)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.xattrs[ino][name]; !ok {
		return unix.ENODATA
	}
	delete(m.xattrs[ino], name)
	return nil
}
