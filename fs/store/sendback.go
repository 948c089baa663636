package store

import (
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// An open for writing reaches the node of the content that is being replaced. It
// is answered with ESTALE; the kernel then looks the name up again, in the same
// thread, is shown the draft, and opens that. Another ESTALE would reach the
// user, so what a thread was shown must be what its second open finds.

// comeback is how long a thread has to come back after it was sent. A draft that
// nobody came back for is removed.
const comeback = time.Second

// arrival is a thread on its way back to a name.
type arrival struct {
	rel string
	tid uint32
}

// stage of an arrival.
type journey int

const (
	atHome journey = iota // not sent back: a first try
	sent                  // told to look the name up again
	shown                 // it has looked
)

// sendBack answers an open with "look it up again". Needs rec.mu.
func (rec *record) sendBack(rel string, tid uint32) error {
	rec.arrivals[arrival{rel, tid}] = sent
	return unix.ESTALE
}

// arrive ends a journey and says how far it had come. A thread that opens the
// same node again without having looked cannot look: it comes by a descriptor.
// Needs rec.mu.
func (rec *record) arrive(rel string, tid uint32) journey {
	k := arrival{rel, tid}
	was := rec.arrivals[k]
	delete(rec.arrivals, k)
	return was
}

// welcome prepares the second try of a thread that was sent back: what it is
// shown now stays open to it, also when the last other writer closes in between.
// It returns the draft to wait for, nil when there is none. Needs rec.mu.
func (s *Store) welcome(rec *record, rel string, tid, tgid uint32) *draft {
	k := arrival{rel, tid}
	if rec.arrivals[k] == atHome {
		return nil
	}
	rec.arrivals[k] = shown
	d := rec.drafts[rel]
	if d == nil {
		// The draft that it was to join is final by now; it is opened again.
		sv := rec.current()
		if sv == nil || !sv.rewritten[rel] {
			return nil
		}
		st, err := s.disk.Stat(path.Join(sv.tree(), rel))
		if err != nil || !st.IsRegular() {
			return nil
		}
		d = s.reopened(sv, rel, s.identities.of(&st))
	}
	d.openers[tgid] = true
	d.guests[tid] = true
	s.clock.AfterFunc(comeback, func() { s.spawn(func() { s.giveUp(d, tid) }) })
	return d
}

// reopened makes a published file of a save a draft again: visible, and written
// where it is. Needs rec.mu.
func (s *Store) reopened(sv *save, rel string, id Ident) *draft {
	d := s.newDraft(sv, rel)
	d.ident, d.visible = id, true
	close(d.ready)
	return d
}

// giveUp ends the wait for a guest that never came.
func (s *Store) giveUp(d *draft, tid uint32) {
	rec := s.lockDraft(d)
	defer rec.mu.Unlock()
	if !d.guests[tid] {
		return
	}
	delete(d.guests, tid)
	delete(rec.arrivals, arrival{d.rel, tid})
	if len(d.handles) > 0 || len(d.guests) > 0 || d.gone {
		return
	}
	if d.visible {
		s.settle(d)
	} else {
		s.neverOpened(d)
	}
}

// expire removes a draft that is never opened. Needs rec.mu.
func (s *Store) expire(d *draft) {
	s.clock.AfterFunc(comeback, func() {
		s.spawn(func() {
			rec := s.lockDraft(d)
			defer rec.mu.Unlock()
			if len(d.handles) == 0 && len(d.guests) == 0 && !d.visible && !d.gone {
				s.neverOpened(d)
			}
		})
	})
}

// neverOpened removes a draft, and its save when nothing else was changed. Needs
// rec.mu.
func (s *Store) neverOpened(d *draft) {
	s.abandon(d)
	s.discardIfUntouched(d.save)
}
