package fs

import (
	"bytes"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// label is the attribute of SELinux. Where SELinux is at work it labels a mount of
// FUSE as a whole, and never asks; elsewhere ls asks for it at every name, unless a
// file system has none: then once.
const label = "security.selinux"

// GetXAttr implements fuse.RawFileSystem.
func (r rawFS) GetXAttr(cancel <-chan struct{}, in *fuse.InHeader, attr string, dest []byte) (uint32, fuse.Status) {
	if attr == label {
		return 0, fuse.ENOTSUP
	}
	return r.RawFileSystem.GetXAttr(cancel, in, attr, dest)
}

// ListXAttr implements fuse.RawFileSystem.
func (r rawFS) ListXAttr(cancel <-chan struct{}, in *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	n, status := r.RawFileSystem.ListXAttr(cancel, in, dest)
	if !status.Ok() || len(dest) == 0 {
		return n, status // more room than is needed does no harm
	}
	left := bytes.Replace(append([]byte{0}, dest[:n]...), []byte("\x00"+label+"\x00"), []byte{0}, 1)
	return uint32(copy(dest, left[1:])), status
}

// SetXAttr implements fuse.RawFileSystem.
func (r rawFS) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, attr string, data []byte) fuse.Status {
	if attr == label {
		return fuse.ENOTSUP
	}
	if in.SetXAttrFlags&fuse.SETXATTR_ACL_KILL_SGID != 0 {
		in.Flags |= dropSetGID
	}
	return r.RawFileSystem.SetXAttr(cancel, in, attr, data)
}

// RemoveXAttr implements fuse.RawFileSystem.
func (r rawFS) RemoveXAttr(cancel <-chan struct{}, in *fuse.InHeader, attr string) fuse.Status {
	if attr == label {
		return fuse.ENOTSUP
	}
	return r.RawFileSystem.RemoveXAttr(cancel, in, attr)
}
