package store

import (
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// In the run the files of a spread checkpoint lie among others. A listing shows
// those that are live: of a save, what is staged.

// liveFiles lists the files of a spread checkpoint in the live tree. Needs mu.
func (s *Store) liveFiles(rec *record) ([]disk.Entry, error) {
	dir, ok := rec.live()
	if !ok {
		return nil, nil
	}
	return s.liveFilesIn(rec, dir)
}

// liveInstead puts what lives of spread checkpoints in the place of their files, in
// a listing of their run.
func (s *Store) liveInstead(recs []*record, list []disk.Entry) ([]disk.Entry, error) {
	for _, rec := range recs {
		rec.mu.RLock()
		live, err := s.liveFiles(rec)
		list = slices.DeleteFunc(list, func(e disk.Entry) bool { return rec.has(e) })
		rec.mu.RUnlock()
		if err != nil {
			return nil, err
		}
		list = append(list, live...)
	}
	return list, nil
}

// has reports whether an entry of the run is a file of a spread checkpoint, by its
// name.
func (r *record) has(e disk.Entry) bool {
	if e.Type != unix.S_IFREG || r.single() {
		return e.Type == unix.S_IFREG && e.Name == r.name
	}
	m, ok := r.run.layout().Match(e.Name, false)
	return ok && keyOf(m) == keyOf(r.match)
}

// savedFiles are the spread checkpoints in a run that have a save.
func (s *Store) savedFiles(dir string) (recs []*record) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.runs[dir]
	if r == nil {
		return nil
	}
	for rec := range r.saving {
		if rec.spread() {
			recs = append(recs, rec)
		}
	}
	return recs
}

// liveFilesIn lists them where they are now, which may be the run.
func (s *Store) liveFilesIn(rec *record, dir string) ([]disk.Entry, error) {
	if private(dir) {
		return s.disk.ReadDir(dir)
	}
	if rec.single() {
		st, err := s.disk.Stat(path.Join(dir, rec.name))
		if err != nil || !st.IsRegular() {
			return nil, ignore(err, unix.ENOENT, unix.ENOTDIR)
		}
		return []disk.Entry{{Name: rec.name, Type: unix.S_IFREG}}, nil
	}
	list, err := s.disk.ReadDir(dir)
	var own []disk.Entry
	for _, e := range list {
		if rec.has(e) {
			own = append(own, e)
		}
	}
	return own, err
}
