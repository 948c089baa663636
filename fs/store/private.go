package store

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// Whoever writes in the private directory decides what the daemon does to the
// checkpoints: a journal record is a rename that it carries out with its own
// rights. So the directory has to belong to the user who runs ckptfs, or to the
// owner of the whole, who may rename everything in it anyway; and nobody else
// may look into it, for what is staged there has lost the directories that it
// was protected by.

// makePrivate sees to it that the private directory is there, for good, and is
// safe. A version that moves into a directory is lost with it.
func makePrivate(d disk.Disk) error {
	for _, dir := range []string{Private, stagingDir, manifestDir, historyDir, filesDir, trashDir, quarantineDir, journalDir} {
		if err := makePrivateDir(d, dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{Private, ""} {
		if err := d.Sync("prepare", dir); err != nil {
			return err
		}
	}
	return nil
}

func makePrivateDir(d disk.Disk, dir string) error {
	if err := d.Mkdir("prepare", dir, 0o700); err == nil || !errors.Is(err, unix.EEXIST) {
		return err
	}
	st, err := d.Stat(dir)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fmt.Errorf("%s is no directory, where ckptfs keeps its state; move it away", dir)
	}
	whole, err := d.Stat("")
	if err != nil {
		return err
	}
	if uid := os.Geteuid(); int(st.UID) != uid && st.UID != whole.UID {
		return fmt.Errorf("%s belongs to user %d, who could forge what was saved here; if it is trusted: chown -R %d %s",
			dir, st.UID, uid, dir)
	}
	if st.Mode&0o077 != 0 { // as a copy of the directory has it, say
		return d.Chmod("prepare", dir, 0o700)
	}
	return nil
}

// OpenLog opens the log in the private directory of a backing directory.
func OpenLog(root *disk.Root) (*os.File, error) {
	if err := makePrivateDir(root, Private); err != nil {
		return nil, err
	}
	f, err := root.Open("log", logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := soleName(root, f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
