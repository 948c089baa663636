package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/layout"
)

// Several trainers delete before they write, and none asks whether there is room.
// So room is made before a save begins, while one is written (watch.go), and
// when a change fails for want of it. What gives way, what matters least first:
//
//	trash        of any age
//	quarantine   files that were held back
//	history      earlier versions of a name
//	checkpoints  that retention does not keep; with min_free also the least
//	             advanced ones that no rule names (policy.Room)
//
// Never the newest valid version of a run (unless protect_last is off), nor one
// that was renamed aside and whose successor is not committed, nor what a view
// still shows. What does not fit then gets ENOSPC, and status says why.
//
// One goroutine at a time makes room, and others wait for it. No lock of a
// record is held meanwhile, so only those wait who are about to write.
type room struct {
	making sync.Mutex // before all other locks; held while things are removed

	mu       sync.Mutex
	made     int       // counts what gave way, so that nobody takes twice for one need
	short    *shortage // what did not fit the last time; nil when it did
	low      time.Time // when the disk was last seen nearly full
	writing  int       // files of saves that are open for writing
	watching bool
}

// floor is how many free bytes make a disk nearly full: with passthrough nobody
// tells the store of a write that failed for want of space.
const floor = 8 << 20

// space is how the disk stands.
type space struct {
	free  int64 // for an ordinary user
	floor int64 // what has to stay free while saves are written
}

func (s *Store) space() (space, error) {
	st, err := s.disk.Statfs()
	if err != nil {
		return space{}, err
	}
	block := int64(max(st.Bsize, 1))
	sp := space{free: int64(st.Bavail) * block}
	if sp.free < floor {
		s.room.mu.Lock()
		s.room.low = s.clock.Now()
		s.room.mu.Unlock()
	}
	sp.floor = max(floor, s.cfg.Retention.MinFree.Of(int64(st.Blocks)*block))
	return sp, nil
}

// roomFor makes room when a change at a place, by a process, is the beginning of a
// save. Called without locks, before the save is opened.
func (s *Store) roomFor(at place, c Caller, tgid uint32) {
	r, name, begins := s.beginsSave(at, tgid)
	if !begins || s.readOnly {
		return
	}
	sp, err := s.space()
	if err != nil {
		return
	}
	size := s.expected(r, name)
	s.relieve(r, name, size+sp.floor, func() bool {
		return s.disk.Fits("room", stagingDir, size, c.UID, c.GID) == nil
	})
}

// beginsSave says of which checkpoint a change at a place begins a save, or goes
// on with one that has failed. Under a temporary name a save begins before it has
// the checkpoint's.
func (s *Store) beginsSave(at place, tgid uint32) (r *run, name string, begins bool) {
	if rec := at.rec; rec != nil {
		rec.mu.RLock()
		defer rec.mu.RUnlock()
		sv := rec.current()
		return rec.run, rec.name, sv == nil || sv.failed != "" || s.beginsAttempt(sv, at.rel, tgid)
	}
	dir, name := split(at.path)
	of, _ := s.temporary(dir, name)
	r = s.runAt(dir)
	return r, of, r != nil && of != ""
}

// temporary reports whether a directory of a run is a trainer's temporary one, by
// any layout while the run has none for certain, and which checkpoint it will
// become; "" where nobody can tell.
func (s *Store) temporary(dir, name string) (of string, is bool) {
	among := s.layouts
	if r := s.runAt(dir); r != nil && r.layout() != nil && !r.guessed.Load() {
		among = []*layout.Layout{r.layout()}
	}
	for _, l := range among {
		if m, ok := l.Match(name, true); ok && m.Kind == layout.Temp {
			return m.Of, true
		}
	}
	return "", false
}

// expected is how large a save may become: as the last one of its name, else as
// the largest of the run.
func (s *Store) expected(r *run, name string) (size int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	largest := int64(0)
	for _, rec := range r.records {
		v := rec.committed
		if v == nil && len(rec.history) > 0 {
			v = rec.history[0]
		}
		if v == nil {
			continue
		}
		if rec.name == name {
			return v.Size
		}
		largest = max(largest, v.Size)
	}
	for _, t := range s.trash { // in the order of deletion
		if t.Valid && t.Run == r.path {
			largest = max(largest, t.Size)
			if t.Name == name {
				size = t.Size
			}
		}
	}
	if size == 0 {
		size = largest
	}
	return size
}

// relieve has things give way until so many bytes are free, and what is to be
// written fits (nil: nothing is known of it), and reports whether that came
// about. r and name, which may be nil and "", are what it is for. Called without
// locks.
func (s *Store) relieve(r *run, name string, want int64, fits func() bool) bool {
	enough := func() bool {
		sp, err := s.space()
		return err != nil || sp.free >= want && (fits == nil || fits())
	}
	if enough() {
		s.fitted(r, name)
		return true
	}
	s.compareAll()
	s.room.making.Lock()
	defer s.room.making.Unlock()
	done := s.freeUp(r, enough)
	if !done && s.letViewsGo() {
		s.await(context.Background(), recheckViews)
		done = s.freeUp(r, enough)
	}
	if done {
		s.fitted(r, name)
		return true
	}
	short := &shortage{name: name, want: want}
	if r != nil {
		short.run = r.path
	}
	if sp, err := s.space(); err == nil {
		short.hidden = sp.free >= want
	}
	s.setShort(short)
	return false
}

// giveWay makes room after a change has failed for want of it. made is what
// s.roomMade said before.
func (s *Store) giveWay(made int) bool {
	s.room.making.Lock()
	defer s.room.making.Unlock()
	if s.roomMade() != made {
		return true // somebody else has
	}
	enough := func() bool { // at least one thing: a quota may be what is used up
		sp, err := s.space()
		return err == nil && s.roomMade() != made && sp.free >= sp.floor
	}
	s.freeUp(nil, enough)
	return s.roomMade() != made
}

// WithRoom tries a change once more that failed for want of space, when
// something could give way. Called without locks.
func (s *Store) WithRoom(change func() error) error {
	made := s.roomMade()
	err := change()
	if !lacksSpace(err) || s.readOnly || !s.giveWay(made) {
		return err
	}
	return change()
}

func lacksSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func (s *Store) roomMade() int {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	return s.room.made
}

// recheckViews is how long the kernel has to forget views that nobody uses.
const recheckViews = 100 * time.Millisecond

// letViewsGo tells the kernel to forget what it remembers of views, and reports
// whether there was anything that it keeps from giving way.
func (s *Store) letViewsGo() (some bool) {
	s.mu.RLock()
	for _, t := range s.trash {
		some = some || t.version != nil && t.version.views.Load() > 0
	}
	for _, r := range s.runs {
		for _, rec := range r.records {
			for _, v := range rec.history {
				some = some || v.views.Load() > 0
			}
		}
	}
	s.mu.RUnlock()
	if some {
		for _, r := range s.runsSorted() {
			s.viewsMoved(r)
		}
	}
	return some
}
