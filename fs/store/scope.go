package store

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"ckptfs/policy"
)

// subject is what is to be verified: a version, or what lies under a natural name
// and is none.
type subject struct {
	run   string // as in the reports
	name  string
	state policy.State
	v     *Version
	rec   *record // of what is no version
	why   string  // why it is none
}

// scope lists what a path is about: the checkpoints of the runs at it and below,
// or one checkpoint, or what a view shows. Earlier versions and what was deleted
// are left out unless they are asked for.
func (s *Store) scope(o VerifyOptions) []subject {
	sc := scoped{s: s, history: o.History, seen: map[*Version]bool{}}
	inRuns := false
	for _, r := range s.runsSorted() {
		at := s.pathOf(r)
		if o.Path != "" && at != o.Path && !strings.HasPrefix(at, o.Path+"/") {
			continue
		}
		inRuns = true
		for _, rec := range s.recordsOf(r) {
			sc.record(rec)
		}
	}
	if !inRuns {
		s.scopeOfOne(&sc, o.Path)
	}
	if o.Trash && inRuns {
		s.mu.RLock()
		trash := slices.Clone(s.trash)
		s.mu.RUnlock()
		for _, t := range trash {
			if o.Path == "" || t.Run == o.Path || strings.HasPrefix(t.Run, o.Path+"/") {
				sc.version(t.Run, t.version, policy.Trash)
			}
		}
	}
	slices.SortStableFunc(sc.list, func(a, b subject) int {
		return cmp.Or(strings.Compare(a.run, b.run), strings.Compare(a.name, b.name), -strings.Compare(a.id(), b.id()))
	})
	return sc.list
}

// scopeOfOne adds the checkpoint or the view at a path.
func (s *Store) scopeOfOne(sc *scoped, p string) {
	rec := s.named(p)
	if at := s.at(p); rec == nil && at.rec != nil && (at.rel == "" || at.rec.spread()) {
		rec = at.rec
	}
	if rec != nil {
		sc.record(rec)
		return
	}
	dir, name := split(p)
	if t, ok := s.View(dir, name); ok {
		sc.version(dir, t.Version, policy.Committed)
		if t.Index != NoIndex {
			for _, n := range s.Numbers(dir, t.Index) {
				sc.version(dir, s.Numbered(dir, t.Index, strconv.FormatInt(n, 10)), policy.Committed)
			}
		}
		return
	}
	over, index := split(dir)
	if t, ok := s.View(over, index); ok && t.Index != NoIndex {
		sc.version(over, s.Numbered(over, t.Index, name), policy.Committed)
	}
}

func (u *subject) id() string {
	if u.v == nil {
		return ""
	}
	return u.v.ID
}

// scoped gathers subjects, each version once: one that was renamed aside goes by
// two names.
type scoped struct {
	s       *Store
	history bool
	list    []subject
	seen    map[*Version]bool
}

func (sc *scoped) record(rec *record) {
	if rec.pointer() {
		return
	}
	rec.mu.RLock()
	defer rec.mu.RUnlock()
	switch {
	case rec.committed != nil:
		sc.version(rec.run.path, rec.committed, policy.Committed)
	case rec.natural:
		sc.list = append(sc.list, subject{run: rec.run.shown(), name: rec.name, state: policy.Invalid, rec: rec, why: rec.invalid})
	}
	if len(rec.saves) > 0 {
		state, why := rec.saveState(sc.s)
		sc.list = append(sc.list, subject{run: rec.run.shown(), name: rec.name, state: state, rec: rec, why: why})
	}
	if sc.history {
		for _, v := range rec.history {
			sc.version(rec.run.path, v, policy.History)
		}
	}
}

func (sc *scoped) version(run string, v *Version, state policy.State) {
	if v == nil || sc.seen[v] {
		return
	}
	sc.seen[v] = true
	if state == policy.Committed && path.Dir(v.where()) == historyDir {
		state = policy.History // by-epoch/ shows earlier versions too
	}
	sc.s.mu.RLock()
	name := v.Name
	sc.s.mu.RUnlock()
	sc.list = append(sc.list, subject{run: cmp.Or(run, "."), name: name, state: state, v: v})
}
