package store

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// lockHandle is the hold on .ckptfs/lock. The kernel drops it when the process
// dies, however it dies; the body only says who holds it.
type lockHandle struct {
	disk disk.Disk
	file *os.File
}

// LockBody is what the lock file says of its holder.
type LockBody struct {
	PID        int    `json:"pid"`
	Mountpoint string `json:"mountpoint,omitempty"`
}

func takeLock(d disk.Disk, mountpoint string) (*lockHandle, error) {
	f, err := d.Open("lock", lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := soleName(d, f); err != nil {
		f.Close()
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		body, _ := io.ReadAll(io.LimitReader(f, maxLock))
		f.Close()
		return nil, heldBy(body)
	}
	body, _ := json.Marshal(LockBody{os.Getpid(), mountpoint})
	err = d.Truncate("lock", f, 0)
	if err == nil {
		err = d.Write("lock", f, append(body, '\n'), 0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &lockHandle{d, f}, nil
}

// soleName refuses a private file that is about to be overwritten when it has
// another name: a hard link could be to anybody's file.
func soleName(d disk.Disk, f *os.File) error {
	st, err := d.Fstat(f)
	if err == nil && st.Nlink > 1 {
		err = fmt.Errorf("%s has another name somewhere; remove it", f.Name())
	}
	return err
}

// maxLock bounds what is read of a lock file; a mountpoint has 4096 bytes at most.
const maxLock = 64 << 10

// heldBy says who holds the lock, as far as its body tells.
func heldBy(body []byte) error {
	var holder LockBody
	switch {
	case json.Unmarshal(body, &holder) != nil || holder.PID <= 0:
		return ErrLocked
	case holder.Mountpoint != "":
		return fmt.Errorf("%w: process %d has it mounted at %s", ErrLocked, holder.PID, printable(holder.Mountpoint))
	}
	return fmt.Errorf("%w: process %d", ErrLocked, holder.PID)
}

// printable is a path as a message may hold it: whoever wrote it down, it moves no
// cursor.
func printable(p string) string {
	if quoted := strconv.Quote(p); quoted != `"`+p+`"` {
		return quoted
	}
	return p
}

func (l *lockHandle) release() {
	if l != nil && l.file != nil {
		_ = l.disk.Truncate("lock", l.file, 0) // only says who held it
		l.file.Close()
		l.file = nil
	}
}
