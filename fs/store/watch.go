package store

import (
	"strings"
	"time"
)

// With passthrough nobody hears of a write that fails for want of space. So the
// disk is looked at while files of saves are open for writing: the sooner, the
// less is free. What it lost since the last look tells how fast it is filled,
// and room is made that much ahead.
const (
	watchOften  = 10 * time.Millisecond
	watchSeldom = 10 * time.Second
	watchInVain = time.Second // when nothing could give way
	ahead       = 50 * time.Millisecond
	fastest     = 4 << 30 // bytes a second: no look comes later than such a writer needs
)

// watchSpace begins to count a file of a save that is open for writing.
func (s *Store) watchSpace(f *File) {
	f.growing = s.writeBackOf(f.File)
	s.room.mu.Lock()
	s.room.writing++
	start := !s.room.watching
	s.room.watching = true
	s.room.mu.Unlock()
	if start {
		s.lookLater(0, look{})
	}
}

// unwatchSpace ends that, when the file is about to be closed.
func (s *Store) unwatchSpace(f *File) {
	if f.growing != nil {
		s.noteSaved()
		s.room.mu.Lock()
		s.room.writing--
		s.room.mu.Unlock()
		s.handLast(f.growing)
	}
}

// inTemporary reports whether a path lies in what is to become a checkpoint.
func (s *Store) inTemporary(p string) bool {
	for end := 0; ; {
		name, _, more := strings.Cut(p[end:], "/")
		if !more {
			return false
		}
		if _, is := s.temporary(strings.TrimSuffix(p[:end], "/"), name); is {
			return true
		}
		end += len(name) + 1
	}
}

// look is what was seen once.
type look struct {
	at   time.Time
	free int64
}

func (s *Store) lookLater(after time.Duration, last look) {
	s.clock.AfterFunc(after, func() { s.spawn(func() { s.lookAtSpace(last) }) })
}

// lookAtSpace is one look; last may be the zero value.
func (s *Store) lookAtSpace(last look) {
	s.room.mu.Lock()
	s.room.watching = s.room.writing > 0
	watching := s.room.watching
	s.room.mu.Unlock()
	if !watching {
		return
	}
	sp, err := s.space()
	if err != nil {
		s.lookLater(watchSeldom, look{})
		return
	}
	now, want := look{s.clock.Now(), sp.free}, sp.floor
	if lost, took := last.free-now.free, now.at.Sub(last.at); lost > 0 && took > 0 {
		want += int64(min(float64(lost)/took.Seconds(), fastest) * ahead.Seconds())
	}
	next := min(max(time.Duration(float64(sp.free-want)/fastest*float64(time.Second)), watchOften), watchSeldom)
	if sp.free < want && !s.relieve(nil, "", want, nil) {
		next = watchInVain
	}
	s.lookLater(next, now)
}

// keepMinFree is what min_free asks for when no save is being written.
func (s *Store) keepMinFree() {
	sp, err := s.space()
	if err != nil || s.readOnly || sp.floor <= floor {
		return
	}
	s.relieve(nil, "", sp.floor, nil)
}

// wasTight reports whether a write since a time may have failed for want of
// space: the disk is nearly full, or was.
func (s *Store) wasTight(since time.Time) bool {
	sp, err := s.space()
	if err == nil && sp.free < floor {
		return true
	}
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	return s.room.low.After(since)
}
