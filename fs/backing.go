package fs

import (
	"context"
	"os"

	"github.com/hanwen/go-fuse/v2/fuse"

	"ckptfs/fs/store"
	"ckptfs/fs/store/disk"
)

// rawFS is the file system as the server of go-fuse calls it. It has the two
// requests that may register a backing file run where the handle can give up the
// daemon's rights for that: what the kernel writes past the daemon, it writes
// with the credentials of the registration. There is one for all handles of a
// node, so the rights of the first opener hold until the last has closed.
//
// Requests that make something bring the umask of the caller along.
type rawFS struct {
	fuse.RawFileSystem
	m *mount
}

// Init implements fuse.RawFileSystem.
func (r rawFS) Init(server *fuse.Server) {
	r.m.server = server
	r.RawFileSystem.Init(server)
}

// Open implements fuse.RawFileSystem.
func (r rawFS) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) (status fuse.Status) {
	forCaller(in.Uid, func() { status = r.RawFileSystem.Open(cancel, in, out) })
	return status
}

// Create implements fuse.RawFileSystem.
func (r rawFS) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) (status fuse.Status) {
	in.Mode = withUmask(in.Mode, in.Umask)
	forCaller(in.Uid, func() { status = r.RawFileSystem.Create(cancel, in, name, out) })
	return status
}

// Mkdir implements fuse.RawFileSystem.
func (r rawFS) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	in.Mode = withUmask(in.Mode, in.Umask)
	return r.RawFileSystem.Mkdir(cancel, in, name, out)
}

// Mknod implements fuse.RawFileSystem.
func (r rawFS) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	in.Mode = withUmask(in.Mode, in.Umask)
	return r.RawFileSystem.Mknod(cancel, in, name, out)
}

// Lookup implements fuse.RawFileSystem.
func (r rawFS) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	defer r.m.endings.end(cancel)
	return r.RawFileSystem.Lookup(cancel, in, name, out)
}

// requestOf is the channel that tells the request of a handler from all others
// under way.
func requestOf(ctx context.Context) <-chan struct{} { return ctx.Done() }

// dropSetGID among the flags of a setxattr says that the caller is not in the
// group of the file, and that a new access control list takes its setgid bit.
const dropSetGID = 1 << 16

// The nodes of go-fuse are not told of the umask. It travels in the upper half of
// the mode, which has 16 bits.
const umaskShift = 16

func withUmask(mode, umask uint32) uint32 { return mode&0xffff | umask<<umaskShift }

// maker is who makes an entry, and the mode that he asks for.
func maker(ctx context.Context, mode uint32) (uint32, store.Caller) {
	c := caller(ctx)
	c.Umask = mode >> umaskShift & 0o777
	return mode & 0xffff, c
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
