package store

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// renameRuns renames a plain directory that runs lie in, or that is one. What is
// kept of them elsewhere goes along, in one step (rename_notes.go). Two such
// directories cannot be exchanged.
func (s *Store) renameRuns(from, to string, flags uint) error {
	if flags&unix.RENAME_EXCHANGE != 0 {
		return unix.EINVAL
	}
	if s.hasRuns(to) {
		return unix.ENOTEMPTY
	}
	recs, unlock := s.lockRuns(from)
	j := &journal{Op: opRename, ID: s.newID(), Moves: []move{s.moveOf(from, to, nil)}}
	beyond := func(run string) string { return to + strings.TrimPrefix(run, from) }
	for _, rec := range recs {
		if err := s.usable(rec); err != nil {
			unlock()
			return err
		}
		j.Renamed = append(j.Renamed, s.notesOf(rec, beyond(rec.run.path), rec.name, false)...)
	}
	var deleted []*trashed
	s.mu.RLock()
	for _, t := range s.trash {
		if below(t.Run, from) {
			deleted = append(deleted, t)
			j.Renamed = append(j.Renamed, renamed{trashOf, t.ID, beyond(t.Run), t.Name})
		}
	}
	s.mu.RUnlock()
	err := s.writeJournal(j)
	if err == nil {
		err = moveAll(recs, from, to, func() error { return s.disk.Rename("rename:run", from, to, flags) })
	}
	if err != nil {
		unlock()
		s.report("take a rename back", s.revokeJournal(j))
		return err
	}
	s.moveRuns(from, to, deleted)
	unlock()
	done := func() {
		s.report("write down where a run went; the next mount will", s.followRun(j, recs, deleted))
	}
	if !s.spawn(done) {
		done()
	}
	return nil
}

// below reports whether a run lies at a directory or in it.
func below(run, dir string) bool { return run == dir || strings.HasPrefix(run, dir+"/") }

// hasRuns reports whether a directory is a run, or has some below it.
func (s *Store) hasRuns(dir string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for p := range s.runs {
		if p != "" && below(p, dir) {
			return true
		}
	}
	return false
}

// lockRuns locks every record of the runs at a directory and below it, while no
// commit is under way in any.
func (s *Store) lockRuns(dir string) (recs []*record, unlock func()) {
	list := func() (out []*record) {
		for _, rec := range s.allRecords() {
			if below(rec.run.path, dir) {
				out = append(out, rec)
			}
		}
		return out
	}
	for {
		recs = list()
		unlock = s.lockSettled(recs...)
		if len(list()) == len(recs) {
			return recs, unlock
		}
		unlock() // one more has come
	}
}

// moveAll runs f, which renames a directory, while no version below it is being
// looked into. Needs the mu of all records below it.
func moveAll(recs []*record, from, to string, f func() error) error {
	var moving []*Version
	for _, rec := range recs {
		if v := rec.committed; rec.natural && v != nil && !rec.spread() {
			v.mu.Lock()
			defer v.mu.Unlock()
			moving = append(moving, v)
		}
	}
	if err := f(); err != nil {
		return err
	}
	for _, v := range moving {
		v.path = to + strings.TrimPrefix(v.path, from)
	}
	return nil
}

// moveRuns gives the runs below a directory that was renamed their new paths.
// Needs the mu of all their records.
func (s *Store) moveRuns(from, to string, deleted []*trashed) {
	s.mu.Lock()
	var moved []*run
	for p, r := range s.runs {
		if p != "" && below(p, from) {
			moved = append(moved, r)
			delete(s.runs, p)
		}
	}
	for _, r := range moved {
		r.path = to + strings.TrimPrefix(r.path, from)
		r.stale.all = true
		s.runs[r.path] = r
		s.unresolved(r)
	}
	for _, t := range deleted {
		t.Run = to + strings.TrimPrefix(t.Run, from)
	}
	s.mu.Unlock()
}

// followRun makes the rename of a directory with runs durable and writes the new
// names down; then its record ends.
func (s *Store) followRun(j *journal, recs []*record, deleted []*trashed) error {
	m := &j.Moves[0]
	if err := s.arrived("rename:sync", m); err != nil {
		return err
	}
	for _, rec := range recs {
		rec.mu.Lock()
		err := s.rewriteNotes(rec)
		rec.mu.Unlock()
		if err != nil {
			return err
		}
	}
	s.mu.RLock()
	deleted = slices.DeleteFunc(deleted, func(t *trashed) bool { return !slices.Contains(s.trash, t) })
	s.mu.RUnlock()
	for _, t := range deleted {
		s.writeTrashNote(t)
	}
	if err := s.movePins(j.Renamed); err != nil {
		return err
	}
	if len(deleted) > 0 {
		if err := s.disk.Sync("rename:sync", trashDir); err != nil {
			return err
		}
	}
	return s.endJournal(j)
}
