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

// A file that somebody changes loses its set-id bits, but for root. The file system
// would see to it if it knew who that is: what goes through the daemon it sees to,
// for that becomes the caller (disk.Become). Past the daemon the kernel writes with
// the rights of whoever has opened the file first. So who opens a file for writing
// takes its bits, whether he writes then or not. The capabilities of a file go with
// the first write, whoever that is by; the kernel asks for that.

// dropSetID takes the set-id bits from a file that somebody but root has opened for
// writing.
func (s *Store) dropSetID(p string, f *File, c Caller) error {
	if c.UID == 0 {
		return nil
	}
	st, err := s.disk.Fstat(f.File)
	if err != nil {
		return err
	}
	keep := withoutSetID(&st, c)
	if keep == st.Mode || !st.IsRegular() {
		return nil
	}
	s.opts.Notify.File(p)
	return s.disk.Fchmod("open:setid", f.File, keep)
}

// dropsSetID has a change take the set-id bits along.
func (s *Store) dropsSetID(p string, id Ident, f *File, ch *Change, c Caller) (err error) {
	var a Attr
	if f != nil {
		a, err = f.Stat()
	} else {
		a, err = s.Attr(p, id)
	}
	if err != nil {
		return err
	}
	if keep := withoutSetID(&a.Stat, c); keep != a.Mode {
		keep &= 0o7777
		ch.Mode = &keep
	}
	return nil
}

// withoutSetID is the mode of a file that somebody has changed. His further groups
// are not known here.
func withoutSetID(st *disk.Stat, c Caller) uint32 {
	mode := st.Mode &^ unix.S_ISUID
	if st.Mode&unix.S_IXGRP != 0 || c.UID != 0 && c.GID != st.GID {
		mode &^= unix.S_ISGID
	}
	return mode
}
