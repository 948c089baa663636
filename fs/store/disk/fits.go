package disk

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Fits implements Disk. It asks for the space as the user would, in a file
// without a name, and gives it back: on a disk that is a change of metadata. A
// file system that cannot do that, or would do so by writing, is not asked.
func (r *Root) Fits(op Op, dir string, size int64, uid, gid uint32) error {
	st, err := r.Statfs()
	if err != nil || st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC || size <= 0 {
		return nil
	}
	f, err := r.Open(op, dir, unix.O_TMPFILE|unix.O_WRONLY, 0o600)
	if err == nil {
		defer f.Close()
		err = r.Fchown(op, f, int(uid), int(gid))
	}
	if err == nil {
		Apart(func() {
			if err = Become(uid, gid); err == nil {
				err = again(func() error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size) })
			}
		})
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return wrap(op, "ask for space", dir, err)
	}
	return nil
}
