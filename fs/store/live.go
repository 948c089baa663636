package store

import (
	"errors"
	"slices"
	"sort"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// Attr is what the mount shows of an entry.
type Attr struct {
	disk.Stat
	Ident Ident
	// Volatile says that the answer is for this moment, or for this process,
	// only: the name has an open writer, and nobody may remember it.
	Volatile bool
	// Checkpoint says that the entry lies in a checkpoint, where everything
	// changes through the mount only.
	Checkpoint bool
	// Staged says that the checkpoint has a save that is not committed.
	Staged bool
}

// Dirent is one name of a listing.
type Dirent struct {
	Name  string
	Type  uint32 // S_IFMT bits
	Ident Ident  // the zero value when only a look-up would tell
}

// Lookup describes what the calling thread finds at a path of the live tree. A
// process finds the files that it has open for writing; all others find what
// the name held before.
func (s *Store) Lookup(p string, tid uint32) (Attr, error) {
	at := s.at(p)
	if at.rec == nil {
		return s.plainAttr(p)
	}
	rec := at.rec
	rec.mu.RLock()
	if _, sent := s.onItsWay(tid); sent {
		rec.mu.RUnlock()
		tgid := s.procs.Process(tid)
		var d *draft
		err := s.WithRoom(func() (err error) {
			if err := s.failedBefore(tid, p); err != nil {
				return err
			}
			rec.mu.Lock()
			defer rec.mu.Unlock()
			d, err = s.welcome(at, tid, tgid)
			return err
		})
		if err != nil {
			s.failed(tid, p, err)
			return Attr{}, err
		}
		if d != nil {
			d.await() // an error shows below: the draft is gone
		}
		rec.mu.RLock()
	}
	defer rec.mu.RUnlock()
	d := rec.drafts[at.rel]
	if d != nil && !d.visible && d.isReady() {
		if tgid := s.procs.Process(tid); d.openers[tgid] {
			st, err := s.disk.Stat(d.path())
			return Attr{Stat: st, Ident: d.ident, Volatile: true, Checkpoint: true, Staged: true}, err
		}
	}
	a, err := s.recordAttr(rec, at.rel)
	a.Volatile = d != nil
	return a, err
}

func (d *draft) isReady() bool {
	select {
	case <-d.ready:
		return d.err == nil
	default:
		return false
	}
}

// Attr describes the inode that a node stands for, by its name if it still has
// one: ESTALE tells the kernel to look the name up again.
func (s *Store) Attr(p string, id Ident) (Attr, error) {
	at := s.at(p)
	if at.rec == nil {
		a, err := s.plainAttr(p)
		if err == nil && !a.IsDir() && a.Ident != id {
			err = unix.ESTALE
		}
		return a, err
	}
	at.rec.mu.RLock()
	defer at.rec.mu.RUnlock()
	d := at.rec.drafts[at.rel]
	if d != nil && d.isReady() && d.ident == id {
		st, err := s.disk.Stat(d.path())
		return Attr{Stat: st, Ident: id, Volatile: true, Checkpoint: true, Staged: true}, err
	}
	a, err := s.recordAttr(at.rec, at.rel)
	a.Volatile = d != nil
	if err == nil && !a.IsDir() && a.Ident != id {
		err = unix.ESTALE
	}
	return a, err
}

func (s *Store) plainAttr(p string) (Attr, error) {
	if private(p) {
		return Attr{}, unix.ENOENT
	}
	st, err := s.disk.Stat(p)
	if err != nil {
		return Attr{}, err
	}
	return Attr{Stat: st, Ident: s.identities.of(&st)}, nil
}

// recordAttr describes the published content of a name. Needs rec.mu.
func (s *Store) recordAttr(rec *record, rel string) (Attr, error) {
	if _, ok := rec.live(); !ok {
		return Attr{}, unix.ENOENT
	}
	st, err := s.statOf(rec, rel)
	if err != nil {
		return Attr{}, err
	}
	return s.recordStat(rec, rel, st), nil
}

// recordStat says of what was found at a name of a record what the mount shows.
// Needs rec.mu.
func (s *Store) recordStat(rec *record, rel string, st disk.Stat) Attr {
	a := Attr{Stat: st, Checkpoint: !rec.spread(), Staged: len(rec.saves) > 0} // others may change the run
	if st.IsDir() {
		a.Ident = s.number(rec, rel)
		return a
	}
	a.Ident = s.identities.of(&st)
	if !a.Staged && rec.committed != nil {
		a.Nlink++ // the views show it too: du counts what has two links once
	}
	return a
}

// number is the st_ino of a live directory: it belongs to the name, so that
// opening and committing a save changes what the directory holds and never what
// it is. Needs rec.mu in either mode.
func (s *Store) number(rec *record, rel string) Ident {
	s.identities.mu.Lock()
	id, ok := rec.numbers[rel]
	s.identities.mu.Unlock()
	if ok {
		return id
	}
	fresh := s.identities.fresh()
	s.identities.mu.Lock()
	defer s.identities.mu.Unlock()
	if id, ok := rec.numbers[rel]; ok {
		return id
	}
	rec.numbers[rel] = fresh
	return fresh
}

// private reports whether a path belongs to ckptfs alone.
func private(p string) bool {
	return p == Private || len(p) > len(Private) && p[:len(Private)+1] == Private+"/"
}

// ReadDir lists a directory of the live tree, sorted by name: published files
// only, for everybody.
func (s *Store) ReadDir(p string) ([]Dirent, error) {
	if private(p) {
		return nil, unix.ENOENT
	}
	at := s.at(p)
	if at.rec != nil {
		at.rec.mu.RLock()
		defer at.rec.mu.RUnlock()
		dir, ok := at.rec.live()
		if !ok {
			return nil, unix.ENOENT
		}
		list, err := s.disk.ReadDir(join(dir, at.rel))
		return sorted(list, nil), err
	}
	// What is only staged is asked for first: it may be committed meanwhile, and
	// then lies in the directory.
	staged, files := s.stagedNames(p), s.savedFiles(p)
	list, err := s.disk.ReadDir(p)
	if err != nil {
		return nil, err
	}
	list, err = s.liveInstead(files, list)
	return sorted(list, staged), err
}

// stagedNames are the checkpoints of a run that exist only as an open save.
func (s *Store) stagedNames(dir string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.runs[dir]
	if r == nil {
		return nil
	}
	var names []string
	for rec := range r.saving {
		if !rec.natural && !rec.spread() {
			names = append(names, rec.name)
		}
	}
	return names
}

func sorted(list []disk.Entry, staged []string) []Dirent {
	out := make([]Dirent, 0, len(list)+len(staged))
	for _, e := range list {
		if e.Name != Private {
			out = append(out, Dirent{Name: e.Name, Type: e.Type})
		}
	}
	for _, name := range staged {
		if !slices.ContainsFunc(list, func(e disk.Entry) bool { return e.Name == name }) {
			out = append(out, Dirent{Name: name, Type: unix.S_IFDIR})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// reach calls f with where the inode that (p, id) names lies in the backing
// directory, for calls that work on names; it stays there until f returns. In a
// checkpoint it is that inode, whatever the name has come to mean meanwhile.
func (s *Store) reach(p string, id Ident, f func(backing string, rec *record) error) error {
	if private(p) {
		return unix.ENOENT
	}
	at := s.at(p)
	if at.rec == nil {
		return f(p, nil)
	}
	at.rec.mu.RLock()
	defer at.rec.mu.RUnlock()
	if d := at.rec.drafts[at.rel]; d != nil && d.isReady() && d.ident == id {
		return f(d.path(), at.rec)
	}
	dir, ok := at.rec.live()
	if !ok {
		return unix.ENOENT
	}
	b := join(dir, at.rel)
	if err := s.names(b, id); err != nil {
		return err
	}
	return f(b, at.rec)
}

// names returns nil if a backing path is a name of the inode, or if any will do.
// It may be another file's by now: ESTALE has it looked up again.
func (s *Store) names(b string, id Ident) error {
	if id.Ino == 0 || id.Ino >= synthetic {
		return nil
	}
	st, err := s.disk.Stat(b)
	if err == nil && !st.IsDir() && s.identities.of(&st) != id {
		err = unix.ESTALE
	}
	return err
}

// Readlink reads a symbolic link.
func (s *Store) Readlink(p string) (target string, err error) {
	err = s.reach(p, Ident{}, func(b string, _ *record) error {
		target, err = s.disk.Readlink(b)
		return err
	})
	return target, err
}

// isGone reports whether an error only says that something is not there.
func isGone(err error) bool { return errors.Is(err, unix.ENOENT) }
