package store

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// unread reports whether an error leaves open what there is: it could not be read.
// What is not there, is nothing of ours, or was read and is torn, is known.
func unread(err error) bool {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case unix.ENOENT, unix.ENOTDIR, unix.EISDIR, unix.ELOOP, unix.ENXIO:
		return false
	case unix.ENOSPC, unix.EDQUOT, unix.EROFS: // of a write
		return false
	}
	return true
}

// unreadOnly is the error if it leaves open what there is; else that is known.
func unreadOnly(err error) error {
	if unread(err) {
		return err
	}
	return nil
}

// refuse says what to do when the directory cannot be read: nothing that is kept
// in it may be taken for gone.
func refuse(err error) error {
	if !unread(err) {
		return err
	}
	return fmt.Errorf("%w; nothing was removed: see to the disk (dmesg says more) and mount again, or move what cannot be read out of %s to go on without it", err, Private)
}
