package disk

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fiemap is struct fiemap of linux/fiemap.h, with room for some extents.
type fiemap struct {
	start, length   uint64
	flags, mapped   uint32
	count, reserved uint32
	extents         [fiemapExtents]fiemapExtent
}

type fiemapExtent struct {
	logical, physical, length uint64
	reserved64                [2]uint64
	flags                     uint32
	reserved                  [3]uint32
}

const (
	fiemapExtents = 256
	fiemapIoctl   = 0xc020660b // FS_IOC_FIEMAP
	fiemapLast    = 0x1        // FIEMAP_EXTENT_LAST
	fiemapShared  = 0x2000     // FIEMAP_EXTENT_SHARED
)

// Shared implements Disk.
func (r *Root) Shared(f *os.File) []Extent { return Shared(f) }

// Shared asks for the extents of any open file.
func Shared(f *os.File) (shared []Extent) {
	for at := uint64(0); ; {
		m := fiemap{start: at, length: ^uint64(0) - at, count: fiemapExtents}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fiemapIoctl, uintptr(unsafe.Pointer(&m)))
		if errno != 0 || m.mapped == 0 {
			return shared
		}
		for _, e := range m.extents[:min(m.mapped, fiemapExtents)] {
			if e.flags&fiemapShared != 0 {
				shared = append(shared, Extent{e.physical, e.length})
			}
			if at = e.logical + e.length; e.flags&fiemapLast != 0 {
				return shared
			}
		}
	}
}
