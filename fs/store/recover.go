package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"ckptfs/fs/store/disk"
	"ckptfs/fs/store/proc"
	"ckptfs/layout"
)

// recoverAll brings the directory back to where the last crash left a promise:
// steps that were begun are finished, what was renamed aside and never replaced
// gets its name back, unfinished saves are judged. All of it may be interrupted
// and done again.
func (s *Store) recoverAll() (err error) {
	defer func() { err = refuse(err) }()
	if err := s.redoAll(); err != nil {
		return err
	}
	if err := s.buildCatalog(); err != nil {
		return err
	}
	// What lies under a backup name goes before what lies in the history: it was
	// committed later.
	for _, heal := range []func(*record) error{s.healBackup, s.healHistory} {
		for _, rec := range s.allRecords() {
			if err := heal(rec); err != nil {
				return err
			}
		}
	}
	if err := s.recoverSaves(); err != nil {
		return err
	}
	if err := s.followMoved(); err != nil {
		return err
	}
	for _, rec := range s.allRecords() {
		if err := s.trimHistory(rec.run.path, rec.name); err != nil {
			return err
		}
	}
	s.dropManifests()
	s.dropNotes(trashDir)
	s.dropNotes(quarantineDir)
	return nil
}

// healBackup gives a version its name back that was renamed aside, when the name
// has nothing committed: the trainer died in the gap of its own replacement.
func (s *Store) healBackup(rec *record) error {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if v := rec.committed; rec.natural && v != nil && v.Name != rec.name {
		original := s.checkpoint(rec.run.path, v.Name, true)
		if original == nil || original.natural || s.occupied(original) {
			s.change(rec, func() { v.Name, v.Kind = rec.name, rec.match.Kind })
			return nil
		}
		original.mu.Lock()
		defer original.mu.Unlock()
		if s.readOnly {
			s.change(original, func() { original.committed, v.rec = v, original })
			return nil
		}
		if err := s.giveBack(original, v); err != nil {
			return err
		}
		s.change(rec, func() { rec.natural, rec.committed = false, nil })
		s.bury(rec)
	}
	return nil
}

// healHistory does so for a backup that the trainer removed before its successor
// was committed: it lies in the history. (A deleted name has its history in the
// trash.)
func (s *Store) healHistory(rec *record) error {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.natural || rec.committed != nil || len(rec.history) == 0 || s.occupied(rec) {
		return nil
	}
	if rec.spread() {
		return nil
	}
	v := rec.history[0]
	if s.readOnly {
		s.change(rec, func() { rec.committed, rec.history = v, rec.history[1:] })
		return nil
	}
	if err := s.giveBack(rec, v); err != nil {
		return err
	}
	s.change(rec, func() { rec.history = rec.history[1:] })
	return nil
}

// giveBack renames a version to the natural name of rec. Needs rec.mu.
func (s *Store) giveBack(rec *record, v *Version) error {
	if err := s.moveVersion("recover:heal", v, v.where(), rec.path()); err != nil {
		return err
	}
	if err := s.disk.Sync("recover:heal", rec.run.path); err != nil {
		return err
	}
	s.change(rec, func() { rec.natural, rec.committed, v.rec = true, v, rec })
	s.event("recover", rec.path(), "was renamed aside and never replaced; it has its name back")
	return nil
}

// recoverSaves enters the saves that were open when the daemon or the machine
// went down. They are judged like any other; what cannot be proven is listed
// with what it lacks.
func (s *Store) recoverSaves() error {
	list, err := s.disk.ReadDir(stagingDir)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b disk.Entry) int { return strings.Compare(a.Name, b.Name) }) // by age
	for _, e := range list {
		if err := s.recoverSave(e.Name); err != nil {
			return fmt.Errorf("recover save %s: %w", e.Name, err)
		}
	}
	return nil
}

func (s *Store) recoverSave(id string) error {
	dir := path.Join(stagingDir, id)
	note, err := s.readNote(id)
	if errors.Is(err, errOtherVersion) {
		s.log.Warn("an unfinished save is left alone", "dir", dir, "err", err)
		return nil
	}
	if unread(err) {
		return err
	}
	staged := false
	if err == nil {
		if staged, err = s.isDir(path.Join(dir, "tree")); err != nil {
			return err
		}
	}
	if !staged {
		s.log.Info("a staged directory belongs to no save; removed", "dir", dir)
		return s.removeAll("recover:orphan", dir)
	}
	note.Run = s.runNow(note.Run)
	there, err := s.isDir(note.Run)
	if err != nil {
		return err
	}
	if !there {
		s.keepWaiting(note, missingRun)
		return nil
	}
	rec := s.recorded(note.Run, note.Name, note.Entry)
	if rec == nil {
		s.keepWaiting(note, unknownName)
		return nil
	}
	s.recognise(rec, path.Join(dir, "tree"))
	rec.mu.Lock()
	defer rec.mu.Unlock()
	sv := &save{
		id: id, rec: rec, created: note.Created, changed: s.clock.Now(), recovered: true,
		otherBoot: note.Boot != s.boot, found: note.Found, twice: note.Twice, died: note.Died, failed: note.Died,
		rewritten: map[string]bool{}, held: note.Held, writers: map[uint32]proc.Watch{}, authors: map[uint32]bool{}, done: make(chan struct{}),
	}
	if sv.held == nil {
		sv.held = map[string]string{}
	}
	s.compare(rec)
	if rec.natural && rec.committed != nil {
		sv.base = rec.committed
	}
	if older := rec.current(); older != nil { // complete when this one began
		older.sealed, older.through = true, make(chan struct{})
		s.sealed = append(s.sealed, older)
	}
	if err := s.parkDrafts(sv); err != nil {
		return err
	}
	tree, err := s.walk(sv.tree())
	if err != nil {
		return err
	}
	for _, e := range tree {
		if !e.st.IsDir() && !s.inBase(sv, e) && note.Found[e.rel] != e.st.Ino {
			sv.rewritten[e.rel] = true
			s.core(sv, e.rel)
		}
	}
	if rec.spread() && len(tree) == 0 && len(sv.found) == 0 && len(rec.saves) == 0 {
		s.bury(rec)
		return s.removeAll("recover:empty", dir) // nobody has seen it
	}
	sv.mixed = !s.foundInBase(sv)
	if n := len(rec.saves); n > 0 { // what that becomes is what this one began with
		sv.from, sv.base = rec.saves[n-1], nil
	}
	sv.removed = !sv.holdsFound(tree)
	s.change(rec, func() { rec.saves = append(rec.saves, sv) })
	s.event("recover", rec.path(), "an unfinished save was found")
	return nil
}

// holdsFound reports whether everything that the attempt found is still in the
// tree by its name.
func (sv *save) holdsFound(tree []treeEntry) bool {
	names := make(map[string]bool, len(tree))
	for _, e := range tree {
		names[e.rel] = true
	}
	for rel := range sv.found {
		if !names[rel] {
			return false
		}
	}
	return true
}

// foundInBase reports whether the core files that the attempt found are those of
// the committed version, and not what another attempt had left.
func (s *Store) foundInBase(sv *save) bool {
	known := map[string]uint64{}
	if sv.base != nil {
		for _, f := range sv.base.Files {
			known[f.Path] = f.Ino
		}
	}
	for rel, ino := range sv.found {
		if known[rel] != ino && sv.rec.core(rel) {
			return false
		}
	}
	return true
}

// recoverSealed handles the older of two saves of one name: it was complete when
// the newer began. What can still be shown to be so is committed; else the
// newer save, which has its content, takes its place. It may have to read the
// whole save for that, and runs when the mount is usable.
func (s *Store) recoverSealed(sv *save) {
	v := s.inspectSave(sv.rec, sv)
	if v.whole() && sv.failed == "" && len(sv.held) == 0 && s.unwritable(sv, &v) == "" && s.doubts(sv) == "" {
		_ = s.commit(sv, v) // the save says what failed
		return
	}
	rec := s.lockOf(sv)
	s.drop(sv, "a newer save has its content")
	rec.mu.Unlock()
	close(sv.through)
}

func (s *Store) isDir(p string) (bool, error) {
	st, err := s.disk.Stat(p)
	if unread(err) {
		return false, err
	}
	return err == nil && st.IsDir(), nil
}

func (s *Store) readNote(id string) (*saveNote, error) {
	b, err := s.readFile(path.Join(stagingDir, id, "save.json"), maxPrivate)
	if err != nil {
		return nil, err
	}
	return parseNote(id, b)
}

func parseNote(id string, b []byte) (*saveNote, error) {
	n := new(saveNote)
	if err := json.Unmarshal(b, n); err != nil {
		return nil, fmt.Errorf("read save %s: %w", id, err)
	}
	if n.Format != noteFormat {
		return nil, fmt.Errorf("save %s: format %d: %w", id, n.Format, errOtherVersion)
	}
	if n.ID != id || !plainName(n.Name) || !plainRun(n.Run) || n.Entry != "" && !plainName(n.Entry) {
		return nil, fmt.Errorf("save %s: its note is not valid", id)
	}
	return n, nil
}

// parkDrafts puts what nobody had published, or what was not final yet, into
// quarantine: how its writer ended is not known, and it may still be writing.
func (s *Store) parkDrafts(sv *save) error {
	list, err := s.disk.ReadDir(sv.drafts())
	if isGone(err) {
		return s.disk.Mkdir("recover:drafts", sv.drafts(), 0o700)
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		p := path.Join(sv.drafts(), e.Name)
		const why = "ckptfs stopped while it was being written"
		if strings.HasSuffix(e.Name, keptSuffix) || strings.HasSuffix(e.Name, leftSuffix) || strings.HasSuffix(e.Name, copySuffix) {
			if err := s.disk.Unlink("recover:kept", p); err != nil {
				return err
			}
			continue
		}
		if !strings.HasSuffix(e.Name, strangerSuffix) {
			sv.failed = "a file was being written when ckptfs stopped"
		}
		if err := s.intoQuarantine(p, path.Join(sv.rec.path(), "file "+e.Name), why); err != nil {
			return err
		}
	}
	return nil
}

// doubts says why a save that was found may not be committed although it looks
// complete; "" when there is no doubt. After a power cut only content that was
// written down, or that proves itself by checksums, counts.
func (s *Store) doubts(sv *save) string {
	var report layout.Report
	if sv.leftOpen || sv.shared || sv.recovered { // structure does not tell of a part that is missing
		var err error
		report, err = sv.rec.run.layout().Verify(s.disk.Sub(sv.tree()), sv.rec.match)
		switch {
		case err != nil:
			return err.Error()
		case !report.Valid():
			return "not all that was to be written was, and it is damaged: " + Words(report.Problems)
		}
	}
	if !sv.recovered {
		return ""
	}
	if len(sv.found) > 0 && !s.coreRewritten(sv, &report) {
		return "ckptfs stopped before all core files were rewritten"
	}
	if !sv.twice && !sv.otherBoot {
		return ""
	}
	if m, err := s.readManifest(sv.id); err == nil && s.hashesMatch(sv, m) == nil {
		return "" // it was judged, and is what was judged
	}
	switch {
	case sv.twice:
		return "ckptfs stopped when a core file had been written twice: that may be the first of another save"
	case !report.Proven():
		return "the machine went down, and not every file can prove its content"
	}
	return ""
}

func (s *Store) hashesMatch(sv *save, m *Manifest) error {
	for _, f := range m.Files {
		sum, err := s.hash(path.Join(sv.tree(), f.Path))
		if err != nil {
			return err
		}
		if sum != f.XXH3 {
			return errors.New(f.Path + " is not what was hashed")
		}
	}
	return nil
}

// dropManifests removes the manifests of versions that are nowhere any more, if
// all was looked at. One of another ckptfs is that one's.
func (s *Store) dropManifests() {
	alive := map[string]bool{}
	for _, rec := range s.allRecords() {
		for _, v := range append([]*Version{rec.committed}, rec.history...) {
			if v != nil {
				alive[v.ID] = true
			}
		}
		for _, sv := range rec.saves {
			alive[sv.id] = true
		}
	}
	for _, dir := range []string{historyDir, trashDir, stagingDir, filesDir} {
		list, err := s.disk.ReadDir(dir)
		if err != nil {
			return
		}
		for _, e := range list {
			alive[e.Name] = true
		}
	}
	if s.unseen.Load() {
		return
	}
	list, err := s.disk.ReadDir(manifestDir)
	if err != nil {
		return
	}
	for _, e := range list {
		id, _ := strings.CutSuffix(e.Name, ".json")
		if alive[id] {
			continue
		}
		if _, err := s.readManifest(id); !errors.Is(err, errOtherVersion) && !unread(err) {
			s.report("remove a stale manifest", s.disk.Unlink("recover:manifest", path.Join(manifestDir, e.Name)))
		}
	}
}
