package store

import (
	"time"

	"ckptfs/fs/store/proc"
)

// A save that only removed files of a checkpoint, and leaves none, is committed
// as a removal: what was committed goes to the trash, and what is left is a
// plain directory of the state invalid. It has to be quiet for a while first,
// and nobody who removed something may have been killed: a delete that stops
// half-way leaves the checkpoint as it was.

// onlyRemoves reports whether all that a save did was to remove. Needs rec.mu.
func (sv *save) onlyRemoves() bool {
	return sv.removed && len(sv.found) > 0 && len(sv.rewritten) == 0 && !sv.mixed
}

// considerRemoval judges a quiet save that is no checkpoint. Needs rec.mu.
func (s *Store) considerRemoval(sv *save, v verdict) {
	if !sv.onlyRemoves() || sv.recovered || sv.failed != "" || len(sv.rec.drafts) > 0 {
		return
	}
	if s.removerDied(sv) {
		return
	}
	left := patience - s.clock.Now().Sub(sv.changed)
	if left > 0 && !sv.declared && !(sv.hurry && sv.ended()) {
		s.schedule(sv, max(left, time.Millisecond))
		return
	}
	sv.removal = removalReason(v)
	s.seal(sv, v)
}

// removerDied notes that one who removed files was killed: what he meant to
// leave is not known. Needs rec.mu.
func (s *Store) removerDied(sv *save) bool {
	for _, w := range sv.writers {
		if end := w.End(); end.Fate == proc.Died {
			sv.failed = end.String() + " while it removed files"
			return true
		}
	}
	return false
}

// waitsForRemoval says what a save waits for that only removed files, and left a
// checkpoint. Needs rec.mu.
func (s *Store) waitsForRemoval(sv *save) (why string, again time.Duration) {
	if s.removerDied(sv) {
		return sv.failed, 0
	}
	if left := patience - s.clock.Now().Sub(sv.changed); left > 0 && !sv.ended() {
		return "more changes: files were only removed so far", min(left, recheck)
	}
	return "", 0
}

// removalReason says why what a removal leaves is no checkpoint.
func removalReason(v verdict) string {
	var words []string
	for _, m := range v.report.Missing {
		words = append(words, m+" was removed")
	}
	return Words(append(words, v.report.Problems...))
}
