package disktest

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// Open implements disk.Disk. The file is the real one in the pool.
func (m *Memory) Open(op disk.Op, p string, flags int, mode uint32) (*os.File, error) {
	ino, n, err := m.find(p)
	switch {
	case err == nil && flags&os.O_CREATE != 0 && flags&os.O_EXCL != 0:
		err = unix.EEXIST
	case err == unix.ENOENT && flags&os.O_CREATE != 0:
		now := unix.Timespec{Nsec: unix.UTIME_NOW}
		if ino, err = m.create(op, "create "+p, p, content{mode: mode & 0o7777, mtime: now}); err != nil {
			return nil, err
		}
		n = &node{mode: unix.S_IFREG}
	}
	if err == nil && n.mode&unix.S_IFMT == unix.S_IFLNK && flags&unix.O_PATH == 0 {
		err = unix.ELOOP
	}
	if err == nil && !n.isRegular() {
		err = unix.EOPNOTSUPP // directories are listed by ReadDir; nobody reads the rest
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", p, err)
	}
	if m.Refuse != nil && flags&os.O_TRUNC != 0 {
		if err := m.Refuse(op, "open "+p); err != nil {
			return nil, fmt.Errorf("open %s: %w", p, err)
		}
	}
	if flags&unix.O_ACCMODE != os.O_RDONLY || flags&os.O_TRUNC != 0 {
		m.touched(ino)
	}
	return os.OpenFile(m.file(ino), flags&^(os.O_CREATE|os.O_EXCL), 0)
}

// Stat implements disk.Disk.
func (m *Memory) Stat(p string) (disk.Stat, error) {
	ino, _, err := m.find(p)
	if err != nil {
		return disk.Stat{}, fmt.Errorf("stat %s: %w", p, err)
	}
	return m.describe(ino)
}

// Fstat implements disk.Disk.
func (m *Memory) Fstat(f *os.File) (disk.Stat, error) {
	ino, err := m.inoOf(f)
	if err != nil {
		return disk.Stat{}, err
	}
	return m.describe(ino)
}

func (m *Memory) describe(ino uint64) (disk.Stat, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.live[ino]
	st := disk.Stat{Dev: 1, Ino: ino, BirthNS: int64(ino), Blksize: 4096, Nlink: uint32(n.names)}
	if n.isRegular() {
		var real unix.Stat_t
		if err := unix.Stat(m.file(ino), &real); err != nil {
			return st, err
		}
		st.Mode, st.UID, st.GID, st.Size, st.Blocks = real.Mode, real.Uid, real.Gid, real.Size, uint64(real.Blocks)
		st.Atime, st.Mtime, st.Ctime = real.Atim, real.Mtim, real.Ctim
		return st, nil
	}
	st.Mode, st.UID, st.GID, st.Rdev = n.mode, m.owners[ino][0], m.owners[ino][1], uint64(n.rdev)
	st.Atime, st.Mtime, st.Ctime = m.times[ino], m.times[ino], m.times[ino]
	st.Size = int64(len(n.target))
	if n.isDir() {
		st.Nlink = 2
	}
	return st, nil
}

// ReadDir implements disk.Disk.
func (m *Memory) ReadDir(p string) ([]disk.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ino, err := m.live.find(p)
	if err == nil && !m.live[ino].isDir() {
		err = unix.ENOTDIR
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", p, err)
	}
	var out []disk.Entry
	entries := m.live[ino].entries
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		out = append(out, disk.Entry{Name: name, Type: m.live[entries[name]].mode & unix.S_IFMT, Ino: entries[name]})
	}
	return out, nil
}

// Describe implements disk.Disk.
func (m *Memory) Describe(p string) ([]disk.Described, error) { return disk.DescribeBy(m, p) }

// Readlink implements disk.Disk.
func (m *Memory) Readlink(p string) (string, error) {
	_, n, err := m.find(p)
	if err == nil && n.mode&unix.S_IFMT != unix.S_IFLNK {
		err = unix.EINVAL
	}
	if err != nil {
		return "", fmt.Errorf("readlink %s: %w", p, err)
	}
	return n.target, nil
}

// Getxattr implements disk.Disk.
func (m *Memory) Getxattr(p, name string, dest []byte) (int, error) {
	ino, _, err := m.find(p)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.xattrs[ino][name]
	if !ok {
		return 0, unix.ENODATA
	}
	return copy(dest, v), nil
}

// Listxattr implements disk.Disk.
func (m *Memory) Listxattr(p string, dest []byte) (int, error) {
	ino, _, err := m.find(p)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []byte
	for _, name := range slices.Sorted(maps.Keys(m.xattrs[ino])) {
		list = append(append(list, name...), 0)
	}
	return copy(dest, list), nil
}

// refused asks for a call on an open file.
func (m *Memory) refused(op disk.Op, call string) error {
	if m.Refuse == nil {
		return nil
	}
	if err := m.Refuse(op, call); err != nil {
		return fmt.Errorf("%s: %s: %w", op, call, err)
	}
	return nil
}

// Write implements disk.Disk.
func (m *Memory) Write(op disk.Op, f *os.File, data []byte, off int64) error {
	if err := m.refused(op, "write"); err != nil {
		return err
	}
	_, err := f.WriteAt(data, off)
	return err
}

// Truncate implements disk.Disk.
func (m *Memory) Truncate(op disk.Op, f *os.File, size int64) error {
	if err := m.refused(op, "truncate"); err != nil {
		return err
	}
	return f.Truncate(size)
}

// Fchmod implements disk.Disk.
func (m *Memory) Fchmod(_ disk.Op, f *os.File, mode uint32) error {
	return unix.Fchmod(int(f.Fd()), mode&0o7777)
}

// Fchown implements disk.Disk.
func (m *Memory) Fchown(_ disk.Op, f *os.File, uid, gid int) error {
	return unix.Fchown(int(f.Fd()), uid, gid)
}

// Fchtimes implements disk.Disk.
func (m *Memory) Fchtimes(_ disk.Op, f *os.File, atime, mtime unix.Timespec) error {
	return unix.UtimesNanoAt(int(f.Fd()), "", []unix.Timespec{atime, mtime}, unix.AT_EMPTY_PATH)
}

// Writable implements disk.Disk.
func (m *Memory) Writable(f *os.File) bool { return disk.Writable(f) }

// Alone implements disk.Disk.
func (m *Memory) Alone(f *os.File) bool { return disk.Alone(f) }

// Shared implements disk.Disk: a copy shares nothing.
func (m *Memory) Shared(*os.File) []disk.Extent { return nil }

// Statfs implements disk.Disk: there is always room.
func (m *Memory) Statfs() (unix.Statfs_t, error) {
	return unix.Statfs_t{Bsize: 4096, Blocks: 1 << 30, Bfree: 1 << 30, Bavail: 1 << 30}, nil
}

// Fits implements disk.Disk: everything does.
func (m *Memory) Fits(disk.Op, string, int64, uint32, uint32) error { return nil }

// Close implements disk.Disk. The disk can be opened again.
func (m *Memory) Close() error { return nil }

// Ours implements disk.Disk.
func (m *Memory) Ours(string) {}

// Sub implements disk.Disk.
func (m *Memory) Sub(p string) fs.FS { return below{m, p} }

type below struct {
	m    *Memory
	base string
}

// Open implements fs.FS.
func (b below) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	p := strings.TrimPrefix(path.Join(b.base, name), "./")
	if p == "." {
		p = ""
	}
	_, n, err := b.m.find(p)
	if err == nil && n.isDir() {
		return &listing{m: b.m, path: p}, nil
	}
	f, err := b.m.Open("", p, os.O_RDONLY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return f, nil
}

// listing is an open directory of an fs.FS.
type listing struct {
	m    *Memory
	path string
	done bool
}

func (l *listing) Close() error             { return nil }
func (l *listing) Read([]byte) (int, error) { return 0, unix.EISDIR }
func (l *listing) Stat() (fs.FileInfo, error) {
	return info{l.m, path.Base("/" + l.path), l.path}, nil
}

// ReadDir implements fs.ReadDirFile.
func (l *listing) ReadDir(n int) ([]fs.DirEntry, error) {
	if l.done && n > 0 {
		return nil, io.EOF
	}
	l.done = true
	list, err := l.m.ReadDir(l.path)
	var out []fs.DirEntry
	for _, e := range list {
		out = append(out, fs.FileInfoToDirEntry(info{l.m, e.Name, path.Join(l.path, e.Name)}))
	}
	return out, err
}
