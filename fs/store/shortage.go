package store

import (
	"fmt"
	"path"

	"github.com/dustin/go-humanize"
)

// shortage is a save for which not enough could give way.
type shortage struct {
	run, name string // "" when it was no particular one
	want      int64
	hidden    bool // as much is free, but not for the writer: a quota
}

// fitted ends a shortage of the same save.
func (s *Store) fitted(r *run, name string) {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	if short := s.room.short; short != nil && short.name == name && (r == nil || short.run == r.path) {
		s.room.short = nil
	}
}

// setShort remembers what did not fit the last time.
func (s *Store) setShort(short *shortage) {
	s.room.mu.Lock()
	was := s.room.short
	s.room.short = short
	s.room.mu.Unlock()
	if was == nil || *was != *short {
		s.log.Warn("space is short, and nothing more can give way", "checkpoint", path.Join(short.run, short.name), "wanted", short.want)
		s.event("short", path.Join(short.run, short.name), s.whyShort())
	}
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
			short.what(), humanize.IBytes(uint64(short.want)), s.whyShort())
	}
	return fmt.Sprintf("space is short: %s needs %s and %s are free; %s. Remove what is not needed, or move the run to a larger disk",
		short.what(), humanize.IBytes(uint64(short.want)), humanize.IBytes(uint64(sp.free)), s.whyShort())
}

func (short *shortage) what() string {
	if short.name == "" {
		return "what is kept free while saves run"
	}
	return "a save of " + short.name
}

// whyShort says what could not give way.
func (s *Store) whyShort() string {
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
	return Words(why)
}
