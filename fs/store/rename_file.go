package store

import "golang.org/x/sys/unix"

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
