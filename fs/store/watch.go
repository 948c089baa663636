package store

import (
	"strings"
	"time"
)

// With passthrough nobody hears of a write that fails for want of space. So the
// disk is looked at while files of saves are open for writing: the sooner, the
// less is free. What it lost since the last look tells how fast it is filled,
// and room is made two looks ahead.
const (
	watchOften  = 100 * time.Millisecond
	watchSeldom = 10 * time.Second
	watchInVain = time.Second // when nothing could give way
	fastest     = 4 << 30     // bytes a second: no look comes later than such a writer needs
)

// watchSpace begins to count a file of a save that is open for writing.
func (s *Store) watchSpace(f *File) {
	f.watched = true
	s.room.mu.Lock()
	s.room.writing++
	start := !s.room.watching
	s.room.watching = true
	s.room.mu.Unlock()
	if start {
		s.lookLater(watchOften, -1)
	}
}

func (s *Store) unwatchSpace(f *File) {
	if f.watched {
		s.room.mu.Lock()
		s.room.writing--
		s.room.mu.Unlock()
	}
}

// inTemporary reports whether a plain path lies in what will become a checkpoint.
func (s *Store) inTemporary(p string) bool {
	for end := 0; ; {
		name, _, more := strings.Cut(p[end:], "/")
		if !more {
			return false
		}
		if s.temporary(strings.TrimSuffix(p[:end], "/"), name) != "" {
			return true
		}
		end += len(name) + 1
	}
}

func (s *Store) lookLater(after time.Duration, free int64) {
	s.clock.AfterFunc(after, func() { s.spawn(func() { s.lookAtSpace(free) }) })
}

// lookAtSpace is one look; was is what was free at the last, or -1.
func (s *Store) lookAtSpace(was int64) {
	s.room.mu.Lock()
	s.room.watching = s.room.writing > 0
	watching := s.room.watching
	s.room.mu.Unlock()
	if !watching {
		return
	}
	sp, err := s.space()
	if err != nil {
		s.lookLater(watchSeldom, -1)
		return
	}
	want := sp.floor
	if was > sp.free {
		want += 2 * (was - sp.free)
	}
	next := min(max(time.Duration(float64(sp.free-want)/fastest*float64(time.Second)), watchOften), watchSeldom)
	if sp.free < want && !s.relieve(nil, "", want, nil) {
		next = watchInVain
	}
	s.lookLater(next, sp.free)
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
