package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// SyncDir is fsync of a directory: for a checkpoint, and for the run that holds
// it, the trainer's word that what is there is complete. It returns after the
// commits that are complete there.
func (s *Store) SyncDir(p string) error {
	if at := s.at(p); at.rec != nil {
		return s.syncRecord(at.rec, at.rel)
	}
	var saving []*record
	if r := s.runAt(p); r != nil {
		saving = s.savingIn(r)
	}
	for _, rec := range saving {
		if err := s.syncRecord(rec, ""); err != nil {
			return err
		}
	}
	return s.disk.Sync("fsync", p)
}

func (s *Store) syncRecord(rec *record, rel string) error {
	s.awaitReleases(rec, lingers) // on a busy machine a RELEASE is late, and the fsync has to mean something
	rec.mu.Lock()
	s.detachClosed(rec, s.clock.Now().Add(-lingers))
	n := len(rec.saves)
	if n == 0 {
		rec.mu.Unlock()
		return nil // committed, so durable
	}
	sv := rec.saves[n-1]
	switch {
	case sv.sealed:
		rec.mu.Unlock()
	case len(s.awaited(rec)) > 0:
		dir, ok := rec.live()
		rec.mu.Unlock()
		s.awaitSealed(rec)
		if !ok {
			return nil
		}
		return s.disk.Sync("fsync", path.Join(dir, rel))
	default:
		sv.boundary = true
		sv.unschedule()
		rec.mu.Unlock()
		s.conclude(sv)
	}
	return s.awaitCommit(sv)
}

// commitAtClose is `durability: close`: the close that completes a save waits for
// its commit. The file that is being closed has a handle until the close
// returns, so the commit takes a copy of it; what is not complete yet is only
// synced.
func (s *Store) commitAtClose(sv *save) error {
	rec := s.lockOf(sv)
	if rec.current() != sv {
		rec.mu.Unlock()
		return s.awaitCommit(sv)
	}
	v := s.inspectSave(rec, sv)
	if !v.whole() || len(sv.found) > 0 && !s.coreRewritten(sv, &v.report) {
		rec.mu.Unlock()
		return s.disk.Sync("fsync", sv.tree())
	}
	s.detachClosed(rec, s.clock.Now())
	sv.hurry = true
	rec.mu.Unlock()
	s.conclude(sv)
	return s.awaitCommit(sv)
}

// conclude judges a save now that a user or a trainer waits for it. A file can be
// written for a moment after its last close, until the kernel lets go of it, so
// that is waited for.
func (s *Store) conclude(sv *save) {
	for end := s.clock.Now().Add(releaseBound); s.consider(sv) && s.clock.Now().Before(end); {
		s.await(context.Background(), releaseSoon)
	}
}

// awaitCommit returns when a save that was sealed is through, with the error if
// its commit failed; one that is not complete has only been synced.
func (s *Store) awaitCommit(sv *save) error {
	for {
		rec := s.lockOf(sv)
		cause, over, sealed := sv.cause, sv.over(), sv.sealed
		rec.mu.Unlock()
		switch {
		case lacksSpace(cause) || errors.Is(cause, unix.EROFS):
			return fmt.Errorf("commit %s: %w", rec.path(), cause)
		case cause != nil:
			return fmt.Errorf("commit %s: %v: %w", rec.path(), cause, unix.EIO)
		case over:
			return nil
		case !sealed:
			return s.disk.Sync("fsync", sv.tree())
		}
		s.await(context.Background(), recheck)
	}
}

// Commit is the user's word that a save is complete. With force it is committed
// as it stands, as long as nobody can still write to it.
func (s *Store) Commit(p string, force bool) error {
	rec := s.named(p)
	if rec == nil {
		return fmt.Errorf("%s is not a checkpoint", p)
	}
	s.awaitReleases(rec, releaseBound)
	rec.mu.Lock()
	sv := rec.current()
	if sv == nil {
		rec.mu.Unlock()
		return fmt.Errorf("%s has no open save", p)
	}
	sv.boundary, sv.declared, sv.forced, sv.failed = true, true, force, ""
	rec.mu.Unlock()
	s.conclude(sv)
	rec = s.lockOf(sv)
	tried, lacks := sv.sealed || sv.over(), sv.lacks()
	sv.forced = false
	rec.mu.Unlock()
	if !tried {
		return fmt.Errorf("%s is not complete: %s", p, Words(lacks))
	}
	return s.awaitCommit(sv)
}

func (s *Store) recordsAt(dir string) []*record {
	s.mu.RLock()
	r := s.runs[dir]
	s.mu.RUnlock()
	if r == nil {
		return nil
	}
	return s.recordsOf(r)
}

// savingIn lists the records of a run that have a save.
func (s *Store) savingIn(r *run) []*record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(r.saving))
}

func (s *Store) recordsOf(r *run) []*record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*record
	for _, rec := range r.records {
		out = append(out, rec)
	}
	return out
}
