package store

import (
	"os"
	"path"

	"ckptfs/fs/store/disk"
)

// The home of a spread checkpoint is a directory of second names of its files. One
// that was found, and not saved, has none until it is looked into.

// keepTogether makes the directory that what lies under the names of a spread
// checkpoint is kept in, where it has none. Needs rec.mu.
func (s *Store) keepTogether(rec *record) error {
	if !rec.spread() || rec.kept != "" || !rec.natural {
		return nil
	}
	list, err := s.liveFiles(rec)
	if err != nil {
		return err
	}
	at := path.Join(filesDir, s.newID())
	if err := s.gather(rec, list, at); err != nil {
		s.report("remove what was kept of a checkpoint", s.removeAll("files:keep", at))
		return err
	}
	s.change(rec, func() { rec.kept = at })
	return nil
}

// nextHome is where a commit puts the tree of a checkpoint. Needs rec.mu.
func (s *Store) nextHome(rec *record) string {
	if rec.spread() && !rec.natural {
		return path.Join(filesDir, s.newID())
	}
	return rec.home()
}

// keepNames makes durable that the files of an adopted version are kept together,
// before the names in the run go to others.
func (s *Store) keepNames(v *Version) error {
	at := v.where()
	if dirOf(at) != filesDir {
		return nil
	}
	tree, err := s.walk(at)
	if err != nil {
		return err
	}
	if err := s.syncTree("commit:papers", at, tree, func(treeEntry) bool { return true }); err != nil {
		return err
	}
	return s.disk.Sync("commit:papers", filesDir)
}

// gather makes a directory of second names of files of the run.
func (s *Store) gather(rec *record, list []disk.Entry, at string) error {
	if err := s.disk.Mkdir("files:keep", at, 0o700); err != nil {
		return err
	}
	for _, e := range list {
		from := path.Join(rec.run.path, e.Name)
		st, err := s.disk.Stat(from)
		if err == nil {
			err = s.share("files:keep", from, path.Join(at, e.Name), &st)
		}
		if err != nil {
			return err
		}
	}
	return s.likeRun(rec, at)
}

// likeRun gives the tree of a spread checkpoint the owner, the mode and the lists
// of its run: that is who may look into it.
func (s *Store) likeRun(rec *record, dir string) error {
	st, err := s.disk.Stat(rec.run.path)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 { // the run may be somebody else's
		own, err := s.disk.Stat(dir)
		if err != nil {
			return err
		}
		st.UID, st.GID = own.UID, own.GID
	}
	return disk.CopyMeta(s.disk, "files:dir", rec.run.path, dir, st)
}

// newTree makes the tree of a save whose checkpoint is not there yet. A directory
// is made by the trainer.
func (s *Store) newTree(sv *save) error {
	if !sv.rec.spread() {
		return nil
	}
	if err := s.disk.Mkdir("save:open", sv.tree(), 0o700); err != nil {
		return err
	}
	return s.likeRun(sv.rec, sv.tree())
}
