// Package proc tells how a process came to close a file: because the program
// asked for it, or because the kernel did it for a dead one. FLUSH looks the
// same in both cases; only /proc knows the difference, and only while the
// FLUSH is being answered.
//
// What it says is a veto, never a permission: a clean close proves nothing
// about the content.
package proc

import "fmt"

// Fate is how a process stands at the moment of asking.
type Fate int

const (
	// Unknown: nothing could be learned (another pid namespace, a kernel
	// thread, no rights). It counts as Alive, and is counted.
	Unknown Fate = iota
	// Alive: the process is running; it closed the file itself.
	Alive
	// Silent: no answer in time. The process is in execve, which holds the lock
	// that /proc/PID/stat needs while it waits for our reply.
	Silent
	// ExitedZero: it is exiting or gone, with status 0. A daemon thread may
	// still have been in the middle of a write.
	ExitedZero
	// Died: it is exiting or gone, by a signal or with a status.
	Died
)

// String is the word for logs.
func (f Fate) String() string {
	return [...]string{"unknown", "alive", "silent", "exited with 0", "died"}[f]
}

// End is a fate with what is known about it.
type End struct {
	Fate   Fate
	Tgid   uint32 // the process; 0 when unknown
	Status int    // as from wait(2): the signal in the low bits, the exit status above
}

// String says it for a user: "process 4711 was killed by signal 9".
func (e End) String() string {
	if e.Fate != Died {
		return fmt.Sprintf("process %d %s", e.Tgid, e.Fate)
	}
	if e.Status == 0 {
		return fmt.Sprintf("process %d was exiting, with a status that could not be read", e.Tgid)
	}
	if sig := e.Status & 0x7f; sig != 0 {
		return fmt.Sprintf("process %d was killed by signal %d", e.Tgid, sig)
	}
	return fmt.Sprintf("process %d exited with status %d", e.Tgid, e.Status>>8&0xff)
}

// Table is what the store asks about processes. Threads are named as FUSE
// names them, by the id of the calling thread.
type Table interface {
	// Process maps a thread to its process, 0 when it cannot be known. It never
	// blocks.
	Process(tid uint32) uint32
	// Closing tells how the thread of a FLUSH stands. It must be called while
	// the FLUSH is unanswered, and answers within a bound.
	Closing(tid uint32) End
	// Watch keeps hold of a process, so that its end can be learned later.
	Watch(tgid uint32) Watch
}

// Watch is a hold on one process, immune to the reuse of its number.
type Watch interface {
	End() End
	Close()
}
