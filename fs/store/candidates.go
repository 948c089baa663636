package store

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"ckptfs/layout"
	"ckptfs/policy"
)

// candidate is a checkpoint, or an earlier version, as the policy is to see it.
type candidate struct {
	policy.Checkpoint
	version *Version // nil where there is none
	rec     *record
	earlier bool
}

// candidatesOf lists what a record gives the policy to judge; also are the kinds
// of the links to it. What it says is true until the record changes, but for what
// refresh says anew.
func (s *Store) candidatesOf(rec *record, also []layout.Kind) (out []candidate) {
	rec.mu.RLock()
	defer rec.mu.RUnlock()
	if rec.dead || rec.pointer() {
		return nil
	}
	c := policy.Checkpoint{Name: rec.name, Kind: rec.match.Kind, Also: also, Saving: len(rec.saves) > 0}
	switch {
	case rec.committed != nil:
		c = s.spoilt(describe(c, rec.committed, policy.Committed), rec.committed)
		out = append(out, candidate{c, rec.committed, rec, false})
	case len(rec.saves) > 0:
		c.State, c.Reason = rec.saveState(s)
		c.Epoch, c.Step, c.GlobalStep = rec.match.Epoch, rec.match.Step, rec.match.GlobalStep
		out = append(out, candidate{c, nil, rec, false})
	case rec.natural:
		c.State, c.Reason = policy.Invalid, rec.invalid
		c.Epoch, c.Step, c.GlobalStep = rec.match.Epoch, rec.match.Step, rec.match.GlobalStep
		out = append(out, candidate{c, nil, rec, false})
	}
	// A save takes nothing from the earlier versions, and a link leads to what is live.
	c = policy.Checkpoint{Name: rec.name, Kind: rec.match.Kind}
	for _, v := range rec.history {
		out = append(out, candidate{s.spoilt(describe(c, v, policy.History), v), v, rec, true})
	}
	return out
}

func describe(c policy.Checkpoint, v *Version, state policy.State) policy.Checkpoint {
	c.ID, c.Progress, c.State = v.ID, v.Progress, state
	c.CommittedAt, c.Size, c.Metrics, c.BestName = v.CommittedAt, v.Size, v.Metrics, v.BestName
	return c
}

// saveState says how the newest save of a record stands. Needs mu.
func (rec *record) saveState(s *Store) (policy.State, string) {
	sv := rec.saves[len(rec.saves)-1]
	quiet := s.clock.Now().Sub(sv.changed) > s.cfg.Save.Settle
	if lacks := sv.lacks(); len(lacks) > 0 && quiet && !s.hasWriters(rec) && !sv.sealed {
		return policy.Incomplete, Words(lacks)
	}
	return policy.Saving, "a save is under way"
}

// runViews are the candidates of a run at one moment, and what the views make of
// them.
type runViews struct {
	candidates []policy.Checkpoint
	versions   []*Version // parallel; nil where there is no version
	views      policy.Views
}

// candidates lists every checkpoint of a run, in no order.
func (s *Store) candidates(r *run) *runViews {
	s.mu.Lock()
	for rec := range r.saving { // how a save stands changes with time
		r.stale.add(rec)
	}
	s.mu.Unlock()
	x := s.standingOf(r)
	defer x.mu.Unlock()
	rv := &runViews{
		candidates: make([]policy.Checkpoint, 0, len(x.held)), versions: make([]*Version, 0, len(x.held)),
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for slot, h := range x.held {
		if h.rec == nil {
			continue
		}
		c := *x.index.At(slot)
		if len(s.pins) > 0 {
			_, c.Pinned = s.pins[path.Join(r.path, c.Name)]
		}
		if v := h.version; v != nil {
			c.InUse = v.views.Load() > 0 || !h.earlier && h.rec.readers.Load() > 0
		}
		rv.candidates, rv.versions = append(rv.candidates, c), append(rv.versions, h.version)
	}
	return rv
}

// sort orders candidates as a person reads them: the least advanced first, then by
// name, the newest version of a name first.
func (rv *runViews) sort() {
	order := make([]int, len(rv.candidates))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &rv.candidates[i], &rv.candidates[j]
		return cmp.Or(a.Progress.Compare(b.Progress), strings.Compare(a.Name, b.Name), strings.Compare(b.ID, a.ID))
	})
	candidates, versions := make([]policy.Checkpoint, len(order)), make([]*Version, len(order))
	for to, from := range order {
		candidates[to], versions[to] = rv.candidates[from], rv.versions[from]
	}
	rv.candidates, rv.versions = candidates, versions
}

// version is that of a candidate, nil for none.
func (rv *runViews) version(i int) *Version {
	if i < 0 {
		return nil
	}
	return rv.versions[i]
}
