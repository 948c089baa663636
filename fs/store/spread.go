package store

import (
	"path"
	"slices"

	"ckptfs/layout"
)

// A checkpoint that is a file (last.ckpt), or a group of files with a name in
// common (ckpt-7.index, ckpt-7.data-00000-of-00001), is spread: its files lie in
// the run itself. What it is made of is all the same a directory at any time:
//
//	staged      .ckptfs/staging/<id>/tree/last.ckpt
//	committed   .ckptfs/files/<id>/last.ckpt
//	earlier     .ckptfs/history/<id>/last.ckpt
//
// and the file in the run is a second name of the committed one, or a copy where
// the file system has no links. So a save, a commit and a view are what they are
// of any checkpoint; a commit has one more step, that gives the names in the run
// to the new files (show.go). Who writes to a file that is there writes to
// another inode, in a save: the version before stays as it is without a copy.
//
// The path of a file in the checkpoint (rel) is its name in the run.

// filesDir holds what lies under the names of spread checkpoints.
const filesDir = Private + "/files"

// spread reports whether the checkpoint's files lie in the run itself.
func (r *record) spread() bool { return r.match.Type != layout.Dir }

// single reports whether the checkpoint is one file: it is whole when that is.
func (r *record) single() bool { return r.match.Type == layout.File }

// dir is the natural path of the directory that the checkpoint's entries are in.
func (r *record) dir() string {
	if r.spread() {
		return r.run.path
	}
	return r.path()
}

// home is where the tree lies that is under the natural name. That of a spread
// checkpoint that is not kept together yet is the run, in which other things are
// too: keepTogether comes before anybody walks it.
func (r *record) home() string {
	switch {
	case !r.spread():
		return r.path()
	case r.kept != "":
		return r.kept
	}
	return r.run.path
}

// keyOf is what a checkpoint is found by in its run: a directory and a file of one
// name are two checkpoints.
func keyOf(m layout.Match) string {
	if m.Type == layout.Dir {
		return m.Name
	}
	return m.Name + "/"
}

// order is what records are locked in the order of: their paths, and of two that
// go by one name the directory first.
func (r *record) order() string { return path.Join(r.run.path, r.name) + keyOf(r.match)[len(r.name):] }

// add enters a record. Needs Store.mu.
func (r *run) add(rec *record) {
	key := keyOf(rec.match)
	if rec.match.Type == layout.Group && r.records[key] == nil {
		r.groups++
	}
	r.records[key] = rec
}

// remove takes a record out. Needs Store.mu.
func (r *run) remove(rec *record) {
	key := keyOf(rec.match)
	if r.records[key] != rec {
		return
	}
	if rec.match.Type == layout.Group {
		r.groups--
	}
	delete(r.records, key)
}

// find gives the checkpoint that an entry of the run is, or is a file of; leaf
// says that the path ends there. Of two that go by one name it is the one that
// lives. Needs Store.mu.
func (r *run) find(name string, leaf bool) *record {
	rec := r.records[name]
	if !leaf || rec != nil && rec.lives() {
		return rec
	}
	if file := r.records[name+"/"]; file != nil && file.single() {
		return file
	}
	if r.groups > 0 {
		if m, ok := r.layout().Match(name, false); ok && m.Type == layout.Group && r.records[keyOf(m)] != nil {
			return r.records[keyOf(m)]
		}
	}
	return rec
}

// becoming reports whether a directory is, or lies in, what will become a
// checkpoint by a rename: the files in it are files of that.
func (s *Store) becoming(dir string) bool {
	for ; dir != ""; dir = dirOf(dir) {
		_, name := split(dir)
		for _, l := range s.layouts {
			if m, ok := l.Match(name, true); ok && m.Kind == layout.Temp {
				return true
			}
		}
	}
	return false
}

// named finds the checkpoint of a natural path, of a group by what its files have
// in common; nil when there is none.
func (s *Store) named(p string) *record {
	dir, name := split(p)
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.runs[dir]
	if r == nil {
		return nil
	}
	rec, files := r.records[name], r.records[name+"/"]
	if rec == nil || files != nil && !rec.lives() {
		return files
	}
	return rec
}

// recorded finds the record that a note names, made when there is none; entry is
// what the note says of a file of a spread checkpoint.
func (s *Store) recorded(run, name, entry string) *record {
	if entry == "" {
		return s.checkpoint(run, name, true)
	}
	rec := s.checkpoint(run, entry, false)
	if rec != nil && rec.name != name {
		return nil
	}
	return rec
}

// sharing lists the versions in a run of spread checkpoints that have a file with
// an inode: links of one another.
func (s *Store) sharing(rec *record, ino uint64) (out []*Version) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, other := range rec.run.records {
		for _, v := range append([]*Version{other.committed}, other.history...) {
			if v != nil && slices.ContainsFunc(v.Files, func(f ManifestFile) bool { return f.Ino == ino }) {
				out = append(out, v)
			}
		}
	}
	return out
}

// buryUnused takes the record of a spread checkpoint out of the catalog again that
// was made for a change that did not come about; rec may be nil.
func (s *Store) buryUnused(rec *record) {
	if rec != nil && rec.spread() {
		rec.mu.Lock()
		s.bury(rec)
		rec.mu.Unlock()
	}
}

// obstructed reports whether something that is no checkpoint lies under a name
// that is about to become one of a spread checkpoint. Needs rec.mu.
func (s *Store) obstructed(rec *record, name string) bool {
	if !rec.spread() || rec.lives() {
		return false
	}
	_, err := s.disk.Stat(path.Join(rec.run.path, name))
	return err == nil
}

// isStaged reports whether a save has something at a place.
func (s *Store) isStaged(at place) bool {
	at.rec.mu.RLock()
	defer at.rec.mu.RUnlock()
	if len(at.rec.saves) == 0 || at.rel == "" {
		return false
	}
	_, err := s.recordAttr(at.rec, at.rel)
	return err == nil
}

// isEmpty reports whether a save is of a new spread checkpoint and has no file,
// nor will get one: nobody sees that there is a save. Needs rec.mu.
func (s *Store) isEmpty(sv *save) bool {
	rec := sv.rec
	if !rec.spread() || sv.sealed || rec.natural || len(rec.saves) > 1 || len(rec.drafts) > 0 {
		return false
	}
	list, err := s.disk.ReadDir(sv.tree())
	return err == nil && len(list) == 0
}
