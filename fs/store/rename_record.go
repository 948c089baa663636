package store

import (
	"cmp"
	"errors"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ckptfs/layout"
)

// lockSettled locks records in the order of their paths, at a moment when no
// commit of any is under way: a commit that has begun knows where its name is.
func (s *Store) lockSettled(recs ...*record) (unlock func()) {
	for {
		for _, rec := range recs {
			s.awaitSealed(rec)
		}
		list := slices.Clone(recs)
		slices.SortFunc(list, func(a, b *record) int { return cmp.Compare(a.order(), b.order()) })
		list = slices.Compact(list)
		sealed := false
		for _, rec := range list {
			rec.mu.Lock()
			sealed = sealed || slices.ContainsFunc(rec.saves, func(sv *save) bool { return sv.sealed })
		}
		unlock = func() {
			for _, rec := range slices.Backward(list) {
				rec.mu.Unlock()
			}
		}
		if !sealed {
			return unlock
		}
		unlock()
	}
}

// renameRecord moves a checkpoint to another checkpoint's name.
func (s *Store) renameRecord(a, b *record) error {
	s.concludeSave(a)
	s.concludeSave(b)
	read, progress := s.progressUnder(a, b)
	origin, unlock := s.lockMoved(a, b)
	defer unlock()
	s.compare(a)
	s.compare(b)
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
	// Renamed aside, the version goes on standing for the old name, with the
	// history, until a successor is committed. Else all of it moves together.
	aside := b.match.Kind == layout.Backup && b.match.Of == a.name && b.run == a.run
	v := a.committed
	j := &journal{Op: opRename, ID: s.newID(), Run: b.run.path, Name: b.name, Renamed: s.notesOf(a, b.run.path, b.name, aside)}
	if origin != nil && !aside {
		j.Renamed = append(j.Renamed, renamed{versionOf, v.ID, b.run.path, b.name})
	}
	if err := s.renameNoted(j, a, b); err != nil {
		return err
	}
	a.numbers, b.numbers = map[string]Ident{}, a.numbers
	a.drafts, b.drafts = map[string]*draft{}, a.drafts
	s.mu.Lock()
	b.natural, a.natural = a.natural, false
	b.invalid, a.invalid = a.invalid, ""
	b.judged, a.judged = a.judged, nil
	b.saves, a.saves = append(b.saves, a.saves...), nil
	for _, sv := range b.saves {
		sv.rec = b
	}
	if b.natural || !aside {
		b.committed = v
	}
	if !aside {
		a.committed = nil
		b.history, a.history = append(b.history, a.history...), nil
		for _, h := range b.history {
			h.rec = b
		}
		if v != nil && (v.rec == a || origin != nil) {
			v.rec = b
		}
		if v != nil && v == read {
			v.Progress = progress
		}
	}
	s.noteChange(a)
	s.noteChange(b)
	s.mu.Unlock()
	if origin != nil && origin != b && !aside {
		s.report("forget what a backup was kept for", s.outlive(origin, v))
	}
	s.bury(a)
	if len(j.Renamed) == 0 {
		return nil
	}
	err := errors.Join(s.rewriteNotes(b), s.movePins(j.Renamed))
	if err == nil && !s.remains.at(j.Moves) {
		err = s.endJournal(j)
	}
	s.report("write down a rename; the next mount will", err)
	return nil
}

// renameNoted moves the directory of a checkpoint to another name. Where notes
// have to follow, the record of the rename is durable first. Needs the mu of both.
func (s *Store) renameNoted(j *journal, a, b *record) error {
	v := a.committed
	if len(j.Renamed) == 0 {
		return s.moveVersion("rename:record", v, a.path(), b.path())
	}
	if a.natural {
		j.Moves = []move{s.moveOf(a.path(), b.path(), v)}
	}
	err := s.writeJournal(j)
	if err == nil && a.natural {
		err = s.advance("rename:record", j, 0, moving(v, b.path()))
		if m := &j.Moves[0]; err != nil && (m.Copied || s.lies(m.To, m.Ino) && !m.Crosses) {
			s.report("finish a rename; the next mount will", err)
			s.remains.add(a.path(), j)
			err = nil // it has its new name
		}
		if err == nil && j.Moves[0].Copied {
			s.reread(v)
		}
	}
	if err != nil {
		return errors.Join(err, s.revokeJournal(j))
	}
	return nil
}

// progressUnder reads how far the committed version of a had come, as the name of
// b tells it: a numbered name goes before what the files say. Called without
// locks, for it reads files.
func (s *Store) progressUnder(a, b *record) (*Version, layout.Progress) {
	a.mu.RLock()
	v := a.committed
	a.mu.RUnlock()
	if v == nil || b.run.layout() == nil {
		return nil, layout.Progress{}
	}
	var report layout.Report
	err := v.location(func(dir string) (err error) {
		report, err = b.run.layout().Inspect(s.disk.Sub(dir), b.match)
		return err
	})
	if err != nil {
		s.report("read the progress of a checkpoint", err)
		return nil, layout.Progress{}
	}
	return v, report.Progress
}

// revive puts a record back into the catalog that makeWay took out. Needs its mu.
func (s *Store) revive(rec *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec.dead = false
	s.runs[rec.run.path] = rec.run
	rec.run.add(rec)
}

// renameAcross moves something out of a checkpoint, into one, or both.
func (s *Store) renameAcross(a, b place, tgid uint32) (err error) {
	if a.rec != nil && a.rel == "" && b.rec == nil {
		return s.renameOut(a.rec, b.path)
	}
	if a.rec != nil && a.rel == "" {
		s.concludeSave(a.rec)
	}
	switch {
	case a.rec != nil && b.rec != nil:
		defer s.lockSettled(a.rec, b.rec)()
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
		if a.rec.writing(a.rel) {
			return unix.EBUSY
		}
		if old, err := s.disk.Stat(b.path); err == nil && old.IsDir() && b.rec == nil {
			if err := s.plainEmpty(b.path); err != nil {
				return err
			}
		}
		// What is refused is refused before anything is changed.
		if err := s.mayReplace(b); err != nil {
			return err
		}
		sv, err := s.changing(a.rec, a.rel, tgid)
		if err != nil {
			return err
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
		if source != nil && err != nil {
			s.discardIfUntouched(source)
		} else if source != nil {
			delete(source.rewritten, a.rel)
			delete(a.rec.numbers, a.rel)
			source.removed = true
			s.touch(source, tgid)
		}
	}()
	if b.rec == nil {
		return s.moveEntry("rename:out", from, b.path)
	}
	if b.rel == "" {
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
	if err := s.moveEntry("rename:into", from, to); err != nil {
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

// mayReplace returns nil if a rename may replace what lies at a place of a
// checkpoint: no directory, or an empty one. Needs the mu of its record.
func (s *Store) mayReplace(b place) error {
	if b.rec == nil {
		return nil
	}
	live, ok := b.rec.live()
	dir := path.Join(live, b.rel)
	if there, err := s.isDir(dir); !ok || !there || err != nil {
		return err
	}
	if s.hasEntries(b.rec, dir, b.rel) {
		return unix.ENOTEMPTY
	}
	return nil
}

// writing reports whether a path of the checkpoint, or anything below it, is being
// written. Needs mu.
func (rec *record) writing(rel string) bool {
	for p := range rec.drafts {
		if p == rel || strings.HasPrefix(p, rel+"/") {
			return true
		}
	}
	return false
}

// renameOut makes a checkpoint an ordinary directory.
func (s *Store) renameOut(rec *record, to string) error {
	s.concludeSave(rec)
	origin, unlock := s.lockMoved(rec, nil)
	defer unlock()
	if err := s.usable(rec); err != nil {
		return err
	}
	dir, live := rec.live()
	if !live {
		return unix.ENOENT
	}
	if len(rec.drafts) > 0 {
		return unix.EBUSY
	}
	if old, err := s.disk.Stat(to); err == nil && old.IsDir() {
		if err := s.plainEmpty(to); err != nil {
			return err
		}
		if err := s.disk.Rmdir("rename:out", to); err != nil { // it is replaced
			return err
		}
	}
	if sv := rec.current(); sv != nil {
		st, err := s.disk.Stat(dir)
		if err == nil {
			err = s.unshareTree(dir, &st)
		}
		if err == nil {
			err = s.moveEntry("rename:out", dir, to)
		}
		if err != nil {
			return err
		}
		v := rec.committed
		err = s.deleteRecord(rec, "renamed to "+to)
		if origin != nil {
			err = errors.Join(err, s.outlive(origin, v))
		}
		return err
	}
	st, err := s.disk.Stat(dir)
	if err == nil {
		err = s.unshareTree(dir, &st) // with its earlier versions
	}
	if err == nil {
		err = s.trashHistory(rec, "its name was renamed to "+to)
	}
	if err == nil {
		err = s.moveVersion("rename:out", rec.committed, dir, to)
	}
	if err != nil {
		return err
	}
	v := rec.committed
	s.change(rec, func() { rec.natural, rec.committed = false, nil })
	err = s.forsake(rec, "its name was renamed to "+to)
	if origin != nil {
		err = errors.Join(err, s.outlive(origin, v))
	}
	return err
}
