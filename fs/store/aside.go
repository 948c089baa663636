package store

import (
	"errors"
	"path"
	"slices"
)

// A version that was renamed aside lies under its backup's name and goes on
// standing for the old one, its origin, until that has a successor. If the backup
// is removed before, it lies in the history and stands for it still.

// lockMoved locks a record whose name is about to move, the one that it moves to
// (or nil), and the name that its version was renamed aside from and goes on
// standing for, if there is such a one.
func (s *Store) lockMoved(rec, to *record) (origin *record, unlock func()) {
	for {
		origin := s.origin(rec)
		recs := slices.DeleteFunc([]*record{rec, to, origin}, func(r *record) bool { return r == nil })
		unlock := s.lockSettled(recs...)
		if s.origin(rec) == origin {
			return origin, unlock
		}
		unlock()
	}
}

func (s *Store) origin(rec *record) *record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if v := rec.committed; v != nil && rec.natural && v.rec != rec {
		return v.rec
	}
	return nil
}

// outlive ends what a backup was kept for: it was renamed to where it stands for
// nothing but itself. Needs the mu of both.
func (s *Store) outlive(origin *record, v *Version) error {
	var errs []error
	if origin.inHistory(v) { // an open save of the backup left it behind
		errs = append(errs, s.toTrash(v, "what it was renamed aside to was renamed again"))
	}
	s.change(origin, func() { origin.committed = nil })
	s.leftView(v)
	if _, live := origin.live(); live {
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, s.forsake(origin, "what it was renamed aside to was renamed again"))...)
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

// noteHandedOver writes down that the backup of a name stands for nothing but
// itself any more: the next mount must not give it the old name back. Called
// without locks.
func (s *Store) noteHandedOver(rec *record) {
	var backups []*record
	s.mu.RLock()
	for _, other := range rec.run.records {
		if other != rec && other.match.Of == rec.name {
			backups = append(backups, other)
		}
	}
	s.mu.RUnlock()
	for _, other := range backups {
		other.mu.Lock()
		if v := other.committed; v != nil && other.natural && v.rec == other && v.Name != other.name {
			s.report("write down what a backup is", s.rewriteNotes(other))
		}
		other.mu.Unlock()
	}
}
