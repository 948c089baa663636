package store

import (
	"errors"
	"fmt"
)

// seal closes a save to changes: the next one opens a new save, cloned from
// this. Its commit starts when the one before it is through. Needs rec.mu.
func (s *Store) seal(sv *save, v verdict) {
	sv.sealed = true
	sv.through = make(chan struct{})
	sv.unschedule()
	s.change(sv.rec, func() {})
	if err := s.carry(sv, &v); err != nil {
		s.report("leave an open file behind", err)
		sv.failed, sv.sealed = err.Error(), false
		close(sv.through)
		return
	}
	if !s.spawn(func() { _ = s.commit(sv, v) }) { // the save says what failed
		sv.sealed = false
		close(sv.through)
	}
}

// commit makes a sealed save the committed version of its name:
//
//	sync     every new file, then every directory, from the inside out
//	hash     every file; the manifest is written and synced
//	journal  a record of what is about to happen is written and synced
//	swap     the staged directory and the natural one change places (swap.go)
//	sync     the directory that holds the natural name
//	keep     the old version moves to history
//	forget   the journal record goes
//
// A crash before the journal record leaves the old version; after it, recovery
// rolls forward. Views see the new version only when its name is durable.
func (s *Store) commit(sv *save, v verdict) error {
	s.committing.Add(1)
	defer s.committing.Add(-1)
	defer s.noteSaved()
	defer s.wake()
	defer close(sv.through)
	if prior := s.before(sv); prior != nil {
		<-prior
	}
	err := s.tryCommit(sv, &v)
	if err != nil {
		rec := s.lockOf(sv)
		sv.failed, sv.cause = err.Error(), err
		sv.sealed, sv.removal = false, "" // what comes next may be no removal
		if sv.again = lacksSpace(err) && !errors.Is(err, errNotDurable); sv.again {
			s.schedule(sv, housekeeping)
		}
		s.log.Error("commit failed; the version before stays", "checkpoint", rec.path(), "save", sv.id, "err", err)
		s.event("commit-failed", rec.path(), err.Error())
		if rec.stuck == nil {
			s.dropUnwanted(sv)
		}
		rec.mu.Unlock()
	}
	return err
}

// dropUnwanted drops a save that was not committed and that nobody goes on with:
// a newer one took over its content, or it was a restore, which can be asked for
// again. Needs rec.mu.
func (s *Store) dropUnwanted(sv *save) {
	next := sv.rec.current()
	switch {
	case next != sv:
		s.inherit(next, sv)
		s.drop(sv, "its commit failed and a newer save has replaced it")
	case sv.restores != nil:
		s.drop(sv, "what was to be restored could not be committed")
		s.bury(sv.rec)
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
	// What is swapped out must not go into a directory that nobody may find again.
	if err := s.disk.Sync("commit:staged", stagingDir); err != nil {
		return fmt.Errorf("%w: %w", errNotDurable, err)
	}
	m, err := s.describe(sv, v)
	if err != nil {
		return err
	}
	if err := s.unchanged(sv, v.tree); err != nil {
		return err
	}
	if s.sameAsBase(sv, m, v.tree) {
		rec := s.lockOf(sv)
		defer rec.mu.Unlock()
		s.dropSame(sv, "its content equals the committed version")
		return nil
	}
	if err := s.WithRoom(func() error { return s.writeManifest("commit:manifest", m) }); err != nil {
		return err
	}
	return s.swap(sv, m)
}
