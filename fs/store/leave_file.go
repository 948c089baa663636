package store

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"
)

// A spread checkpoint of one file that is renamed to an ordinary name is an ordinary
// file from then on.

// renameFileOut makes a spread checkpoint of one file an ordinary file. It is
// written in place from then on, so no version keeps it.
func (s *Store) renameFileOut(a place, to string) error {
	rec := a.rec
	s.awaitReleases(rec, releaseBound)
	s.concludeSave(rec)
	err := s.leaveFile(a, to)
	if err == nil {
		s.noteAlias(to)
	}
	return err
}

func (s *Store) leaveFile(a place, to string) error {
	rec := a.rec
	defer s.lockSettled(rec)()
	if err := s.usable(rec); err != nil {
		return err
	}
	dir, live := rec.live()
	switch {
	case !live:
		return unix.ENOENT
	case rec.writing(a.rel):
		return unix.EBUSY
	case !s.onlyFile(rec, a.rel):
		return unix.EAGAIN // another file came
	}
	old, gone := s.disk.Stat(to)
	if gone == nil && old.IsRegular() {
		s.linger(to)
	}
	why := "renamed to " + to
	if err := s.trashHistory(rec, why); err != nil {
		return err
	}
	if err := s.moveEntry("rename:out", path.Join(dir, a.rel), to); err != nil {
		return err
	}
	if gone == nil && old.Nlink <= 1 {
		s.identities.forget(&old)
	}
	if len(rec.saves) > 0 { // what is committed goes to the trash
		return errors.Join(s.deleteRecord(rec, why), s.ownFile(to))
	}
	return errors.Join(s.leaveNames(rec, a.rel), s.ownFile(to))
}

// leaveNames takes away what else there is of a checkpoint whose file has another
// name. Needs rec.mu.
func (s *Store) leaveNames(rec *record, rel string) error {
	v, at := rec.committed, rec.kept
	if v != nil {
		v.mu.Lock()
		v.path = ""
		v.mu.Unlock()
	}
	var errs []error
	if at != "" {
		p := path.Join(rec.run.path, rel)
		st, err := s.disk.Stat(p)
		if err == nil {
			err = s.unlink("rename:out", p, &st)
		}
		errs = append(errs, ignore(err, unix.ENOENT), s.removeAll("rename:out", at))
	}
	s.change(rec, func() { rec.natural, rec.committed, rec.kept, rec.invalid = false, nil, "", "" })
	if v != nil {
		s.leftView(v)
	}
	return errors.Join(append(errs, s.forsake(rec, "renamed"))...)
}

// ownFile gives an ordinary name an inode of its own.
func (s *Store) ownFile(p string) error {
	st, err := s.disk.Stat(p)
	if err != nil || st.Nlink <= 1 {
		return err
	}
	return s.unshare(p)
}
