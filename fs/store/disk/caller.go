package disk

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// The file system asks who writes: ext4 keeps a reserve for root, and quotas do
// not bind who may exceed resources. A daemon that runs as root would let every
// user of the mount have both. With passthrough the kernel writes with the
// credentials that the thread had which registered the backing file, without it
// with those of the thread that writes. Of these only the fsuid and
// CAP_SYS_RESOURCE count. So they are given up for the one call, on a thread of
// its own, and the daemon keeps them otherwise: a manifest of a few KiB that
// completes a commit is what the reserve is for.
//
// This is for calls on open files, never for paths: permissions were checked by
// the kernel, a file that is open needs no directory that can be searched, and
// the private directory belongs to the daemon. The further groups of the caller
// are not known here; they could only give him more.

// Become gives the calling thread the fsuid and fsgid of a user, and takes
// CAP_SYS_RESOURCE from its effective capabilities. It is called within Apart.
// For root it does nothing, nor in a daemon that is not root.
func Become(uid, gid uint32) error {
	if os.Geteuid() != 0 || uid == 0 {
		return nil
	}
	caps, err := capabilities()
	if err != nil {
		return err
	}
	caps[0].Effective &^= 1 << unix.CAP_SYS_RESOURCE
	if err := unix.Capset(&thisThread, &caps[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	unix.SetfsgidRetGid(int(gid)) // neither call says whether it worked
	unix.SetfsuidRetUid(int(uid))
	if fsIDs() != [2]int{int(uid), int(gid)} {
		return fmt.Errorf("become user %d, group %d: %w", uid, gid, unix.EPERM)
	}
	return nil
}

// As runs f so that what it makes belongs to a user and a group. For everything
// else f has the rights of the daemon, but that it fills up a disk as the user:
// whoever calls it has seen to it that the user may.
func As(uid, gid uint32, f func() error) (err error) {
	if os.Geteuid() != 0 || uid == 0 && gid == 0 {
		return f()
	}
	Apart(func() {
		caps, e := capabilities()
		if err = e; err != nil {
			return
		}
		unix.SetfsgidRetGid(int(gid))
		unix.SetfsuidRetUid(int(uid)) // takes capabilities along
		if fsIDs() != [2]int{int(uid), int(gid)} {
			err = fmt.Errorf("become user %d, group %d: %w", uid, gid, unix.EPERM)
			return
		}
		if uid != 0 {
			caps[0].Effective &^= 1 << unix.CAP_SYS_RESOURCE
		}
		if err = unix.Capset(&thisThread, &caps[0]); err != nil {
			err = fmt.Errorf("capset: %w", err)
			return
		}
		err = f()
	})
	return err
}

// Apart runs f where it may call Become: on one thread, which gets its old
// credentials back. Linux keeps credentials by thread, and Go moves goroutines
// between them. It may be called within Apart.
func Apart(f func()) {
	runtime.LockOSThread()
	defer restored()()
	f()
}

// restored remembers the credentials of the thread that is locked.
func restored() (restore func()) {
	ids := fsIDs()
	caps, err := capabilities()
	return func() {
		for {
			unix.SetfsuidRetUid(ids[0]) // brings back the capabilities that it took
			unix.SetfsgidRetGid(ids[1])
			if (err != nil || unix.Capset(&thisThread, &caps[0]) == nil) && fsIDs() == ids {
				break
			}
			// For want of memory. Nothing else may run on the thread as it is.
			time.Sleep(time.Millisecond)
		}
		runtime.UnlockOSThread()
	}
}

var thisThread = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}

func capabilities() (caps [2]unix.CapUserData, err error) {
	if err := unix.Capget(&thisThread, &caps[0]); err != nil {
		return caps, fmt.Errorf("capget: %w", err)
	}
	return caps, nil
}

// fsIDs reads the fsuid and fsgid: an id that cannot be is not taken.
func fsIDs() [2]int {
	uid, _ := unix.SetfsuidRetUid(-1)
	gid, _ := unix.SetfsgidRetGid(-1)
	return [2]int{uid, gid}
}
