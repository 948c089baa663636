package store

import (
	"os"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// A new entry belongs to the caller, in a setgid directory to its group, and has
// the mode that his umask leaves, or that the access control list of its
// directory hands down. The file system sees to all of that by itself when the
// caller makes the entry where it belongs; nothing is changed by name afterwards,
// when the name may mean another file. What is made in the private directory
// first is given what its directory would have given it.

// asCaller runs build, which makes an entry in dir or for it, as the user who
// asks, with the mode that it is to have.
func (s *Store) asCaller(dir string, mode uint32, c Caller, build func(mode uint32) error) error {
	if s.inherited(dir) == nil {
		mode &^= c.Umask
	}
	return disk.As(c.UID, c.GID, func() error { return build(mode) })
}

// inherited is the access control list that dir hands down; nil when it has none.
func (s *Store) inherited(dir string) disk.ACL {
	b := make([]byte, disk.MaxACL)
	n, err := s.disk.Getxattr(dir, disk.DefaultACL, b)
	if err != nil {
		return nil // none, or a file system that has none
	}
	return disk.ParseACL(b[:n])
}

// handDown gives an entry in the private directory what dir, where it is going
// to be, hands down: its group, and its access control list.
func (s *Store) handDown(op disk.Op, dir, p string, mode uint32, c Caller) error {
	parent, err := s.disk.Stat(dir)
	if err != nil {
		return err
	}
	st, err := s.disk.Stat(p)
	if err != nil {
		return err
	}
	want := st.Mode & 0o7777
	if parent.Mode&unix.S_ISGID != 0 && os.Geteuid() == 0 {
		if err := s.disk.Chown(op, p, -1, int(parent.GID)); err != nil {
			return err
		}
		if st.IsDir() {
			want |= unix.S_ISGID
		}
	}
	acl := s.inherited(dir)
	if acl != nil {
		access, left := acl.Inherit(mode & 0o777)
		want = want&^0o777 | left
		if st.IsDir() {
			if err := s.disk.Setxattr(op, p, disk.DefaultACL, acl.Bytes(), 0); err != nil {
				return err
			}
		}
		if access != nil {
			if err := s.disk.Setxattr(op, p, disk.AccessACL, access.Bytes(), 0); err != nil {
				return err
			}
		}
	}
	return s.disk.Chmod(op, p, want) // last: a change of the owner clears the set-id bits
}

// dropSetID takes the set-id bits from a file that somebody but root has
// emptied, as the file system would if it knew who that is.
func (s *Store) dropSetID(f *File, c Caller) error {
	if os.Geteuid() != 0 || c.UID == 0 {
		return nil
	}
	st, err := s.disk.Fstat(f.File)
	if err != nil {
		return err
	}
	keep := st.Mode &^ unix.S_ISUID
	if st.Mode&unix.S_IXGRP != 0 || c.GID != st.GID {
		keep &^= unix.S_ISGID
	}
	if keep == st.Mode {
		return nil
	}
	return s.disk.Fchmod("open:setid", f.File, keep)
}
