package store

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"
)

// A file that gets the name of a spread checkpoint's file, by a rename or a link,
// is a save with that content, and the trainer's word that it is complete. What
// the name held stays committed until then. Two names may so have one inode: whoever
// writes to either of them gets another. Nobody else may have it, for an ordinary
// name is written in place.

// renameFile renames a file, where one of the two names is a spread checkpoint's.
func (s *Store) renameFile(a, b place, c Caller) error {
	switch {
	case a.rec == nil:
		return s.renameFileIn(a.path, b, s.procs.Process(c.TID))
	case b.rec != nil && b.rec.spread() && a.rec.spread():
		return s.renameFileOver(a, b, c)
	case b.rec == nil && a.rec.spread() && s.isLastFile(a):
		return s.renameFileOut(a, b.path)
	}
	err := s.renameAcross(a, b, s.procs.Process(c.TID))
	if err == nil && b.rec == nil {
		s.noteAlias(b.path)
	}
	return err
}

// giveName makes way for what is no file and gets the name of a spread
// checkpoint's file: the name is an ordinary one from then on.
func (s *Store) giveName(b place, src Attr) (place, error) {
	rec := b.rec
	defer s.lockSettled(rec)()
	if rec.lives() {
		if src.IsDir() {
			return b, unix.ENOTDIR
		}
		if !s.onlyFile(rec, b.rel) {
			return b, unix.EEXIST
		}
		if err := s.deleteRecord(rec, "replaced by something else"); err != nil {
			return b, err
		}
	}
	s.bury(rec)
	return place{path: b.path}, nil
}

// renameFileIn makes an ordinary file the content of a checkpoint's file.
func (s *Store) renameFileIn(from string, b place, tgid uint32) error {
	rec := b.rec
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return s.enterFile(b, tgid, func(to string) error {
		st, err := s.disk.Stat(from)
		if err != nil {
			return err
		}
		if err := s.moveEntry("rename:in", from, to); err != nil {
			return err
		}
		if st.Nlink > 1 {
			return s.unshare(to)
		}
		return nil
	})
}

// enterFile changes a save of a spread checkpoint by one file, which put brings to
// its place, and takes that for complete. Needs rec.mu.
func (s *Store) enterFile(b place, tgid uint32, put func(to string) error) error {
	rec := b.rec
	if s.obstructed(rec, b.rel) {
		s.bury(rec)
		return unix.EEXIST
	}
	if rec.dead {
		s.revive(rec)
	}
	sv, err := s.changing(rec, b.rel, tgid)
	if err != nil {
		s.bury(rec)
		return err
	}
	to := path.Join(sv.tree(), b.rel)
	old, gone := s.disk.Stat(to)
	if gone == nil {
		s.linger(to)
	}
	if err := put(to); err != nil {
		s.discardIfUntouched(sv)
		return err
	}
	if d := rec.drafts[b.rel]; d != nil {
		s.abandon(d)
	}
	if gone == nil && old.Nlink <= 1 {
		s.identities.forget(&old)
	}
	s.enterNow(sv, b.rel, tgid)
	return nil
}

// enterNow notes that a file came into a save whole. Needs rec.mu.
func (s *Store) enterNow(sv *save, rel string, tgid uint32) {
	sv.rewritten[rel] = true
	delete(sv.held, rel)
	s.core(sv, rel)
	s.touch(sv, tgid)
	if sv.rec.single() {
		sv.boundary, sv.placed = true, true
		s.schedule(sv, 0)
	}
}

// linkName is link(2) of a file to a name of a spread checkpoint's. The content of
// an ordinary file is copied: it may be written in place by its other name.
func (s *Store) linkName(a, b place, c Caller) (Attr, error) {
	tgid := s.procs.Process(c.TID)
	err := s.WithRoom(func() error {
		switch {
		case a.rec == nil:
			return s.copyIn(a.path, b, tgid)
		case a.rec.spread():
			return s.linkFile(a, b, tgid)
		}
		return unix.EXDEV
	})
	if err != nil {
		s.buryUnused(b.rec)
		return Attr{}, err
	}
	return s.Lookup(b.path, c.TID)
}

// copyIn makes a copy of an ordinary file the content of a checkpoint's file that
// is not there yet.
func (s *Store) copyIn(from string, b place, tgid uint32) error {
	st, err := s.disk.Stat(from)
	if err != nil {
		return err
	}
	if !st.IsRegular() {
		return unix.EXDEV
	}
	aside := path.Join(stagingDir, s.newID()+copySuffix)
	if err := s.disk.Copy("link", from, aside); err != nil {
		return err
	}
	b.rec.mu.Lock()
	defer b.rec.mu.Unlock()
	err = error(unix.EEXIST)
	if _, gone := s.recordAttr(b.rec, b.rel); gone != nil && !b.rec.writing(b.rel) {
		err = s.enterFile(b, tgid, func(to string) error { return s.disk.Rename("link", aside, to, 0) })
	}
	if err != nil {
		return errors.Join(err, s.removeAll("link", aside))
	}
	return nil
}

// linkFile gives a file of a checkpoint a second name, which is a checkpoint's too.
func (s *Store) linkFile(a, b place, tgid uint32) error {
	defer lockPair(a.rec, b.rec)()
	if b.rec.writing(b.rel) {
		return unix.EEXIST
	}
	if _, err := s.recordAttr(b.rec, b.rel); err == nil {
		return unix.EEXIST
	}
	return s.shareFile(a, b, tgid)
}

// shareFile makes the live content of a file that of another. Needs the mu of both.
func (s *Store) shareFile(a, b place, tgid uint32) error {
	if d := a.rec.drafts[a.rel]; d != nil && !d.visible {
		return unix.EBUSY // still being written
	}
	dir, live := a.rec.live()
	if !live {
		return unix.ENOENT
	}
	from := path.Join(dir, a.rel)
	st, err := s.disk.Stat(from)
	if err != nil {
		return err
	}
	return s.enterFile(b, tgid, func(to string) error {
		aside := path.Join(stagingDir, s.newID()+copySuffix)
		err := s.share("link", from, aside, &st)
		if err == nil {
			err = s.disk.Rename("link", aside, to, 0)
		}
		if err != nil {
			return errors.Join(err, s.removeAll("link", aside))
		}
		return s.removeAll("link", aside) // a rename between two names of one inode does nothing
	})
}

// lockPair locks two records in their order.
func lockPair(a, b *record) (unlock func()) {
	if a == b {
		a.mu.Lock()
		return a.mu.Unlock
	}
	if a.order() > b.order() {
		a, b = b, a
	}
	a.mu.Lock()
	b.mu.Lock()
	return func() {
		b.mu.Unlock()
		a.mu.Unlock()
	}
}

// renameFileOver gives the content of a spread checkpoint's file to another, and
// when that is committed the first name goes. What is left of its checkpoint is in
// the trash.
func (s *Store) renameFileOver(a, b place, c Caller) error {
	s.awaitReleases(a.rec, releaseBound)
	tgid := s.procs.Process(c.TID)
	unlock := lockPair(a.rec, b.rec)
	if a.rec.writing(a.rel) {
		unlock()
		return unix.EBUSY
	}
	err := s.shareFile(a, b, tgid)
	sv := b.rec.current()
	unlock()
	if err != nil {
		return err
	}
	if sv != nil && b.rec.single() {
		s.conclude(sv)
	}
	s.awaitSealed(b.rec)
	return s.removeFile(a, "renamed to "+b.path, c)
}

// isLastFile reports whether a file is all that the live tree of its spread
// checkpoint has.
func (s *Store) isLastFile(at place) bool {
	at.rec.mu.RLock()
	defer at.rec.mu.RUnlock()
	return s.onlyFile(at.rec, at.rel)
}

// onlyFile does so for one who holds mu.
func (s *Store) onlyFile(rec *record, rel string) bool {
	for other := range rec.drafts {
		if other != rel {
			return false
		}
	}
	list, err := s.liveFiles(rec)
	return err == nil && len(list) == 1 && list[0].Name == rel
}

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
