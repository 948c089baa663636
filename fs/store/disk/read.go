package disk

import (
	"cmp"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Open implements Disk.
func (r *Root) Open(op Op, p string, flags int, mode uint32) (*os.File, error) {
	fd, err := r.open(p, flags, mode)
	if err != nil {
		return nil, wrap(op, "open", p, err)
	}
	return os.NewFile(uintptr(fd), p), nil
}

func (r *Root) open(p string, flags int, mode uint32) (int, error) {
	const made = unix.O_CREAT | unix.O_EXCL
	fresh := flags&unix.O_PATH != 0 || flags&made == made
	if !fresh {
		flags |= unix.O_NONBLOCK // a pipe may stand under the name
	}
	fd, err := r.openat(p, flags, mode)
	if err == nil && !fresh {
		err = ordinary(fd)
	}
	return fd, err
}

// ordinary closes what is neither a file nor a directory.
func ordinary(fd int) error {
	st, err := Fstat(fd)
	if err == nil && !st.IsRegular() && !st.IsDir() {
		err = unix.ENXIO
	}
	if err != nil {
		unix.Close(fd)
	}
	return err
}

// Stat implements Disk.
func (r *Root) Stat(p string) (Stat, error) {
	var st Stat
	err := r.at(p, func(dir int, base string) error {
		var err error
		st, err = statx(dir, base, unix.AT_SYMLINK_NOFOLLOW)
		return err
	})
	return st, wrap("", "stat", p, err)
}

// Fstat describes what a descriptor leads to.
func Fstat(fd int) (Stat, error) { return statx(fd, "", unix.AT_EMPTY_PATH) }

func statx(dir int, base string, flags int) (Stat, error) {
	var x unix.Statx_t
	err := again(func() error {
		return unix.Statx(dir, base, flags|unix.AT_STATX_SYNC_AS_STAT, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &x)
	})
	if err != nil {
		return Stat{}, err
	}
	st := Stat{
		Mode: uint32(x.Mode), Nlink: x.Nlink, UID: x.Uid, GID: x.Gid,
		Rdev: unix.Mkdev(x.Rdev_major, x.Rdev_minor), Dev: unix.Mkdev(x.Dev_major, x.Dev_minor),
		Ino: x.Ino, Size: int64(x.Size), Blocks: x.Blocks, Blksize: x.Blksize,
		Atime: timespec(x.Atime), Mtime: timespec(x.Mtime), Ctime: timespec(x.Ctime),
	}
	st.Mounted = x.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	if x.Mask&unix.STATX_BTIME != 0 {
		st.BirthNS = x.Btime.Sec*1e9 + int64(x.Btime.Nsec)
	}
	return st, nil
}

func timespec(t unix.StatxTimestamp) unix.Timespec {
	return unix.Timespec{Sec: t.Sec, Nsec: int64(t.Nsec)}
}

// Readlink implements Disk.
func (r *Root) Readlink(p string) (string, error) {
	buf := make([]byte, 4096)
	n := 0
	err := r.at(p, func(dir int, base string) error {
		var err error
		n, err = unix.Readlinkat(dir, base, buf)
		return err
	})
	return string(buf[:max(n, 0)]), wrap("", "readlink", p, err)
}

// Statfs implements Disk.
func (r *Root) Statfs() (unix.Statfs_t, error) {
	var st unix.Statfs_t
	err := again(func() error { return unix.Fstatfs(r.Fd(), &st) })
	return st, wrap("", "statfs", "", err)
}

// Sub implements Disk. Files opened from it are *os.File.
func (r *Root) Sub(p string) fs.FS { return subtree{r, p} }

type subtree struct {
	root *Root
	base string
}

// Deepest is how deep directories may be nested in what is looked through.
const Deepest = 256

// Open implements fs.FS. What is mounted below is not there: it is not of the
// tree.
func (s subtree) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if strings.Count(name, "/") >= Deepest {
		return nil, wrap("", "open", path.Join(s.base, name), unix.ENAMETOOLONG)
	}
	f, err := s.root.Open("", path.Join(s.base, name), unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	if st, err := Fstat(int(f.Fd())); err != nil || st.Mounted && name != "." {
		f.Close()
		return nil, wrap("", "open", path.Join(s.base, name), cmp.Or(err, error(unix.ENOENT)))
	}
	return f, nil
}
