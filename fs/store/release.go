package store

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"
)

// A directory may hold files of checkpoints' names and become a checkpoint itself
// by a rename: tmp/checkpoint.pt, and then tmp becomes step_100. Until the rename
// nobody could tell. From then on they are files of that.

// releaseFiles ends that files below a directory are checkpoints of their own: what
// lives under their names lies there as ordinary files. Directories that are
// checkpoints stay what they are. Called without locks.
func (s *Store) releaseFiles(dir string) error {
	for _, rec := range s.spreadBelow(dir) {
		s.awaitReleases(rec, releaseBound)
		unlock := s.lockSettled(rec)
		err := s.releaseRecord(rec)
		unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) spreadBelow(dir string) (recs []*record) {
	for _, rec := range s.allRecords() {
		if rec.spread() && below(s.pathOf(rec.run), dir) {
			recs = append(recs, rec)
		}
	}
	return recs
}

// releaseRecord does so for one. Needs rec.mu.
func (s *Store) releaseRecord(rec *record) error {
	const why = "its directory became a checkpoint"
	if err := s.usable(rec); err != nil {
		return err
	}
	if len(rec.drafts) > 0 {
		return unix.EBUSY
	}
	if err := s.trashHistory(rec, why); err != nil {
		return err
	}
	if sv := rec.current(); sv != nil {
		if err := s.lay(rec, sv); err != nil {
			return err
		}
	}
	v, at := rec.committed, rec.kept
	if v != nil {
		v.mu.Lock()
		v.path = ""
		v.mu.Unlock()
	}
	var err error
	if at != "" {
		err = s.removeAll("files:release", at)
	}
	s.change(rec, func() { rec.natural, rec.committed, rec.kept, rec.invalid = false, nil, "", "" })
	for len(rec.saves) > 0 {
		s.drop(rec.saves[len(rec.saves)-1], why)
	}
	if v != nil {
		s.leftView(v)
	}
	return errors.Join(err, s.forsake(rec, why))
}

// lay puts the files of a save into the run, in the place of what is committed.
// Needs rec.mu.
func (s *Store) lay(rec *record, sv *save) error {
	shown, err := s.inRun(rec)
	if err != nil {
		return err
	}
	tree, err := s.walk(sv.tree())
	if err != nil {
		return err
	}
	for _, e := range tree {
		to := path.Join(rec.run.path, e.rel)
		if was, ok := shown[e.rel]; ok && was.Ino == e.st.Ino {
			delete(shown, e.rel)
			continue // a rename between two names of one inode does nothing
		}
		delete(shown, e.rel)
		if err := s.moveEntry("files:release", path.Join(sv.tree(), e.rel), to); err != nil {
			return err
		}
	}
	for name, st := range shown {
		if err := s.unlink("files:release", path.Join(rec.run.path, name), &st); err != nil {
			return err
		}
	}
	return nil
}
