package store

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// A file system may not answer: a network mount whose server is gone. Whoever
// touches it waits in the kernel, and nobody can help him; nobody else is to wait
// with him, and status says what hangs. So every call to the disk is noted while
// it lasts.

// Hanging is a call to the disk that has not returned for a while.
type Hanging struct {
	What  string    `json:"what"`
	Path  string    `json:"path"`
	Since time.Time `json:"since"`
}

// Words is what status says of it.
func (h Hanging) Words() string {
	return fmt.Sprintf("the disk does not answer: %s %q, since %s", h.What, h.Path, h.Since.Format(time.DateTime))
}

// How long a call takes that is said to hang: longer than a disk needs to wake up,
// and one that writes, longer than it needs for all that a busy machine has written.
const (
	hangs       = 10 * time.Second
	hangsAtData = 2 * time.Minute
)

// limit is how long a call may take.
func (h *Hanging) limit() time.Duration {
	if h.What == "sync" || h.What == "copy" {
		return hangsAtData
	}
	return hangs
}

// attended is a Disk that notes the calls that are under way.
type attended struct {
	disk.Disk
	clock Clock

	mu    sync.Mutex
	calls map[*Hanging]struct{}
}

func attend(d disk.Disk, clock Clock) *attended {
	return &attended{Disk: d, clock: clock, calls: map[*Hanging]struct{}{}}
}

func (a *attended) begin(what, p string) *Hanging {
	call := &Hanging{what, p, a.clock.Now()}
	a.mu.Lock()
	a.calls[call] = struct{}{}
	a.mu.Unlock()
	return call
}

func (a *attended) end(call *Hanging) {
	a.mu.Lock()
	delete(a.calls, call)
	a.mu.Unlock()
}

// hanging lists the calls that have lasted for too long, the first one first.
func (a *attended) hanging() []Hanging {
	list := []Hanging{}
	a.mu.Lock()
	for call := range a.calls {
		if a.clock.Now().Sub(call.Since) >= call.limit() {
			list = append(list, *call)
		}
	}
	a.mu.Unlock()
	slices.SortFunc(list, func(x, y Hanging) int { return x.Since.Compare(y.Since) })
	return list
}

func (a *attended) Open(op disk.Op, p string, flags int, mode uint32) (*os.File, error) {
	defer a.end(a.begin("open", p))
	return a.Disk.Open(op, p, flags, mode)
}

func (a *attended) Stat(p string) (disk.Stat, error) {
	defer a.end(a.begin("stat", p))
	return a.Disk.Stat(p)
}

func (a *attended) ReadDir(p string) ([]disk.Entry, error) {
	defer a.end(a.begin("list", p))
	return a.Disk.ReadDir(p)
}

func (a *attended) Describe(p string) ([]disk.Described, error) {
	defer a.end(a.begin("list", p))
	return a.Disk.Describe(p)
}

func (a *attended) Readlink(p string) (string, error) {
	defer a.end(a.begin("read link", p))
	return a.Disk.Readlink(p)
}

func (a *attended) Mkdir(op disk.Op, p string, mode uint32) error {
	defer a.end(a.begin("make", p))
	return a.Disk.Mkdir(op, p, mode)
}

func (a *attended) Mknod(op disk.Op, p string, mode uint32, dev int) error {
	defer a.end(a.begin("make", p))
	return a.Disk.Mknod(op, p, mode, dev)
}

func (a *attended) Symlink(op disk.Op, target, p string) error {
	defer a.end(a.begin("make", p))
	return a.Disk.Symlink(op, target, p)
}

func (a *attended) Link(op disk.Op, from, to string) error {
	defer a.end(a.begin("link", to))
	return a.Disk.Link(op, from, to)
}

func (a *attended) Unlink(op disk.Op, p string) error {
	defer a.end(a.begin("remove", p))
	return a.Disk.Unlink(op, p)
}

func (a *attended) Rmdir(op disk.Op, p string) error {
	defer a.end(a.begin("remove", p))
	return a.Disk.Rmdir(op, p)
}

func (a *attended) Rename(op disk.Op, from, to string, flags uint) error {
	defer a.end(a.begin("rename", from))
	return a.Disk.Rename(op, from, to, flags)
}

func (a *attended) Copy(op disk.Op, from, to string) error {
	defer a.end(a.begin("copy", from))
	return a.Disk.Copy(op, from, to)
}

func (a *attended) Chmod(op disk.Op, p string, mode uint32) error {
	defer a.end(a.begin("change", p))
	return a.Disk.Chmod(op, p, mode)
}

func (a *attended) Chown(op disk.Op, p string, uid, gid int) error {
	defer a.end(a.begin("change", p))
	return a.Disk.Chown(op, p, uid, gid)
}

func (a *attended) Chtimes(op disk.Op, p string, atime, mtime unix.Timespec) error {
	defer a.end(a.begin("change", p))
	return a.Disk.Chtimes(op, p, atime, mtime)
}

func (a *attended) Getxattr(p, name string, dest []byte) (int, error) {
	defer a.end(a.begin("read attribute", p))
	return a.Disk.Getxattr(p, name, dest)
}

func (a *attended) Listxattr(p string, dest []byte) (int, error) {
	defer a.end(a.begin("read attribute", p))
	return a.Disk.Listxattr(p, dest)
}

func (a *attended) Setxattr(op disk.Op, p, name string, data []byte, flags int) error {
	defer a.end(a.begin("change", p))
	return a.Disk.Setxattr(op, p, name, data, flags)
}

func (a *attended) Removexattr(op disk.Op, p, name string) error {
	defer a.end(a.begin("change", p))
	return a.Disk.Removexattr(op, p, name)
}

func (a *attended) Sync(op disk.Op, p string) error {
	defer a.end(a.begin("sync", p))
	return a.Disk.Sync(op, p)
}

func (a *attended) Fsync(op disk.Op, f *os.File) error {
	defer a.end(a.begin("sync", f.Name()))
	return a.Disk.Fsync(op, f)
}

func (a *attended) Syncfs(op disk.Op) error {
	defer a.end(a.begin("sync", ""))
	return a.Disk.Syncfs(op)
}

func (a *attended) Statfs() (unix.Statfs_t, error) {
	defer a.end(a.begin("statfs", ""))
	return a.Disk.Statfs()
}

// patiently runs f, which may touch the disk, and returns when it is done or the
// time is over: false says that the result is not there yet.
func patiently[T any](s *Store, limit time.Duration, f func() T) (result T, ok bool) {
	done, late := make(chan T, 1), make(chan struct{})
	stop := s.clock.AfterFunc(limit, func() { close(late) })
	defer stop()
	if !s.spawn(func() { done <- f() }) {
		return result, false
	}
	select {
	case result = <-done:
		return result, true
	case <-late:
		return result, false
	}
}
