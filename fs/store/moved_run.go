package store

import (
	"path"
	"slices"
)

// A run may be renamed while nothing is mounted. Its committed versions are known
// by their directories, wherever those are, and their manifests say of which run
// they were: so a run has moved when all that is known of it lies in one other
// place. What is kept elsewhere under its old path follows.

// findMoved finds the runs that have moved since the manifests were written.
func (s *Store) findMoved(manifests map[string]*Manifest) {
	s.moved = map[string]string{}
	for _, rec := range s.allRecords() {
		v := rec.committed
		if v == nil || manifests[v.ID] == nil {
			continue
		}
		was, is := manifests[v.ID].Run, rec.run.path
		if other, known := s.moved[was]; known && other != is {
			is = was // a part of it was moved, or it was taken apart
		}
		s.moved[was] = is
	}
}

// runNow is where a run lies that was at a path when that was written down.
func (s *Store) runNow(run string) string {
	for was := run; was != ""; was = dirOf(was) {
		if is, known := s.moved[was]; known {
			return path.Join(is, run[len(was):])
		}
	}
	return run
}

// followMoved writes the new paths of runs that have moved into what is kept under
// the old ones. The manifests that tell of the move come last.
func (s *Store) followMoved() error {
	var arrived []string
	for was, is := range s.moved {
		if was != is {
			arrived = append(arrived, is)
			s.event("recover", is, "this run was at "+was+" before; what is kept of it has followed")
		}
	}
	if len(arrived) == 0 {
		return nil
	}
	follows := func(run string) bool {
		return slices.ContainsFunc(arrived, func(is string) bool { return below(run, is) })
	}
	var pins []renamed
	for p := range s.pins {
		dir, name := split(p)
		pins = append(pins, renamed{pinNote, p, s.runNow(dir), name})
	}
	if err := s.movePins(pins); err != nil {
		return err
	}
	for _, t := range s.trash {
		if follows(t.Run) {
			s.writeTrashNote(t)
		}
	}
	for _, rec := range s.allRecords() {
		if follows(rec.run.path) {
			if err := s.rewriteNotes(rec); err != nil {
				return err
			}
		}
	}
	return nil
}
