package store

import (
	"context"
	"time"

	"ckptfs/fs/store/proc"
)

// schedule sets when a save is judged next; it replaces an earlier setting.
// Needs rec.mu.
func (s *Store) schedule(sv *save, after time.Duration) {
	sv.unschedule()
	if s.readOnly {
		return
	}
	sv.due = s.clock.Now().Add(after)
	sv.cancel = s.clock.AfterFunc(after, func() { s.spawn(func() { s.judge(sv) }) })
}

// unschedule takes the setting back. Needs rec.mu.
func (sv *save) unschedule() {
	if sv.cancel != nil {
		sv.cancel()
	}
	sv.due = time.Time{}
}

// judge judges a save that is due.
func (s *Store) judge(sv *save) {
	rec := s.lockOf(sv)
	sv.due = time.Time{}
	rec.mu.Unlock()
	s.consider(sv)
}

// housekeeping is how often the trash, old saves and the history are looked at.
const housekeeping = time.Minute

func (s *Store) startKeeper() {
	for _, rec := range s.allRecords() {
		rec.mu.Lock()
		if sv := rec.current(); sv != nil {
			s.schedule(sv, s.cfg.Save.Settle)
		}
		rec.mu.Unlock()
	}
	for _, sv := range s.sealed {
		s.spawn(func() { s.recoverSealed(sv) })
	}
	s.sealed = nil
	s.spawn(func() {
		if s.opts.Outside == nil { // else they are looked at one by one as they are watched
			s.compareAll()
		}
		s.recheckChanged()
		s.hashFound()
	})
	if s.cfg.Scrub > 0 && s.opts.Mountpoint != "" {
		s.spawn(s.keepScrubbing)
	}
	s.emptyTrash()
	if w := s.opts.Outside; w != nil {
		s.spawn(func() { s.watchOutside(w) })
	}
	var tick func()
	tick = func() {
		s.spawn(func() {
			s.Housekeep()
			s.clock.AfterFunc(housekeeping, tick)
		})
	}
	s.clock.AfterFunc(housekeeping, tick)
}

// Housekeep does once what the keeper does every minute: it empties what is old
// in the trash and in quarantine, discards saves that never became complete,
// prunes, keeps min_free, and undoes a commit that failed and could not be undone.
func (s *Store) Housekeep() {
	s.unstickAll()
	if s.watching.blind.Load() {
		s.surveyAll()
	}
	s.expireSaves()
	s.expireWaiting()
	s.emptyTrash()
	s.report("empty the quarantine", s.expireQuarantine())
	s.pruneAll()
	s.keepMinFree()
}

// expireSaves discards saves that nobody changed for incomplete_ttl.
func (s *Store) expireSaves() {
	for _, rec := range s.allRecords() {
		rec.mu.Lock()
		sv := rec.current()
		if sv != nil && rec.stuck == nil && !s.hasWriters(rec) && !sv.attended() && s.clock.Now().Sub(sv.changed) > s.cfg.Save.IncompleteTTL {
			s.event("discard", rec.path(), "the save never became complete: "+Words(sv.lacks()))
			s.drop(sv, "older than incomplete_ttl")
			if _, live := rec.live(); !live {
				s.bury(rec)
			}
			s.opts.Notify.Entry(rec.run.path, rec.name)
		}
		rec.mu.Unlock()
	}
}

// attended reports whether a process that changed the save still runs: it may be
// a trainer that writes one file at its start and the rest a day later. Needs
// rec.mu.
func (sv *save) attended() bool {
	for _, w := range sv.writers {
		if w.End().Fate == proc.Alive {
			return true
		}
	}
	return false
}

// Settle commits every save that is complete, without waiting for it to be
// quiet, and returns when none of them is under way any more. What is not
// complete stays staged; it is returned, by path, with what it lacks. progress,
// which may be nil, is called with the number of saves that are left.
func (s *Store) Settle(ctx context.Context, progress func(left int)) map[string][]string {
	var waiting []*save
	for _, rec := range s.allRecords() {
		s.awaitReleases(rec, releaseBound)
		rec.mu.Lock()
		if sv := rec.current(); sv != nil {
			sv.hurry = true
			sv.missing, sv.problems = nil, nil // what an earlier look found is not news
			s.schedule(sv, 0)
		}
		waiting = append(waiting, rec.saves...)
		rec.mu.Unlock()
	}
	for {
		left := 0
		for _, sv := range waiting {
			if s.moving(sv) {
				left++
			}
		}
		if progress != nil {
			progress(left)
		}
		if left == 0 || ctx.Err() != nil {
			s.hashRest(ctx)
			return s.unfinished()
		}
		s.await(ctx, 200*time.Millisecond)
	}
}

// await returns when a save moved, the context is done, or the bound is over.
func (s *Store) await(ctx context.Context, bound time.Duration) {
	wake := func() { s.wake() }
	stop := context.AfterFunc(ctx, wake)
	defer stop()
	defer s.clock.AfterFunc(bound, wake)()
	s.mu.Lock()
	s.settled.Wait()
	s.mu.Unlock()
}

// moving reports whether a save is on its way to a commit by itself.
func (s *Store) moving(sv *save) bool {
	rec := s.lockOf(sv)
	defer rec.mu.Unlock()
	if sv.over() {
		return false
	}
	return sv.sealed || sv.hurry && len(sv.lacks()) == 0 && len(s.awaited(rec)) == 0
}

// unfinished lists the open saves with what they lack.
func (s *Store) unfinished() map[string][]string {
	out := map[string][]string{}
	for _, rec := range s.allRecords() {
		rec.mu.RLock()
		if sv := rec.current(); sv != nil {
			lacks := sv.lacks()
			if len(lacks) == 0 {
				lacks = []string{"it is still being judged"}
			}
			out[rec.path()] = lacks
		}
		rec.mu.RUnlock()
	}
	return out
}
