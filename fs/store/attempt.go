package store

import (
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
//
// A core file that is written twice with no other in between may be either: the
// trainer goes over its last file, or begins its next attempt with it. While it
// lives the next core file tells. Should ckptfs die first nobody can, so that it
// is written down before it happens.

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
	sv.order, sv.twice, sv.torn, sv.died = nil, false, false, ""
	clear(sv.held)
	sv.found = map[string]uint64{}
	for _, e := range tree {
		if !e.st.IsDir() {
			sv.found[e.rel] = e.st.Ino
		}
	}
	return s.writeSaveNote("save:note", sv, durable)
}

// newAttempt ends the attempt of a save. If the save is complete as it stands,
// it is sealed and commits, and the new attempt gets a clone of its own; else
// all core files count as not rewritten. Needs rec.mu.
func (s *Store) newAttempt(sv *save) (*save, error) {
	rec := sv.rec
	if s.sealComplete(sv) {
		return s.openSave(rec)
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
	sv.failed = ""
	for tgid, w := range sv.writers {
		if w.End().Fate == proc.Died {
			w.Close()
			delete(sv.writers, tgid)
		}
	}
	return sv, nil
}

// sealComplete seals a save that is complete as it stands, and reports whether it
// is. What stops a commit is not undone by the attempt that comes next; nor is it
// known, once one was given up, with which file the next one had begun. Needs
// rec.mu.
func (s *Store) sealComplete(sv *save) bool {
	rec := sv.rec
	if len(s.awaited(rec)) > 0 || len(sv.held) > 0 || sv.failed != "" ||
		sv.leftOpen || sv.shared || sv.torn || sv.mixed || sv.authorDied() {
		return false
	}
	v := s.inspectSave(rec, sv)
	if !v.whole() || !s.coreRewritten(sv, &v.report) || s.unwritable(sv, &v) != "" || s.doubts(sv) != "" {
		return false
	}
	s.seal(sv, v)
	return true
}

// rewrites notes that a core file is about to be written twice in an attempt, if
// that can mean that the next one begins: others were written before it. A rank
// that goes over its own file, when the others are of other ranks, may be ahead
// of them: what is complete as it stands is sealed first. (One that goes over
// another rank's file adds its part.) Needs rec.mu.
func (s *Store) rewrites(sv *save, rel string, tgid uint32) (*save, error) {
	if sv.rec.single() || !slices.Contains(sv.order, rel) {
		return sv, nil
	}
	others, ahead := false, false
	for _, other := range sv.order {
		others = others || other != rel
		ahead = ahead || sv.hands[rel] == tgid && sv.hands[other] != tgid
	}
	if !others {
		return sv, nil
	}
	if ahead {
		if s.sealComplete(sv) {
			return s.openSave(sv.rec)
		}
		sv.torn = true
	}
	if sv.twice {
		return sv, nil
	}
	sv.twice = true
	if err := s.writeSaveNote("save:twice", sv, true); err != nil {
		sv.twice = false // the next try has to write it
		return nil, err
	}
	return sv, nil
}

// coreRewritten reports whether this attempt wrote all core files that it found
// and that are still in use; r is a report on the save. Needs rec.mu.
func (s *Store) coreRewritten(sv *save, r *layout.Report) bool { return len(s.oldCore(sv, r)) == 0 }

// oldCore lists the core files that an attempt has found and not written: of a
// group of which it has written none, or of a set of which it has written a
// part, as ranks do that are not all there yet. What an index of this attempt no
// longer lists is in nobody's use. Needs rec.mu.
func (s *Store) oldCore(sv *save, r *layout.Report) (old []string) {
	l := sv.rec.run.layout()
	written, sets := map[string]bool{}, map[string]bool{}
	for _, rel := range sv.order {
		written[rel], sets[l.Set(rel)] = true, true
	}
	unlisted := func(rel string) bool {
		of := func(f string) bool { return written[f] && l.Set(f) == l.Set(rel) }
		for index, files := range r.Lists {
			if written[index] && !slices.Contains(files, rel) && slices.ContainsFunc(files, of) {
				return true
			}
		}
		return false
	}
	for _, group := range l.CoreGroups(sv.rec.match.Type) {
		begun := slices.ContainsFunc(sv.order, func(rel string) bool { return layout.InGroup(group, rel) })
		for rel := range sv.found {
			if written[rel] || !layout.InGroup(group, rel) || begun && (!sets[l.Set(rel)] || unlisted(rel)) {
				continue
			}
			if _, err := s.disk.Stat(path.Join(sv.tree(), rel)); err == nil {
				old = append(old, rel)
			}
		}
	}
	slices.Sort(old)
	return slices.Compact(old)
}
