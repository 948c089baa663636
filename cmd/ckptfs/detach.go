package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// errBusy says that somebody uses a mount.
var errBusy = errors.New("in use")

// unmount takes a mount away; errBusy while somebody uses it.
func unmount(point string) error { return unmountWith(point, 0, "-u") }

// detach takes a mount away from its name at once. Who has something open in it
// goes on until it is closed.
func detach(point string) error { return unmountWith(point, unix.MNT_DETACH, "-uz") }

// unmountWith uses umount(2) where that is allowed, else the set-uid helper.
func unmountWith(point string, flags int, helperFlags string) error {
	err := unix.EPERM
	if os.Geteuid() == 0 {
		if e := unix.Unmount(point, flags|unix.UMOUNT_NOFOLLOW); e == nil {
			return nil
		} else if !errors.As(e, &err) {
			return fmt.Errorf("unmount %s: %w", point, e)
		}
	}
	switch err {
	case unix.EBUSY:
		return fmt.Errorf("unmount %s: %w", point, errBusy)
	case unix.EPERM:
	default:
		return fmt.Errorf("unmount %s: %w", point, err)
	}
	helper, missing := fusermount()
	if missing != nil {
		return missing
	}
	said, failed := exec.Command(helper, helperFlags, "--", point).CombinedOutput()
	switch message := strings.TrimSpace(string(said)); {
	case failed == nil:
		return nil
	case strings.Contains(message, "busy"):
		return fmt.Errorf("unmount %s: %w", point, errBusy)
	default:
		return fmt.Errorf("unmount %s: %s (%w)", point, message, failed)
	}
}
