package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/fs/store/disk/disktest"
)

// faultyDisk is the disk of a test: it writes down every call that belongs to a
// step of a protocol, and fails those that the test chooses.
//
// What was chosen by stopAfter is a crash of the daemon: nothing is changed on
// the disk any more. fsync does nothing but being counted, which makes a test
// ten times faster; what was never synced, a power cut takes (see tearUnsynced).
type faultyDisk struct {
	disk.Disk

	mu     sync.Mutex
	calls  []string
	synced *synced
	fail   func(n int, op disk.Op) error
	refuse func(from, to string, flags uint) error // what the kernel says to a rename; may be nil

	crashed chan struct{} // closed by crash
}

// errCrashed is what the disk says to a daemon that is no more.
var errCrashed = fmt.Errorf("the daemon has crashed: %w", unix.EIO)

// errShort makes a write store half of what it is given.
var errShort = fmt.Errorf("half of it was written: %w", unix.ENOSPC)

// failAt makes the n-th call from now on fail once.
func (d *faultyDisk) failAt(n int, err error) {
	d.choose(func(i int, _ disk.Op) error {
		if i == n {
			return err
		}
		return nil
	})
}

// stopAfter lets n calls through.
func (d *faultyDisk) stopAfter(n int) {
	d.choose(func(i int, _ disk.Op) error {
		if i >= n {
			return errCrashed
		}
		return nil
	})
}

// stopBefore lets through what comes before the first call of a step; stopped
// reports whether there was one.
func (d *faultyDisk) stopBefore(step disk.Op) (stopped func() bool) {
	var hit atomic.Bool
	d.choose(func(_ int, op disk.Op) error {
		if op == step {
			hit.Store(true)
		}
		if hit.Load() {
			return errCrashed
		}
		return nil
	})
	return hit.Load
}

// holdAt makes every call of a step wait until it is released, or the crash.
func (d *faultyDisk) holdAt(step disk.Op) (release func()) {
	released := make(chan struct{})
	d.choose(func(_ int, op disk.Op) error {
		if op != step {
			return nil
		}
		select {
		case <-released:
			return nil
		case <-d.crashed:
			return errCrashed
		}
	})
	return func() { close(released) }
}

// crash lets no call through any more.
func (d *faultyDisk) crash() {
	d.stopAfter(0)
	close(d.crashed)
}

// choose starts counting anew; f, which may be nil, is asked before each call.
func (d *faultyDisk) choose(f func(n int, op disk.Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls, d.fail = nil, f
}

// made lists the calls since the last choice.
func (d *faultyDisk) made() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.calls...)
}

// lastCall is the newest call.
func (d *faultyDisk) lastCall() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls[len(d.calls)-1]
}

func (d *faultyDisk) check(op disk.Op, what string) error {
	if op == "" {
		return nil
	}
	d.mu.Lock()
	n, fail := len(d.calls), d.fail
	d.calls = append(d.calls, string(op)+" "+what)
	d.mu.Unlock()
	if fail == nil {
		return nil
	}
	if err := fail(n, op); err != nil {
		return fmt.Errorf("%s: %s: %w", op, what, err)
	}
	return nil
}

// try is one call that may be chosen to fail.
func (d *faultyDisk) try(op disk.Op, what string, f func() error) error {
	if err := d.check(op, what); err != nil {
		return err
	}
	return f()
}

func (d *faultyDisk) Open(op disk.Op, p string, flags int, mode uint32) (*os.File, error) {
	changes := flags&(unix.O_ACCMODE|unix.O_CREAT|unix.O_TRUNC) != unix.O_RDONLY
	if changes || op == "hash" { // the other reads are those of users
		if err := d.check(op, "open "+p); err != nil {
			return nil, err
		}
	}
	return d.Disk.Open(op, p, flags, mode)
}

func (d *faultyDisk) Mkdir(op disk.Op, p string, mode uint32) error {
	return d.try(op, "mkdir "+p, func() error { return d.Disk.Mkdir(op, p, mode) })
}

func (d *faultyDisk) Link(op disk.Op, from, to string) error {
	return d.try(op, "link "+to, func() error { return d.Disk.Link(op, from, to) })
}

func (d *faultyDisk) Unlink(op disk.Op, p string) error {
	return d.try(op, "unlink "+p, func() error { return d.Disk.Unlink(op, p) })
}

func (d *faultyDisk) Rmdir(op disk.Op, p string) error {
	return d.try(op, "rmdir "+p, func() error { return d.Disk.Rmdir(op, p) })
}

func (d *faultyDisk) Rename(op disk.Op, from, to string, flags uint) error {
	return d.try(op, "rename "+from+" "+to, func() error {
		if d.refuse != nil {
			if err := d.refuse(from, to, flags); err != nil {
				return err
			}
		}
		return d.Disk.Rename(op, from, to, flags)
	})
}

func (d *faultyDisk) Copy(op disk.Op, from, to string) error {
	return d.try(op, "copy "+to, func() error { return d.Disk.Copy(op, from, to) })
}

func (d *faultyDisk) Chmod(op disk.Op, p string, mode uint32) error {
	return d.try(op, "chmod "+p, func() error { return d.Disk.Chmod(op, p, mode) })
}

func (d *faultyDisk) Chtimes(op disk.Op, p string, atime, mtime unix.Timespec) error {
	return d.try(op, "chtimes "+p, func() error {
		st, err := d.Disk.Stat(p)
		synced := err == nil && d.synced.has(st)
		if err := d.Disk.Chtimes(op, p, atime, mtime); err != nil || !synced {
			return err
		}
		if st, err = d.Disk.Stat(p); err == nil {
			d.synced.add(st) // its content is what it was
		}
		return nil
	})
}

func (d *faultyDisk) Write(op disk.Op, f *os.File, data []byte, off int64) error {
	err := d.check(op, "write "+f.Name())
	if errors.Is(err, errShort) {
		err = errors.Join(err, d.Disk.Write(op, f, data[:len(data)/2], off))
	}
	if err != nil {
		return err
	}
	return d.Disk.Write(op, f, data, off)
}

func (d *faultyDisk) Truncate(op disk.Op, f *os.File, size int64) error {
	return d.try(op, "truncate "+f.Name(), func() error { return d.Disk.Truncate(op, f, size) })
}

func (d *faultyDisk) Fsync(op disk.Op, f *os.File) error {
	return d.try(op, "fsync "+f.Name(), func() error {
		if d.memory() {
			return d.Disk.Fsync(op, f)
		}
		st, err := d.Disk.Fstat(f)
		if err != nil {
			return err
		}
		d.synced.add(st)
		return nil
	})
}

func (d *faultyDisk) Sync(op disk.Op, p string) error {
	return d.try(op, "sync "+p, func() error {
		if d.memory() {
			return d.Disk.Sync(op, p)
		}
		st, err := d.Stat(p)
		if err != nil {
			return err
		}
		d.synced.add(st)
		return nil
	})
}

// memory reports whether the disk below remembers by itself what was synced.
func (d *faultyDisk) memory() bool {
	below := d.Disk
	if tight, ok := below.(*tightDisk); ok {
		below = tight.Disk
	}
	_, ok := below.(*disktest.Memory)
	return ok
}

// synced remembers each inode as it was at its last fsync.
type synced struct {
	mu   sync.Mutex
	seen map[uint64]disk.Stat
}

func (s *synced) add(st disk.Stat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[st.Ino] = st
}

func (s *synced) has(st disk.Stat) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, ok := s.seen[st.Ino]
	return ok && sameContent(&seen, &st)
}

// tear is what a power cut does to a file that was never synced.
type tear func(name string, size int64) error

func cutInHalf(name string, size int64) error { return os.Truncate(name, size/2) }

func emptied(name string, _ int64) error { return os.Truncate(name, 0) }

// zeroed leaves the size: it was on the disk before the data.
func zeroed(name string, size int64) error { return os.WriteFile(name, make([]byte, size), 0) }

// tearUnsynced tears every file of the directory that was not synced since it
// was written.
func (b *bench) tearUnsynced(tear tear) error {
	return filepath.WalkDir(b.dir, func(p string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(b.dir, p)
		if err != nil || rel == lockFile || !e.Type().IsRegular() {
			return err
		}
		root, err := disk.OpenRoot(b.dir)
		if err != nil {
			return err
		}
		defer root.Close()
		st, err := root.Stat(rel)
		if err != nil || b.synced.has(st) {
			return err
		}
		return tear(p, st.Size)
	})
}
