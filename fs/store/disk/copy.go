package disk

import (
	"io"

	"golang.org/x/sys/unix"
)

// Copy implements Disk. The new file must not exist.
func (r *Root) Copy(op Op, from, to string) error {
	src, err := r.Open(op, from, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	st, err := Fstat(int(src.Fd()))
	if err != nil {
		return wrap(op, "stat", from, err)
	}
	dst, err := r.Open(op, to, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer dst.Close()
	if err := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())); err != nil {
		// io.Copy between files is copy_file_range(2) where that works.
		if _, err := io.Copy(dst, src); err != nil {
			r.Unlink(op, to)
			return wrap(op, "copy "+from+" to", to, err)
		}
	}
	if err := CopyMeta(r, op, from, to, st); err != nil {
		r.Unlink(op, to)
		return err
	}
	return nil
}

// CopyMeta gives to the owner, extended attributes, mode and times in st, which
// describes from. Owner before mode: chown clears the set-id bits.
func CopyMeta(d Disk, op Op, from, to string, st Stat) error {
	if err := chownIfNeeded(d, op, to, st.UID, st.GID); err != nil {
		return err
	}
	CopyXattrs(d, op, from, to)
	if err := d.Chmod(op, to, st.Mode); err != nil {
		return err
	}
	return d.Chtimes(op, to, st.Atime, st.Mtime)
}

// chownIfNeeded spares an ordinary user the EPERM of giving away what is his.
func chownIfNeeded(d Disk, op Op, p string, uid, gid uint32) error {
	now, err := d.Stat(p)
	if err != nil {
		return err
	}
	if now.UID == uid && now.GID == gid {
		return nil
	}
	return d.Chown(op, p, int(uid), int(gid))
}
