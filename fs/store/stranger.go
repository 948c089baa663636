package store

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"time"

	"ckptfs/fs/store/proc"
)

// A stranger is a file of a checkpoint that is none of its own: a log, a lock.
// (layout.Stranger tells by the name.) It never holds up a commit. If it is
// still open the version gets a copy of it as it is at that moment, and the
// file goes on in a new save, cloned from the one that is being committed; that
// save carries it until it is closed. What becomes of a stranger says nothing
// about the checkpoint: it may be damaged, or its writer be killed.

// patience is how long a save waits for what may still come, where nothing says
// for certain that it will.
const patience = 30 * time.Second

// stranger reports whether rel is a stranger in the record's checkpoint.
func (rec *record) stranger(rel string) bool {
	l := rec.run.layout()
	return l != nil && l.Stranger(rec.match.Type, rel)
}

// open reports whether somebody has, or is about to have, the file of a draft
// open for writing. Needs rec.mu.
func (d *draft) open() bool { return len(d.handles) > 0 || len(d.guests) > 0 || !d.visible }

// leavable reports whether a commit need not wait for the end of a draft: it is
// a stranger, and has an inode and a writer. Needs rec.mu.
func (d *draft) leavable() bool {
	return d.save.rec.stranger(d.rel) && d.isReady() && len(d.handles) > 0 && d.veto == ""
}

// hasWriters reports whether a file of the record has an open writer. Needs mu.
func (s *Store) hasWriters(rec *record) bool {
	for _, d := range rec.drafts {
		if d.open() {
			return true
		}
	}
	return false
}

// awaited names the files that are being written and that a commit waits for.
// Needs mu.
func (s *Store) awaited(rec *record) []string {
	var names []string
	for rel, d := range rec.drafts {
		if d.open() && !d.leavable() {
			names = append(names, rel+" (being written)")
		}
	}
	slices.Sort(names)
	return names
}

// growing reports whether an open stranger has changed since the last look: it
// may be data after all, and is given some time to come to its end. Needs rec.mu.
func (s *Store) growing(rec *record) bool {
	grows := false
	for _, d := range rec.drafts {
		if !d.leavable() || s.clock.Now().Sub(d.made) >= patience {
			continue
		}
		st, err := s.disk.Stat(d.path())
		grows = grows || err == nil && !sameContent(&st, &d.look)
		d.look = st
	}
	return grows
}

// untouched reports whether nothing of what a save holds was changed: it was
// opened for a file that is not closed yet. Needs rec.mu.
func (sv *save) untouched() bool {
	return len(sv.found) > 0 && !sv.removed && len(sv.rewritten) == 0
}

// left is a stranger that the version of a sealed save gets a copy of.
type left struct {
	rel  string
	from string // a second name of the open file, in the drafts of the save
}

// carry gives the strangers of a save that was just sealed to a new one. Those
// that can still be written get a second name, to be copied from; one of them
// that is only mapped has no way to go on under its name. Needs rec.mu.
func (s *Store) carry(sv *save, v *verdict) error {
	rec := sv.rec
	sv.left = nil
	var open []*draft
	for _, d := range rec.drafts {
		if d.save == sv && d.leavable() {
			open = append(open, d)
			if err := s.leave(sv, d.rel, d.path()); err != nil {
				return err
			}
		}
	}
	for _, rel := range v.writable {
		if rec.drafts[rel] == nil {
			if err := s.leave(sv, rel, path.Join(sv.tree(), rel)); err != nil {
				return err
			}
		}
	}
	if len(open) == 0 {
		return nil
	}
	next, err := s.stage(rec, func(next *save) error {
		next.carries = sv
		if err := s.clone("stranger:clone", sv.tree(), next.tree()); err != nil {
			return err
		}
		return s.beginFresh(next, false)
	})
	if err != nil {
		return err
	}
	for _, d := range open {
		if err := s.move(d, next); err != nil {
			s.report("carry an open file to the next save", err)
		}
	}
	return nil
}

// leave gives a file that can still be written a second name. Needs rec.mu.
func (s *Store) leave(sv *save, rel, at string) error {
	sv.changes++
	l := left{rel, path.Join(sv.drafts(), strconv.Itoa(sv.changes)+leftSuffix)}
	st, err := s.disk.Stat(at)
	if err == nil {
		err = s.share("stranger:leave", at, l.from, &st)
	}
	if err == nil {
		sv.left = append(sv.left, l)
	}
	return err
}

// What a recovery has to know of a file among the drafts.
const (
	strangerSuffix = ".stranger" // it is one: that it was not closed says nothing of the save
	leftSuffix     = ".left"     // the second name of an open stranger
	copySuffix     = ".copy"     // the beginning of its copy
)

// remark gives a draft that was renamed to a name of the checkpoint's own the
// place of one that is no stranger. Needs rec.mu.
func (s *Store) remark(d *draft) error {
	if d.mark == "" || d.save.rec.stranger(d.rel) {
		return nil
	}
	slot, kept := d.slot(), d.kept()
	d.mark = ""
	if !d.visible {
		return s.disk.Rename("draft:mark", slot, d.slot(), 0)
	}
	if d.replaced {
		return s.disk.Rename("draft:mark", kept, d.kept(), 0)
	}
	return nil
}

// move makes a draft one of another save. Needs rec.mu.
func (s *Store) move(d *draft, to *save) error {
	slot, kept, place := d.slot(), d.kept(), d.path()
	s.mu.Lock()
	to.changes++
	d.save, d.n = to, to.changes
	s.mu.Unlock()
	if !d.visible {
		return s.disk.Rename("stranger:move", slot, d.slot(), 0)
	}
	if d.replaced {
		if err := s.disk.Rename("stranger:move", kept, d.kept(), 0); err != nil {
			return err
		}
	}
	// The inode itself, should the clone have a copy of it; a second name of one
	// inode is left where it is, until the version's copy takes its place.
	return s.disk.Rename("stranger:move", place, d.path(), 0)
}

// copyStrangers puts the copies of open strangers into the tree of a sealed save,
// and looks at the tree again. Called without locks.
func (s *Store) copyStrangers(sv *save, v *verdict) error {
	if len(sv.left) == 0 {
		return nil
	}
	for _, l := range sv.left {
		tmp := l.from + copySuffix
		if err := s.removeAll("stranger:copy", tmp); err != nil {
			return err
		}
		if err := s.disk.Copy("stranger:copy", l.from, tmp); err != nil {
			return err
		}
		if err := s.disk.Rename("stranger:copy", tmp, path.Join(sv.tree(), l.rel), 0); err != nil {
			return err
		}
	}
	tree, err := s.walk(sv.tree())
	v.tree = tree
	return err
}

// carried ends the time in which the next save stands for nothing but the files
// that it carries: the one that it was cloned from is committed. Needs rec.mu.
func (s *Store) carried(sv *save) {
	for _, next := range sv.rec.saves {
		if next.from == sv {
			next.base = sv.next
		}
		if next.carries == sv {
			next.carries = nil
			s.report("write down what a save found", s.noteSave(next))
		}
	}
}

// inherit makes a save that only carries strangers what the one is whose commit
// has failed, so that nothing of it is lost. Needs rec.mu.
func (s *Store) inherit(next, sv *save) {
	if next.carries != sv {
		return
	}
	next.carries, next.base, next.failed = nil, sv.base, sv.failed
	next.cause, next.again = sv.cause, sv.again
	next.found, next.order, next.removed, next.mixed = sv.found, sv.order, sv.removed, sv.mixed
	next.twice, next.torn, next.died = sv.twice, sv.torn, sv.died
	maps.Copy(next.held, sv.held)
	maps.Copy(next.rewritten, sv.rewritten)
	maps.Copy(next.writers, sv.writers)
	maps.Copy(next.authors, sv.authors)
	sv.writers = map[uint32]proc.Watch{}
	if next.again {
		s.schedule(next, housekeeping)
	}
}

// lockDraft locks the record that a draft belongs to; a commit may move it to
// the next save meanwhile.
func (s *Store) lockDraft(d *draft) *record {
	owner := func() *save {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return d.save
	}
	for {
		sv := owner()
		rec := s.lockOf(sv)
		if owner() == sv {
			return rec
		}
		rec.mu.Unlock()
	}
}
