package proc

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// The thread that asks for it gets the lowest priority, and no other does.
func TestIdle(t *testing.T) {
	type priority struct{ io, nice int }
	now := func(tid int) priority {
		io, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, uintptr(tid), 0)
		nice, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
		if errno != 0 || err != nil {
			t.Fatal(errno, err)
		}
		return priority{int(io), 20 - nice} // the system call counts from 40 down to 1
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := now(unix.Gettid())
	idle := make(chan priority)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := Idle(); err != nil {
			t.Error(err)
		}
		idle <- now(unix.Gettid())
	}()
	if got, want := <-idle, (priority{ioprioIdle, leastNice}); got != want {
		t.Errorf("the thread has %+v, want %+v", got, want)
	}
	if after := now(unix.Gettid()); after != before {
		t.Errorf("another thread had %+v, and has %+v", before, after)
	}
}
