package disk

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// alignment is what reads past the page cache keep to: no disk and no file system
// asks for more.
const alignment = 4096

// Aligned is a buffer of at least n bytes that a file can be read into past the
// page cache.
func Aligned(n int) []byte {
	n = max((n+alignment-1)/alignment, 1) * alignment
	buf := make([]byte, n+alignment)
	skip := 0
	if over := int(uintptr(unsafe.Pointer(&buf[0])) % alignment); over != 0 {
		skip = alignment - over
	}
	return buf[skip : skip+n : skip+n]
}

// Direct has an open file read past the page cache from now on, or through it
// again, and reports whether the file system does that. Where it does not, the
// kernel is at least told that what is read will not be needed again: pages that
// others use stay in front of these.
func Direct(f *os.File, on bool) bool {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return false
	}
	to := flags &^ unix.O_DIRECT
	if on {
		to |= unix.O_DIRECT
	}
	if to != flags {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, to)
	}
	if on && err != nil {
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_NOREUSE) // advice only
	}
	return err == nil
}

// ReadOnce is one read: past the page cache, one that gets less than it asks for
// must not be followed by another at an odd offset. 0 bytes are the end.
func ReadOnce(f *os.File, p []byte, off int64) (n int, err error) {
	err = again(func() (err error) {
		n, err = unix.Pread(int(f.Fd()), p, off)
		return err
	})
	return max(n, 0), wrap("", "read", f.Name(), err)
}
