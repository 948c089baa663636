package store

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// swapBack gives a swap up that could not be carried out or made durable: the
// version before stays the committed one, in memory and on what there is of the
// disk. Where it can be neither undone nor its record taken back the name is
// stuck: it takes no changes, so that recovery finds what the record describes,
// and its views show the version before from where that is.
func (s *Store) swapBack(w *swapping, cause error) error {
	err := s.undo(w)
	if err == nil {
		err = s.revokeJournal(w.j)
	}
	if err == nil {
		return cause
	}
	rec := s.lockOf(w.sv)
	defer rec.mu.Unlock()
	rec.stuck = w
	return errors.Join(cause, fmt.Errorf("it cannot be undone now: %w", err))
}

// undo brings the directories of a swap back to where they were, and names in the
// run to what they held.
func (s *Store) undo(w *swapping) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := s.moveBack(w); err != nil {
		return err
	}
	return s.show("commit:undo", w.j)
}

// moveBack does so with the directories. Needs w.mu.
func (s *Store) moveBack(w *swapping) error {
	out, in := w.outgoing(), w.incoming()
	stands := func(rec *record) {
		w.lies(in.To)
		s.change(rec, func() {
			rec.natural = out != nil
			w.sv.swapped, w.sv.next = false, nil
		})
	}
	free := func(rec *record) {
		s.change(rec, func() {
			rec.natural = false
			w.sv.swapped, w.sv.next = false, nil
		})
	}
	switch {
	case w.back != nil: // begun already
	case out != nil && s.lies(in.From, out.Ino) && s.lies(in.To, in.Ino) && !in.Crosses:
		return s.holding(w, stands)(func() error {
			return s.disk.Rename("commit:undo", in.From, in.To, unix.RENAME_EXCHANGE)
		})
	case s.lies(in.From, in.Ino) && in.Copy == 0 && (out == nil || s.lies(out.From, out.Ino) && out.Copy == 0):
		return nil // nothing has moved
	default:
		w.back = w.j.inverse()
	}
	if err := s.writeJournal(w.back); err != nil {
		return err
	}
	if err := s.advance("commit:undo", w.back, 0, s.holding(w, free)); err != nil || out == nil {
		return err
	}
	return s.advance("commit:undo", w.back, 1, s.holding(w, stands))
}

// usable refuses changes of a name whose last commit could be neither carried
// out nor undone, and tries once more to undo it; so it does with what a delete
// could not remove. Needs rec.mu.
func (s *Store) usable(rec *record) error {
	if err := s.clearRemains(rec.path()); err != nil {
		return err
	}
	w := rec.stuck
	if w == nil {
		return nil
	}
	s.spawn(func() { s.unstick(w) })
	return fmt.Errorf("the disk failed while %s was committed, and then while that was undone; "+
		"try again, or unmount and mount again once the disk works: %w", rec.path(), unix.EIO)
}

// unstick tries once more to undo a swap.
func (s *Store) unstick(w *swapping) {
	err := s.undo(w)
	if err == nil {
		err = s.revokeJournal(w.j)
	}
	if err != nil {
		s.report("undo a commit that failed", err)
		return
	}
	rec := s.lockOf(w.sv)
	defer rec.mu.Unlock()
	if rec.stuck != w {
		return
	}
	rec.stuck = nil
	s.dropUnwanted(w.sv)
	s.event("recover", rec.path(), "undid the commit that had failed")
}

// unstickAll does so for every name.
func (s *Store) unstickAll() {
	for _, p := range s.remains.paths() {
		s.report("remove what was moved elsewhere", s.clearRemains(p))
	}
	for _, rec := range s.allRecords() {
		rec.mu.RLock()
		w := rec.stuck
		rec.mu.RUnlock()
		if w != nil {
			s.unstick(w)
		}
	}
}
