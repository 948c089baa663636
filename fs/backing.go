package fs

import (
	"os"

	"github.com/hanwen/go-fuse/v2/fuse"

	"ckptfs/fs/store/disk"
)

// rawFS is the file system as the server of go-fuse calls it. It has the two
// requests that may register a backing file run where the handle can give up the
// daemon's rights for that: what the kernel writes past the daemon, it writes
// with the credentials of the registration. There is one for all handles of a
// node, so the rights of the first opener hold until the last has closed.
type rawFS struct{ fuse.RawFileSystem }

// Open implements fuse.RawFileSystem.
func (r rawFS) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) (status fuse.Status) {
	forCaller(in.Uid, func() { status = r.RawFileSystem.Open(cancel, in, out) })
	return status
}

// Create implements fuse.RawFileSystem.
func (r rawFS) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) (status fuse.Status) {
	forCaller(in.Uid, func() { status = r.RawFileSystem.Create(cancel, in, name, out) })
	return status
}

// forCaller runs f, apart when it will become a user that the daemon is not.
func forCaller(uid uint32, f func()) {
	if uid == 0 || os.Geteuid() != 0 {
		f()
		return
	}
	disk.Apart(f)
}

// PassthroughFd implements fusefs.FilePassthroughFder. go-fuse calls it to
// register the file, on the same thread, and does nothing else after that.
func (h *handle) PassthroughFd() (int, bool) {
	if !h.m.passthrough.Load() {
		return h.fd, false
	}
	h.become()
	return h.fd, true
}

// asOpener runs a call that may take up space with the rights of who opened the
// file.
func (h *handle) asOpener(f func() error) (err error) {
	forCaller(h.opener.UID, func() {
		h.become()
		err = f()
	})
	return err
}

func (h *handle) become() {
	if err := disk.Become(h.opener.UID, h.opener.GID); err != nil {
		h.m.log.Warn("a file is written with the rights of ckptfs", "file", h.f.Name(), "uid", h.opener.UID, "err", err)
	}
}
