package store

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"
)

// A save may have no place: its run was moved to where it is not recognised, its
// file system is not mounted, or no layout knows the name any more. It stays staged
// for as long as any that is not complete, and a mount that finds its place goes on
// with it. Until then no name leads to it.

// waiting is such a save.
type waiting struct {
	id, run, name string
	why           string
	since         time.Time
}

const (
	missingRun  = "its run, which is not there: move it back, or mount it, and mount again"
	unknownName = "a layout that knows its name"
)

// keepWaiting keeps a save that has no place.
func (s *Store) keepWaiting(n *saveNote, why string) {
	s.mu.Lock()
	s.waiting = append(s.waiting, waiting{n.ID, n.Run, n.Name, why, s.clock.Now()})
	s.mu.Unlock()
	s.event("recover", path.Join(n.Run, n.Name), "an unfinished save waits for "+why)
}

// waitingRuns reports the saves that have no place, by the runs that they were of.
func (s *Store) waitingRuns() []RunStatus {
	s.mu.RLock()
	list := slices.Clone(s.waiting)
	s.mu.RUnlock()
	slices.SortFunc(list, func(a, b waiting) int { return strings.Compare(a.run+"/"+a.name, b.run+"/"+b.name) })
	var out []RunStatus
	for _, w := range list {
		st := SaveStatus{Name: w.name, Missing: []string{w.why}, State: "open", Bytes: s.stagedBytes(path.Join(stagingDir, w.id))}
		if n := len(out); n > 0 && out[n-1].Path == cmp.Or(w.run, ".") {
			out[n-1].Saves = append(out[n-1].Saves, st)
			continue
		}
		out = append(out, RunStatus{Path: cmp.Or(w.run, "."), Views: map[string]string{}, Saves: []SaveStatus{st}, Hints: []string{}})
	}
	return out
}

// expireWaiting discards those that have waited for incomplete_ttl.
func (s *Store) expireWaiting() {
	s.mu.Lock()
	var old []waiting
	s.waiting = slices.DeleteFunc(s.waiting, func(w waiting) bool {
		gone := s.clock.Now().Sub(w.since) > s.cfg.Save.IncompleteTTL
		if gone {
			old = append(old, w)
		}
		return gone
	})
	s.mu.Unlock()
	for _, w := range old {
		s.event("discard", path.Join(w.run, w.name), "the save never got "+w.why)
		s.report("discard a save", s.removeAll("save:expire", path.Join(stagingDir, w.id)))
	}
}
