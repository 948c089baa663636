package store

import (
	"maps"
	"path"
	"slices"

	"ckptfs/fs/store/proc"
	"ckptfs/layout"
)

// An attempt is one go of the trainer at a whole checkpoint. Core files of two
// attempts are never mixed: a new one begins when a core file that this save
// has published is changed again after another core file was published, or
// when the first change comes from a new process after one that changed the
// save has died badly.

// core reports whether a file is one of those that must come from one save.
func (rec *record) core(rel string) bool {
	l := rec.run.layout()
	return l != nil && l.Core(rec.match.Type, rel)
}

// core notes that a core file was published. Needs rec.mu.
func (s *Store) core(sv *save, rel string) {
	if sv.rec.core(rel) {
		sv.order = append(sv.order, rel)
	}
}

// beginsAttempt reports whether a change of rel by a process begins a new
// attempt. Needs rec.mu.
func (s *Store) beginsAttempt(sv *save, rel string, tgid uint32) bool {
	if sv.carries != nil {
		return false // nothing was done in it yet
	}
	if sv.recovered {
		return true // whoever goes on does not know what the one before had done
	}
	if _, known := sv.writers[tgid]; !known && tgid != 0 && (len(sv.held) > 0 || sv.authorDied()) {
		return true
	}
	if sv.arrived && sv.rec.core(rel) {
		return true // it was whole: nobody knows which file of it was the last
	}
	if sv.mixed && sv.rec.core(rel) && s.clock.Now().Sub(sv.changed) >= patience {
		return true // after one that was given up, the next save begins with whatever file comes first
	}
	i := slices.Index(sv.order, rel)
	return i >= 0 && slices.ContainsFunc(sv.order[i:], func(other string) bool { return other != rel })
}

// authorDied reports whether one who wrote to the save has died badly. Needs rec.mu.
func (sv *save) authorDied() bool {
	for tgid, w := range sv.writers {
		if sv.authors[tgid] && w.End().Fate == proc.Died {
			return true
		}
	}
	return false
}

// beginFresh writes down which files an attempt finds. Needs rec.mu.
func (s *Store) beginFresh(sv *save, durable bool) error {
	tree, err := s.walk(sv.tree())
	if err != nil {
		return err
	}
	sv.order = nil
	sv.found = map[string]uint64{}
	for _, e := range tree {
		if !e.st.IsDir() {
			sv.found[e.rel] = e.st.Ino
		}
	}
	return s.writeSaveNote(sv, durable)
}

// newAttempt ends the attempt of a save. If the save is complete as it stands,
// it is sealed and commits, and the new attempt gets a clone of its own; else
// all core files count as not rewritten. Needs rec.mu.
func (s *Store) newAttempt(sv *save) (*save, error) {
	rec := sv.rec
	// What stops a commit is not undone by the attempt that comes next; nor is it
	// known, once one was given up, with which file the next one had begun.
	if len(s.awaited(rec)) == 0 && sv.failed == "" && !sv.leftOpen && !sv.shared && !sv.authorDied() && !sv.mixed {
		v := s.inspectSave(rec, sv)
		if v.whole() && len(sv.held) == 0 && s.coreRewritten(sv) && s.unwritable(sv, &v) == "" && s.doubts(sv) == "" {
			s.seal(sv, v)
			return s.openSave(rec)
		}
	}
	// What the attempt before has left must not pass for this one's, whatever a
	// power cut leaves.
	if err := s.beginFresh(sv, true); err != nil {
		return nil, err
	}
	sv.attempts++
	for rel := range sv.rewritten {
		sv.mixed = sv.mixed || rec.core(rel)
	}
	sv.recovered, sv.arrived, sv.leftOpen = false, false, false
	sv.hands, sv.shared = nil, false
	clear(sv.held)
	sv.failed = ""
	for tgid, w := range sv.writers {
		if w.End().Fate == proc.Died {
			w.Close()
			delete(sv.writers, tgid)
		}
	}
	return sv, nil
}

// coreRewritten reports whether every group of core files has a member that
// this attempt wrote, or none at all. Needs rec.mu.
func (s *Store) coreRewritten(sv *save) bool { return len(s.oldCore(sv)) == 0 }

// oldCore lists the core files that an attempt has found, and of whose group it
// has written none. Needs rec.mu.
func (s *Store) oldCore(sv *save) (old []string) {
	for _, group := range sv.rec.run.layout().CoreGroups(sv.rec.match.Type) {
		if slices.ContainsFunc(sv.order, func(rel string) bool { return layout.InGroup(group, rel) }) {
			continue
		}
		for _, rel := range slices.Sorted(maps.Keys(sv.found)) {
			if _, err := s.disk.Stat(path.Join(sv.tree(), rel)); err == nil && layout.InGroup(group, rel) {
				old = append(old, rel)
			}
		}
	}
	return old
}
