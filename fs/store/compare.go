package store

import "path"

// A mount believes a manifest whose directory has its name and inode number, and
// is usable then; whether every file in it is the one that the manifest says is
// found out after it, for all checkpoints in the background, and for one at once
// when somebody needs to know. Until then the version is unchecked, and this
// holds: no view resolves to it, no save begins with it, nothing moves or deletes
// it, nothing is decided about it, and its manifest is not written. What is no
// longer what it was is judged by its files then, as a mount would have done.
//
// A store that is opened for a command compares everything first.

// compare compares what lies under a name with its manifest, if nobody has done so
// since the mount. Needs rec.mu.
func (s *Store) compare(rec *record) {
	v := rec.committed
	if v == nil || !v.unchecked.Load() {
		return
	}
	defer func() { // not before: who finds it checked waits for nobody
		v.unchecked.Store(false)
		s.unchecked.Add(-1)
	}()
	home := rec.home()
	st, err := s.disk.Stat(home)
	if err == nil && st.IsDir() && st.Ino == v.DirIno {
		if err = s.matches(home, &v.Manifest); err == nil {
			return
		}
	}
	s.log.Warn("changed outside while nothing was mounted: the checkpoint is verified again", "checkpoint", rec.path(), "what", err)
	v.gone()
	s.adoptAnew(rec, &st, []*Manifest{&v.Manifest})
	if !s.damaged(v) {
		s.report("remove a stale manifest", s.removeAll("compare:manifest", manifestPath(v.ID)))
	}
	s.opts.Notify.Dir(rec.path())
	if now := rec.committed; now != nil {
		s.spawn(func() { s.lookThrough(now) })
	}
}

// vouch reports whether a version may be shown: its files are those that its
// manifest says. Called without locks.
func (s *Store) vouch(v *Version) bool {
	if v.unchecked.Load() {
		s.compareRecord(s.recordOf(v))
	}
	return v.where() != ""
}

// compareRecord is compare for one who holds no lock.
func (s *Store) compareRecord(rec *record) {
	rec.mu.RLock()
	v := rec.committed
	rec.mu.RUnlock()
	if v == nil || !v.unchecked.Load() {
		return
	}
	rec.mu.Lock()
	s.compare(rec)
	rec.mu.Unlock()
}

// compareAll compares whatever nobody has, for one who goes by all of it. Called
// without locks.
func (s *Store) compareAll() {
	if s.unchecked.Load() == 0 {
		return
	}
	inParallel(s.allRecords(), func(rec *record) {
		if !s.stopped() {
			s.compareRecord(rec)
		}
	})
}

// plainly reports whether a manifest says of a directory that it has its inode
// number what its place says too: nothing was moved while nothing was mounted.
func (rec *record) plainly(manifests []*Manifest) *Manifest {
	if len(manifests) != 1 {
		return nil
	}
	m := manifests[0]
	if m.Entry != "" || path.Join(m.Run, m.Name) != rec.path() || m.Removed != "" {
		return nil
	}
	return m
}
