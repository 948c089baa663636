package disk

import (
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// procPath names an open descriptor; calls that have no *at form go through it.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// held calls f with a path that leads to p itself, whatever happens to its
// name meanwhile. Extended attributes of symbolic links are not supported:
// the path would be followed.
func (r *Root) held(p string, f func(path string) error) error {
	fd, err := r.openat(p, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	st, err := Fstat(fd)
	if err != nil {
		return err
	}
	if st.IsSymlink() {
		return unix.EOPNOTSUPP
	}
	return f(procPath(fd))
}

// Getxattr implements Disk. It is one call where the kernel has getxattrat(2),
// Linux 6.13; for a directory that is kept open it is one on any kernel.
func (r *Root) Getxattr(p, name string, dest []byte) (n int, err error) {
	if d, _ := r.kept.find(p); d != nil {
		defer directory{d.fd, d, &r.kept}.release()
		n, err = unix.Fgetxattr(d.fd, name, dest)
	} else if n, err = r.getxattrat(p, name, dest); err == unix.ENOSYS {
		err = r.held(p, func(path string) error {
			n, err = unix.Getxattr(path, name, dest)
			return err
		})
	}
	return n, wrap("", "getxattr "+name, p, err)
}

// xattrArgs is struct xattr_args of linux/xattr.h.
type xattrArgs struct {
	value uint64
	size  uint32
	flags uint32
}

// getxattrat answers ENOSYS where the kernel or a seccomp filter does not have it.
func (r *Root) getxattrat(p, name string, dest []byte) (n int, err error) {
	if r.noXattrat.Load() {
		return 0, unix.ENOSYS
	}
	err = r.at(p, func(dir int, base string) error {
		path, err := unix.BytePtrFromString(base)
		if err != nil {
			return err
		}
		attr, err := unix.BytePtrFromString(name)
		if err != nil {
			return err
		}
		args := xattrArgs{size: uint32(len(dest))}
		var pinned runtime.Pinner
		if len(dest) > 0 {
			pinned.Pin(&dest[0])
			defer pinned.Unpin()
			args.value = uint64(uintptr(unsafe.Pointer(&dest[0])))
		}
		m, _, errno := unix.Syscall6(unix.SYS_GETXATTRAT, uintptr(dir), uintptr(unsafe.Pointer(path)), unix.AT_SYMLINK_NOFOLLOW,
			uintptr(unsafe.Pointer(attr)), uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
		if n = int(m); errno != 0 {
			n = 0
			return errno
		}
		return nil
	})
	if err == unix.ENOSYS {
		r.noXattrat.Store(true)
	}
	return n, err
}

// Listxattr implements Disk.
func (r *Root) Listxattr(p string, dest []byte) (n int, err error) {
	err = r.held(p, func(path string) error {
		n, err = unix.Listxattr(path, dest)
		return err
	})
	return n, wrap("", "listxattr", p, err)
}

// Setxattr implements Disk.
func (r *Root) Setxattr(op Op, p, name string, data []byte, flags int) error {
	return wrap(op, "setxattr "+name, p, r.held(p, func(path string) error {
		return unix.Setxattr(path, name, data, flags)
	}))
}

// Removexattr implements Disk.
func (r *Root) Removexattr(op Op, p, name string) error {
	return wrap(op, "removexattr "+name, p, r.held(p, func(path string) error {
		return unix.Removexattr(path, name)
	}))
}

// CopyXattrs gives to the extended attributes of from, as far as the file
// system and the rights of the daemon allow: they are a courtesy, not content.
func CopyXattrs(d Disk, op Op, from, to string) {
	buf := make([]byte, 64<<10)
	n, err := d.Listxattr(from, buf)
	if err != nil {
		return
	}
	value := make([]byte, 64<<10)
	for _, name := range splitNames(buf[:n]) {
		if m, err := d.Getxattr(from, name, value); err == nil {
			_ = d.Setxattr(op, to, name, value[:m], 0)
		}
	}
}

func splitNames(b []byte) []string {
	var names []string
	for start, i := 0, 0; i < len(b); i++ {
		if b[i] == 0 {
			names = append(names, string(b[start:i]))
			start = i + 1
		}
	}
	return names
}
