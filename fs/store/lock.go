package store

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

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
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		body, _ := io.ReadAll(f)
		f.Close()
		var holder LockBody
		if json.Unmarshal(body, &holder) == nil && holder.PID != 0 {
			if holder.Mountpoint != "" {
				return nil, fmt.Errorf("%w: process %d has it mounted at %s", ErrLocked, holder.PID, holder.Mountpoint)
			}
			return nil, fmt.Errorf("%w: process %d", ErrLocked, holder.PID)
		}
		return nil, ErrLocked
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

func (l *lockHandle) release() {
	if l != nil && l.file != nil {
		_ = l.disk.Truncate("lock", l.file, 0) // only says who held it
		l.file.Close()
		l.file = nil
	}
}
