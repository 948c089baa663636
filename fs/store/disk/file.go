package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Fstat implements Disk.
func (r *Root) Fstat(f *os.File) (Stat, error) {
	st, err := Fstat(int(f.Fd()))
	return st, wrap("", "stat", f.Name(), err)
}

// Write implements Disk.
func (r *Root) Write(op Op, f *os.File, data []byte, off int64) error {
	for len(data) > 0 {
		n := 0
		err := again(func() (err error) {
			n, err = unix.Pwrite(int(f.Fd()), data, off)
			return err
		})
		if err == nil && n == 0 {
			err = unix.ENOSPC
		}
		if err != nil {
			return wrap(op, "write", f.Name(), err)
		}
		data, off = data[n:], off+int64(n)
	}
	return nil
}

// Truncate implements Disk.
func (r *Root) Truncate(op Op, f *os.File, size int64) error {
	return wrap(op, "truncate", f.Name(), again(func() error { return unix.Ftruncate(int(f.Fd()), size) }))
}

// Fchmod implements Disk.
func (r *Root) Fchmod(op Op, f *os.File, mode uint32) error {
	return wrap(op, "chmod", f.Name(), unix.Fchmod(int(f.Fd()), mode&0o7777))
}

// Fchown implements Disk; -1 leaves an id as it is.
func (r *Root) Fchown(op Op, f *os.File, uid, gid int) error {
	return wrap(op, "chown", f.Name(), unix.Fchown(int(f.Fd()), uid, gid))
}

// Fchtimes implements Disk; Nsec may be unix.UTIME_NOW or unix.UTIME_OMIT.
func (r *Root) Fchtimes(op Op, f *os.File, atime, mtime unix.Timespec) error {
	times := []unix.Timespec{atime, mtime}
	return wrap(op, "utimes", f.Name(), unix.UtimesNanoAt(int(f.Fd()), "", times, unix.AT_EMPTY_PATH))
}

// Writable implements Disk: a read lease is refused as long as a writable
// descriptor or a shared mapping of the file exists, those that the kernel keeps
// for passthrough included.
func (r *Root) Writable(f *os.File) bool { return Writable(f) }

// Writable is the lease test for any open file.
func Writable(f *os.File) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	return errors.Is(err, unix.EAGAIN)
}

// Alone implements Disk.
func (r *Root) Alone(f *os.File) bool { return Alone(f) }

// Alone asks for a lease for writing, which is granted to the only one who has a
// file open.
func Alone(f *os.File) bool {
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return false
	}
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	return err == nil
}

// WriteBack implements Disk. The descriptor may be closed meanwhile.
func (r *Root) WriteBack(f *os.File) {
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _ = unix.SyncFileRange(int(fd), 0, 0, unix.SYNC_FILE_RANGE_WRITE) }) // a hint
	}
}

// Fsync implements Disk. EINTR counts as a failure: what was lost is unknown.
func (r *Root) Fsync(op Op, f *os.File) error {
	return wrap(op, "fsync", f.Name(), unix.Fsync(int(f.Fd())))
}

// Syncfs implements Disk.
func (r *Root) Syncfs(op Op) error {
	return wrap(op, "syncfs", "", unix.Syncfs(r.Fd()))
}
