package store

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// seal closes a save to changes: the next one opens a new save, cloned from
// this. Its commit starts when the one before it is through. Needs rec.mu.
func (s *Store) seal(sv *save, v verdict) {
	sv.sealed = true
	sv.through = make(chan struct{})
	if sv.cancel != nil {
		sv.cancel()
	}
	s.change(sv.rec, func() {})
	if err := s.carry(sv, &v); err != nil {
		s.report("leave an open file behind", err)
		sv.failed, sv.sealed = err.Error(), false
		close(sv.through)
		return
	}
	if !s.spawn(func() { s.commit(sv, v) }) {
		sv.sealed = false
		close(sv.through)
	}
}

// commit makes a sealed save the committed version of its name:
//
//	sync     every new file, then every directory, from the inside out
//	hash     every file; the manifest is written and synced
//	journal  a record of what is about to happen is written and synced
//	swap     the staged directory and the natural one change places
//	sync     the two directories that hold their names
//	keep     the old version moves to history
//	forget   the journal record goes
//
// A crash before the journal record leaves the old version; after it, recovery
// rolls forward. Views see the new version only when its name is durable.
func (s *Store) commit(sv *save, v verdict) {
	defer s.wake()
	defer close(sv.through)
	if prior := s.before(sv); prior != nil {
		<-prior
	}
	err := s.tryCommit(sv, &v)
	if err != nil {
		rec := s.lockOf(sv)
		sv.failed, sv.cause = err.Error(), err
		sv.sealed = false
		if sv.again = lacksSpace(err) && !errors.Is(err, errNotDurable); sv.again {
			s.schedule(sv, housekeeping)
		}
		s.log.Error("commit failed; the version before stays", "checkpoint", rec.path(), "save", sv.id, "err", err)
		s.event("commit-failed", rec.path(), err.Error())
		if next := rec.current(); next != sv { // a newer save took over its content
			s.inherit(next, sv)
			s.drop(sv, "its commit failed and a newer save has replaced it")
		}
		rec.mu.Unlock()
	}
}

// before tells when the sealed save of the same name is through that has to be
// committed first.
func (s *Store) before(sv *save) <-chan struct{} {
	rec := s.lockOf(sv)
	defer rec.mu.Unlock()
	for i, other := range rec.saves {
		if other == sv && i > 0 {
			return rec.saves[i-1].through
		}
	}
	return nil
}

// errNotDurable says that a sync failed: what it was to keep may be lost, and a
// second try would prove nothing.
var errNotDurable = errors.New("it could not be made durable")

func (s *Store) tryCommit(sv *save, v *verdict) error {
	if err := s.copyStrangers(sv, v); err != nil {
		return err
	}
	fresh := func(e treeEntry) bool { return !s.inBase(sv, e) }
	if err := s.syncTree("commit:sync", sv.tree(), v.tree, fresh); err != nil {
		return fmt.Errorf("%w: %w", errNotDurable, err)
	}
	m, err := s.describe(sv, v)
	if err != nil {
		return err
	}
	if err := s.unchanged(sv.tree(), v.tree); err != nil {
		return err
	}
	if s.sameAsBase(sv, m) {
		rec := s.lockOf(sv)
		defer rec.mu.Unlock()
		s.drop(sv, "its content equals the committed version")
		return nil
	}
	if err := s.WithRoom(func() error { return s.writeManifest("commit:manifest", m) }); err != nil {
		return err
	}
	return s.swap(sv, m)
}

// inBase reports whether a file is one of the base version, synced long ago.
func (s *Store) inBase(sv *save, e treeEntry) bool {
	if sv.base == nil || sv.base.Adopted {
		return false
	}
	for _, f := range sv.base.Files {
		if f.Path == e.rel {
			return f.Ino == e.st.Ino && f.Size == e.st.Size && f.MtimeNS == e.st.Mtime.Nano()
		}
	}
	return false
}

// describe hashes the staged files and fills the manifest.
func (s *Store) describe(sv *save, v *verdict) (*Manifest, error) {
	dir, err := s.disk.Stat(sv.tree())
	if err != nil {
		return nil, err
	}
	rec := s.lockOf(sv)
	m := &Manifest{
		Format: manifestFormat, ID: sv.id, Run: rec.run.path, Name: rec.name,
		Layout: rec.run.layout.Name, Kind: rec.match.Kind, Progress: v.report.Progress,
		Metrics: v.report.Metrics, CommittedAt: s.clock.Now(), DirIno: dir.Ino, Removed: sv.removal,
	}
	rec.mu.Unlock()
	formats := map[string]string{}
	for _, f := range v.report.Files {
		formats[f.Path] = f.Format
	}
	for _, e := range v.tree {
		if !e.st.IsRegular() {
			continue
		}
		f := ManifestFile{
			Path: e.rel, Size: e.st.Size, MtimeNS: e.st.Mtime.Nano(), Ino: e.st.Ino, Format: formats[e.rel],
		}
		if f.XXH3, err = s.knownHash(sv, &f); err != nil {
			return nil, err
		}
		m.Size += f.Size
		m.Files = append(m.Files, f)
	}
	return m, nil
}

// knownHash takes the hash of an untouched file from the base's manifest, and
// reads the others.
func (s *Store) knownHash(sv *save, f *ManifestFile) (string, error) {
	if sv.base != nil {
		for _, b := range sv.base.Files {
			if b.Path == f.Path && b.Ino == f.Ino && b.Size == f.Size && b.MtimeNS == f.MtimeNS && b.XXH3 != "" {
				return b.XXH3, nil
			}
		}
	}
	return s.hash(path.Join(sv.tree(), f.Path))
}

// sameAsBase reports whether a save changed no byte in the end.
func (s *Store) sameAsBase(sv *save, m *Manifest) bool {
	if sv.base == nil || len(sv.base.Files) != len(m.Files) {
		return false
	}
	known := map[string]ManifestFile{}
	for _, f := range sv.base.Files {
		known[f.Path] = f
	}
	for _, f := range m.Files {
		if b, ok := known[f.Path]; !ok || b.XXH3 == "" || b.XXH3 != f.XXH3 || b.Size != f.Size {
			return false
		}
	}
	return true
}

// swap puts the staged directory under the natural name, and what lay there
// into the history.
func (s *Store) swap(sv *save, m *Manifest) error {
	rec := s.lockOf(sv)
	old := rec.committed
	if !rec.natural {
		old = nil
	}
	j := &journal{
		Op: opCommit, ID: sv.id, Run: rec.run.path, Name: rec.name, NewIno: m.DirIno,
	}
	if rec.natural {
		st, err := s.disk.Stat(rec.path())
		if err != nil {
			rec.mu.Unlock()
			return err
		}
		j.OldIno = st.Ino
		j.Aside, j.Why = s.retreat(sv, old)
	}
	rec.mu.Unlock() // a rename or removal of the name waits for sealed saves

	if err := s.WithRoom(func() error { return s.writeJournal(j) }); err != nil {
		return errors.Join(err, s.revokeJournal(j)) // it may be there, and is not to be believed
	}
	rec = s.lockOf(sv)
	if undone, err := s.exchangeDirs(j, sv, old, rec.natural); err != nil {
		if undone {
			err = errors.Join(err, s.revokeJournal(j))
		} else {
			s.change(rec, func() { rec.natural = false }) // the record stays: recovery rolls forward
		}
		rec.mu.Unlock()
		return err
	}
	s.mu.Lock()
	rec.natural, rec.invalid = true, sv.removal
	sv.swapped = true
	if sv.removal == "" {
		sv.next = &Version{Manifest: *m, rec: rec, path: rec.path()}
	}
	s.mu.Unlock()
	rec.mu.Unlock()

	if err := s.syncSwap(j); err != nil {
		return s.swapBack(sv, j, old, fmt.Errorf("%w: %w", errNotDurable, err))
	}
	s.install(sv, old)
	s.finish(sv)
	s.announce(rec, sv, m)
	s.report("tidy up after a commit", s.afterSwap(j, old))
	s.opts.Notify.Dir(rec.path())
	s.viewsMoved(rec.run)
	s.prune(rec.run)
	return nil
}

// announce tells of what was committed.
func (s *Store) announce(rec *record, sv *save, m *Manifest) {
	if sv.removal != "" {
		s.log.Info("files were removed; what is left is no checkpoint", "checkpoint", rec.path(), "why", sv.removal)
		s.event("remove", rec.path(), sv.removal)
		return
	}
	s.counters.Commits.Add(1)
	s.log.Info("committed", "checkpoint", rec.path(), "version", m.ID, "bytes", m.Size, "progress", m.Progress.String())
	s.event("commit", rec.path(), fmt.Sprintf("%s, %d files, %d bytes", m.Progress, len(m.Files), m.Size))
}

// retreat is where the directory under the natural name goes when it is
// replaced, and for the trash why: the history keeps versions that were
// overwritten, the trash anything else. Needs rec.mu.
func (s *Store) retreat(sv *save, old *Version) (to, why string) {
	switch {
	case old == nil:
		return path.Join(trashDir, s.newID()), "replaced; it was not a valid checkpoint"
	case sv.removal != "":
		return path.Join(trashDir, old.ID), "files of it were removed, and what was left was no checkpoint: " + sv.removal
	}
	return path.Join(historyDir, old.ID), ""
}

// exchangeDirs is the swap itself; when it fails, undone says whether everything
// lies where it lay before. Needs rec.mu; nobody reads either version meanwhile.
func (s *Store) exchangeDirs(j *journal, sv *save, old *Version, exists bool) (undone bool, err error) {
	natural := path.Join(j.Run, j.Name)
	if !exists {
		return true, s.disk.Rename("commit:swap", sv.tree(), natural, unix.RENAME_NOREPLACE)
	}
	if old == nil {
		old = new(Version)
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	if s.exchange {
		if err := s.disk.Rename("commit:swap", sv.tree(), natural, unix.RENAME_EXCHANGE); err != nil {
			return true, err
		}
		old.path = sv.tree()
		return true, nil
	}
	// Two renames; a crash between them leaves the journal to finish it.
	if err := s.disk.Rename("commit:away", natural, sv.old(), 0); err != nil {
		return true, err
	}
	old.path = sv.old()
	if err := s.disk.Rename("commit:swap", sv.tree(), natural, 0); err != nil {
		undo := s.disk.Rename("commit:undo", sv.old(), natural, 0)
		if undo == nil {
			old.path = natural
		}
		return undo == nil, errors.Join(err, undo)
	}
	return true, nil
}

// syncSwap makes both names of a swap durable.
func (s *Store) syncSwap(j *journal) error {
	if err := s.disk.Sync("commit:parent", j.Run); err != nil {
		return err
	}
	return s.disk.Sync("commit:staging", path.Join(stagingDir, j.ID))
}

// swapBack undoes a swap whose names could not be made durable: the version
// before stays the committed one, in memory and on what there is of the disk.
func (s *Store) swapBack(sv *save, j *journal, old *Version, cause error) error {
	rec := s.lockOf(sv)
	defer rec.mu.Unlock()
	natural := path.Join(j.Run, j.Name)
	err := s.disk.Rename("commit:undo", natural, sv.tree(), map[bool]uint{true: unix.RENAME_EXCHANGE}[j.OldIno != 0 && s.exchange])
	if err == nil && j.OldIno != 0 && !s.exchange {
		err = s.disk.Rename("commit:undo", sv.old(), natural, 0)
	}
	if err != nil {
		return errors.Join(cause, err)
	}
	if old != nil {
		old.mu.Lock()
		old.path = natural
		old.mu.Unlock()
	}
	s.change(rec, func() {
		rec.natural = j.OldIno != 0
		sv.swapped, sv.next = false, nil
	})
	return errors.Join(cause, s.revokeJournal(j))
}

// install makes the durable version of a swapped save what the views resolve its
// name to.
func (s *Store) install(sv *save, old *Version) {
	rec := s.lockOf(sv)
	defer rec.mu.Unlock()
	was := rec.committed // also one that was renamed aside
	kept := was != nil && was.rec == rec && rec.inHistory(was)
	s.change(rec, func() {
		rec.committed = sv.next
		rec.remove(sv)
		if sv.removal != "" {
			return // the old one goes to the trash
		}
		if old != nil {
			rec.history = append([]*Version{old}, rec.history...)
		} else if kept {
			rec.history = append([]*Version{was}, rec.history...)
		} else if was != nil {
			s.handOver(was)
		}
	})
	s.carried(sv)
	if old != nil {
		s.leftView(old)
	}
	if was != nil && was != old {
		s.leftView(was)
	}
}

// inHistory reports whether an aside version lies in the history already: its
// backup name was removed before the successor was committed.
func (rec *record) inHistory(v *Version) bool { return path.Dir(v.where()) == historyDir }

// handOver gives a version that was renamed aside to the name it lies under.
// Needs Store.mu.
func (s *Store) handOver(v *Version) {
	for _, r := range s.runs {
		for _, other := range r.records {
			if other.committed == v && other.natural {
				v.rec, v.origin = other, v.rec
				return
			}
		}
	}
}

func (rec *record) remove(sv *save) {
	for i, other := range rec.saves {
		if other == sv {
			rec.saves = append(rec.saves[:i:i], rec.saves[i+1:]...)
			return
		}
	}
}

func (sv *save) old() string { return path.Join(sv.dir(), "old") }

// afterSwap moves what a swap replaced to where it is kept, and tidies up. All
// of it can be repeated; recovery does when a crash came in between.
func (s *Store) afterSwap(j *journal, old *Version) error {
	if j.OldIno != 0 {
		if err := s.putAside(j, old); err != nil {
			return err
		}
	}
	if err := s.removeAll("commit:tidy", path.Join(stagingDir, j.ID)); err != nil {
		return err
	}
	if err := s.endJournal(j); err != nil {
		return err
	}
	return s.trimHistory(j.Run, j.Name)
}

// putAside renames the replaced directory, found by its inode, to its place; v
// is the version that it is, nil when it is none or not known yet.
func (s *Store) putAside(j *journal, v *Version) error {
	for _, from := range []string{path.Join(stagingDir, j.ID, "tree"), path.Join(stagingDir, j.ID, "old")} {
		st, err := s.disk.Stat(from)
		if err != nil || st.Ino != j.OldIno {
			continue
		}
		if err := s.moveVersion("commit:keep", v, from, j.Aside); err != nil {
			return err
		}
		if path.Dir(j.Aside) == trashDir {
			s.noteTrash(path.Base(j.Aside), j.Run, j.Name, j.Why, v)
		}
		return s.disk.Sync("commit:keep", path.Dir(j.Aside))
	}
	return nil
}
