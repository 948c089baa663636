package fs

import "github.com/hanwen/go-fuse/v2/fuse"

// A request that may change the names of another directory than those that the
// kernel sees it change is answered when the kernel was told: who has closed a file
// finds it in the next listing, and who has renamed a checkpoint the views that are
// left.

// Flush implements fuse.RawFileSystem: it publishes.
func (r rawFS) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	defer r.m.notifier.await()
	return r.RawFileSystem.Flush(cancel, in)
}

// Fsync implements fuse.RawFileSystem.
func (r rawFS) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	defer r.m.notifier.await()
	return r.RawFileSystem.Fsync(cancel, in)
}

// FsyncDir implements fuse.RawFileSystem: it may commit. What is virtual has nothing
// to write.
func (r rawFS) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	defer r.m.notifier.await()
	if status := r.RawFileSystem.FsyncDir(cancel, in); status != fuse.ENOTSUP {
		return status
	}
	return fuse.OK
}

// SetAttr implements fuse.RawFileSystem: a truncated file may be published by it.
func (r rawFS) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	defer r.m.notifier.await()
	return r.RawFileSystem.SetAttr(cancel, in, out)
}

// Write implements fuse.RawFileSystem: it may be a command.
func (r rawFS) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	defer r.m.notifier.await()
	return r.RawFileSystem.Write(cancel, in, data)
}

// Unlink implements fuse.RawFileSystem: views go with what they led to.
func (r rawFS) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	defer r.m.notifier.await()
	return r.RawFileSystem.Unlink(cancel, in, name)
}

// Rmdir implements fuse.RawFileSystem.
func (r rawFS) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	defer r.m.notifier.await()
	return r.RawFileSystem.Rmdir(cancel, in, name)
}

// Rename implements fuse.RawFileSystem.
func (r rawFS) Rename(cancel <-chan struct{}, in *fuse.RenameIn, name, newName string) fuse.Status {
	defer r.m.notifier.await()
	defer r.m.endings.end(cancel)
	return r.RawFileSystem.Rename(cancel, in, name, newName)
}
