package store

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"
)

// A file comes into a save of a spread checkpoint whole: by a rename, or by a link.

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
	s.written(sv, rel)
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
