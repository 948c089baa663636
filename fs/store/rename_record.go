package store

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"

	"ckptfs/layout"
)

// lockBoth locks two records in the order of their paths.
func lockBoth(a, b *record) (unlock func()) {
	if b.path() < a.path() {
		a, b = b, a
	}
	a.mu.Lock()
	b.mu.Lock()
	return func() { b.mu.Unlock(); a.mu.Unlock() }
}

// renameRecord moves a checkpoint to another checkpoint's name.
func (s *Store) renameRecord(a, b *record) error {
	s.concludeSave(a)
	s.concludeSave(b)
	defer lockBoth(a, b)()
	if _, live := a.live(); !live {
		return unix.ENOENT
	}
	if err := errors.Join(s.usable(a), s.usable(b)); err != nil {
		return err
	}
	if err := s.makeWay(b); err != nil {
		return err
	}
	if s.occupied(b) {
		return unix.ENOTDIR
	}
	if b.dead {
		s.revive(b)
	}
	v := a.committed
	if a.natural {
		if err := s.moveVersion("rename:record", v, a.path(), b.path()); err != nil {
			return err
		}
	}
	// Renamed aside, the version goes on standing for the old name, with the
	// history, until a successor is committed. Else all of it moves together.
	backup := b.match.Kind == layout.Backup && b.match.Of == a.name && b.run == a.run
	a.numbers, b.numbers = map[string]Ident{}, a.numbers
	a.drafts, b.drafts = map[string]*draft{}, a.drafts
	s.mu.Lock()
	b.natural, a.natural = a.natural, false
	b.invalid, a.invalid = a.invalid, ""
	b.saves, a.saves = append(b.saves, a.saves...), nil
	for _, sv := range b.saves {
		sv.rec = b
	}
	if b.natural || !backup {
		b.committed = v
	}
	if !backup {
		a.committed = nil
		b.history, a.history = append(b.history, a.history...), nil
		for _, h := range b.history {
			h.rec = b
		}
		if v != nil && v.rec == a {
			v.rec = b
		}
	}
	a.run.views.Store(nil)
	b.run.views.Store(nil)
	s.generation.Add(1)
	s.mu.Unlock()
	s.bury(a)
	if backup && len(b.saves) == 0 {
		return nil
	}
	return s.rewriteNotes(b)
}

// revive puts a record back into the catalog that makeWay took out. Needs its mu.
func (s *Store) revive(rec *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec.dead = false
	s.runs[rec.run.path] = rec.run
	rec.run.records[rec.name] = rec
}

// renameAcross moves something out of a checkpoint, into one, or both.
func (s *Store) renameAcross(a, b place, tgid uint32) error {
	if a.rec != nil && a.rel == "" && b.rec == nil {
		return s.renameOut(a.rec, b.path)
	}
	if a.rec != nil && a.rel == "" {
		s.concludeSave(a.rec)
	}
	switch {
	case a.rec != nil && b.rec != nil:
		defer lockBoth(a.rec, b.rec)()
	case a.rec != nil:
		a.rec.mu.Lock()
		defer a.rec.mu.Unlock()
	default:
		b.rec.mu.Lock()
		defer b.rec.mu.Unlock()
	}
	// Where it comes from: a change of that save, and nothing shared may leave.
	from := a.path
	var source *save
	if a.rec != nil {
		if a.rel == "" {
			return unix.EXDEV // a checkpoint into another: copied by whoever wants that
		}
		sv, err := s.changing(a.rec, a.rel, tgid)
		if err != nil {
			return err
		}
		if d := a.rec.drafts[a.rel]; d != nil {
			return unix.EBUSY // still being written
		}
		source, from = sv, path.Join(sv.tree(), a.rel)
		st, err := s.disk.Stat(from)
		if err == nil {
			err = s.unshareTree(from, &st)
		}
		if err != nil {
			return err
		}
	}
	defer func() {
		if source != nil {
			delete(source.rewritten, a.rel)
			delete(a.rec.numbers, a.rel)
			source.removed = true
			s.touch(source, tgid)
		}
	}()
	if b.rec == nil {
		defer s.noteAlias(b.path)
		return s.disk.Rename("rename:out", from, b.path, 0)
	}
	if b.rel == "" {
		if err := s.makeWay(b.rec); err != nil {
			return err
		}
		return s.adoptTree(from, b.rec, tgid)
	}
	target, err := s.changing(b.rec, b.rel, tgid)
	if err != nil {
		return err
	}
	if d := b.rec.drafts[b.rel]; d != nil {
		s.abandon(d)
	}
	to := path.Join(target.tree(), b.rel)
	if err := s.disk.Rename("rename:into", from, to, 0); err != nil {
		return err
	}
	if st, err := s.disk.Stat(to); err != nil {
		return err
	} else if st.IsDir() {
		b.rec.numbers[b.rel] = s.identities.of(&st)
		if err := s.enter(target, b.rel); err != nil {
			return err
		}
	} else {
		if st.IsRegular() && st.Nlink > 1 {
			if err := s.unshare(to); err != nil {
				return err
			}
		}
		target.rewritten[b.rel] = true
		s.core(target, b.rel)
	}
	s.touch(target, tgid)
	return nil
}

// renameOut makes a checkpoint an ordinary directory.
func (s *Store) renameOut(rec *record, to string) error {
	s.concludeSave(rec)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if err := s.usable(rec); err != nil {
		return err
	}
	dir, live := rec.live()
	if !live {
		return unix.ENOENT
	}
	if sv := rec.current(); sv != nil {
		if len(rec.drafts) > 0 {
			return unix.EBUSY
		}
		st, err := s.disk.Stat(dir)
		if err == nil {
			err = s.unshareTree(dir, &st)
		}
		if err == nil {
			err = s.disk.Rename("rename:out", dir, to, 0)
		}
		if err != nil {
			return err
		}
		return s.deleteRecord(rec, "renamed to "+to)
	}
	if err := s.moveVersion("rename:out", rec.committed, dir, to); err != nil {
		return err
	}
	s.change(rec, func() { rec.natural, rec.committed = false, nil })
	return s.forsake(rec, "its name was renamed to "+to)
}
