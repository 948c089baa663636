package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
)

// farewell is the wait for the end of a daemon: only then is nothing of the
// directory open any more, and its disk can be unmounted, too.
type farewell struct {
	backing string
	process int // a pidfd; -1 where the process cannot be told from here
}

// expectEnd prepares for the end of the daemon that works on a backing directory,
// while it can still be asked for its pid. The pid counts only if that process has
// the lock file open: it may be one of another pid namespace.
func expectEnd(backing string, pid int) farewell {
	f := farewell{backing, -1}
	lock := f.lockFile()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return f // only for a bad pattern
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return f
	}
	for _, link := range links {
		if path, err := os.Readlink(link); err == nil && path == lock {
			f.process = fd
			return f
		}
	}
	unix.Close(fd)
	return f
}

func (f farewell) lockFile() string { return filepath.Join(f.backing, store.Private, "lock") }

// await returns when the daemon has ended, or at least given the lock back; after
// the bound it says that it has not.
func (f farewell) await(ctx context.Context, bound time.Duration, notes io.Writer) error {
	if f.process >= 0 {
		defer unix.Close(f.process)
	}
	for deadline := time.Now().Add(bound); !f.over(); {
		if time.Now().After(deadline) {
			fmt.Fprintf(notes, "ckptfs: note: the daemon is still at work on %s, until what is open there is closed\n", f.backing)
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (f farewell) over() bool {
	if f.process < 0 {
		free, err := lockFree(f.lockFile())
		return free || err != nil // not ours to see: then there is nothing to wait for
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(f.process), Events: unix.POLLIN}}, 0)
	return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
}

// lockFree reports whether nobody holds the lock.
func lockFree(file string) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close() // gives back what was taken
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// pause waits, unless the command is interrupted.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
