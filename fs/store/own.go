package store

import (
	"errors"
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

// heritage is what a directory hands down to the entries that are made in it.
type heritage struct {
	dir disk.Stat
	acl disk.ACL // nil when there is none
}

func (s *Store) heritageOf(dir string) (heritage, error) {
	st, err := s.disk.Stat(dir)
	return heritage{st, s.inherited(dir)}, err
}

// inherited is the access control list that dir hands down; nil when it has none.
func (s *Store) inherited(dir string) disk.ACL {
	b := make([]byte, 256) // most have none, and the others are short
	n, err := s.disk.Getxattr(dir, disk.DefaultACL, b)
	if errors.Is(err, unix.ERANGE) {
		b = make([]byte, disk.MaxACL)
		n, err = s.disk.Getxattr(dir, disk.DefaultACL, b)
	}
	if err != nil {
		return nil // none, or a file system that has none
	}
	return disk.ParseACL(b[:n])
}

// asCaller runs build, which makes an entry for a directory that hands down acl, as
// the user who asks, with the mode that it is to have.
func asCaller(acl disk.ACL, mode uint32, c Caller, build func(mode uint32) error) error {
	if acl == nil {
		mode &^= c.Umask
	}
	return disk.As(c.UID, c.GID, func() error { return build(mode) })
}

// handDown gives an entry in the private directory, which st describes and which
// was asked for with a mode, what the directory hands down where it is going to be:
// its group, and its access control list. changed is false when it had it all.
func (s *Store) handDown(op disk.Op, h *heritage, p string, st *disk.Stat, mode uint32) (changed bool, err error) {
	want := st.Mode & 0o7777
	if h.dir.Mode&unix.S_ISGID != 0 && os.Geteuid() == 0 {
		changed = true
		if err := s.disk.Chown(op, p, -1, int(h.dir.GID)); err != nil {
			return changed, err
		}
		if st.IsDir() {
			want |= unix.S_ISGID
		}
	}
	if h.acl != nil {
		changed = true
		access, left := h.acl.Inherit(mode & 0o777)
		want = want&^0o777 | left
		if st.IsDir() {
			if err := s.disk.Setxattr(op, p, disk.DefaultACL, h.acl.Bytes(), 0); err != nil {
				return changed, err
			}
		}
		if access != nil {
			if err := s.disk.Setxattr(op, p, disk.AccessACL, access.Bytes(), 0); err != nil {
				return changed, err
			}
		}
	}
	if !changed {
		return false, nil
	}
	return true, s.disk.Chmod(op, p, want) // last: a change of the owner clears the set-id bits
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
