package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"ckptfs/layout"
)

// trashed is one deleted directory; it lies in .ckptfs/trash/<id>, its note
// beside it.
type trashed struct {
	ID      string    `json:"id"`
	Run     string    `json:"run"`
	Name    string    `json:"name"`
	Reason  string    `json:"reason"`
	Deleted time.Time `json:"deleted_at"`
	Valid   bool      `json:"valid"` // it was a committed version
	Size    int64     `json:"size"`

	version *Version // nil when it was none

	// Guarded by Store.mu: who began first, the removal or a restore, has it.
	going, restoring bool
	removing         chan struct{} // closed when who removes it stops; nil while nobody does
}

func (t *trashed) path() string { return path.Join(trashDir, t.ID) }

// parseTrashed reads the note of an entry. One that names anything but a place
// below the directory says nothing.
func parseTrashed(id string, b []byte, now time.Time) *trashed {
	t := new(trashed)
	if json.Unmarshal(b, t) != nil || t.ID != id || !plainName(t.Name) || !plainRun(t.Run) || t.Size < 0 {
		return &trashed{ID: id, Name: id, Reason: "its note is not readable", Deleted: now}
	}
	t.Deleted = past(t.Deleted, now)
	return t
}

// past is a time that was written down, but not one to come: a clock that was
// wrong would keep what it dated for ever.
func past(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}

// retire moves what lies under a natural name away: a version that was renamed
// aside and whose successor is not committed into the history, where it goes on
// standing for the old name; anything else into the trash. Needs rec.mu.
func (s *Store) retire(rec *record, why string) error {
	v := rec.committed
	if v != nil && v.rec != rec {
		if err := s.moveVersion("delete:aside", v, rec.path(), path.Join(historyDir, v.ID)); err != nil {
			return err
		}
		s.change(rec, func() { rec.natural, rec.committed = false, nil })
		s.mu.RLock()
		replaced := v.rec.committed != v && !slices.Contains(v.rec.history, v)
		s.mu.RUnlock()
		if replaced { // its successor was committed meanwhile, and did not find it in the history
			return s.toTrash(v, why)
		}
		return nil
	}
	if v != nil && !s.damaged(v) {
		if done, err := s.joinHistory(rec, v); done || err != nil {
			return err
		}
	}
	id := s.newID()
	if v != nil {
		id = v.ID
	}
	if err := s.keepTogether(rec); err != nil {
		return err
	}
	list, err := s.filesShown(rec)
	if err != nil {
		return err
	}
	gone := path.Join(trashDir, id)
	if err := s.moveVersion("delete:trash", v, rec.home(), gone); err != nil {
		return err
	}
	s.noteTrash(id, rec.run.path, rec.name, why, v)
	s.change(rec, func() { rec.natural, rec.committed, rec.invalid, rec.kept = false, nil, "", "" })
	if err := s.hide(rec, list, gone); err != nil {
		return err
	}
	if v != nil {
		s.leftView(v)
	}
	return nil
}

// joinHistory gives a version whose backup name is removed to the history of the
// name that it was renamed aside from, as if it had been overwritten there. The
// two records are locked in the order of their paths; where the backup's does
// not come first, the version goes to the trash instead. Needs rec.mu.
func (s *Store) joinHistory(rec *record, v *Version) (done bool, err error) {
	s.mu.RLock()
	origin := v.origin
	s.mu.RUnlock()
	if origin == nil || rec.path() >= origin.path() {
		return false, nil
	}
	origin.mu.Lock()
	defer origin.mu.Unlock()
	if origin.dead || origin.committed == nil {
		return false, nil
	}
	// Its name first: a version in the history is of whatever name its manifest says.
	s.change(origin, func() { v.Name, v.Kind = origin.name, origin.match.Kind })
	if err := s.rewriteManifest("delete:manifest", v, true); err != nil {
		return false, err
	}
	if err := s.moveVersion("delete:history", v, rec.path(), path.Join(historyDir, v.ID)); err != nil {
		return false, err
	}
	s.change(rec, func() { rec.natural, rec.committed = false, nil })
	s.change(origin, func() {
		v.rec, v.origin = origin, nil
		origin.history = append([]*Version{v}, origin.history...)
	})
	s.leftView(v)
	s.spawn(func() { s.report("trim the history", s.trimHistory(origin.run.path, origin.name)) })
	return true, nil
}

// toTrash moves an earlier version into the trash.
func (s *Store) toTrash(v *Version, why string) error {
	from := v.where()
	if from == "" {
		return nil
	}
	if err := s.moveVersion("history:trash", v, from, path.Join(trashDir, v.ID)); err != nil {
		return err
	}
	s.noteTrash(v.ID, v.Run, v.Name, why, v)
	s.leftView(v)
	return nil
}

// noteTrash enters a directory that lies in the trash now.
func (s *Store) noteTrash(id, run, name, why string, v *Version) {
	t := &trashed{ID: id, Run: run, Name: name, Reason: why, Deleted: s.clock.Now(), Valid: v != nil && v.Kind != layout.Pointing, version: v}
	if v != nil {
		t.Size = v.Size
	} else if tree, err := s.walk(t.path()); err == nil {
		for _, e := range tree {
			if e.st.Nlink == 1 { // the others stay under another name
				t.Size += e.st.Size
			}
		}
	}
	s.writeTrashNote(t)
	s.mu.Lock()
	s.trash = append(s.trash, t)
	s.mu.Unlock()
}

func (s *Store) writeTrashNote(t *trashed) {
	b, err := json.Marshal(t)
	if err == nil {
		err = s.writeFile("trash:note", t.path()+".json", append(b, '\n'), false)
	}
	s.report("write down what went to the trash", err)
}

// loadTrash reads what earlier mounts left in the trash.
func (s *Store) loadTrash(manifests map[string]*Manifest) error {
	list, err := s.disk.ReadDir(trashDir)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	s.trash = nil // of steps that were finished just now: they lie on the disk too
	for _, e := range list {
		if strings.HasSuffix(e.Name, ".json") || strings.HasSuffix(e.Name, ".new") {
			continue
		}
		t := &trashed{ID: e.Name, Name: e.Name, Reason: "its note is missing", Deleted: s.clock.Now()}
		b, err := s.readFile(path.Join(trashDir, e.Name+".json"), maxPrivate)
		if unread(err) {
			return err
		}
		if err == nil {
			t = parseTrashed(e.Name, b, s.clock.Now())
		}
		t.Valid = false // without its manifest it is being removed, and what is left of it may be a part
		if m := manifests[t.ID]; m != nil {
			t.version = &Version{Manifest: *m, path: t.path()}
			t.Valid, t.Size = true, m.Size
			if t.Name == t.ID { // the note is lost: it was not synced
				t.Run, t.Name = m.Run, m.Name
			}
		}
		t.Run = s.runNow(t.Run)
		s.trash = append(s.trash, t)
	}
	return nil
}

// dropNotes removes the notes of what does not lie beside them: a crash may have
// taken the one and left the other.
func (s *Store) dropNotes(dir string) {
	list, err := s.disk.ReadDir(dir)
	if err != nil {
		return
	}
	there := map[string]bool{}
	for _, e := range list {
		there[e.Name] = true
	}
	for _, e := range list {
		id, note := strings.CutSuffix(strings.TrimSuffix(e.Name, ".new"), ".json")
		if note && (!there[id] || strings.HasSuffix(e.Name, ".new")) {
			s.report("remove a stale note", s.disk.Unlink("recover:note", path.Join(dir, e.Name)))
		}
	}
}

// trashOldestFirst lists what lies in the trash, in the order of deletion.
func (s *Store) trashOldestFirst() []*trashed {
	s.mu.RLock()
	list := slices.Clone(s.trash)
	s.mu.RUnlock()
	slices.SortStableFunc(list, func(a, b *trashed) int { return a.Deleted.Compare(b.Deleted) })
	return list
}

// mayShred reports whether an entry of the trash may be removed for good: no view
// shows it any more, and it is not the newest valid version that its run has
// left (retention.protect_last).
func (s *Store) mayShred(t *trashed) bool {
	return s.free(t) && (!s.cfg.Retention.ProtectLast || !s.lastValid(t))
}

// free reports whether nobody uses an entry: no view shows it, and it is not
// being restored.
func (s *Store) free(t *trashed) bool {
	if v := t.version; v != nil && v.views.Load() > 0 {
		s.opts.Notify.Version(v) // who read from it may have ended since it was last said
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !t.restoring
}

// lastValid reports whether t is the newest valid version that its run has left: what
// was saved last, in whatever order they were deleted.
func (s *Store) lastValid(t *trashed) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !t.whole() {
		return false
	}
	if r := s.runs[t.Run]; r != nil {
		for _, rec := range r.records {
			if rec.committed != nil && len(rec.committed.Damage) == 0 && !rec.committed.unchecked.Load() {
				return false
			}
		}
	}
	for _, other := range s.trash {
		if other != t && other.whole() && other.Run == t.Run && other.newer(t) {
			return false
		}
	}
	return true
}

func (t *trashed) newer(than *trashed) bool {
	if a, b := t.version, than.version; a != nil && b != nil && !a.CommittedAt.Equal(b.CommittedAt) {
		return a.CommittedAt.After(b.CommittedAt)
	}
	return t.Deleted.After(than.Deleted)
}

// whole reports whether it could be a checkpoint again. Needs Store.mu.
func (t *trashed) whole() bool {
	return t.Valid && (t.version == nil || len(t.version.Damage) == 0)
}

// trimHistory puts what exceeds retention.history.keep_last into the trash. What
// else retention says of earlier versions is for prune.
func (s *Store) trimHistory(run, name string) error {
	rec := s.named(path.Join(run, name))
	if rec == nil {
		return nil
	}
	rules := s.policyOf(rec.run).Retention
	rec.mu.Lock()
	defer rec.mu.Unlock()
	keep, why := 0, "what it names has changed"
	if !rec.pointer() {
		if rules.History.KeepLast == nil || rules.DryRun {
			return nil
		}
		keep = *rules.History.KeepLast
		why = fmt.Sprintf("not among the newest earlier versions of the name (history.keep_last: %d)", keep)
	}
	if len(rec.history) <= keep {
		return nil
	}
	var errs []error
	var left []*Version
	whole := 0
	for _, v := range rec.history {
		if s.damaged(v) { // neither one of those that are kept, nor ours to delete
			left = append(left, v)
			continue
		}
		if whole++; whole <= keep {
			left = append(left, v)
			continue
		}
		if err := s.toTrash(v, why); err != nil {
			errs, left = append(errs, err), append(left, v) // a later commit tries again
		} else if !rec.pointer() {
			s.pruned(rec, v, why)
		}
	}
	s.change(rec, func() { rec.history = left })
	return errors.Join(errs...)
}
