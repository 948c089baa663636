package store

import "time"

// comeback is how long a process has to look a name up again after it was told
// to. A draft that nobody came back for is removed.
const comeback = 5 * time.Second

// asked remembers that a process was told to look a name up again.
func (s *Store) asked(id Ident, tgid uint32) {
	s.told.Store(toldKey{id, tgid}, struct{}{})
}

// insists reports whether the process opens the same node again without having
// looked its name up: it cannot, so telling it again would reach the user.
func (s *Store) insists(id Ident, tgid uint32) bool {
	_, ok := s.told.LoadAndDelete(toldKey{id, tgid})
	return ok
}

// lookedUp clears what asked remembered about old contents of a name. The
// process holds at most a few of these, so a sweep is cheap.
func (s *Store) lookedUp(tgid uint32) {
	s.told.Range(func(k, _ any) bool {
		if k.(toldKey).tgid == tgid {
			s.told.Delete(k)
		}
		return true
	})
}

// invite remembers that a process was shown a draft, so that it may open the
// file for writing also when the last other writer has closed it meanwhile.
func (s *Store) invite(id Ident, tgid uint32) {
	k := toldKey{id, tgid}
	if _, known := s.invited.LoadOrStore(k, struct{}{}); !known {
		s.clock.AfterFunc(comeback, func() { s.invited.Delete(k) })
	}
}

type toldKey struct {
	id   Ident
	tgid uint32
}

// expire removes a draft that is never opened. Needs rec.mu.
func (s *Store) expire(d *draft) {
	s.clock.AfterFunc(comeback, func() {
		s.spawn(func() {
			rec := s.lockOf(d.save)
			defer rec.mu.Unlock()
			if len(d.handles) > 0 || d.visible || d.gone || rec.drafts[d.rel] != d {
				return
			}
			d.gone = true
			delete(rec.drafts, d.rel)
			if st, err := s.disk.Stat(d.slot()); err == nil {
				s.report("remove a draft that nobody opened", s.unlink("draft:expire", d.slot(), &st))
			}
			s.discardIfUntouched(d.save)
		})
	})
}
