package disk

import (
	"golang.org/x/sys/unix"
)

// Mkdir implements Disk.
func (r *Root) Mkdir(op Op, p string, mode uint32) error {
	return wrap(op, "mkdir", p, r.at(p, func(dir int, base string) error {
		return unix.Mkdirat(dir, base, mode&0o7777)
	}))
}

// Mknod implements Disk.
func (r *Root) Mknod(op Op, p string, mode uint32, dev int) error {
	return wrap(op, "mknod", p, r.at(p, func(dir int, base string) error {
		return unix.Mknodat(dir, base, mode, dev)
	}))
}

// Symlink implements Disk.
func (r *Root) Symlink(op Op, target, p string) error {
	return wrap(op, "symlink", p, r.at(p, func(dir int, base string) error {
		return unix.Symlinkat(target, dir, base)
	}))
}

// Link implements Disk.
func (r *Root) Link(op Op, from, to string) error {
	return wrap(op, "link", to, r.at(from, func(fdir int, fbase string) error {
		return r.at(to, func(tdir int, tbase string) error {
			return unix.Linkat(fdir, fbase, tdir, tbase, 0)
		})
	}))
}

// Unlink implements Disk.
func (r *Root) Unlink(op Op, p string) error {
	return wrap(op, "unlink", p, r.at(p, func(dir int, base string) error {
		return again(func() error { return unix.Unlinkat(dir, base, 0) })
	}))
}

// Rmdir implements Disk.
func (r *Root) Rmdir(op Op, p string) error {
	defer r.kept.moved(p)
	return wrap(op, "rmdir", p, r.at(p, func(dir int, base string) error {
		return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR)
	}))
}

// Rename implements Disk.
func (r *Root) Rename(op Op, from, to string, flags uint) error {
	defer r.kept.moved(from)
	defer r.kept.moved(to)
	return wrap(op, "rename "+from+" to", to, r.at(from, func(fdir int, fbase string) error {
		return r.at(to, func(tdir int, tbase string) error {
			return again(func() error { return unix.Renameat2(fdir, fbase, tdir, tbase, flags) })
		})
	}))
}

// Chmod implements Disk. The mode of a symbolic link cannot be changed.
func (r *Root) Chmod(op Op, p string, mode uint32) error {
	return wrap(op, "chmod", p, r.at(p, func(dir int, base string) error {
		err := unix.Fchmodat(dir, base, mode&0o7777, unix.AT_SYMLINK_NOFOLLOW)
		if err != unix.EOPNOTSUPP {
			return err
		}
		// Before Linux 6.6 there is no fchmodat2: go through a descriptor that
		// was opened without following a link.
		fd, err := unix.Openat(dir, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if st, err := Fstat(fd); err != nil || st.IsSymlink() {
			return unix.EOPNOTSUPP
		}
		return unix.Chmod(procPath(fd), mode&0o7777)
	}))
}

// Chown implements Disk; -1 leaves an id as it is.
func (r *Root) Chown(op Op, p string, uid, gid int) error {
	return wrap(op, "chown", p, r.at(p, func(dir int, base string) error {
		return unix.Fchownat(dir, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// Chtimes implements Disk; Nsec may be unix.UTIME_NOW or unix.UTIME_OMIT.
func (r *Root) Chtimes(op Op, p string, atime, mtime unix.Timespec) error {
	return wrap(op, "utimes", p, r.at(p, func(dir int, base string) error {
		return unix.UtimesNanoAt(dir, base, []unix.Timespec{atime, mtime}, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// Sync implements Disk. EINTR counts as a failure: what was lost is unknown.
func (r *Root) Sync(op Op, p string) error {
	fd, err := r.open(p, unix.O_RDONLY, 0)
	if err == nil {
		err = unix.Fsync(fd)
		unix.Close(fd)
	}
	return wrap(op, "fsync", p, err)
}
