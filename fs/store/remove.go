package store

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"
)

// Unlink removes a name that is not a directory.
func (s *Store) Unlink(p string, c Caller) error {
	if private(p) {
		return unix.EPERM
	}
	at := s.at(p)
	if at.rec == nil {
		st, err := s.disk.Stat(p)
		if err != nil {
			return err
		}
		err = s.unlink("unlink", p, &st)
		if st.IsSymlink() {
			s.noteAlias(p)
		}
		if err == nil {
			s.unmarked(p)
		}
		return err
	}
	if at.rel == "" {
		return unix.EISDIR
	}
	return s.removeFile(at, "deleted", c)
}

// removeFile removes a file of a checkpoint. With the last one of a spread
// checkpoint the checkpoint is deleted.
func (s *Store) removeFile(at place, why string, c Caller) error {
	rec := at.rec
	if rec.spread() && s.isLastFile(at) {
		s.concludeRun(rec)
		s.concludeSave(rec)
		unlock := s.lockSettled(rec)
		if s.onlyFile(rec, at.rel) {
			defer unlock()
			return s.deleteRecord(rec, why)
		}
		unlock()
	}
	return s.WithRoom(func() error { return s.unlinkInside(at, c) }) // a save takes space, also to remove
}

func (s *Store) unlinkInside(at place, c Caller) error {
	rec := at.rec
	tgid := s.procs.Process(c.TID)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	d := rec.drafts[at.rel]
	if d != nil && !d.visible {
		// Only those who write it see it; what the name held goes with it.
		s.abandon(d)
		if _, err := s.disk.Stat(path.Join(d.save.tree(), at.rel)); isGone(err) {
			s.touch(d.save, tgid)
			if s.isEmpty(d.save) {
				s.discardIfUntouched(d.save)
			}
			return nil
		}
	}
	if _, err := s.recordAttr(rec, at.rel); err != nil {
		return err
	}
	sv, err := s.changing(rec, at.rel, tgid)
	if err != nil {
		return err
	}
	b := path.Join(sv.tree(), at.rel)
	st, err := s.disk.Stat(b)
	if err == nil {
		err = s.unlink("unlink", b, &st)
	}
	if err != nil {
		s.discardIfUntouched(sv)
		return err
	}
	if d := rec.drafts[at.rel]; d != nil {
		s.abandon(d)
	}
	delete(sv.rewritten, at.rel)
	s.written(sv, at.rel)
	sv.removed = true
	s.touch(sv, tgid)
	return nil
}

// abandon takes the name from a draft: its writers go on with an inode that has
// none, and nothing is published. Needs rec.mu.
func (s *Store) abandon(d *draft) {
	d.gone = true
	if d.save.rec.drafts[d.rel] == d {
		delete(d.save.rec.drafts, d.rel)
	}
	if !d.visible && len(d.handles) == 0 {
		if st, err := s.disk.Stat(d.slot()); err == nil {
			s.report("remove an unpublished file", s.unlink("draft:abandon", d.slot(), &st))
		}
	}
}

// Rmdir removes an empty directory. Removing a checkpoint's own directory
// deletes the checkpoint: its version goes to the trash.
func (s *Store) Rmdir(p string, c Caller) error {
	if private(p) {
		return unix.EPERM
	}
	at := s.at(p)
	if at.rec == nil {
		return s.rmdirPlain(p)
	}
	if at.rel == "" {
		return s.deleteEmpty(at.rec)
	}
	return s.WithRoom(func() error { return s.rmdirInside(at, c) })
}

func (s *Store) rmdirInside(at place, c Caller) error {
	rec := at.rec
	tgid := s.procs.Process(c.TID)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if a, err := s.recordAttr(rec, at.rel); err != nil {
		return err
	} else if !a.IsDir() {
		return unix.ENOTDIR
	}
	if dir, _ := rec.live(); s.hasEntries(rec, path.Join(dir, at.rel), at.rel) {
		return unix.ENOTEMPTY
	}
	sv, err := s.changing(rec, at.rel, tgid)
	if err != nil {
		return err
	}
	if err := s.disk.Rmdir("rmdir", path.Join(sv.tree(), at.rel)); err != nil {
		s.discardIfUntouched(sv)
		return err
	}
	delete(rec.numbers, at.rel)
	sv.removed = true
	s.touch(sv, tgid)
	return nil
}

// hasEntries reports whether a live directory holds anything, unpublished files
// included. Needs rec.mu.
func (s *Store) hasEntries(rec *record, backing, rel string) bool {
	list, err := s.disk.ReadDir(backing)
	if err != nil || len(list) > 0 {
		return true
	}
	for at := range rec.drafts {
		if dirOf(at) == rel {
			return true
		}
	}
	return false
}

// rmdirPlain removes a plain directory; a run of which only views are left
// counts as empty, and they go with it.
func (s *Store) rmdirPlain(p string) error {
	st, err := s.disk.Stat(p)
	if err != nil {
		return err
	}
	if err := s.plainEmpty(p); err != nil {
		return err
	}
	if err := s.disk.Rmdir("rmdir", p); err != nil {
		return err
	}
	s.identities.forget(&st)
	s.mu.Lock()
	s.moveLinks(p, "")
	s.mu.Unlock()
	s.forsakeRun(p)
	return nil
}

// plainEmpty reports ENOTEMPTY for a plain directory that holds anything, a
// checkpoint that is only staged included.
func (s *Store) plainEmpty(p string) error {
	s.mu.RLock()
	if r := s.runs[p]; r != nil {
		for _, rec := range r.records {
			if rec.natural || len(rec.saves) > 0 {
				s.mu.RUnlock()
				return unix.ENOTEMPTY
			}
		}
	}
	s.mu.RUnlock()
	list, err := s.disk.ReadDir(p)
	if err == nil && len(list) > 0 {
		err = unix.ENOTEMPTY
	}
	return err
}

// forsakeRun forgets the checkpoints of a run whose directory is gone: only views
// were left of them. Called without locks.
func (s *Store) forsakeRun(p string) {
	for _, rec := range s.recordsAt(p) {
		rec.mu.Lock()
		s.report("put the history of a removed run in the trash", s.forsake(rec, "its run was removed"))
		rec.mu.Unlock()
	}
}

// deleteEmpty is rmdir of a checkpoint whose live directory is empty.
func (s *Store) deleteEmpty(rec *record) error {
	s.concludeRun(rec)
	s.concludeSave(rec)
	defer s.lockSettled(rec)()
	dir, ok := rec.live()
	if !ok {
		return unix.ENOENT
	}
	if s.hasEntries(rec, dir, "") {
		return unix.ENOTEMPTY
	}
	return s.deleteRecord(rec, "deleted")
}

// deleteRecord takes a name out of the live tree: what is staged is dropped,
// what is committed goes to the trash, and the views no longer know the name.
// Needs rec.mu.
func (s *Store) deleteRecord(rec *record, why string) error {
	if err := s.usable(rec); err != nil {
		return err
	}
	s.compare(rec)
	if rec.natural {
		if err := s.trashHistory(rec, why); err != nil {
			return err
		}
		if err := s.retire(rec, why); err != nil {
			return err
		}
	}
	for len(rec.saves) > 0 {
		s.drop(rec.saves[len(rec.saves)-1], why)
	}
	if rec.aside() {
		return nil // renamed aside, no successor yet: the views keep the version
	}
	return s.forsake(rec, why)
}

// trashHistory puts the earlier versions of a name in the trash, before the name
// itself goes there: a crash in between must not give it one of them. What goes
// into one directory stays in order. Needs rec.mu.
func (s *Store) trashHistory(rec *record, why string) error {
	if len(rec.history) == 0 {
		return nil
	}
	var errs []error
	for _, v := range rec.history {
		errs = append(errs, s.toTrash(v, why))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.change(rec, func() { rec.history = nil })
	return nil
}

// forsake puts all that is left of a name in the trash and forgets the name.
// Needs rec.mu.
func (s *Store) forsake(rec *record, why string) error {
	var errs []error
	if v := rec.committed; v != nil && rec.aside() && v.rec == rec {
		errs = append(errs, s.toTrash(v, why))
	}
	errs = append(errs, s.trashHistory(rec, why))
	s.change(rec, func() { rec.committed, rec.history, rec.invalid = nil, nil, "" })
	clear(rec.numbers)
	s.bury(rec)
	return errors.Join(errs...)
}
