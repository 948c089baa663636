package store

import (
	"time"

	"ckptfs/layout"
)

// Where the layout requires nothing, what earlier checkpoints of the kind
// consist of says when one is complete. It is a habit and no rule: it makes a
// save wait longer, and never forbids that it is committed.

// learned says what a save that is complete by the layout waits for all the same,
// and when to ask again; "" for nothing. A rename into place is the one word
// that is believed without habits. Needs rec.mu.
func (s *Store) learned(sv *save, v verdict) (why string, again time.Duration) {
	rec := sv.rec
	left := patience - s.clock.Now().Sub(sv.changed)
	if rec.run.layout().Requires(rec.match.Type) || sv.placed || left <= 0 {
		return "", 0
	}
	if lacking := s.unusual(sv, v); lacking != "" {
		return lacking, left
	}
	if layout.Ranks(sv.wroteFiles(v)) > layout.Ranks(s.usual(rec)) && !sv.hurry && !sv.ended() {
		return "more files: it is the first of its kind", min(left, recheck) // or the end of its processes
	}
	return "", 0
}

// unusual says what earlier checkpoints of the kind had and a save has not, where
// the layout cannot tell what belongs to it; "" for nothing. Needs rec.mu.
func (s *Store) unusual(sv *save, v verdict) string {
	if sv.rec.run.layout().Requires(sv.rec.match.Type) {
		return ""
	}
	lacking := layout.Lacking(sv.wroteFiles(v), s.usual(sv.rec))
	if len(lacking) == 0 {
		return ""
	}
	return "what is usual: " + Words(lacking)
}

// wroteFiles are the regular files that the present attempt wrote; what it found
// says nothing about what is still to come.
func (sv *save) wroteFiles(v verdict) []string {
	var names []string
	for _, e := range v.tree {
		if ino, found := sv.found[e.rel]; e.st.IsRegular() && !(found && ino == e.st.Ino) {
			names = append(names, e.rel)
		}
	}
	return names
}

// usual lists the files of the newest committed checkpoint of the record's kind
// in its run, whose name differs from the record's in numbers only; nil when
// there is none. Needs rec.mu.
func (s *Store) usual(rec *record) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var newest *Version
	for _, other := range rec.run.records {
		v := other.committed
		if v == nil || other.match.Kind != rec.match.Kind || !layout.Alike(other.name, rec.name) {
			continue
		}
		if newest == nil || v.CommittedAt.After(newest.CommittedAt) {
			newest = v
		}
	}
	if newest == nil {
		return nil
	}
	names := make([]string, 0, len(newest.Files))
	for _, f := range newest.Files {
		names = append(names, f.Path)
	}
	return names
}
