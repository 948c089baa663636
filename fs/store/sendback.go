package store

import (
	"path"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// An open for writing reaches the node of the content that is being replaced, and
// a node has no name, or several: hard links are one. So it is answered with
// ESTALE. The kernel then looks the name up again, in the same thread: that says
// which name is meant. The thread is shown the draft of that name, and opens it.
// Another ESTALE would reach the user, so what a thread was shown must be what
// its second open finds.

// comeback is how long a thread has to come back after it was sent: long, for on a
// machine with too much to do a thread waits. A draft that nobody came back for is
// removed.
const comeback = 10 * time.Second

// arrival is a thread on its way back to a name.
type arrival struct {
	until  time.Time
	empty  bool // what it opens is truncated
	looked bool // it has looked the name up
	// What kept it from being shown a draft. The kernel looks twice before it
	// believes an error: once to see whether what it knows still holds.
	path string
	err  error
}

// arrivals are the threads that were sent back, by their numbers. They are of no
// checkpoint: the same inode may lie in two, one renamed aside and one cloned.
type arrivals struct {
	mu      sync.Mutex // nothing is locked with it held
	threads map[uint32]arrival
}

// sendBack answers an open with "look it up again".
func (s *Store) sendBack(tid uint32, empty bool) error {
	s.arrivals.mu.Lock()
	defer s.arrivals.mu.Unlock()
	s.arrivals.threads[tid] = arrival{until: s.clock.Now().Add(comeback), empty: empty}
	return unix.ESTALE
}

// Nameless answers a request by an inode of which no name is known: it is looked up
// again. A thread that is about to write is shown the draft of the name then. One
// that comes back without having looked comes by a descriptor, and hears it.
func (s *Store) Nameless(tid uint32, writes, empty bool) error {
	if !writes || s.arrive(tid) {
		return unix.ESTALE
	}
	return s.sendBack(tid, empty)
}

// arrive ends the journey of a thread. One that comes back without having looked
// cannot look: it comes by a descriptor.
func (s *Store) arrive(tid uint32) (blind bool) {
	s.arrivals.mu.Lock()
	defer s.arrivals.mu.Unlock()
	a, ok := s.arrivals.threads[tid]
	delete(s.arrivals.threads, tid)
	return ok && !a.looked && a.err == nil && s.clock.Now().Before(a.until)
}

// onItsWay reports whether a thread is on its way, and how it will open.
func (s *Store) onItsWay(tid uint32) (a arrival, ok bool) {
	s.arrivals.mu.Lock()
	defer s.arrivals.mu.Unlock()
	a, ok = s.arrivals.threads[tid]
	if ok && s.clock.Now().After(a.until) {
		delete(s.arrivals.threads, tid)
		ok = false
	}
	return a, ok
}

// looked notes that a thread on its way has been shown a file.
func (s *Store) looked(tid uint32) {
	s.arrivals.mu.Lock()
	defer s.arrivals.mu.Unlock()
	if a, ok := s.arrivals.threads[tid]; ok {
		a.looked = true
		s.arrivals.threads[tid] = a
	}
}

// failed ends the journey of a thread that cannot be shown a draft, with the
// second look-up of the path that says so.
func (s *Store) failed(tid uint32, p string, err error) {
	s.arrivals.mu.Lock()
	defer s.arrivals.mu.Unlock()
	a := s.arrivals.threads[tid]
	if a.err != nil {
		delete(s.arrivals.threads, tid)
		return
	}
	a.path, a.err, a.until = p, err, s.clock.Now().Add(time.Second)
	s.arrivals.threads[tid] = a
}

// failedBefore is why a thread could not be shown a draft of a path a moment ago.
// If it looks up another one, that journey is over.
func (s *Store) failedBefore(tid uint32, p string) error {
	s.arrivals.mu.Lock()
	defer s.arrivals.mu.Unlock()
	a := s.arrivals.threads[tid]
	if a.err != nil && a.path != p {
		delete(s.arrivals.threads, tid)
		return nil
	}
	return a.err
}

// welcome shows a thread that was sent back the draft of the name that it looks
// up, made if there is none: it stays open to it, also when the last other writer
// closes in between. It returns the draft to wait for; nil for other names, such
// as the directories on the way. Needs rec.mu, which it gives back while content
// is copied.
func (s *Store) welcome(at place, tid, tgid uint32) (*draft, error) {
	rec := at.rec
	a, ok := s.onItsWay(tid)
	if !ok {
		return nil, nil
	}
	d := rec.drafts[at.rel]
	if d == nil && a.looked {
		s.arrive(tid) // it never came to open what it was shown
		return nil, nil
	}
	if d == nil {
		dir, ok := rec.live()
		if !ok {
			return nil, nil
		}
		st, err := s.disk.Stat(path.Join(dir, at.rel))
		if err != nil || !st.IsRegular() {
			return nil, nil
		}
		if d, err = s.redraft(at, tid, tgid, a.empty); err != nil {
			return nil, err
		}
	}
	s.looked(tid)
	d.openers[tgid] = true
	d.guests[tid] = true
	s.clock.AfterFunc(comeback, func() { s.spawn(func() { s.giveUp(d, tid) }) })
	return d, nil
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
	s.unexpect(d, tid)
}

// unexpect ends the wait for a guest; with the last one the draft is decided
// about. Needs rec.mu.
func (s *Store) unexpect(d *draft, tid uint32) {
	if !d.guests[tid] {
		return
	}
	delete(d.guests, tid)
	if len(d.handles) > 0 || len(d.guests) > 0 || d.gone {
		return
	}
	if d.visible {
		s.settle(d)
	} else {
		s.neverOpened(d)
	}
}

// neverOpened removes a draft, and its save when nothing else was changed. Needs
// rec.mu.
func (s *Store) neverOpened(d *draft) {
	s.abandon(d)
	s.discardIfUntouched(d.save)
}
