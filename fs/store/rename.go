package store

import (
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// Rename moves a name. What that means depends on what the two names are:
//
//	plain → plain            a rename; runs below the directory move along
//	inside one checkpoint    a change of its save
//	plain directory → name   the content becomes a save: the trainer says that
//	                         it is complete, so it commits without settling
//	name → name              save, committed version and history move together;
//	                         renamed aside, the version keeps standing for the old name
//	name → plain             the checkpoint becomes an ordinary directory
//	file → name, name → file of checkpoints that are spread: rename_file.go
//	across a border          files that a committed version shares are copied
//
// flags are those of renameat2(2); an exchange works between plain names only.
func (s *Store) Rename(from, to string, flags uint, c Caller) error {
	var failed error
	return s.WithRoom(func() error {
		if failed != nil {
			if _, err := s.Lookup(from, c.TID); err != nil {
				return failed // it went half the way: not to be done again
			}
		}
		failed = s.rename(from, to, flags, c)
		return failed
	})
}

func (s *Store) rename(from, to string, flags uint, c Caller) (err error) {
	if private(from) || private(to) {
		return unix.EPERM
	}
	a, b := s.at(from), s.at(to)
	src, err := s.visibleAttr(a, c)
	if err != nil {
		return err
	}
	defer func() { s.buryUnused(b.rec) }()
	if from == to { // as rename(2) has it; the kernel asks when it has looked the name up twice
		return nil
	}
	if b.rec == nil {
		b = s.placeOfNew(to, src.Mode&unix.S_IFMT)
	}
	if b.rec != nil && b.rec.spread() && !src.IsRegular() {
		if b, err = s.giveName(b, src); err != nil {
			return err
		}
	}
	if a.rec == nil && b.rec == nil {
		return s.renamePlain(from, to, flags)
	}
	if flags&unix.RENAME_EXCHANGE != 0 {
		return unix.EINVAL
	}
	if a.rec == nil && src.IsDir() && s.holdsCheckpoints(from) {
		if s.holdsDirectories(from) {
			return unix.EXDEV // a run is no checkpoint, nor a part of one
		}
		if err := s.releaseFiles(from); err != nil {
			return err
		}
	}
	if flags&unix.RENAME_NOREPLACE != 0 {
		if _, err := s.visibleAttr(b, c); err == nil || s.beingWritten(b) {
			return unix.EEXIST
		}
	}
	tgid := s.procs.Process(c.TID)
	if b.rec != nil && b.rel == "" && !src.IsDir() {
		b.rec.mu.Lock()
		_, live := b.rec.live()
		s.bury(b.rec)
		b.rec.mu.Unlock()
		if live {
			return unix.EISDIR
		}
		b.rec = nil
		if a.rec == nil {
			return s.renamePlain(from, to, flags)
		}
	}
	switch {
	case a.rec == b.rec && a.rel == b.rel && a.rec != nil && a.rec.spread():
		return nil
	case a.rec != nil && a.rec == b.rec && a.rel != "" && b.rel != "":
		return s.renameInside(a, b, tgid)
	case src.IsRegular() && (a.rec != nil && a.rec.spread() || b.rec != nil && b.rec.spread()):
		return s.renameFile(a, b, c)
	case a.rec == b.rec && a.rec != nil:
		return unix.EINVAL // a checkpoint into itself, or the other way round
	case a.rec == nil && b.rel == "":
		return s.renameIn(from, b.rec, tgid)
	case a.rec != nil && a.rel == "" && b.rec != nil && b.rel == "":
		return s.renameRecord(a.rec, b.rec)
	default:
		defer s.noteAlias(to)
		err := s.renameAcross(a, b, tgid)
		if err == nil && b.rec == nil {
			s.forsakeRun(to) // it has replaced a run of which only views were left
		}
		return err
	}
}

// visibleAttr is what the caller sees at a place.
func (s *Store) visibleAttr(at place, c Caller) (Attr, error) {
	return s.Lookup(at.path, c.TID)
}

// beingWritten reports whether somebody is writing a file at a place, who may not
// have published it yet.
func (s *Store) beingWritten(at place) bool {
	if at.rec == nil {
		return false
	}
	at.rec.mu.RLock()
	defer at.rec.mu.RUnlock()
	d := at.rec.drafts[at.rel]
	return d != nil && !d.gone
}

// holdsDirectories does so for checkpoints that are directories.
func (s *Store) holdsDirectories(dir string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for p, r := range s.runs {
		for _, rec := range r.records {
			if !rec.spread() && below(p, dir) {
				return true
			}
		}
	}
	return false
}

// holdsCheckpoints reports whether a plain directory is a run, or holds one.
func (s *Store) holdsCheckpoints(dir string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for p, r := range s.runs {
		if len(r.records) > 0 && (p == dir || strings.HasPrefix(p, dir+"/")) {
			return true
		}
	}
	return false
}

func (s *Store) renamePlain(from, to string, flags uint) error {
	old, gone := s.disk.Stat(to)
	if gone == nil && old.IsDir() && flags&(unix.RENAME_EXCHANGE|unix.RENAME_NOREPLACE) == 0 {
		if err := s.plainEmpty(to); err != nil {
			return err
		}
		s.forsakeRun(to) // of which only views are left
	}
	if gone == nil && old.IsRegular() {
		s.linger(to)
	}
	var err error
	if s.hasRuns(from) || flags&unix.RENAME_EXCHANGE != 0 && s.hasRuns(to) {
		err = s.renameRuns(from, to, flags)
	} else {
		err = s.disk.Rename("rename", from, to, flags)
	}
	if err != nil {
		return err
	}
	if gone == nil && flags&unix.RENAME_EXCHANGE == 0 && old.Nlink <= 1 {
		s.identities.forget(&old)
	}
	s.mu.Lock()
	s.moveLinks(from, to)
	s.mu.Unlock()
	s.noteAlias(from)
	s.noteAlias(to)
	return nil
}

// renameInside moves a name within one checkpoint.
func (s *Store) renameInside(a, b place, tgid uint32) error {
	rec := a.rec
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if a.rel == b.rel {
		return nil
	}
	sv, err := s.changing(rec, b.rel, tgid)
	if err != nil {
		return err
	}
	if d := rec.drafts[a.rel]; d != nil && !d.visible && d.isReady() {
		// The writer moves a file that it still has open: from here on it is
		// under its name for everybody.
		if err := s.publish(d); err != nil {
			return err
		}
	}
	src, dst := path.Join(sv.tree(), a.rel), path.Join(sv.tree(), b.rel)
	st, err := s.disk.Stat(src)
	if err != nil {
		return err
	}
	if d := rec.drafts[b.rel]; d != nil {
		s.abandon(d)
	}
	old, gone := s.disk.Stat(dst)
	if gone == nil && old.IsRegular() {
		s.linger(dst)
	}
	if err := s.disk.Rename("rename:inside", src, dst, 0); err != nil {
		s.discardIfUntouched(sv)
		return err
	}
	if gone == nil && old.Nlink <= 1 && old.Ino != st.Ino {
		s.identities.forget(&old)
	}
	rec.rekey(sv, a.rel, b.rel)
	if d := rec.drafts[b.rel]; d != nil {
		s.report("mark an open file as one of the checkpoint", s.remark(d))
	}
	if sv.rewritten[b.rel] || st.IsDir() {
		s.core(sv, b.rel)
	}
	sv.rewritten[b.rel] = true
	sv.removed = true // the old name may be one of the base's
	s.touch(sv, tgid)
	return nil
}

// rekey moves what is kept by path when a name inside the checkpoint moves.
// Needs mu.
func (rec *record) rekey(sv *save, from, to string) {
	moved := func(p string) (string, bool) {
		if p == from {
			return to, true
		}
		if strings.HasPrefix(p, from+"/") {
			return to + p[len(from):], true
		}
		return p, false
	}
	for p, d := range rec.drafts {
		if q, ok := moved(p); ok {
			delete(rec.drafts, p)
			d.rel = q
			rec.drafts[q] = d
		}
	}
	for p, id := range rec.numbers {
		if q, ok := moved(p); ok {
			delete(rec.numbers, p)
			rec.numbers[q] = id
		}
	}
	for p := range sv.rewritten {
		if q, ok := moved(p); ok {
			delete(sv.rewritten, p)
			sv.rewritten[q] = true
		}
	}
}

// renameIn makes a plain directory the content of a checkpoint's name.
func (s *Store) renameIn(from string, rec *record, tgid uint32) error {
	s.concludeSave(rec)
	defer s.lockSettled(rec)()
	if err := s.usable(rec); err != nil {
		return err
	}
	if err := s.empties(rec); err != nil {
		return err
	}
	if s.occupied(rec) {
		return unix.ENOTDIR
	}
	return s.adoptTree(from, rec, tgid)
}

// empties returns nil if a name may be replaced, as rename(2) does: nothing lives
// under it, or an empty directory. Needs rec.mu.
func (s *Store) empties(rec *record) error {
	if dir, live := rec.live(); live && s.hasEntries(rec, dir, "") {
		return unix.ENOTEMPTY
	}
	return nil
}

// makeWay removes an empty live directory that a rename is about to replace, as
// rename(2) does. Needs rec.mu.
func (s *Store) makeWay(rec *record) error {
	if _, live := rec.live(); !live {
		return nil
	}
	if err := s.empties(rec); err != nil {
		return err
	}
	return s.deleteRecord(rec, "replaced by a rename")
}

// adoptTree stages a directory as the content of rec, whole: everything in it
// is new, and the rename is the trainer's word that it is complete. What was staged
// under the name before was empty, and goes; what is committed stays until this is.
// Needs rec.mu.
func (s *Store) adoptTree(from string, rec *record, tgid uint32) error {
	st, err := s.disk.Stat(from)
	if err != nil {
		return err
	}
	if rec.dead { // forgotten since it was found
		s.revive(rec)
	}
	s.compare(rec)
	sv, err := s.stage(rec, func(sv *save) error {
		if err := s.noteSave(sv); err != nil {
			return err
		}
		return s.moveEntry("rename:in", from, sv.tree())
	})
	if err != nil {
		s.bury(rec)
		return err
	}
	for _, empty := range slices.Clone(rec.saves[:len(rec.saves)-1]) {
		s.drop(empty, "replaced by a rename")
	}
	sv.base, sv.from, sv.arrived = nil, nil, true
	clear(rec.numbers)
	rec.numbers[""] = s.identities.of(&st)
	if err := s.enter(sv, ""); err != nil {
		return err
	}
	s.touch(sv, tgid)
	sv.boundary, sv.placed = true, true
	s.schedule(sv, 0)
	return nil
}

// enter marks everything below rel of a save as new, and gives a file an inode
// of its own that has another name somewhere: what is committed is never
// written through another door. Needs rec.mu.
func (s *Store) enter(sv *save, rel string) error {
	base := path.Join(sv.tree(), rel)
	tree, err := s.walk(base)
	if err != nil {
		return err
	}
	for _, e := range tree {
		p := path.Join(rel, e.rel)
		switch {
		case e.st.IsDir():
			sv.rec.numbers[p] = s.identities.of(&e.st)
		case e.st.IsRegular() && e.st.Nlink > 1:
			if err := s.unshare(path.Join(sv.tree(), p)); err != nil {
				return err
			}
		}
		if !e.st.IsDir() {
			sv.rewritten[p] = true
			s.core(sv, p)
		}
	}
	return nil
}

// unshare replaces a name's inode by a copy of it.
func (s *Store) unshare(p string) error {
	tmp := path.Join(stagingDir, s.newID()+".copy")
	if err := s.disk.Copy("unshare", p, tmp); err != nil {
		return err
	}
	return s.disk.Rename("unshare", tmp, p, 0)
}

// unshareTree does so for every file below dir that has another name.
func (s *Store) unshareTree(dir string, st *disk.Stat) error {
	if !st.IsDir() {
		if st.IsRegular() && st.Nlink > 1 {
			return s.unshare(dir)
		}
		return nil
	}
	tree, err := s.walk(dir)
	if err != nil {
		return err
	}
	for _, e := range tree {
		if e.st.IsRegular() && e.st.Nlink > 1 {
			if err := s.unshare(path.Join(dir, e.rel)); err != nil {
				return err
			}
		}
	}
	return nil
}
