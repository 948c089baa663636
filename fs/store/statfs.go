package store

import "golang.org/x/sys/unix"

// Statfs describes the backing file system; what trash and history could give
// back counts as free, and never more than is true: what may not be removed, and
// files that stay under another name, do not count.
func (s *Store) Statfs() (unix.Statfs_t, error) {
	st, err := s.disk.Statfs()
	if err != nil || st.Bsize <= 0 {
		return st, err
	}
	back := uint64(s.reclaimable()) / uint64(st.Bsize)
	back = min(back, st.Blocks-min(st.Bfree, st.Blocks))
	st.Bfree += back
	st.Bavail += back
	return st, nil
}

// reclaimable is how many bytes come back when trash and history are emptied.
func (s *Store) reclaimable() (n int64) {
	var goes, stays []*Version
	for _, t := range s.trashOldestFirst() {
		switch {
		case !s.mayShred(t):
			if t.version != nil {
				stays = append(stays, t.version)
			}
		case t.version != nil:
			goes = append(goes, t.version)
		default:
			n += t.Size
		}
	}
	keeps := map[*run]bool{}
	for _, r := range s.runsSorted() {
		keeps[r] = s.policyOf(r).Retention.DryRun
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.runs {
		hasCommitted := false
		for _, rec := range r.records {
			if rec.committed != nil {
				hasCommitted, stays = true, append(stays, rec.committed)
			}
		}
		for _, rec := range r.records {
			_, pinned := s.pins[rec.path()]
			for _, v := range rec.history {
				if pinned || v.views.Load() > 0 || !hasCommitted || keeps[r] {
					stays = append(stays, v)
				} else {
					goes = append(goes, v)
				}
			}
		}
	}
	if len(goes) == 0 {
		return n
	}
	files := map[uint64]int64{} // by inode: a file that two versions share counts once
	for _, v := range goes {
		for _, f := range v.Files {
			files[f.Ino] = f.Size
		}
	}
	for _, v := range stays {
		for _, f := range v.Files {
			delete(files, f.Ino)
		}
	}
	for _, size := range files {
		n += size
	}
	return n
}
