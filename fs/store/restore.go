package store

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/layout"
	"ckptfs/policy"
)

// A restore commits an earlier version once more: what is live under the name
// becomes history as by any other save, and the name never goes without a valid
// version. Its save is a clone (hard links) of the version, sealed from the
// beginning. It has no note, so a crash before the journal record leaves the name
// as it was, and nothing staged; after it, recovery rolls the commit forward. The
// version that it was made of goes once the new one is durable.

// earlier is what can be restored: a version in the history, or what lies in the
// trash, which need be none.
type earlier struct {
	version *Version // nil for what was no version
	trashed *trashed // nil for the history
}

// where is the place of its tree; "" once it is gone.
func (e *earlier) where() string {
	if e.version != nil {
		return e.version.where()
	}
	return e.trashed.path()
}

// Restore makes an earlier version of the checkpoint at p, by its id, the
// committed one again. It is refused while the name is being saved, and where the
// version is damaged, unless it is forced. If the policy would delete it at once,
// it is pinned. When it returns, the version is durable under its name.
func (s *Store) Restore(p, id string, force bool) error {
	if s.readOnly {
		return unix.EROFS
	}
	e, letGo, err := s.takeEarlier(p, id)
	if err != nil {
		return err
	}
	defer letGo()
	if why := s.unfit(e); why != "" && !force {
		return fmt.Errorf("version %s of %s is not whole: %s; --force restores it all the same", id, p, why)
	}
	rec, err := s.recordToRestore(p, e)
	if err != nil {
		return err
	}
	defer s.buryAgain(rec)
	s.pinDoomed(rec, e)
	if err := s.WithRoom(func() error { return s.commitEarlier(rec, e, force) }); err != nil {
		return fmt.Errorf("restore %s: %w", p, err)
	}
	s.log.Info("restored", "checkpoint", p, "from", id)
	s.event("restore", p, "from version "+id)
	s.tellRestored(rec)
	letGo()
	s.dropRestored(rec, e)
	return nil
}

// takeEarlier finds an earlier version of a name, and keeps it on the disk until
// letGo is called, which may be done twice.
func (s *Store) takeEarlier(p, id string) (e *earlier, letGo func(), err error) {
	run, name := split(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.trash {
		if t.ID != id || t.Run != run || t.Name != name {
			continue
		}
		if t.going || t.restoring {
			return nil, nil, fmt.Errorf("version %s of %s is being removed, or restored", id, p)
		}
		t.restoring = true
		return &earlier{t.version, t}, func() {
			s.mu.Lock()
			t.restoring = false
			s.mu.Unlock()
		}, nil
	}
	if r := s.runs[run]; r != nil {
		for _, rec := range r.records {
			for _, v := range rec.history {
				if rec.name == name && v.ID == id {
					v.Hold()
					held := true
					return &earlier{version: v}, func() {
						if held {
							v.Unhold()
							held = false
						}
					}, nil
				}
			}
		}
	}
	return nil, nil, fmt.Errorf("%s has no earlier version %s", p, id)
}

// unfit reads every byte of what is to be restored and says what is wrong with
// it; "" when nothing is.
func (s *Store) unfit(e *earlier) string {
	v := e.version
	switch {
	case v == nil:
		return "it was not a valid checkpoint when it went to the trash"
	case v.Kind == layout.Pointing:
		return "it is a file that names a checkpoint, and none itself"
	}
	seen, there := s.verifyVersion(v, policy.History)
	if !there {
		return "it is gone"
	}
	return Words(seen.Damage())
}

// recordToRestore finds the record of the name, made with the directory of its
// run when there is none.
func (s *Store) recordToRestore(p string, e *earlier) (*record, error) {
	run, name := split(p)
	entry := ""
	if e.version != nil {
		entry = e.version.Entry
	}
	if err := s.makeRun(run, e.where()); err != nil {
		return nil, fmt.Errorf("make the directory of %s again: %w", p, err)
	}
	rec := s.recorded(run, name, entry)
	if rec == nil {
		return nil, fmt.Errorf("%s is no checkpoint's name in that directory any more", p)
	}
	return rec, nil
}

// buryAgain takes a record out of the catalog that was made for a restore that did
// not come about.
func (s *Store) buryAgain(rec *record) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if !rec.dead {
		s.bury(rec)
	}
}

// makeRun makes a directory that was removed, and those above it, for what is at
// like, with the owner of that.
func (s *Store) makeRun(run, like string) error {
	if there, err := s.isDir(run); there || err != nil || run == "" {
		return err
	}
	if err := s.makeRun(dirOf(run), like); err != nil {
		return err
	}
	st, err := s.disk.Stat(like)
	if err != nil {
		return err
	}
	if err := s.disk.Mkdir("restore:run", run, 0o755); err != nil {
		return err
	}
	if err := s.disk.Chown("restore:run", run, int(st.UID), int(st.GID)); ignore(err, unix.EPERM) != nil {
		return err
	}
	s.opts.Notify.Dir(dirOf(run))
	return s.disk.Sync("restore:run", dirOf(run))
}

// commitEarlier stages and commits what is to be restored. Called without locks.
func (s *Store) commitEarlier(rec *record, e *earlier, force bool) error {
	s.concludeSave(rec)
	unlock := s.lockSettled(rec)
	sv, err := s.stageEarlier(rec, e)
	unlock()
	if err != nil {
		return err
	}
	v := s.inspectSave(rec, sv) // reads only, without a lock
	if v.err == nil && !v.whole() && !force {
		v.err = errors.New(Words(slices.Concat(v.report.Missing, v.report.Problems)))
	}
	if v.err != nil {
		rec = s.lockOf(sv)
		sv.sealed = false
		s.dropUnwanted(sv)
		close(sv.through)
		rec.mu.Unlock()
		return v.err
	}
	return s.commit(sv, v)
}

// stageEarlier makes the sealed save that a restore commits. Needs rec.mu.
func (s *Store) stageEarlier(rec *record, e *earlier) (*save, error) {
	if rec.dead {
		s.revive(rec)
	}
	if err := s.usable(rec); err != nil {
		return nil, err
	}
	if len(rec.saves) > 0 {
		return nil, errors.New("it is being saved; commit that first, or wait until it is dropped")
	}
	if err := s.keepTogether(rec); err != nil {
		return nil, err
	}
	s.compare(rec)
	from := e.where()
	if what := s.inTheWay(rec, from); what != "" {
		return nil, fmt.Errorf("%s is there, and is not of the checkpoint; move it away: %w", what, unix.EEXIST)
	}
	sv, err := s.stage(rec, func(sv *save) error {
		sv.restores = e
		return s.clone("restore:clone", from, sv.tree())
	})
	if err != nil {
		return nil, err
	}
	sv.sealed, sv.through = true, make(chan struct{})
	return sv, nil
}

// inTheWay names what lies under a name that a restore needs and is none of the
// checkpoint's. Needs rec.mu.
func (s *Store) inTheWay(rec *record, from string) string {
	if !rec.spread() {
		if s.occupied(rec) {
			return rec.path()
		}
		return ""
	}
	list, err := s.disk.ReadDir(from)
	if err != nil {
		return "" // the clone fails for that
	}
	own, _ := s.filesShown(rec)
	for _, e := range list {
		p := path.Join(rec.run.path, e.Name)
		_, err := s.disk.Stat(p)
		if err == nil && !(rec.natural && slices.ContainsFunc(own, func(o disk.Entry) bool { return o.Name == e.Name })) {
			return p
		}
	}
	return ""
}

// tellRestored has the kernel forget what the name led to: no writer went by it.
func (s *Store) tellRestored(rec *record) {
	rec.mu.RLock()
	defer rec.mu.RUnlock()
	names := []string{rec.name}
	if own, _ := s.filesShown(rec); rec.spread() {
		names = nil
		for _, e := range own {
			names = append(names, e.Name)
		}
	}
	for _, name := range names {
		s.opts.Notify.Entry(rec.run.path, name)
	}
	s.opts.Notify.Dir(rec.run.path)
}

// dropRestored removes what a restore was made of, as its content is committed
// now: who still looks at it keeps it until then. Best effort, for it costs
// nothing: its files are those of the new version.
func (s *Store) dropRestored(rec *record, e *earlier) {
	if e.trashed == nil {
		rec.mu.Lock()
		i := slices.Index(rec.history, e.version)
		if i >= 0 {
			if err := s.toTrash(e.version, "it was restored"); err != nil {
				s.report("remove what was restored from the history", err)
			} else {
				s.change(rec, func() { rec.history = append(rec.history[:i:i], rec.history[i+1:]...) })
			}
		}
		rec.mu.Unlock()
	}
	for _, t := range s.trashOldestFirst() {
		if t == e.trashed || e.trashed == nil && t.version == e.version {
			s.spawn(func() {
				if s.becomesFree(t) {
					s.report("remove what was restored from the trash", s.shredNow(t, "it was restored"))
				}
			})
		}
	}
}

// RestoredPin is why a checkpoint was pinned without a word of the user.
const RestoredPin = "it was restored, and the policy would delete it again"

// pinDoomed pins a name when the policy would delete at once what is restored
// under it.
func (s *Store) pinDoomed(rec *record, e *earlier) {
	v := e.version
	if v == nil || s.pinned(rec.path()) {
		return
	}
	rv := s.candidates(rec.run)
	var list []policy.Checkpoint
	for i, c := range rv.candidates {
		if rv.versions[i] != nil && c.Name == rec.name && c.State == policy.Committed {
			continue // it becomes history
		}
		list = append(list, c)
	}
	c := describe(policy.Checkpoint{Name: rec.name, Kind: rec.match.Kind}, v, policy.Committed)
	c.ID, c.CommittedAt = "", s.clock.Now()
	list = append(list, c)
	for _, d := range policy.Retain(list, policy.Resolve(list, s.policyOf(rec.run)), s.cfg.Retention, s.clock.Now()) {
		if d.Name == rec.name && d.State == policy.Committed && d.Action == policy.ActionDelete {
			s.report("pin what is restored", s.changePins(func(pins map[string]string) { pins[rec.path()] = RestoredPin }))
		}
	}
}
