package store

import "path"

// Some trainers lay a marker beside a checkpoint as long as it is not finished,
// and take it away as the last thing they do. They lay it there as well before
// they delete one.

// marked says what a checkpoint lacks while its marker is there, "" when it
// is not, or the layout has none.
func (s *Store) marked(rec *record) string {
	marker := rec.run.layout().Marker(rec.name)
	if marker == "" {
		return ""
	}
	if _, err := s.disk.Stat(path.Join(rec.run.path, marker)); err != nil {
		return ""
	}
	return "the end of it: " + marker + " is still there"
}

// unmarked tells the save of a checkpoint whose marker was taken away that the
// trainer has finished it. Called without locks, with the path of what is gone.
func (s *Store) unmarked(p string) {
	dir, entry := split(p)
	r := s.runAt(dir)
	if r == nil || r.layout() == nil {
		return
	}
	name, ok := r.layout().Marked(entry)
	if !ok {
		return
	}
	rec := s.named(path.Join(dir, name))
	if rec == nil {
		return
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if sv := rec.current(); sv != nil {
		sv.boundary = true
		s.schedule(sv, 0)
	}
}
