package proc

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// The values of ioprio_set(2).
const (
	ioprioWhoProcess = 1
	ioprioIdle       = 3 << 13 // the class
	leastNice        = 19
	someNice         = 5
)

// Background gives the calling thread, and no other, the lowest priority at the
// disk, and little at the processor. Not the lowest: a thread of a Go program that
// is not run for long keeps others from going on, for it holds what they need. There
// is no way back, so the thread should end with what it does.
func Background() error { return lower(someNice) }

// Idle gives the calling thread, and no other, the lowest priority: the disk
// serves it when nobody else wants it, as far as its scheduler knows classes, and
// so does the processor. There is no way back, so the thread should end with
// what it does.
func Idle() error { return lower(leastNice) }

func lower(nice int) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, ioprioIdle); errno != 0 {
		return fmt.Errorf("give a thread the lowest priority at the disk: %w", errno)
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), nice); err != nil {
		return fmt.Errorf("give a thread a lower priority at the processor: %w", err)
	}
	return nil
}
