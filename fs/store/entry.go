package store

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// moveEntry is rename(2) of a file or a directory into a save or out of one. The
// save may lie on another file system than its run: there the entry is copied, and
// then what it was copied from goes. A directory has a record of that: whatever
// crash comes in between, it is whole under one of the names in the end. A file is
// whole under each of them.
func (s *Store) moveEntry(op disk.Op, from, to string) error {
	err := s.disk.Rename(op, from, to, 0)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	st, e := s.disk.Stat(from)
	if e != nil || st.Mounted {
		return err
	}
	if st.IsDir() {
		if err := ignore(s.disk.Rmdir(op, to), unix.ENOENT); err != nil { // it is replaced
			return err
		}
		return s.moveVersion(op, nil, from, to)
	}
	if err := s.copyFileTo(op, from, to, &st); err != nil {
		return err
	}
	return s.removeAll(op, from)
}

// copyFileTo copies a file and gives the copy its name in one step.
func (s *Store) copyFileTo(op disk.Op, from, to string, st *disk.Stat) error {
	beside := path.Join(dirOf(to), ".ckptfs-"+s.newID())
	if private(to) {
		beside = path.Join(stagingDir, s.newID()+copySuffix)
	}
	err := s.share(op, from, beside, st)
	if err == nil {
		err = s.disk.Rename(op, beside, to, 0)
	}
	if err != nil {
		s.report("remove a copy", s.removeAll(op, beside))
	}
	return err
}
