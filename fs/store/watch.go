package store

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
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

// shortHint says for status what did not fit, why nothing gave way, and what to
// do; "" when there is room now.
func (s *Store) shortHint(r *run) string {
	s.room.mu.Lock()
	short := s.room.short
	s.room.mu.Unlock()
	if short == nil || short.run != r.path && short.name != "" {
		return ""
	}
	sp, err := s.space()
	if err != nil || sp.free >= short.want && !short.hidden {
		return ""
	}
	if short.hidden {
		return fmt.Sprintf("space is short: %s may need %s, which a quota does not leave to the user; %s. Remove what is not needed, or raise the quota",
			short.what(), humanize.IBytes(uint64(short.want)), s.whyShort(short))
	}
	return fmt.Sprintf("space is short: %s needs %s free and there are %s; %s. Remove what is not needed, or move the run to a larger disk",
		short.what(), humanize.IBytes(uint64(short.want)), humanize.IBytes(uint64(sp.free)), s.whyShort(short))
}

func (short *shortage) what() string {
	if short.name == "" {
		return "keeping the floor"
	}
	return "a save of " + short.name
}

// whyShort says what could not give way.
func (s *Store) whyShort(*shortage) string {
	protected, shown := 0, 0
	for _, t := range s.trashOldestFirst() {
		switch {
		case t.version != nil && t.version.views.Load() > 0:
			shown++
		case s.cfg.Retention.ProtectLast && s.lastValid(t):
			protected++
		}
	}
	why := []string{}
	if protected > 0 {
		why = append(why, "the trash holds the newest valid version of the run, which retention.protect_last keeps")
	}
	if shown > 0 {
		why = append(why, fmt.Sprintf("%d deleted version(s) are still shown by a view", shown))
	}
	if s.cfg.Retention.DryRun {
		why = append(why, "retention.dry_run keeps the rest")
	}
	if len(why) == 0 {
		return "trash and history have nothing more to give"
	}
	return joinWords(why)
}
